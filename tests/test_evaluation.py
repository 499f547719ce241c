"""Measures of trained models on models made by hand, whose answers are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import batching, corruptions, evaluation
from ae_jax.lanes import DIVERGED, DONE
from tests.made import run_of


@dataclasses.dataclass(frozen=True)
class Gain:
    """A model of one parameter: images times its gain."""

    init = None

    def apply(self, gain, images):
        return gain * images


@dataclasses.dataclass(frozen=True)
class Moved:
    """A classifier of one parameter: its logits are ten pixels of the first row, moved by so many places."""

    init = None

    def apply(self, places, images):
        return jnp.roll(images[:, 0, :10, 0], places, axis=1)


GAINS = jnp.array([1.0, 0.5, 2.0])
GAINED = run_of(Gain(), GAINS)


@pytest.fixture
def images(data):
    return batching.take(data, jnp.arange(200)).images


def test_confusion_has_true_classes_in_rows():
    """Once a 0 was taken for a 2, twice a 1 for a 0; class 3 never came up."""
    counts = evaluation.confusion(np.array([0, 0, 1, 1, 1, 2]), np.array([0, 2, 0, 0, 1, 2]), classes=4)
    np.testing.assert_array_equal(counts, [[1, 0, 1, 0], [2, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert evaluation.confusion(np.array([9]), np.array([3])).shape == (10, 10)


def test_reconstructions_are_each_lanes_own(images):
    found = evaluation.reconstruct(GAINED, images)
    np.testing.assert_allclose(found, GAINS[:, None, None, None, None] * images)
    inputs, targets = images[:45], 1.0 - images[:45]
    expected = np.square(GAINS[:, None, None, None, None] * inputs - targets).mean((2, 3, 4))
    np.testing.assert_allclose(evaluation.reconstruction_errors(GAINED, inputs, targets), expected, rtol=1e-5)
    np.testing.assert_allclose(evaluation.reconstruction_error(GAINED, inputs, targets), expected.mean(1), rtol=1e-5)


def test_robustness_is_the_error_from_the_clean_image_at_each_level(images):
    """Light is added to the input, level times a draw of the key: a gain w leaves ``(w - 1) x + w light``."""
    levels, key = np.array([0.0, 0.7, 0.2]), jax.random.key(3)
    curves = evaluation.robustness(
        GAINED, lambda key, images, level: images + level * jax.random.uniform(key), key, images, levels
    )
    light = [level * jax.random.uniform(jax.random.fold_in(key, i)) for i, level in enumerate(levels)]
    expected = [[jnp.square((w - 1) * images + w * added).mean() for added in light] for w in GAINS]
    np.testing.assert_allclose(curves, expected, rtol=1e-5, atol=1e-9)


def test_robustness_to_noise_grows_with_its_variance(images):
    """``(w - 1)^2 x^2 + w^2 sigma^2`` in the mean of 156,800 pixels, to 2 %; identical lanes see identical images."""
    levels = np.array([0.1, 0.4, 0.8])
    curves = evaluation.robustness(
        run_of(Gain(), jnp.append(GAINS, GAINS[0])), corruptions.gaussian, jax.random.key(0), images, levels
    )
    expected = np.square(GAINS - 1)[:, None] * np.square(images).mean() + np.square(np.outer(GAINS, levels))
    np.testing.assert_allclose(curves[:3], expected, rtol=0.02)
    np.testing.assert_array_equal(curves[3], curves[0])


def test_predictions_are_each_lanes_classes(monkeypatch):
    """Pixels of the first row are the logits, moved by the number of the lane; 45 images in batches of at most 14."""
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 14)
    images = np.random.default_rng(0).uniform(size=(45, 28, 28, 1)).astype(np.float32)
    brightest = images[:, 0, :10, 0].argmax(1)
    found = evaluation.predict(run_of(Moved(), jnp.array([0, 3])), jnp.asarray(images))
    np.testing.assert_array_equal(found, [brightest, (brightest + 3) % 10])


def test_a_diverged_lane_is_nan_or_nowhere(images):
    """Its errors are NaN, its predictions no class, so that a confusion matrix counts none; the others stay."""
    run = run_of(Gain(), GAINS, status=[DONE, DIVERGED, DONE])
    np.testing.assert_array_equal(np.isnan(evaluation.reconstruction_error(run, images, images)), [False, True, False])
    classes = evaluation.predict(run_of(Moved(), jnp.array([0, 3]), status=[DONE, DIVERGED]), images)
    assert (classes[1] == -1).all() and (classes[0] >= 0).all()
    assert evaluation.confusion(np.zeros(200, int), classes[1]).sum() == 0
    assert np.isnan(evaluation.linear_probe(np.full((4, 1), np.nan), np.zeros(4), np.ones((4, 1)), np.zeros(4)))


def test_a_probe_is_scored_on_the_test_codes():
    """Codes on a line, of another scale: class 1 lies above 0. Of four test codes one is labelled wrongly."""
    train, test = np.linspace(-100, 100, 40)[:, None], np.array([[-90.0], [-80.0], [80.0], [90.0]])
    accuracy = evaluation.linear_probe(train, (train[:, 0] > 0).astype(int), test, np.array([0, 0, 1, 0]))
    assert accuracy == 0.75
