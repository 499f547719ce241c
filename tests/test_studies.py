"""Each study of the reports at the smallest size: it ends, keeps what it must, draws, and refuses what does not fit."""

import dataclasses
import functools
import shutil

import jax
import numpy as np
import pytest
from scipy.stats import spearmanr

from ae_jax import files
from ae_jax.lanes import DIVERGED
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.runs import of_params
from experiments import common, cross_table, generators
from tests import made
from tests.commands import in_group


def assert_rising(curves):
    """Errors ``[..., levels]`` go with the level, of every model and in the mean; of flat ones that rank at random."""
    levels = np.arange(curves.shape[-1])
    assert all(spearmanr(levels, curve).statistic > 0.5 for curve in curves.reshape(-1, len(levels)))
    assert spearmanr(levels, curves.reshape(-1, len(levels)).mean(0)).statistic > 0.8


@in_group("compression")
def test_compression(ran):
    """Errors rise with noise and occlusion, from the clean images' at the first level; seeds differ."""
    run = ran("compression")
    assert "Report against ours" in run.done.stdout and "not comparable" in run.done.stdout
    test, noisy, occluded = (run.arrays[f"{name}_mse"] for name in ("test", "noisy", "occluded"))
    alike = run.arrays["occluded_alike_mse"]
    assert test.shape == (5, 2) and noisy.shape == occluded.shape == alike.shape == (5, 2, 20)
    # The same pixels under one grey: the error of a level is another, and the curve less smooth.
    assert (alike != occluded).all()
    assert np.abs(np.diff(alike, 2)).mean() > 1.5 * np.abs(np.diff(occluded, 2)).mean()
    assert (test[:, 0] != test[:, 1]).all()
    np.testing.assert_allclose(run.arrays["levels"], np.linspace(0.01, 0.5, 20), rtol=1e-6)
    # The weakest noise, sigma 0.01, hardly changes the error; of occlusion 0.01 of the area is two pixels and more.
    np.testing.assert_allclose(noisy[..., 0], test, rtol=0.01)
    np.testing.assert_allclose(occluded[..., 0], test, rtol=0.1)
    assert_rising(noisy)
    assert_rising(occluded)
    assert run.meta["config"]["budget"]["epochs"] == 30 and run.meta["config"]["budget"]["seeds"] == 2


@in_group("latent_space_A5")
def test_latent_space(ran):
    arrays, meta = ran("latent_space_A5")[2:4]
    codes, labels = arrays["codes_2"], arrays["labels"]
    assert codes.shape == (100, 2) and arrays["tsne_2"].shape == (60, 2)
    means = [codes[labels == digit].mean(0) for digit in range(10)]
    np.testing.assert_allclose(arrays["centroids"], means, rtol=1e-4)
    low, high = arrays["centroids"].min(0), arrays["centroids"].max(0)
    assert (arrays["box_samples"] >= low - 1e-5).all() and (arrays["box_samples"] <= high + 1e-5).all()
    # Uniform, and normal with the codes' mean and deviation: 400 draws, five standard errors.
    np.testing.assert_allclose(arrays["box_samples"].std(0), (high - low) / np.sqrt(12), rtol=0.15)
    assert (np.abs(arrays["normal_samples"].mean(0) - codes.mean(0)) < 0.25 * codes.std(0)).all()
    np.testing.assert_allclose(arrays["normal_samples"].std(0), codes.std(0), rtol=0.18)
    assert arrays["walk_images"].shape == (4, 10, 28, 28, 1)
    assert not [name for name in arrays if name.startswith("param")]
    # By seed: the first is that of the figures, the second another training.
    np.testing.assert_allclose(arrays["seed_centroids"][0], arrays["centroids"])
    assert np.abs(arrays["seed_centroids"][1] - arrays["centroids"]).max() > 0.01
    assert arrays["seed_confusion"].shape == (2, 3, 10, 10) and arrays["seed_wrong"].shape == (2, 4)
    np.testing.assert_array_equal(arrays["seed_confusion"].sum((2, 3)), 60)
    standard = arrays["standard_samples"]
    assert (np.abs(standard.mean(0)) < 0.25).all() and (np.abs(standard.std(0) - 1) < 0.18).all()
    described = files.info(ran("latent_space_A5").model)
    assert described["recipe"]["model"]["encoder"]["latent"] == 2
    assert described["provenance"]["dataset"] == meta["dataset"] and described["provenance"]["config"] == meta["config"]


