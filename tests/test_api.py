"""The front door: what it takes, what it refuses, and that it is the engine of the studies behind it."""

import ast
import copy
import dataclasses
import doctest
import importlib
import inspect
import json
import pickle
import signal
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
from flax import linen as nn

import ae_jax
from ae_jax import api, calls, generation, progress, random_search, recipes, sharing
from ae_jax.lanes import DONE
from ae_jax.sklearn import AutoencoderTransformer
from ae_jax.trials import Interrupted, Monitor
from ae_jax.types import UsageError
from experiments import baseline, common, running
from tests.commands import ROOT
from tests.made import run_of

PLAIN = ae_jax.autoencoder(ae_jax.dense_autoencoder(2, (8,)))
IMAGES = np.random.default_rng(0).integers(0, 256, (100, 5, 4), np.uint8)
QUICK = {"epochs": 2, "batch_size": 16, "progress": False}


def fit(objective=PLAIN, images=IMAGES, labels=None, **arguments):
    return ae_jax.fit(objective, images, labels, **QUICK | arguments)


def assert_same(run, expected):
    for name in ("params", "curves", "loss", "status", "epochs"):
        jax.tree.map(np.testing.assert_array_equal, getattr(run, name), getattr(expected, name))


@pytest.fixture(scope="module")
def run():
    return fit(seeds=range(2))


def test_fit_is_the_study_bit_for_bit(tmp_path):
    options = baseline.Options(dataset="digits", limit=60, epochs=2, batch_size=16, seeds=2, out=tmp_path)
    setup = common.prepare(options, "baseline", baseline.BUDGETS)
    training = baseline.plan(setup)
    training = training._replace(groups=[group for group in training.groups if group.name == "adam"])
    expected = running.train(setup, training)["adam"]
    found = ae_jax.fit(
        ae_jax.autoencoder(ae_jax.conv_autoencoder(2)), setup.dataset.train_images, epochs=2, batch_size=16,
        learning_rate=baseline.LEARNING_RATE["adam"], l2=baseline.L2, seeds=setup.seeds, keep_best=False,
    )  # fmt: skip
    assert_same(found, expected)


def test_axes_are_hyper_parameters_as_given_and_then_seeds(run):
    grid = fit(l2=[0.0, 1e-2, 1e-1], seeds=range(2))
    assert grid.shape == (3, 2) and fit(seeds=1).shape == ()
    np.testing.assert_array_equal(grid.lanes.hparams.l2, np.float32([[0.0] * 2, [1e-2] * 2, [1e-1] * 2]))
    assert_same(grid[0], run)
    assert_same(run[1], fit(seeds=1))


def test_images_come_with_or_without_their_channel_as_bytes_or_fractions(run):
    assert run.model.image == (5, 4, 1)
    assert_same(fit(images=IMAGES[..., None], seeds=range(2)), run)
    fractions = fit(images=jax.numpy.asarray(IMAGES / 255), seeds=range(2))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), fractions.params, run.params)
    flat = fit(images=IMAGES.reshape(100, 20), seeds=range(2))
    assert flat.model.image == (20, 1, 1)
    np.testing.assert_array_equal(flat.curves.train_loss, run.curves.train_loss)


def test_images_to_validate_on_are_as_good_as_the_last_fraction(run):
    assert_same(fit(images=IMAGES[:80], validation=IMAGES[80:], seeds=range(2)), run)
    of_floats = fit(images=IMAGES[:80], validation=IMAGES[80:] / 255, seeds=range(2))
    np.testing.assert_allclose(of_floats.loss, run.loss, rtol=1e-5)


@pytest.mark.parametrize("none", [None, 0])
def test_without_validation_the_training_loss_is_monitored(none):
    everything = fit(validation=none)
    assert np.isnan(everything.curves.validation_loss).all()
    assert everything.loss == everything.curves.train_loss.min()


