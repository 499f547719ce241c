"""The estimator as scikit-learn judges it, and as its users combine it."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ae_jax.sklearn import AutoencoderTransformer
from ae_jax.types import UsageError
from tests.commands import ROOT


@parametrize_with_checks([AutoencoderTransformer(widths=(4,), epochs=2)])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    """All of its checks apply: none is expected to fail."""
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return images[:300], labels[:300]


@pytest.fixture(scope="module")
def fitted(digits):
    return AutoencoderTransformer(8, widths=(32,), epochs=30, random_state=0).fit(digits[0])


def test_codes_lead_back_to_the_features(fitted, digits):
    images, _ = digits
    again = fitted.inverse_transform(fitted.transform(images))
    assert again.shape == images.shape and again.min() >= 0 and again.max() <= 16
    np.testing.assert_allclose(fitted.score(images), -mean_squared_error(images, again), rtol=1e-6)
    assert fitted.score(images) > -images.var(0).mean(), "no better than the mean image"
    assert list(fitted.get_feature_names_out()) == [f"autoencodertransformer{i}" for i in range(8)]


def test_scaling_changes_no_code(digits):
    """Features of another unit and origin are the same features."""
    models = [AutoencoderTransformer(widths=(4,), epochs=2, random_state=0) for _ in range(2)]
    images, moved = digits[0][:100], digits[0][:100] * 1024.0 - 4096.0  # exact in float64
    codes, others = (model.fit_transform(X) for model, X in zip(models, (images, moved), strict=True))
    np.testing.assert_array_equal(codes, others)
    np.testing.assert_allclose(models[1].score(moved), 1024.0**2 * models[0].score(images), rtol=1e-6)


@pytest.mark.parametrize("kind", ["denoising", "sparse", "contractive", "variational"])
def test_every_kind_is_trained_for_its_objective(digits, kind):
    model = AutoencoderTransformer(2, kind=kind, widths=(4,), epochs=1, random_state=0).fit(digits[0][:100])
    builder = {"denoising": "denoising", "sparse": "sparse_l1", "contractive": "contractive", "variational": "elbo"}
    assert model.run_.objective.recipe.builder.endswith(builder[kind])
    assert model.transform(digits[0]).shape == (300, 2)


def test_an_unknown_kind_is_refused(digits):
    with pytest.raises(UsageError, match="choose one of plain, denoising, sparse, contractive, variational"):
        AutoencoderTransformer(kind="deep").fit(digits[0])


def test_patience_watches_rows_drawn_at_random(digits):
    quick = {"widths": (4,), "epochs": 40, "learning_rate": 0.3, "random_state": 0}
    model = AutoencoderTransformer(2, **quick, patience=1, validation=0.25).fit(digits[0])
    assert model.n_iter_ < 40 and model.loss_curve_.shape == model.validation_loss_curve_.shape == (model.n_iter_,)
    ordered = np.linspace(0, 1, 100)[:, None] * np.ones(3)  # the last quarter would be unlike the rest
    model = AutoencoderTransformer(1, widths=(4,), epochs=1, validation=0.25, random_state=0).fit(ordered)
    assert model.validation_loss_curve_[0] < 2 * model.loss_curve_[0]


def test_it_is_searched_in_a_pipeline(digits):
    images, labels = digits
    pipeline = make_pipeline(
        AutoencoderTransformer(widths=(16,), epochs=15, random_state=0), LogisticRegression(max_iter=1000)
    )
    grid = GridSearchCV(pipeline, {"autoencodertransformer__latent": [1, 8]}, cv=2).fit(images, labels)
    assert grid.best_params_ == {"autoencodertransformer__latent": 8}
    assert clone(grid.best_estimator_)[0].latent == 8


def test_a_pickle_encodes_the_same_in_another_process(fitted, digits, tmp_path):
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(fitted))
    np.save(tmp_path / "images.npy", digits[0])
    code = (
        "import pickle, numpy as np; from pathlib import Path; here = Path({0!r});"
        "model = pickle.loads((here / 'model.pickle').read_bytes());"
        "np.save(here / 'codes.npy', model.transform(np.load(here / 'images.npy')))"
    )
    subprocess.run([sys.executable, "-c", code.format(str(tmp_path))], cwd=ROOT, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), fitted.transform(digits[0]))