@in_group("latent_space_A5")
def test_smoothness_maps_the_model_it_is_given(ran):
    """D(z) again in NumPy: the squared distance, summed over the pixels, to the image of the nearest centroid."""
    source, run = ran("latent_space_A5"), ran("smoothness").arrays
    lane = files.load(source.model)
    model, params = lane.model, lane.params
    np.testing.assert_allclose(run["centroids"], source.arrays["centroids"], rtol=1e-5)
    points, centroids = run["points"].reshape(-1, 2)[::37], run["centroids"]
    images, ends = (np.asarray(made.apply(model, params, z, method="decode"), float) for z in (points, centroids))
    nearest = np.square(points[:, None] - centroids).sum(-1).argmin(1)
    apart = np.square(images[:, None] - ends).sum((2, 3, 4))
    tiny = 1e-5 * apart.max()
    np.testing.assert_array_equal(run["nearest"].reshape(-1)[::37], nearest)
    np.testing.assert_allclose(
        run["distance"].reshape(-1)[::37], apart[np.arange(len(points)), nearest], rtol=1e-3, atol=tiny
    )
    # Steps of D in plain loops: the largest of one basin, across a border, and around a centroid.
    found, relative = {"within": 0.0, "across": 0.0, "central": 0.0}, []
    gaps = np.sort(np.linalg.norm(run["points"][:, :, None] - centroids, axis=-1), axis=-1)
    for here in np.ndindex(100, 100):
        for there in ((here[0] + 1, here[1]), (here[0], here[1] + 1)):
            if max(there) == 100:
                continue
            ends = run["distance"][here], run["distance"][there]
            step, across = abs(ends[0] - ends[1]), run["nearest"][here] != run["nearest"][there]
            central = not across and all(gaps[at][0] <= gaps[at][1] / 2 for at in (here, there))
            for name in ["across" if across else "within", *["central"] * central]:
                found[name] = max(found[name], step)
            relative += [step / max(ends)] * int(across)
    np.testing.assert_allclose([run[f"step_{name}"] for name in found], list(found.values()), rtol=1e-5)
    np.testing.assert_allclose(run["ridge"], np.median(relative), rtol=1e-5)
    line = centroids[1] + np.linspace(0, 1, len(run["profile"]))[:, None] * (centroids[7] - centroids[1])
    pictures = np.asarray(model.apply(params, np.float32(line), method="decode"), float)
    to_ends = [
        np.square(pictures - np.asarray(model.apply(params, end[None], method="decode"))).sum((1, 2, 3))
        for end in np.float32(centroids[[1, 7]])
    ]
    np.testing.assert_allclose(run["profile_ends"], to_ends, rtol=1e-3, atol=tiny)
    between = np.linalg.norm(centroids[:, None] - centroids, axis=-1) + np.diag([np.inf] * 10)
    for digit, other in enumerate(between.argmin(1)):
        line = np.float32(np.linspace(centroids[digit], centroids[other], 201))
        nearer = np.float32(centroids[[digit] * 101 + [other] * 100])
        decoded, to = (made.apply(model, params, codes, method="decode") for codes in (line, nearer))
        squared = np.square(np.asarray(decoded - to, float))
        distance = squared.sum((1, 2, 3))
        assert distance[int(round(200 * run["nearest_place"][digit]))] >= (1 - 1e-3) * distance.max()
        np.testing.assert_allclose(run["nearest_rises"][digit], (np.diff(distance[:100]) > 0).mean(), atol=0.03)
    chosen = run["basin"].reshape(-1)[::37]
    np.testing.assert_allclose(apart[np.arange(len(points)), chosen], apart.min(1), rtol=1e-3, atol=tiny)