def test_the_best_epoch_is_kept_unless_the_last_is_wanted():
    """What is learned from dark images makes bright ones worse."""
    bright = {"images": IMAGES[:80] // 4, "validation": IMAGES[80:] // 4 + 191}
    best, last = fit(**bright), fit(**bright, keep_best=False)
    first, final = best.curves.validation_loss
    assert first < final and best.loss == first and last.loss == final
    np.testing.assert_allclose(best.score(bright["validation"])["loss"], first, rtol=1e-5)


def dense(params, images):
    """Codes and reconstructions of the dense autoencoder of a lane, in float64."""
    params = jax.tree.map(np.float64, params["params"])

    def layers(x, network):
        hidden = np.maximum(x @ network["Dense_0"]["kernel"] + network["Dense_0"]["bias"], 0.0)
        return hidden @ network["Dense_1"]["kernel"] + network["Dense_1"]["bias"]

    codes = layers(images.reshape(len(images), -1) / 255.0, params["encoder"])
    return codes, (1.0 / (1.0 + np.exp(-layers(codes, params["decoder"])))).reshape(-1, 5, 4, 1)


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(1).integers(0, 256, (700, 5, 4), np.uint8)


def test_codes_images_and_errors_are_those_of_the_networks_written_out(run, many):
    codes, images = run.encode(many), run.reconstruct(many)
    assert codes.shape == (2, 700, 2) and images.shape == (2, 700, 5, 4, 1)
    errors = run.score(many)["loss"]
    for lane in range(2):
        expected = dense(jax.tree.map(lambda leaf, lane=lane: leaf[lane], run.params), many)
        np.testing.assert_allclose(codes[lane], expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(images[lane], expected[1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(errors[lane], np.square(expected[1][..., 0] - many / 255).mean(), rtol=1e-5)
    np.testing.assert_allclose(run.decode(codes), images, rtol=1e-6)
    np.testing.assert_allclose(run.decode(codes[1])[0], dense_decoded(run, codes[1]), rtol=1e-4, atol=1e-5)


def dense_decoded(run, codes):
    decoder = jax.tree.map(lambda leaf: np.float64(leaf[0]), run.params)["params"]["decoder"]
    hidden = np.maximum(codes @ decoder["Dense_0"]["kernel"] + decoder["Dense_0"]["bias"], 0.0)
    return 1 / (1 + np.exp(-(hidden @ decoder["Dense_1"]["kernel"] + decoder["Dense_1"]["bias"]))).reshape(-1, 5, 4, 1)


def test_an_image_has_the_same_code_in_any_company(run, many):
    codes = run.best.encode(many)
    for some in (slice(0, 1), slice(3, 8), slice(250, 600)):
        np.testing.assert_array_equal(run.best.encode(many[some]), codes[some])


def test_few_programs_serve_any_number_of_images(run, many):
    from ae_jax import inference

    sizes = set()

    def call(indices):
        sizes.add(len(indices))
        return np.stack([indices, indices])

    for n in (1, 255, 256, 257, 700, 4000, 10_000):
        np.testing.assert_array_equal(inference._in_calls(run, n, call), [np.arange(n)] * 2)
    assert sizes == {256, 512, 1024, 2048}
    sizes.clear()
    large = ae_jax.autoencoder(ae_jax.dense_autoencoder(2, (4,), image=(256, 256, 3)))
    for n in (10, 80):
        inference._in_calls(dataclasses.replace(run, objective=large), n, call)
    assert sizes == {21, 84}


LIKELIHOOD = ae_jax.bernoulli(ae_jax.grey)


def untrained(objective, lanes=2):
    """Lanes of fresh parameters."""
    params = jax.jit(jax.vmap(objective.init))(jax.random.split(jax.random.key(0), lanes))
    return run_of(objective.model, params, LIKELIHOOD)


@pytest.fixture(scope="module")
def vae():
    return untrained(ae_jax.elbo(ae_jax.dense_vae(3, (8,), image=(5, 4, 1)), LIKELIHOOD))


@pytest.fixture(scope="module")
def vqvae():
    return untrained(ae_jax.vector_quantised(ae_jax.conv_vqvae(4, 2, 3, (2,), 8, image=(8, 9, 2)), LIKELIHOOD))


def test_a_vae_encodes_to_means_and_draws_from_its_prior(vae):
    codes = vae.encode(IMAGES)
    assert codes.shape == (2, 100, 3)
    np.testing.assert_allclose(vae.decode(codes), vae.reconstruct(IMAGES), rtol=1e-6)
    prior = generation.prior_codes(jax.random.key(7), (2,), 5, 3)
    np.testing.assert_array_equal(vae.sample(5, seed=7), vae.decode(prior))


def test_a_vq_vae_encodes_to_vectors_of_its_book_and_draws_them(vqvae):
    images = np.random.default_rng(2).random((20, 8, 9, 2))
    codes, books = vqvae.encode(images), vqvae.params["params"]["quantiser"]["book"]
    assert codes.shape == (2, 20, 3, 2)
    for lane, book in zip(codes, books, strict=True):
        assert {*map(tuple, lane.reshape(-1, 2).tolist())} <= {*map(tuple, book.tolist())}
    np.testing.assert_allclose(vqvae.decode(codes), vqvae.reconstruct(images), rtol=1e-6)
    assert vqvae.sample(6).shape == vqvae.sample(6, like=images, components=2).shape == (2, 6, 8, 9, 2)
    every_code = np.array(np.meshgrid(*[range(4)] * 3)).reshape(3, -1).T
    possible = vqvae[0].decode(books[0][every_code])
    for image in vqvae[0].sample(6, like=images, components=2):
        assert np.abs(possible - image).max((1, 2, 3)).min() < 1e-6


def test_a_plain_autoencoder_draws_images_like_others(run, many):
    drawn = run.sample(2000, seed=3, like=many, components=1)
    assert drawn.shape == (2, 2000, 5, 4, 1)
    np.testing.assert_array_equal(run.sample(5, seed=3, like=many), run.sample(5, seed=3, like=many))
    np.testing.assert_allclose(drawn.mean((1, 4)), run.reconstruct(many).mean((1, 4)), atol=0.02)


def test_a_classifier_encodes_and_is_scored_by_labels():
    labels = np.arange(100) % 3
    objective = ae_jax.classifier(ae_jax.Classifier(ae_jax.DenseEncoder(2, (8,)), 3))
    told = fit(objective, labels=labels, epochs=1, validation=(IMAGES[:9], labels[:9]))
    assert told.encode(IMAGES).shape == (100, 2)
    predicted = told.predict(IMAGES)
    assert predicted.shape == (100,) and predicted.dtype == np.int32
    np.testing.assert_allclose(told.score(IMAGES, labels)["accuracy"], (predicted == labels).mean(), rtol=1e-6)
    np.testing.assert_array_equal(told.predict((IMAGES / np.float32(255))[..., None]), predicted)
    with pytest.raises(UsageError, match="no decoder"):
        told.decode(np.zeros((1, 2)))
    for classifying in (objective, ae_jax.classifier(ae_jax.DenseEncoder(3, (8,)))):
        for wrong in (None, labels[:5], labels / 2, labels + 1):
            with pytest.raises(UsageError, match="labels"):
                fit(classifying, labels=wrong)


class Bare(nn.Module):
    """A model of the user's own, with the least that an objective asks for."""

    image: tuple[int, int, int] = (5, 4, 1)

    @nn.compact
    def __call__(self, images, dropout=None, train=False):
        return nn.Dense(3)(images.reshape(len(images), -1))


@pytest.mark.parametrize("model", [ae_jax.DenseEncoder(3, (8,), image=(5, 4, 1)), Bare()], ids=["encoder", "own"])
def test_a_classifier_without_a_decoder_says_so(model):
    told = untrained(ae_jax.classifier(model))
    calls = [lambda: told.decode(np.zeros((1, 3))), lambda: told.reconstruct(IMAGES), lambda: told.sample(2)]
    for call in calls:
        with pytest.raises(UsageError, match="no decoder"):
            call()
    if isinstance(model, Bare):
        with pytest.raises(UsageError, match="a Bare has no code"):
            told.encode(IMAGES)
    else:
        expected = jax.vmap(lambda params: model.apply(params, IMAGES[..., None] / np.float32(255)))(told.params)
        np.testing.assert_allclose(told.encode(IMAGES), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: ae_jax.fit(run.model, IMAGES, epochs=1), r"ae_jax.autoencoder\(model\)"),
        (lambda run: ae_jax.fit("plain", IMAGES, epochs=1), "a str is not allowed as an objective"),
        (lambda run: fit(batchsize=3), "unknown hyper-parameter batchsize"),
        (lambda run: fit(learning_rate=-1), "learning_rate -1 is not allowed"),
        (lambda run: fit(seeds=0.5), "seeds 0.5"),
        (lambda run: fit(seeds=[]), "seeds"),
        (lambda run: fit(seeds=-1), "from 0 to"),
        (lambda run: fit(batch_size=200), "batch size 200 does not fit"),
        (lambda run: fit(validation=1.5), "fraction 1.5"),
        (lambda run: fit(validation=IMAGES[:, :4]), r"validation images of shape \[4, 4, 1\]"),
        (lambda run: fit(optimizer="adma"), "adma"),
        (lambda run: run.encode(IMAGES[:, :4]), r"\[4, 4, 1\] are not allowed: this model takes those of \[5, 4, 1\]"),
        (lambda run: run.decode(np.zeros((3, 5))), r"give \[n, 2\], or \[2, n, 2\]"),
        (lambda run: run.decode(np.zeros((3, 4, 2))), r"\[3, 4, 2\]"),
        (lambda run: run.sample(3), "like=images"),
        (lambda run: run.sample(0, like=IMAGES), "n 0 is not allowed"),
        (lambda run: run.sample(2.5, like=IMAGES), "n 2.5 is not allowed"),
        (lambda run: run.sample(2, seed=None, like=IMAGES), "seed None"),
        (lambda run: run.score(IMAGES, seed=-1), "seed -1"),
        (lambda run: run.decode([[0], [1, 1]]), "no array of numbers"),
        (lambda run: fit(seed=3), "unknown hyper-parameter seed"),
        (lambda run: fit(l2=[]), "at least one number"),
        (lambda run: fit(learning_rate=None), "learning_rate None is not allowed"),
        (lambda run: fit(epochs="3"), "epochs '3' is not allowed: give whole numbers"),
        (lambda run: fit(batch_size=1.5), "batch_size 1.5 is not allowed: give a whole number"),
        (lambda run: fit(optimizer=["adam", "sgd"]), "give the name of one"),
        (lambda run: fit(patience=1.5), "patience 1.5"),
        (lambda run: fit(resume=True), "nothing to resume from"),
        (lambda run: fit(checkpoints=3), "3 is not allowed as a path"),
        (lambda run: fit(validation=(IMAGES, None, None)), "this validation is not allowed"),
        (lambda run: fit(validation="last"), "this validation is not allowed"),
        (lambda run: fit(labels=[[1], [1, 2]]), "these labels are no array"),
        (lambda run: ae_jax.dense_autoencoder([1, 2]), r"latent \[1, 2\] is not allowed"),
        (lambda run: ae_jax.dense_autoencoder(2, 8), r"widths 8 is not allowed"),
        (lambda run: ae_jax.conv_autoencoder(2, (8, 0)), r"channels 0 is not allowed"),
        (lambda run: ae_jax.conv_vqvae(0, 2), r"codes 0 is not allowed"),
        (
            lambda run: ae_jax.elbo(run.model, LIKELIHOOD),
            "elbo: an Autoencoder is not allowed as its model",
        ),
        (lambda run: ae_jax.elbo(ae_jax.dense_vae(2), ae_jax.gaussian_learned), "give a Likelihood"),
        (
            lambda run: ae_jax.denoising(run.model, "gaussian"),
            "its corrupt: give a function",
        ),
        (lambda run: search(halving=3), "halving 3"),
        (lambda run: search(halving=(1, 2.5)), "halving's factor 2.5 is not allowed: give a whole number from 2"),
        (lambda run: search(halving=(0, 2)), "halving's first epoch 0"),
        (
            lambda run: search(space={"latent": 2, "corrupt": ae_jax.corruptions.masking}),
            "corrupt: masking is no prior",
        ),
        (lambda run: search(space={"latent": lambda key, n: [2, 3]}), r"of shape \[2\], is not allowed"),
        (
            lambda run: ae_jax.search(
                lambda latent, dropout: None, SPACE | {"dropout": 0.1}, IMAGES, trials=1, epochs=1
            ),
            "build takes dropout, a number that a lane is trained with",
        ),
        (lambda run: fit(learning_rate=np.inf), "learning_rate inf is not allowed: it must be finite and greater than"),
        (lambda run: fit(noise=1e39), "noise inf is not allowed"),
        (
            lambda run: fit(l2=[[0.1], [0.1, 0.2]]),
            "l2 is not allowed as an axis of lanes: give a value or a plain sequence",
        ),
        (lambda run: ae_jax.hparams(l2=[[0.1], [0.1, 0.2]]), "l2 .* is not allowed: give numbers"),
        (lambda run: ae_jax.hparams(l2=[1, 2], noise=[1, 2, 3]), r"shapes l2 \[2\], noise \[3\] are not allowed"),
        (lambda run: run.predict(IMAGES), "told by a classifier"),
        (lambda run: run.sample(3, like=IMAGES[:1]), "give two images or more"),
        (lambda run: ae_jax.sparse_kl(run.model), "code_activation=nn.sigmoid"),
        (
            lambda run: ae_jax.cross_entropy_autoencoder(ae_jax.dense_autoencoder(2, output=nn.relu)),
            "build the model with output=nn.sigmoid",
        ),
        (lambda run: ae_jax.ConvEncoder(2, code_activation="relu"), "code_activation 'relu'"),
        (lambda run: ae_jax.search(build, {"latent": [1, 2]}, IMAGES, trials=1, epochs=1), r"give a prior, such as"),
        (lambda run: ae_jax.search(build, {"l2": 0.0}, IMAGES, trials=1, epochs=1), "build takes latent, which"),
        (lambda run: ae_jax.search(lambda: None, {}, IMAGES, trials=1, epochs=1), "a NoneType is not allowed"),
        (lambda run: search(trials=0), "trials 0"),
        (lambda run: search(folds=2.0), "folds 2.0"),
    ],
)
def test_what_is_not_allowed_is_told(run, call, words):
    with pytest.raises(UsageError, match=words):
        call(run)


def build(latent):
    return ae_jax.autoencoder(ae_jax.dense_autoencoder(latent, (8,)))


def search(space=None, **arguments):
    return ae_jax.search(build, space or SPACE, IMAGES, **QUICK | {"trials": 1} | arguments)


SPACE = {"latent": ae_jax.choice([1, 2]), "learning_rate": ae_jax.log_uniform(1e-3, 1e-1)}


def test_a_search_is_the_search_of_the_engine():
    searched = ae_jax.search(build, SPACE, IMAGES, trials=4, folds=2, seed=5, **QUICK)
    drawn = random_search.sample(jax.random.fold_in(jax.random.key(5), 2), SPACE | {"epochs": 2}, 4)
    assert searched.trials.keys() == drawn.keys()
    jax.tree.map(np.testing.assert_array_equal, searched.trials, drawn)
    outcome, best = searched.outcome, int(searched.outcome.ranking[0])
    assert outcome.fold_loss.shape == (4, 2) and best == outcome.loss.argmin()
    assert searched.best.shape == () and searched.best.loss == outcome.fold_loss[best].min()
    assert searched.best_numbers == {name: values.tolist()[best] for name, values in drawn.items()}
    assert searched.best.encode(IMAGES).shape == (100, searched.best_numbers["latent"])
    head, titles, first, *rest = str(searched).splitlines()
    assert head.startswith("4 trials x 2 folds") and titles.split()[:3] == ["rank", "trial", "loss"] and len(rest) == 3
    assert first.split()[1:3] == [str(best), f"{outcome.loss[best]:.4g}"]
    again = pickle.loads(pickle.dumps(searched))
    assert str(again) == str(searched) and again.best_numbers == searched.best_numbers
    assert_same(again.best, searched.best)


def test_a_search_may_draw_plans_and_halve():
    def planned(batch_size):
        return PLAIN, ae_jax.Plan(batch_size, "sgd")

    space = {"batch_size": ae_jax.choice([16, 20]), "learning_rate": ae_jax.log_uniform(1e-3, 1e-1), "epochs": 2}
    searched = ae_jax.search(planned, space, IMAGES, trials=4, epochs=9, halving=(1, 2), seed=1, progress=False)
    assert {run.plan.batch_size for run in searched.runs} == {16, 20}
    assert sorted(searched.outcome.epochs.ravel().tolist()) == [1, 1, 2, 2]


def test_build_may_take_whatever_is_drawn():
    def built(**drawn):
        return build(**drawn)

    searched = ae_jax.search(built, SPACE, IMAGES, trials=1, **QUICK)
    assert searched.best_numbers["latent"] in (1, 2)


def test_functions_and_networks_that_are_drawn_are_told_by_name(tmp_path):
    """And not by where they lie, as another process, which resumes, has them elsewhere."""

    def built(corrupt, model):
        return ae_jax.denoising(model, corrupt)

    models = [ae_jax.dense_autoencoder(latent, (4,)) for latent in (1, 2)]
    space = {
        "corrupt": ae_jax.choice([ae_jax.corruptions.gaussian, ae_jax.corruptions.masking]), "noise": 0.2,
        "model": ae_jax.choice(models),
    }  # fmt: skip
    searched = ae_jax.search(built, space, IMAGES, trials=6, checkpoints=tmp_path, keep_checkpoints=True, **QUICK)
    names = [group.name for group in searched.planned.groups]
    assert "0x" not in "".join([str(searched), *names]) and len({name.split(",")[0] for name in names}) == 2
    assert {name.split(",")[0] for name in names} == {"corrupt=gaussian", "corrupt=masking"}
    assert all("model=Autoencoder(encoder=DenseEncoder(latent=" in name for name in names)
    assert not [key for key in json.loads((tmp_path / "search.json").read_text()) if "0x" in key]


def test_a_network_is_a_plain_value_of_a_space():
    searched = ae_jax.search(lambda model: ae_jax.autoencoder(model), {"model": PLAIN.model}, IMAGES, trials=2, **QUICK)
    assert len(searched.runs) == 1 and searched.best.model.encoder.latent == PLAIN.model.encoder.latent


def test_every_objective_of_a_search_gets_labels_that_fit_it():
    def classifier(classes):
        return ae_jax.classifier(ae_jax.Classifier(ae_jax.DenseEncoder(2, (4,)), classes))

    def either(classify):
        return classifier(10) if classify else build(2)

    labels = np.arange(100) % 10
    for seed in range(4):  # whichever is drawn first
        arguments = QUICK | {"trials": 6, "seed": seed}
        with pytest.raises(UsageError, match="labels from 0 to 9 are not allowed: this classifier has 3 classes"):
            ae_jax.search(classifier, {"classes": ae_jax.choice([10, 3])}, IMAGES, labels, **arguments)
        with pytest.raises(UsageError, match="a classifier learns from labels"):
            ae_jax.search(either, {"classify": ae_jax.choice([True, False])}, IMAGES, **arguments)


def test_what_stands_beside_an_objective_is_a_plan():
    with pytest.raises(UsageError, match="64 is not allowed beside an objective of build: give an ae_jax.Plan"):
        ae_jax.search(lambda latent: (build(latent), 64), SPACE, IMAGES, trials=1, **QUICK)


def test_numbers_of_numpy_go_to_the_checkpoints_too(tmp_path):
    run = fit(patience=np.int64(3), checkpoints=tmp_path / "fit")
    assert_same(run, fit(patience=3))
    halving = np.int64(1), np.int64(2)
    searched = search(halving=halving, trials=2, checkpoints=tmp_path / "search", seed=1)
    np.testing.assert_array_equal(searched.outcome.loss, search(halving=(1, 2), trials=2, seed=1).outcome.loss)
    assert not list(tmp_path.iterdir())


def test_checkpoints_stay_for_whoever_has_yet_to_save(tmp_path):
    """The run is had again at once: nothing is trained."""
    kept = {"checkpoints": tmp_path / "kept", "keep_checkpoints": True}
    first = fit(**kept)
    again = fit(**kept, resume=True)
    assert_same(again, first)
    assert (tmp_path / "kept").exists() and again.cost.train_seconds == 0 < first.cost.train_seconds
    assert_same(fit(checkpoints=tmp_path / "kept", resume=True), first)
    assert not (tmp_path / "kept").exists()


def test_an_optimizer_that_is_none_leaves_no_checkpoints(tmp_path):
    with pytest.raises(UsageError, match="unknown optimizer 'adm'"):
        fit(optimizer="adm", checkpoints=tmp_path / "kept")
    assert fit(optimizer="adam", checkpoints=tmp_path / "kept").status == DONE


def test_numbers_of_a_recipe_are_plain_whatever_they_are_given_as(vae, tmp_path):
    likelihood = ae_jax.gaussian(np.float32(0.5))
    objective = ae_jax.iwae(vae.model, likelihood, np.int64(2))
    assert likelihood is ae_jax.gaussian(0.5) and objective is ae_jax.iwae(vae.model, likelihood, 2)
    assert recipes.build(recipes.portable(objective)) == objective


def test_64_bits_are_refused():
    with jax.enable_x64(True), pytest.raises(UsageError, match="lanes are float32; unset JAX_ENABLE_X64"):
        fit()


def test_a_callers_settings_reach_the_threads_that_compile():
    names = "jax_default_matmul_precision", "jax_default_prng_impl", "jax_threefry_partitionable"
    before = [getattr(jax.config, name) for name in names]
    with jax.default_matmul_precision("highest"), jax.default_prng_impl("rbg"), jax.threefry_partitionable(False):
        found = sharing.side_by_side(lambda _: [getattr(jax.config, name) for name in names], [0, 1])
    assert found == [["highest", "rbg", False]] * 2
    assert before == [getattr(jax.config, name) for name in names] == [None, "threefry2x32", True]


def test_sizes_may_be_numpys_and_lists():
    plain = ae_jax.dense_autoencoder(2, (8,))
    assert ae_jax.dense_autoencoder(np.int64(2), [np.int32(8)]) == plain
    assert ae_jax.autoencoder(ae_jax.dense_autoencoder(2, [8])) is ae_jax.autoencoder(plain)
    assert type(ae_jax.Plan(np.int64(4)).batch_size) is int


def test_a_run_prints_in_a_line(run):
    assert repr(run) == f"Run('fit', shape=(2,), lowest loss {run.loss.min():.4g})"


def test_a_run_is_copied_and_pickled(run):
    for again in (copy.deepcopy(run), pickle.loads(pickle.dumps(run))):
        assert_same(again, run)
        assert again.objective is run.objective and again.plan == run.plan and again.lanes.seed.tolist() == [0, 1]
        np.testing.assert_array_equal(again.encode(IMAGES), run.encode(IMAGES))
    own = fit(ae_jax.autoencoder(ae_jax.dense_autoencoder(2, (8,), activation=abs)), epochs=1)
    with pytest.raises(UsageError, match=r"pickle can hold the code of .*ae_jax\.recipes\.part"):
        pickle.dumps(own)


def test_a_pickle_of_any_model_is_read_in_a_process_that_knows_none(tmp_path):
    objective = ae_jax.elbo(ae_jax.dense_vae(2, (8,)), ae_jax.gaussian_learned())
    run = fit(objective, epochs=1)
    (tmp_path / "run.pickle").write_bytes(pickle.dumps(run))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).model)"
    arguments = [sys.executable, "-c", code, str(tmp_path / "run.pickle")]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split("\n")[0] == str(run.model).split("\n")[0]


