"""The studies of reports D and E and of the regularised autoencoders, each at the smallest size."""

import collections
import math

import jax
import numpy as np
import pytest

from ae_jax import data, evaluation
from experiments import architectures, derivations, reconstruction_losses
from tests.commands import in_group


@in_group("linear_pca")
def test_linear_pca(ran):
    arrays, meta = ran("linear_pca")[2:4]
    assert arrays["train_mse"].shape == arrays["test_mse"].shape == (4, 2)
    assert arrays["stage_steps"].tolist() == [6, 12, 18]  # of 100 images in batches of 16
    # A lane that ends early is the past of the one that goes on: seeds 0 and 1, after 1, 2 and 3 epochs.
    stages = arrays["stage_train_loss"].reshape(3, 2, 3)
    for epochs, stage in zip((1, 2, 3), stages, strict=True):
        np.testing.assert_array_equal(stage[:, :epochs], arrays["train_loss"][0, :, :epochs])
        assert np.isnan(stage[:, epochs:]).all()
    assert (arrays["train_mse"][0] > arrays["pca_train_mse"]).all()
    np.testing.assert_array_equal(arrays["stage_train_mse"][-1], arrays["train_mse"][0])

    # The angles again, in degrees, from images alone: those of a linear decoder differ within the span of its columns.
    def span(images):
        rows = images.reshape(len(images), -1).astype(float)
        return np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:5]

    cosines = np.linalg.svd(span(arrays["reconstructions"][0]) @ span(arrays["pca_reconstructions"]).T)[1]
    angles = np.degrees(np.arccos(np.clip(cosines, 0, 1)))
    np.testing.assert_allclose(np.sort(arrays["angles"][0]), np.sort(angles), atol=0.5)
    assert arrays["angles"].shape == (2, 5) and angles.max() > 5
    assert arrays["reconstructions"].shape == (4, 10, 28, 28, 1)
    np.testing.assert_array_equal(arrays["reconstructions"][0], arrays["stage_reconstructions"][-1])
    assert len(meta["rows"]) == 2 + 2 * (8 + 2)
    # The columns of a decoder have the Gram matrix G, and codes of these variances draw at least what is left of it.
    gram = arrays["decoder_gram"]
    np.testing.assert_allclose(gram, gram.swapaxes(1, 2), rtol=1e-5)
    assert (np.linalg.eigvalsh(gram) > 0).all() and arrays["code_variance"].shape == (2, 5)
    assert (np.diff(arrays["pca_variance"]) < 0).all()
    train = arrays["pca_train_mse"] * 784 + arrays["pca_variance"].sum()  # all that there is
    images = data.limit(data.load("digits"), 100).train_images / 255.0
    np.testing.assert_allclose(train, np.square(images - images.mean(0)).sum((1, 2, 3)).mean(), rtol=1e-4)


@in_group("latent_sweep")
def test_latent_sweep(ran):
    arrays, meta = ran("latent_sweep")[2:4]
    assert arrays["latent"].tolist() == [3, 2] and arrays["test_mse"].shape == (4, 2, 1)
    assert len(np.unique(arrays["test_mse"])) == 8  # four kinds, two sizes
    assert arrays["pca_test_mse"][0] < arrays["pca_test_mse"][1]
    assert (arrays["test_mse"] > arrays["pca_test_mse"][None, :, None]).all()  # after one epoch
    assert [row["reported"] for row in meta["rows"][:2]] == [None, 0.05567]


def test_latent_sweep_refuses_what_pca_cannot_do(run_study, tmp_path):
    done = run_study("latent_sweep", tmp_path, "--latent", "200")
    assert done.returncode == 2 and "choose 1 to 100" in done.stderr
    done = run_study("latent_sweep", tmp_path, "--latent", "0")
    assert done.returncode == 2 and "--latent 0 is not allowed" in done.stderr


@in_group("reconstruction_losses")
def test_reconstruction_losses(ran):
    arrays, meta = ran("reconstruction_losses")[2:4]
    assert arrays["protocol"].tolist() == ["E1", "E2", "E3", "E4", "E4 text"]
    assert arrays["train_mse"].shape == arrays["test_mse"].shape == arrays["sharpness"].shape == (5, 1)
    # The loss is that of the protocol: cross-entropies near log 2 at the start, squared errors of a third or less.
    first = arrays["train_loss"][:, 0, 0]
    assert (first[[0, 1, 4]] < 0.34).all() and (first[2:4] > 0.3).all()
    assert arrays["reconstructions"][1].min() == 0  # a ReLU's output
    assert [row["reported"] for row in meta["rows"] if row["what"].startswith("E1 train")] == [0.009]


def test_contrast_by_hand():
    """Two images of 2 x 2 pixels: differences of 1 and 0 downwards, 1 and 0 sideways; and a flat one."""
    images = np.array([[[1, 0], [0, 0]], [[1, 1], [1, 1]]], float)[..., None]
    assert reconstruction_losses._contrast(images) == 0.25 + 0.25
    assert reconstruction_losses._contrast(images[1:]) == 0