@in_group("latent_space_A5")
def test_smoothness_takes_no_model_of_other_numbers_for_its_own(ran, run_study, tmp_path):
    """One that lies where it would have been trained; by name, every model is taken."""
    path = shutil.copy(ran("latent_space_A5").model, tmp_path)
    refused = run_study("smoothness", tmp_path, "--seed", "7", "--epochs", "3")
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert f"{path}: trained with seed 0 (now 7), epochs 2 (now 3); give the same options" in refused.stderr
    assert f"--model {path} to take it as it is" in refused.stderr
    assert not (tmp_path / "smoothness.npz").exists()


@in_group("latent_space_A5")
def test_transfer_reads_an_encoder_and_freezes_it(ran, run_study, tmp_path):
    arrays = ran("transfer_B6").arrays
    assert arrays["runs"].tolist() == ["frozen, d = 2", "fine-tuned, d = 2", "from scratch"]
    np.testing.assert_allclose(
        arrays["test_accuracy"][:, 0, 0], [np.trace(counts) / 100 for counts in arrays["confusion"]], rtol=1e-6
    )
    # A single layer on frozen features learns less of the training images than the whole network.
    frozen, tuned, _ = arrays["train_loss"][:, 1, 0, -1]
    assert frozen > tuned
    encoder = str(ran("latent_space_A5").model)
    other = run_study("transfer", tmp_path, "--study", "C3", "--encoder", encoder)
    assert other.returncode == 2 and "study C3 needs (8, 16, 64)" in other.stderr


@in_group("transfer_C3")
def test_transfer_pretrains_its_own_encoders(ran):
    run = ran("transfer_C3")
    assert run.arrays["test_loss"].shape == (3, 1, 2) and np.isfinite(run.arrays["test_loss"]).all()
    assert "transfer_C3 autoencoder" in run.done.stderr
    assert not list(run.folder.glob("*.checkpoints"))


@pytest.mark.parametrize("name", [pytest.param(f"denoising_{study}", marks=in_group(f"denoising_{study}"))
                                  for study in ("B5", "C4")])  # fmt: skip
def test_denoising(ran, name):
    """The sheet's inputs carry noise of the named deviation, and what was learnt is not the input."""
    arrays = ran(name).arrays
    assert arrays["test_mse"].shape == arrays["validation_mse"].shape == (3, 5 if name.endswith("B5") else 1)
    levels = [1, 1, 0] if name.endswith("B5") else [0.4, 0.5, 1]
    np.testing.assert_allclose(arrays["noise"], levels)
    noise = arrays["inputs"] - arrays["images"]
    np.testing.assert_allclose(noise.std((1, 2, 3, 4)), levels, rtol=0.05)
    np.testing.assert_allclose(noise.mean((1, 2, 3, 4)), 0, atol=0.06)
    assert (arrays["test_mse"] < 0.5).all() and (np.square(arrays["outputs"] - arrays["images"]).mean() < 0.25)
    assert ((arrays["recognised"] >= 0) & (arrays["recognised"] <= 1)).all()