def test_a_search_needs_epochs():
    with pytest.raises(UsageError, match="epochs=20"):
        ae_jax.search(build, SPACE, IMAGES, trials=1)


def test_an_interrupted_training_goes_on_to_the_same_numbers(monkeypatch, tmp_path):
    def stopping_after(calls):
        asked = iter(range(calls))
        return Monitor(should_stop=lambda: next(asked, None) is None)

    long = {"epochs": 7, "seeds": range(2), "checkpoints": tmp_path / "kept"}
    with monkeypatch.context() as patched:
        patched.setattr(api, "progress_bar", lambda *_: progress.contextlib.nullcontext(stopping_after(3)))
        with pytest.raises(Interrupted, match="resume=True"):
            fit(**long)
    assert list(long["checkpoints"].glob("*.msgpack"))
    with pytest.raises(UsageError, match="unfinished"):
        fit(**long)
    assert_same(fit(**long, resume=True), fit(**long | {"checkpoints": None}))
    assert not long["checkpoints"].exists()


@pytest.mark.parametrize("first", progress.SIGNALS)
@pytest.mark.parametrize("second", progress.SIGNALS)
def test_a_signal_is_told_once_and_the_second_obeyed_at_once(first, second):
    told = []
    before = [*map(signal.getsignal, progress.SIGNALS)]
    with progress.stopping(told.append) as should_stop:
        assert not should_stop()
        signal.raise_signal(first)
        assert should_stop() == first and told == [first]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    assert [*map(signal.getsignal, progress.SIGNALS)] == before


