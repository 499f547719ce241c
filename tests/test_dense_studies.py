"""The studies of reports D and E and of the regularised autoencoders, each at the smallest size."""

import jax
import numpy as np
import pytest

from ae_jax import results
from experiments import anomaly, gradients, reconstruction_losses
from tests.test_studies import assert_figures


def load(done, folder, study):
    assert done.returncode == 0, done.stderr
    return results.load(folder / f"{study}.npz", study)


def test_linear_pca(run_study, tmp_path):
    done = run_study("linear_pca", tmp_path, "--epochs", "5", "--seeds", "2")
    arrays, meta = load(done, tmp_path, "linear_pca")
    assert arrays["train_mse"].shape == arrays["test_mse"].shape == (4, 2)
    assert arrays["stage_steps"].tolist() == [6, 18, 30]  # of 100 images in batches of 16
    # A lane that ends early is the past of the one that goes on: seeds 0 and 1, after 1, 3 and 5 epochs.
    stages = arrays["stage_train_loss"].reshape(3, 2, 5)
    for epochs, stage in zip((1, 3, 5), stages, strict=True):
        np.testing.assert_array_equal(stage[:, :epochs], arrays["train_loss"][0, :, :epochs])
        assert np.isnan(stage[:, epochs:]).all()
    assert (arrays["train_mse"][0] > arrays["pca_train_mse"]).all()
    np.testing.assert_array_equal(arrays["stage_train_mse"][-1], arrays["train_mse"][0])
    assert arrays["angles"].shape == (2, 5) and ((arrays["angles"] >= 0) & (arrays["angles"] <= 90)).all()
    assert arrays["reconstructions"].shape == (4, 10, 28, 28, 1)
    np.testing.assert_array_equal(arrays["reconstructions"][0], arrays["stage_reconstructions"][-1])
    assert len(meta["rows"]) == 2 + 8 + 2
    assert_figures(done, tmp_path, *(f"linear_pca_{name}" for name in ("fig2_stages", "fig3_activations", "training")))


def test_latent_sweep(run_study, tmp_path):
    done = run_study("latent_sweep", tmp_path, "--epochs", "1", "--latent", "3", "2")
    arrays, meta = load(done, tmp_path, "latent_sweep")
    assert arrays["latent"].tolist() == [3, 2] and arrays["test_mse"].shape == (2, 2, 1)
    assert arrays["pca_test_mse"][0] < arrays["pca_test_mse"][1]
    assert (arrays["test_mse"] > arrays["pca_test_mse"][None, :, None]).all()  # after one epoch
    assert [row["reported"] for row in meta["rows"][:2]] == [None, 0.05567]
    assert_figures(done, tmp_path, "latent_sweep")


def test_latent_sweep_refuses_what_pca_cannot_do(run_study, tmp_path):
    done = run_study("latent_sweep", tmp_path, "--latent", "200")
    assert done.returncode == 2 and "choose 1 to 100" in done.stderr
    done = run_study("latent_sweep", tmp_path, "--latent", "0")
    assert done.returncode == 2 and "--latent 0 is not allowed" in done.stderr


def test_reconstruction_losses(run_study, tmp_path):
    done = run_study("reconstruction_losses", tmp_path, "--epochs", "3")
    arrays, meta = load(done, tmp_path, "reconstruction_losses")
    assert arrays["protocol"].tolist() == ["E1", "E2", "E3", "E4"]
    assert arrays["train_mse"].shape == arrays["test_mse"].shape == (4, 1)
    # The loss is that of the protocol: cross-entropies near log 2 at the start, squared errors of a third or less.
    first = arrays["train_loss"][:, 0, 0]
    assert (first[:2] < 0.34).all() and (first[2:] > 0.3).all()
    assert arrays["reconstructions"][1].min() == 0  # a ReLU's output
    assert [row["reported"] for row in meta["rows"] if row["what"].startswith("E1 train")] == [0.009]
    assert_figures(done, tmp_path, "reconstruction_losses_fig3_to_6", "reconstruction_losses_errors")