@in_group("cross_table")
def test_cross_table(ran):
    """Eight models; the errors rise with the corruption of the test images.

    What is tested at a level of its own lies between its neighbours of the curve, up to another draw of the noise.
    """
    arrays = ran("cross_table").arrays
    noisy, occluded = arrays["noisy_mse"], arrays["occluded_mse"]
    assert noisy.shape == occluded.shape == (4, 2, 1, 20)
    assert len(np.unique(arrays["clean_mse"])) == 8
    named = [row["what"] for row in ran("cross_table").meta["rows"]]
    assert len(set(named)) == len(named)
    at = dict(zip(arrays["conditions"], arrays["at_mse"], strict=True))
    for condition, curve, level, near in (("noise 0.25", noisy, 0.25, 0.01), ("occlusion 0.2", occluded, 0.2, 0.1)):
        between = np.apply_along_axis(lambda errors, level=level: np.interp(level, arrays["levels"], errors), -1, curve)
        np.testing.assert_allclose(at[condition], between, rtol=near)
        assert not np.isin(at[condition], curve).any()
    np.testing.assert_allclose(noisy[..., 0], arrays["clean_mse"], rtol=0.01)
    learnt = arrays["trainings"] != "occlusion, one grey"  # which knows but the mean image after so few steps
    assert_rising(noisy[learnt])
    assert_rising(occluded[learnt])


@pytest.mark.parametrize(("study", "models"), [(cross_table, 8), (generators, 4)])
def test_models_are_repeated_with_other_seeds(study, models):
    """Where the run of the tests has one alone."""
    setup = common.prepare(study.Options(dataset="digits", seeds=3), "repeated", study.BUDGETS)
    seeds = [group.lanes.seed for group in study.plan(setup).groups if group.name != "judge"]
    assert len(seeds) == models
    for of_model in seeds:
        np.testing.assert_array_equal(of_model, np.broadcast_to([0, 1, 2], of_model.shape))


@in_group("baseline")
def test_baseline(ran):
    """Adam with every seed, the others with one in four; scores are the curves' ends."""
    arrays = ran("baseline").arrays
    assert [len(arrays[f"{name}_seed"]) for name in ("adam", "adadelta", "rmsprop")] == [2, 1, 1]
    for name in ("adam", "adadelta", "rmsprop"):
        np.testing.assert_array_equal(arrays[f"{name}_score"], arrays[f"{name}_validation_loss"][:, -1])
    assert arrays["adam_score"][0] not in (arrays["adam_score"][1], *arrays["rmsprop_score"])


def _saved(path, model, **changes):
    objective = autoencoder(model)
    params = jax.jit(objective.init)(jax.random.key(0))
    files.save(dataclasses.replace(of_params("one", objective, params), **changes), path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"PK no safetensors"), "not a model's file"),
        (lambda path: np.savez(path.open("wb"), x=0), "give a .safetensors that ae_jax saved"),
        (lambda path: None, "no such file"),
        (lambda path: _saved(path, dense_autoencoder(2, (4,))), "give a convolutional autoencoder"),
        (
            lambda path: _saved(path, conv_autoencoder(2), status=np.array(DIVERGED, np.int32)),
            "lanes (), diverged are not one trained model",
        ),
    ],
)
@pytest.mark.parametrize(("study", "option"), [("smoothness", "--model"), ("transfer", "--encoder")])
def test_a_file_without_the_right_model_is_refused(run_study, tmp_path, study, option, make, message):
    path = tmp_path / "model.safetensors"
    make(path)
    done = run_study(study, tmp_path / "out", option, str(path))
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert str(path) in done.stderr
    assert message in done.stderr
    assert not list((tmp_path / "out").iterdir())


@in_group("latent_space_A5")
def test_a_saved_model_comes_back(ran):
    run = ran("latent_space_A5")
    lane = files.load(run.model)
    assert lane.model == conv_autoencoder(2) and set(lane.params["params"]) == {"encoder", "decoder"}
    codes = made.apply(lane.model, lane.params, run.arrays["sample_images"] / np.float32(255), method="encode")
    np.testing.assert_allclose(codes, run.arrays["codes_2"][run.arrays["sample"]], rtol=1e-4, atol=1e-5)


