"""Each study of the reports at the smallest size: it ends, keeps what it must, draws, and refuses what does not fit."""

import numpy as np
import pytest

from ae_jax import results
from experiments import pretrained


def assert_figures(done, folder, *names):
    """Every figure is written, as PNG and PDF or as a page, and named at the end."""
    for name in names:
        endings = [""] if name.endswith(".html") else [".png", ".pdf"]
        for path in (folder / f"{name}{ending}" for ending in endings):
            assert path.stat().st_size > 3000, path
            assert str(path) in done.stdout


@pytest.fixture(scope="session")
def plane(run_study, tmp_path_factory):
    """The folder of a latent-space study of report A, and what it printed."""
    folder = tmp_path_factory.mktemp("plane")
    done = run_study("latent_space", folder, "--study", "A5", "--epochs", "2", "--tsne-sample", "60")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_latent_space(plane):
    folder, done = plane
    arrays, meta = results.load(folder / "latent_space_A5.npz", "latent_space")
    assert arrays["codes_2"].shape == (100, 2) and arrays["tsne_2"].shape == (60, 2)
    low, high = arrays["centroids"].min(0), arrays["centroids"].max(0)
    assert (arrays["box_samples"] >= low - 1e-5).all() and (arrays["box_samples"] <= high + 1e-5).all()
    assert arrays["walk_images"].shape == (4, 10, 28, 28, 1)
    assert meta["config"]["model"]["latent"] == 2
    figures = "codes", "projections_2", "fig5_samples", "box_images", "normal_images", "plane", "walks", "tsne_2.html"
    assert_figures(done, folder, *(f"latent_space_A5_{name}" for name in figures))
    page = (folder / "latent_space_A5_tsne_2.html").read_text()
    assert page.count("iVBOR") >= 60  # an image for each point


def test_smoothness_maps_the_model_it_is_given(plane, run_study, tmp_path):
    folder, _ = plane
    done = run_study("smoothness", tmp_path, "--model", str(folder / "latent_space_A5.npz"))
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / "smoothness.npz", "smoothness")
    assert arrays["distance"].shape == (100, 100) and (arrays["distance"] >= 0).all()
    assert_figures(done, tmp_path, "smoothness_maps", "smoothness_surface.html")
    page = (tmp_path / "smoothness_surface.html").read_text()
    assert '"label":"front"' in page and '"label":"top"' in page and "centroid of digit" in page


def test_transfer_reads_an_encoder_and_freezes_it(plane, run_study, tmp_path):
    folder, _ = plane
    encoder = folder / "latent_space_A5.npz"
    done = run_study("transfer", tmp_path, "--study", "B6", "--encoder", str(encoder), "--epochs", "2")
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / "transfer_B6.npz", "transfer")
    assert arrays["runs"].tolist() == ["frozen, d = 2", "fine-tuned, d = 2", "from scratch"]
    assert (arrays["confusion"].sum((1, 2)) == 100).all()
    np.testing.assert_allclose(
        arrays["test_accuracy"][:, 0], [np.trace(counts) / 100 for counts in arrays["confusion"]], rtol=1e-6
    )
    assert_figures(done, tmp_path, "transfer_B6_curves", "transfer_B6_confusion")
    other = run_study("transfer", tmp_path, "--study", "C3", "--encoder", str(encoder))
    assert other.returncode == 2 and "study C3 needs (8, 16, 64)" in other.stderr


def test_transfer_pretrains_its_own_encoders(run_study, tmp_path):
    done = run_study("transfer", tmp_path, "--study", "C3", "--epochs", "1", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / "transfer_C3.npz", "transfer")
    assert arrays["test_loss"].shape == (3, 2) and np.isfinite(arrays["test_loss"]).all()
    assert not list(tmp_path.glob("*.checkpoints"))


@pytest.mark.parametrize("study", ["B5", "C4"])
def test_denoising(run_study, tmp_path, study):
    done = run_study("denoising", tmp_path, "--study", study, "--epochs", "1")
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / f"denoising_{study}.npz", "denoising")
    assert arrays["test_mse"].shape == (2, 5 if study == "B5" else 1)
    np.testing.assert_allclose(arrays["noise"], [1, 1] if study == "B5" else [0.5, 1])
    assert arrays["inputs"][1].std() > 0.9  # noise of deviation 1 on most of the pixels
    assert_figures(done, tmp_path, f"denoising_{study}_curves", f"denoising_{study}_sheet")


def test_cross_table(run_study, tmp_path):
    done = run_study("cross_table", tmp_path, "--epochs", "1")
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / "cross_table.npz", "cross_table")
    assert arrays["noisy_mse"].shape == arrays["occluded_mse"].shape == (3, 2, 1, 20)
    assert len(np.unique(arrays["clean_mse"])) == 6  # six models
    assert_figures(done, tmp_path, "cross_table_noisy", "cross_table_occluded", "cross_table_sheet")