def test_a_sigterm_that_somebody_else_handles_is_left_to_them():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda signum, frame: heard.append(signum))
    try:
        with progress.stopping(lambda signum: None) as should_stop:
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM] and not should_stop()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_is_heard_while_a_program_runs():
    """Sent a fiftieth of a second into a call of about half a second, it is noted with the outputs not there yet."""
    program = jax.jit(lambda x: jax.lax.fori_loop(0, 100, lambda _, y: jax.numpy.tanh(y @ x), x))
    image = np.ones((400, 400), np.float32)
    program = program.lower(image).compile()
    with progress.stopping(lambda signum: noted.append(outputs.is_ready())):
        outputs, noted = program(image), []
        threading.Timer(0.02, signal.raise_signal, [signal.SIGTERM]).start()
        np.asarray(calls._computed(outputs))
    assert noted == [False]


def test_a_thread_leaves_ctrl_c_alone():
    def work():
        with progress.progress_bar("test", 1, shown=False) as monitor:
            found.append((monitor.should_stop(), signal.getsignal(signal.SIGINT)))

    found, before = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(0, before)]


def test_the_bar_is_shown_where_somebody_sees_it(capsys, monkeypatch):
    fit(epochs=1)
    assert capsys.readouterr() == ("", "")
    fit(epochs=1, progress=True)
    shown = capsys.readouterr().err
    assert "1/1 epochs" in shown and ", val 0." in shown
    fit(epochs=1, progress=True, validation=0)
    shown = capsys.readouterr().err
    assert "train 0." in shown and "val" not in shown and "nan" not in shown
    assert not progress.watched()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert progress.watched()