def importance_nll(model, likelihood, params, images, samples, draws, rng):
    """``draws`` estimates of the mean of -log 1/k sum p(x, z) / q(z | x) over ``images``, in NumPy."""
    mean, log_variance = (np.asarray(part, float) for part in made.apply(model, params, images, method="encode"))
    found = []
    decode = jax.jit(
        functools.partial(model.apply, method="logits"), compiler_options={"xla_backend_optimization_level": 3}
    )
    for _ in range(draws):
        noise = rng.normal(size=(samples, *mean.shape))
        codes = mean + noise * np.exp(log_variance / 2)
        log_prior = -0.5 * (np.square(codes) + np.log(2 * np.pi)).sum(-1)
        log_posterior = -0.5 * (np.square(noise) + log_variance + np.log(2 * np.pi)).sum(-1)
        flat = codes.reshape(-1, codes.shape[-1]).astype(np.float32)
        logits = np.asarray(decode(params, flat), float).reshape(samples, *images.shape)
        pixels = np.asarray(images, float)
        if likelihood == "gaussian":  # of variance 1 about the sigmoid of the logits
            log_p = -0.5 * (np.square(pixels - 1 / (1 + np.exp(-logits))) + np.log(2 * np.pi))
        else:
            log_p = pixels * logits - np.logaddexp(0, logits)
        log_weight = log_p.sum((2, 3, 4)) + log_prior - log_posterior
        found.append(-(np.logaddexp.reduce(log_weight, 0) - np.log(samples)).mean())
    return np.array(found)


@pytest.mark.parametrize(
    ("study", "likelihood"),
    [pytest.param("B7", "gaussian", marks=in_group("variational_B7")),
     pytest.param("C5", "bernoulli", marks=in_group("variational_C5"))],
)  # fmt: skip
def test_variational(ran, study, likelihood):
    """The likelihood is that of a direct importance sampling of the trained model, to five of its standard errors."""
    arrays = ran(f"variational_{study}").arrays
    energy, rate, elbo = (arrays[f"test_{name}"] for name in ("energy", "rate", "elbo"))
    normaliser = 392 * np.log(2 * np.pi) if study == "B7" else 0.0
    np.testing.assert_allclose(elbo, -(energy + rate + normaliser), rtol=1e-5)
    calls = ran(f"variational_{study}").measures
    run, _, images, samples = [arguments for function, arguments in calls if function == "importance_nll"][-1]
    assert samples == 8 and images.shape == (100, 28, 28, 1)
    direct = importance_nll(run.model, likelihood, run[0].params, images, samples, 20, np.random.default_rng(0))
    assert abs(arrays["nll"][-1, 0] - direct.mean()) < 5 * direct.std() * np.sqrt(1 + 1 / 20)
    assert direct.std() < 0.5
    means, draws = arrays["prior_images"], arrays["prior_draws"]
    if likelihood == "gaussian":  # of variance 1
        assert (draws - means).std() == pytest.approx(1, abs=0.02)
    else:
        assert set(np.unique(draws)) == {0, 1} and draws.mean() == pytest.approx(means.mean(), abs=0.01)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=in_group(name))
     for name in ("variational_B7", "variational_C5", "rate_distortion", "importance_weighted", "random_search_A1")],
)  # fmt: skip
def test_no_key_serves_two_measures(ran, name):
    """A key is one measure's of one set of images; several models may share it, to be compared on the same draws."""
    uses = {}
    drawn = [arguments for arguments in ran(name).measures if arguments[0] != "judgement"]
    for function, (_, key, *rest) in drawn:
        images = rest[0].labels if function == "score" else rest[0]
        uses.setdefault(np.asarray(jax.random.key_data(key)).tobytes(), set()).add((function, len(images)))
    assert uses and all(len(of_key) == 1 for of_key in uses.values()), uses


def test_variational_refuses_binary_pixels_of_a_gaussian(run_study, tmp_path):
    done = run_study("variational", tmp_path, "--study", "B7", "--binarize", "dynamic")
    assert done.returncode == 2 and "has a Gaussian likelihood" in done.stderr