def test_everything_at_once_resumes(run_study, tmp_path):
    arguments = "--only", "baseline", "--seeds", "2", "--epochs", "1"
    first = run_study("run_all", tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    arrays, _ = results.load(tmp_path / "baseline.npz", "baseline")
    assert arrays["adam_score"].shape == (2,) and arrays["rmsprop_score"].shape == (1,)
    assert "B1 validation MSE" in (tmp_path / "reproduction.csv").read_text()
    written = (tmp_path / "baseline.npz").stat().st_mtime_ns
    again = run_study("run_all", tmp_path, *arguments)
    assert again.returncode == 0 and "baseline: already there" in again.stdout
    assert (tmp_path / "baseline.npz").stat().st_mtime_ns == written
    other = run_study("run_all", tmp_path, "--only", "baseline", "--seeds", "3", "--epochs", "1")
    assert other.returncode == 2 and "seeds was 2 and is now 3" in other.stderr
    unknown = run_study("run_all", tmp_path, "--only", "A7")
    assert unknown.returncode == 2 and "no study 'A7': choose among compression" in unknown.stderr


def _saved(path, study="latent_space", **leaves):
    meta = {"study": study, "config": {"model": {"latent": 2, "channels": [8, 16, 32], "hidden": 64}}}
    return results.save(path, leaves, meta)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"PK no zip"), "not a complete results file"),
        (lambda path: None, "no such file"),
        (lambda path: _saved(path, study="baseline"), "results of the study 'baseline', which keep no encoder"),
        (
            lambda path: _saved(path, **{"params/encoder/Dense_0/bias": np.zeros(3)}),
            r"parameter decoder/ConvTranspose_0/bias has shape None, its model expects",
        ),
    ],
)
@pytest.mark.parametrize(("study", "option"), [("smoothness", "--model"), ("transfer", "--encoder")])
def test_a_file_without_the_right_model_is_refused(run_study, tmp_path, study, option, make, message):
    path = tmp_path / "model.npz"
    make(path)
    done = run_study(study, tmp_path / "out", option, str(path))
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert str(path) in done.stderr
    assert message in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_saved_model_comes_back(plane):
    folder, _ = plane
    model, params, meta = pretrained.read(folder / "latent_space_A5.npz")
    assert model.encoder.latent == 2 and meta["study"] == "latent_space"
    assert set(params["params"]) == {"encoder", "decoder"}


@pytest.mark.parametrize("study", ["B7", "C5"])
def test_variational(run_study, tmp_path, study):
    done = run_study("variational", tmp_path, "--study", study, "--epochs", "1", "--samples", "8")
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / f"variational_{study}.npz", "variational")
    label = "d3" if study == "B7" else "d2"
    energy, rate, elbo = (arrays[f"{label}_test_{name}"] for name in ("energy", "rate", "elbo"))
    normaliser = 392 * np.log(2 * np.pi) if study == "B7" else 0.0
    np.testing.assert_allclose(elbo, -(energy + rate + normaliser), rtol=1e-5)
    assert (arrays[f"{label}_nll"] <= 1.02 * -elbo).all()
    assert_figures(done, tmp_path, *(f"variational_{study}_{name}" for name in ("prior", "walks", "projections")))
    assert (tmp_path / "variational_C5_manifold.png").exists() == (study == "C5")


def test_variational_refuses_binary_pixels_of_a_gaussian(run_study, tmp_path):
    done = run_study("variational", tmp_path, "--study", "B7", "--binarize", "dynamic")
    assert done.returncode == 2 and "has a Gaussian likelihood" in done.stderr


def test_importance_weighted(run_study, tmp_path):
    few = "--objectives", "VAE", "IWAE-5", "--samples", "16", "--test-images", "20"
    done = run_study("importance_weighted", tmp_path, "--epochs", "2", *few)
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / "importance_weighted.npz", "importance_weighted")
    assert arrays["objectives"].tolist() == ["VAE", "IWAE-5"]
    assert np.isfinite(arrays["VAE_nll"]).all() and arrays["IWAE-5_train_loss"].shape == (1, 2)
    assert_figures(done, tmp_path, "importance_weighted_curves")
    unknown = run_study("importance_weighted", tmp_path, "--objectives", "GAN")
    assert unknown.returncode == 2 and "no objective 'GAN': choose among VAE, IWAE-5" in unknown.stderr


def test_rate_distortion(run_study, tmp_path):
    done = run_study("rate_distortion", tmp_path, "--epochs", "2")
    assert done.returncode == 0, done.stderr
    arrays, _ = results.load(tmp_path / "rate_distortion.npz", "rate_distortion")
    np.testing.assert_allclose(arrays["elbo"], -(arrays["rate"] + arrays["distortion"]), rtol=1e-5)
    assert arrays["prior_images"].shape == arrays["mixture_images"].shape == (9, 12, 28, 28, 1)
    # A heavier KL never buys rate.
    assert arrays["rate"][0] > arrays["rate"][5]
    assert_figures(done, tmp_path, *(f"rate_distortion_{name}" for name in ("curve", "prior", "mixture")))