@in_group("architectures")
def test_architectures(ran):
    """The tables count what a fresh network holds, layer by layer, and end where it does."""
    run = ran("architectures")
    assert run.arrays["network"].tolist() == list(architectures.NETWORKS)
    for name, (_, model) in architectures.NETWORKS.items():
        image = jax.ShapeDtypeStruct((1, *model.image), np.float32)
        params = jax.eval_shape(model.init, jax.random.key(0), image)
        leaves = jax.tree_util.tree_leaves_with_path(params)
        sizes = collections.Counter()
        for path, leaf in leaves:
            sizes[path[:-1]] += leaf.size
        assert sorted(run.arrays[f"{name}_parameters"].tolist()) == sorted(sizes.values())
        output = jax.eval_shape(model.apply, params, image).shape[1:]
        assert math.prod(map(int, run.arrays[f"{name}_shape"][-1].split(" x "))) == math.prod(output)
        shown = [text for panel in run.drawing(f"_{name}").panels for *_, text in panel.texts]
        counts = [f"{count:,}" for count in run.arrays[f"{name}_parameters"]]
        for cells in (run.arrays[f"{name}_layer"], run.arrays[f"{name}_shape"], counts):
            assert not collections.Counter(cells) - collections.Counter(shown)
    # Report A's, by hand.
    assert run.arrays["ab_shape"].tolist()[:5] == ["14 x 14 x 8", "7 x 7 x 16", "3 x 3 x 32", "64", "2"]
    assert run.arrays["ab_parameters"].tolist()[:5] == [80, 1168, 4640, 288 * 64 + 64, 130]


def test_lost_pixels_by_hand():
    """Two of four pixels ever have ink; of those the first lane loses one, the second none."""
    images = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32).reshape(2, 2, 2, 1)
    outputs = np.array([[[0.5, 0, 0, 0], [0, 0, 0, 0]], [[0.5, 0, 0, 0], [0, 0.1, 0, 0]]]).reshape(2, 2, 2, 2, 1)
    np.testing.assert_array_equal(evaluation.lost_pixels(outputs, images), [0.5, 0.0])
    # The lost one has ink 1 on one of two images; the other three pixels are right where they are black.
    np.testing.assert_array_equal(reconstruction_losses._always_black(outputs, images), [1 / 8, 0.0])


@in_group("gradients")
def test_gradients_study(ran):
    arrays, _ = ran("gradients")[2:4]
    assert len(arrays["case"]) == 5 and (arrays["autodiff"] < 1e-13).all() and (arrays["numeric"] < 1e-6).all()
    # For ink, at logit 0: -2 (1 - 1/2) / 4 and -(1 - 1/2).
    middle = np.flatnonzero(arrays["logit"] == 0)
    np.testing.assert_allclose(arrays["squared_error_slope"][middle], -0.25, rtol=1e-5)
    np.testing.assert_allclose(arrays["cross_entropy_slope"][middle], -0.5, rtol=1e-5)


@pytest.mark.parametrize("name", derivations.CASES)
def test_gradients_by_hand(name):
    images = np.random.default_rng(0).uniform(size=(3, 4, 4, 1))
    found = derivations.check(derivations.CASES[name], jax.random.key(0), images)
    assert found.autodiff < 1e-13 and found.numeric < 1e-6 and found.at_target < 1e-13 and found.curvature > 0


def test_a_wrong_gradient_is_found():
    """The slip in the report's derivation of (7), taken at its word."""

    def slipped(x, y):
        return -(x * (1 - x) - y * (1 - x)) / (y - y**2) / len(x)

    case = derivations.CASES["(7) cross-entropy"]._replace(gradient=slipped)
    found = derivations.check(case, jax.random.key(0), np.random.default_rng(0).uniform(size=(3, 4, 4, 1)))
    assert found.autodiff > 0.1 and found.numeric > 0.1


@in_group("regularised")
def test_regularised(ran):
    arrays, _ = ran("regularised")[2:4]
    models = arrays["model"].tolist()
    assert models[0] == "plain" and len(models) == len(set(models)) == 9
    for name in ("test_mse", "noisy_mse", "activation", "active", "contraction", "probe"):
        assert arrays[name].shape == (9, 1) and np.isfinite(arrays[name]).all(), name
    for family, measure in (("sparse L1", "activation"), ("sparse KL", "activation"), ("contractive", "contraction")):
        light, heavy = (arrays[measure][i, 0] for i, model in enumerate(models) if model.startswith(family))
        assert heavy < light < arrays[measure][0, 0], family  # the heavier the weight the smaller, plain the largest
    assert "Regularised autoencoders" in ran("regularised").done.stdout


@in_group("anomaly")
def test_anomaly(ran):
    arrays, _ = ran("anomaly")[2:4]
    assert arrays["errors"].shape == (10, 1, 100) and arrays["most_anomalous"].shape == (10, 10, 28, 28, 1)
    # The AUC again: how often a left-out digit scores above another, ties counting half.
    for digit, errors, found in zip(arrays["digit"], arrays["errors"][:, 0], arrays["auc"][:, 0], strict=True):
        anomalies, others = errors[arrays["label"] == digit], errors[arrays["label"] != digit]
        above = np.sign(anomalies[:, None] - others)
        np.testing.assert_allclose(found, (above.mean() + 1) / 2, rtol=1e-6)
    most = np.argsort(-arrays["errors"][:, 0], axis=1)[:, 0]
    firsts = arrays["most_anomalous"][:, 0]
    assert len({row.tobytes() for row in firsts}) == len(set(most.tolist()))
    assert len(np.unique(arrays["errors"][:, 0, 0])) == 10  # ten splits, ten models


def test_anomaly_refuses_a_test_set_that_lacks_a_digit(run_study, tmp_path):
    done = run_study("anomaly", tmp_path, tiny=["--dataset", "digits", "--limit", "5", "--batch-size", "2"])
    assert done.returncode == 2 and "no test image of" in done.stderr


def test_auc_by_hand():
    """Of the six pairs of an anomaly and a normal image, five are in order."""
    scores = np.array([0.1, 0.2, 0.5, 0.4, 0.9])
    assert evaluation.auc(scores, np.array([False, False, False, True, True])) == pytest.approx(5 / 6)
    assert np.isnan(evaluation.auc(scores * np.nan, np.array([False, False, False, True, True])))