def declared():
    """The public names that type checkers see, each with its module."""
    (block,) = (n for n in ast.parse((ROOT / "ae_jax" / "__init__.py").read_text()).body if isinstance(n, ast.If))
    return {alias.asname: node.module for node in block.body for alias in node.names}


def test_public_names_are_the_same_for_python_and_for_type_checkers():
    modules = declared()
    listed = {name for name in dir(ae_jax) if not name.startswith("__")}
    assert modules.keys() == set(ae_jax.__all__) == listed - set(ae_jax._MODULES)
    assert {getattr(ae_jax, name).__name__ for name in ae_jax._MODULES} == {f"ae_jax.{of}" for of in ae_jax._MODULES}
    assert {"export_torch_state", "export_stablehlo"} <= modules.keys()
    for name, module in modules.items():
        home = importlib.import_module(module)
        assert getattr(ae_jax, name) is (getattr(home, name) if name != "corruptions" else ae_jax.corruptions)
        assert getattr(ae_jax, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ae_jax.nothing


def test_importing_the_package_imports_nothing_else():
    code = "import sys; before = set(sys.modules); import ae_jax; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"jax", "numpy", "flax", "tqdm"} & {name.split(".")[0] for name in done.stdout.split()}


EXAMPLES = {name: getattr(ae_jax, name) for name in ae_jax.__all__} | {"AutoencoderTransformer": AutoencoderTransformer}
EXAMPLES = {name: thing for name, thing in EXAMPLES.items() if ">>>" in (thing.__doc__ or "")}


def test_every_public_function_has_an_example():
    """But the exports, which docs/api.md shows, and of classes those that a user builds."""
    functions = {name for name in ae_jax.__all__ if inspect.isfunction(getattr(ae_jax, name))}
    assert functions - EXAMPLES.keys() == {"export_torch_state", "export_stablehlo"}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_are_as_they_say(name):
    (test,) = doctest.DocTestFinder(recurse=False).find(EXAMPLES[name], name, module=False, globs={})
    settings = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {setting: getattr(jax.config, setting) for setting in settings}
    try:
        assert not doctest.DocTestRunner().run(test).failed
    finally:  # of keep_programs
        for setting, value in before.items():
            jax.config.update(setting, value)