def test_lost_pixels_by_hand():
    """Two of four pixels ever have ink; of those the first lane loses one, the second none."""
    images = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32).reshape(2, 2, 2, 1)
    outputs = np.array([[[0.5, 0, 0, 0], [0, 0, 0, 0]], [[0.5, 0, 0, 0], [0, 0.1, 0, 0]]]).reshape(2, 2, 2, 2, 1)
    np.testing.assert_array_equal(reconstruction_losses.lost_pixels(outputs, images), [0.5, 0.0])


def test_gradients_study(run_study, tmp_path):
    done = run_study("gradients", tmp_path)
    arrays, _ = load(done, tmp_path, "gradients")
    assert len(arrays["case"]) == 5 and (arrays["autodiff"] < 1e-13).all() and (arrays["numeric"] < 1e-6).all()
    # For ink, at logit 0: -2 (1 - 1/2) / 4 and -(1 - 1/2).
    middle = np.flatnonzero(arrays["logit"] == 0)
    np.testing.assert_allclose(arrays["squared_error_slope"][middle], -0.25, rtol=1e-5)
    np.testing.assert_allclose(arrays["cross_entropy_slope"][middle], -0.5, rtol=1e-5)
    assert_figures(done, tmp_path, "gradients_sigmoid")


@pytest.mark.parametrize("name", gradients.CASES)
def test_gradients_by_hand(name):
    images = np.random.default_rng(0).uniform(size=(3, 4, 4, 1))
    found = gradients.check(gradients.CASES[name], jax.random.key(0), images)
    assert found.autodiff < 1e-13 and found.numeric < 1e-6 and found.at_target < 1e-13 and found.curvature > 0


def test_a_wrong_gradient_is_found():
    """The slip in the report's derivation of (7), taken at its word."""

    def slipped(x, y):
        return -(x * (1 - x) - y * (1 - x)) / (y - y**2) / len(x)

    case = gradients.CASES["(7) cross-entropy"]._replace(gradient=slipped)
    found = gradients.check(case, jax.random.key(0), np.random.default_rng(0).uniform(size=(3, 4, 4, 1)))
    assert found.autodiff > 0.1 and found.numeric > 0.1


def test_regularised(run_study, tmp_path):
    done = run_study("regularised", tmp_path, "--epochs", "2")
    arrays, _ = load(done, tmp_path, "regularised")
    models = arrays["model"].tolist()
    assert models[0] == "plain" and len(models) == len(set(models)) == 9
    for name in ("test_mse", "noisy_mse", "activation", "active", "contraction", "probe"):
        assert arrays[name].shape == (9, 1) and np.isfinite(arrays[name]).all(), name
    for family, measure in (("sparse L1", "activation"), ("sparse KL", "activation"), ("contractive", "contraction")):
        light, heavy = (arrays[measure][i, 0] for i, model in enumerate(models) if model.startswith(family))
        assert heavy < light < arrays[measure][0, 0], family  # the heavier the weight the smaller, plain the largest
    assert "Regularised autoencoders" in done.stdout
    assert_figures(done, tmp_path, "regularised_measures", "regularised_noisy")


def test_anomaly(run_study, tmp_path):
    done = run_study("anomaly", tmp_path, "--epochs", "3")
    arrays, _ = load(done, tmp_path, "anomaly")
    assert arrays["errors"].shape == (10, 1, 100) and arrays["most_anomalous"].shape == (10, 10, 28, 28, 1)
    assert ((arrays["auc"] >= 0) & (arrays["auc"] <= 1)).all()
    assert len(np.unique(arrays["errors"][:, 0, 0])) == 10  # ten splits, ten models
    assert_figures(done, tmp_path, "anomaly_auc", "anomaly_easiest", "anomaly_hardest", "anomaly_images")


def test_anomaly_refuses_a_test_set_that_lacks_a_digit(run_study, tmp_path):
    done = run_study("anomaly", tmp_path, tiny=["--dataset", "digits", "--limit", "5", "--batch-size", "2"])
    assert done.returncode == 2 and "no test image of" in done.stderr


def test_auc_by_hand():
    """Of the six pairs of an anomaly and a normal image, five are in order."""
    scores = np.array([0.1, 0.2, 0.5, 0.4, 0.9])
    assert anomaly.auc(scores, np.array([False, False, False, True, True])) == pytest.approx(5 / 6)
    assert np.isnan(anomaly.auc(scores * np.nan, np.array([False, False, False, True, True])))