@in_group("variational_B7")
def test_a_penalty_is_a_lane_of_its_own(ran):
    run = ran("variational_B7")
    assert run.arrays["variants"].tolist() == ["d = 3, L2 0", "d = 3, L2 5e-05"]
    runs = [arguments[0] for function, arguments in run.measures if function == "importance_nll"]
    np.testing.assert_allclose([of_variant.lanes.hparams.l2 for of_variant in runs], [[0], [5e-5]])


@in_group("generators")
def test_generators(ran):
    arrays = ran("generators").arrays
    assert arrays["share"].shape == arrays["balance"].shape == arrays["frechet"].shape == (4, 3, 1)
    assert (arrays["frechet"] > 0).all() and ((arrays["kept"] >= 0) & (arrays["kept"] <= 1)).all()
    assert arrays["images"].shape == (4, 3, 12, 28, 28, 1)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=in_group(name)) for name in ("generators", "rate_distortion")]
)
def test_the_judge_sees_as_many_samples_as_asked_for(ran, run_study, tmp_path, name):
    """One has no covariance: refused before anything is trained."""
    judged = [images for function, (_, images, _) in ran(name).measures if function == "judgement"]
    assert judged and {images.shape[1:] for images in judged} == {(100, 28, 28, 1)}
    refused = run_study(name, tmp_path, "--samples", "1")
    assert refused.returncode == 2 and "--samples 1 is not allowed: give a whole number from 2" in refused.stderr


def test_codes_are_drawn_like_those_of_each_lane_or_from_the_prior():
    """Two lanes with codes of different scale: the fitted normal and the box follow them, N(0, I) does not."""
    rng = np.random.default_rng(0)
    codes = np.array([[3.0], [0.1]])[..., None] * rng.normal([4.0, -2.0], [1.0, 0.5], (2, 4000, 2))
    fitted, prior, box = generators.new_codes(jax.random.key(0), codes, 1000)
    np.testing.assert_allclose(fitted.mean(1) / codes.mean(1), 1, atol=0.05)
    np.testing.assert_allclose(fitted.std(1) / codes.std(1), 1, atol=0.1)
    np.testing.assert_array_equal(prior[0], prior[1])
    np.testing.assert_allclose([prior[0].mean(0), prior[0].std(0)], [[0, 0], [1, 1]], atol=0.1)
    for end, percentile in ((box.min(1), 5), (box.max(1), 95)):
        np.testing.assert_allclose(end, np.percentile(codes, percentile, axis=1), rtol=0.02)


@in_group("importance_weighted")
def test_importance_weighted(ran, run_study, tmp_path):
    arrays = ran("importance_weighted").arrays
    assert arrays["objectives"].tolist() == ["VAE", "IWAE-5"]
    for name in ("VAE", "IWAE-5"):
        # 16 samples are tighter than the ELBO of one, whose images are binarised anew; both are nats of 784 pixels.
        assert (arrays[f"{name}_nll"] < -arrays[f"{name}_elbo"] + 5).all() and (arrays[f"{name}_nll"] > 50).all()
        assert arrays[f"{name}_train_loss"].shape == (1, 2) and (np.diff(arrays[f"{name}_train_loss"]) < 0).all()
    unknown = run_study("importance_weighted", tmp_path, "--objectives", "GAN")
    assert unknown.returncode == 2 and "no objective 'GAN': choose among VAE, IWAE-5" in unknown.stderr


@in_group("rate_distortion")
def test_rate_distortion(ran):
    arrays = ran("rate_distortion").arrays
    np.testing.assert_allclose(arrays["elbo"], -(arrays["rate"] + arrays["distortion"]), rtol=1e-5)
    assert arrays["prior_images"].shape == arrays["mixture_images"].shape == (9, 12, 28, 28, 1)
    # A heavier KL never buys rate.
    assert arrays["rate"][0] > arrays["rate"][5]
