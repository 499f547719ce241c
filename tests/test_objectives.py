"""Objectives: what they corrupt, what they compare with, and when."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest
import scipy.special

from ae_jax import batching, corruptions, evaluation, objectives
from ae_jax.models import Classifier, DenseEncoder, dense_autoencoder
from ae_jax.types import Batch, UsageError, hparams
from ae_jax.vae import dense_vae
from tests import made
from tests.made import run_of

MODEL = dense_autoencoder(latent=2, widths=(8,))


@pytest.fixture(scope="module")
def params():
    return made.init(MODEL, np.zeros((1, 28, 28, 1), np.float32))


@pytest.fixture
def batch(data):
    return jax.tree.map(np.asarray, made.take(data, np.arange(6)))


def reconstruct(params, images):
    return np.asarray(made.apply(MODEL, params, images))


def squared_errors(outputs, images):
    """Means over pixels ``[n]``."""
    return np.square(outputs - images).mean((1, 2, 3))


def lanes(params, *scales):
    """``params`` times each of ``scales``, one lane each."""
    return jax.tree.map(lambda leaf: np.stack([np.float32(scale) * np.asarray(leaf) for scale in scales]), params)


def test_autoencoder_is_the_squared_error_of_the_reconstruction(params, batch):
    loss, _ = made.loss(objectives.autoencoder(MODEL), params, jax.random.key(1), batch, hparams(), train=False)
    expected = squared_errors(reconstruct(params, batch.images), batch.images)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_dropout_acts_in_training_only(params, batch):

    def loss(dropout, train):
        arguments = params, jax.random.key(1), batch, hparams(dropout=dropout)
        return made.loss(objectives.autoencoder(MODEL), *arguments, train=train)[0]

    np.testing.assert_array_equal(loss(0.5, False), loss(0.0, False))
    assert not np.allclose(loss(0.5, True), loss(0.0, False))


def test_denoising_corrupts_the_input_and_never_the_target(params, batch):
    """With a corruption that blanks every image, the target is still the clean one."""

    def blank(key, images, level):
        return images * (1.0 - level)

    expected = squared_errors(reconstruct(params, np.zeros_like(batch.images)), batch.images)
    for train in (True, False):
        arguments = params, jax.random.key(1), batch, hparams(noise=1.0)
        loss, _ = made.loss(objectives.denoising(MODEL, blank), *arguments, train=train)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_denoising_draws_afresh_for_every_key(params, batch, key_reuse_check):
    objective = objectives.denoising(MODEL, corruptions.gaussian)
    first, second = (made.loss(objective, params, jax.random.key(k), batch, hparams(noise=0.5))[0] for k in (1, 2))
    assert not np.allclose(first, second)


@pytest.mark.parametrize("build", [objectives.autoencoder, lambda m: objectives.denoising(m, corruptions.gaussian)])
def test_duplicating_the_batch_changes_no_loss(params, batch, build):
    """Up to the order of a sum in float32; the corruption is off."""
    twice = Batch(*(np.concatenate([leaf, leaf]) for leaf in batch))
    once, doubled = (made.loss(build(MODEL), params, jax.random.key(0), b, hparams())[0] for b in (batch, twice))
    np.testing.assert_allclose(doubled, np.tile(once, 2), rtol=1e-5)


def test_scores_of_lanes_are_the_means_over_all_examples(params, data):
    objective, both = objectives.autoencoder(MODEL), lanes(params, 1, 2)
    scores = evaluation.score(run_of(MODEL, both), jax.random.key(0), data, objective)["loss"]
    images = np.asarray(made.take(data, np.arange(200)).images)
    for lane, score in enumerate(scores):
        outputs = reconstruct(jax.tree.map(lambda leaf, lane=lane: leaf[lane], both), images)
        np.testing.assert_allclose(score, squared_errors(outputs, images).mean(), rtol=1e-5)


def test_reconstruction_errors_are_those_of_the_images(params, data, monkeypatch):
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 14)
    images = np.asarray(made.take(data, np.arange(45)).images)
    expected = squared_errors(reconstruct(params, images), images[::-1])
    errors = evaluation.reconstruction_errors(run_of(MODEL, lanes(params, 1)), images, images[::-1])
    np.testing.assert_allclose(errors[0], expected, 1e-5)


def test_contraction_of_a_sigmoid_layer_is_rifais_formula(batch):
    """``sum_j (h_j (1 - h_j))^2 ||w_j||^2`` (Rifai et al. 2011, eq. 6), for two lanes."""
    model = dense_autoencoder(3, (), code_activation=jax.nn.sigmoid)
    both = lanes(made.init(model, batch.images), 1, 2)
    layer = both["params"]["encoder"]["Dense_0"]
    contractions = evaluation.contraction(run_of(model, both), batch.images)
    for kernel, bias, found in zip(layer["kernel"], layer["bias"], contractions, strict=True):
        h = scipy.special.expit(np.asarray(batch.images, np.float64).reshape(6, -1) @ kernel + bias)
        expected = (np.square(h * (1 - h)) * np.square(kernel).sum(0)).sum(1).mean()
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_contraction_of_a_vae_is_that_of_its_mean_code(batch):
    """Of a linear encoder, the squared norm of the mean's half of the kernel."""
    model = dense_vae(3, ())
    params = made.init(model, batch.images)
    kernel = np.asarray(params["params"]["encoder"]["Dense_0"]["kernel"], np.float64)
    (found,) = evaluation.contraction(run_of(model, lanes(params, 1)), batch.images)
    np.testing.assert_allclose(found, np.square(kernel[:, :3]).sum(), rtol=1e-5)


def test_reconstruction_error_counts_the_last_batch_exactly(params, data, monkeypatch):
    """45 images in batches of at most 14 are four of 12, the last one padded by three."""
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 14)
    images = np.asarray(made.take(data, np.arange(45)).images)
    expected = squared_errors(reconstruct(params, images), images).mean()
    error = evaluation.reconstruction_error(run_of(MODEL, lanes(params, 1)), images, images)
    np.testing.assert_allclose(error[0], expected, rtol=1e-5)


def test_robustness_gives_every_lane_the_same_images(params, data):
    """The same network twice has the same curve; the curve is that of the corrupted images, level by level."""
    images = np.asarray(made.take(data, np.arange(45)).images)
    run = run_of(MODEL, lanes(params, 1, 1))
    levels = np.array([0.0, 0.5], np.float32)
    key = jax.random.key(3)
    curves = evaluation.robustness(run, corruptions.gaussian, key, images, levels)
    assert curves.shape == (2, 2)
    np.testing.assert_array_equal(curves[0], curves[1])
    noisy = jax.jit(corruptions.gaussian)(jax.random.fold_in(key, 1), images, 0.5)
    expected = squared_errors(reconstruct(params, noisy), images).mean()
    np.testing.assert_allclose(curves[0, 1], expected, rtol=1e-5)
    np.testing.assert_allclose(curves[:, 0], evaluation.reconstruction_error(run, images, images))


def encode64(params, images):
    """The encoder of MODEL (ReLU, then linear) in float64 NumPy."""
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"]["encoder"])
    x = np.asarray(images, np.float64).reshape(len(images), -1)
    hidden = np.maximum(x @ weights["Dense_0"]["kernel"] + weights["Dense_0"]["bias"], 0)
    return hidden @ weights["Dense_1"]["kernel"] + weights["Dense_1"]["bias"]


def test_the_contractive_penalty_is_exact(params, batch):
    """Against central differences in float64, pixel by pixel."""
    images = np.asarray(batch.images[:2], np.float64)
    step, squared = 1e-6, np.zeros(2)
    for pixel in range(784):
        shift = np.zeros(784)
        shift[pixel] = step
        shift = shift.reshape(1, 28, 28, 1)
        derivative = (encode64(params, images + shift) - encode64(params, images - shift)) / (2 * step)
        squared += np.square(derivative).sum(1)
    objective = objectives.contractive(MODEL)
    two = Batch(batch.images[:2], batch.labels[:2])
    metrics = made.loss(objective, params, jax.random.key(0), two, hparams())[1]
    np.testing.assert_allclose(metrics["penalty"], squared, rtol=1e-4)


def test_sparse_penalties_by_hand(batch):
    model = dense_autoencoder(latent=3, widths=(8,), code_activation=jax.nn.sigmoid)
    params = made.init(model, batch.images)
    codes = scipy.special.expit(encode64(params, batch.images))
    call = functools.partial(_penalty, params=params, batch=batch)
    np.testing.assert_allclose(call(objectives.sparse_l1(model)), np.abs(codes).mean(1), rtol=1e-5)
    mean = codes.mean(0)
    divergence = (scipy.special.rel_entr(0.1, mean) + scipy.special.rel_entr(0.9, 1 - mean)).sum()
    np.testing.assert_allclose(call(objectives.sparse_kl(model, 0.1)), np.full(6, divergence), rtol=1e-4)


def _penalty(objective, params, batch):
    return made.loss(objective, params, jax.random.key(0), batch, hparams())[1]["penalty"]


@pytest.mark.parametrize("build", [objectives.sparse_l1, objectives.contractive])
def test_a_penalty_weighs_in_training_only(params, batch, build):
    objective, plain = build(MODEL), objectives.autoencoder(MODEL)
    arguments = params, jax.random.key(0), batch, hparams(penalty=0.5)
    trained, metrics = made.loss(objective, *arguments)
    error = np.asarray(made.loss(plain, *arguments, train=False)[0])
    np.testing.assert_allclose(trained, error + 0.5 * np.asarray(metrics["penalty"]), rtol=1e-6)
    np.testing.assert_array_equal(made.loss(objective, *arguments, train=False)[0], error)


def test_cross_entropy_autoencoder_scores_the_logits(params, batch):
    objective = objectives.cross_entropy_autoencoder(MODEL)
    loss, metrics = made.loss(objective, params, jax.random.key(0), batch, hparams())
    reconstruction = np.float64(reconstruct(params, batch.images))
    x = np.asarray(batch.images, np.float64)
    expected = -(x * np.log(reconstruction) + (1 - x) * np.log(1 - reconstruction)).mean((1, 2, 3))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["mse"], np.square(reconstruction - x).mean((1, 2, 3)), rtol=1e-5)


def test_classifier_counts_what_it_gets_right(data):
    model = Classifier(DenseEncoder(latent=3, widths=(8,)))
    objective = objectives.classifier(model)
    params = jax.jit(objective.init)(jax.random.key(0))
    batch = jax.tree.map(np.asarray, made.take(data, np.arange(45)))
    loss, metrics = made.loss(objective, params, jax.random.key(0), batch, hparams(), train=False)
    logits = np.asarray(made.apply(model, params, batch.images), np.float64)
    assert logits.shape == (45, 10)
    np.testing.assert_array_equal(metrics["accuracy"], logits.argmax(1) == batch.labels)
    np.testing.assert_allclose(loss, -np.log(scipy.special.softmax(logits, 1))[np.arange(45), batch.labels], rtol=1e-4)


SIGMOID = dense_autoencoder(latent=3, widths=(8,), code_activation=nn.sigmoid)
CLASSIFIER = Classifier(DenseEncoder(4, (8,)), classes=7)
BUILT = {
    "autoencoder": objectives.autoencoder(MODEL),
    "cross-entropy": objectives.cross_entropy_autoencoder(MODEL),
    "denoising": objectives.denoising(MODEL, corruptions.gaussian),
    "sparse L1": objectives.sparse_l1(SIGMOID),
    "sparse KL": objectives.sparse_kl(SIGMOID),
    "contractive": objectives.contractive(MODEL),
    "classifier": objectives.classifier(CLASSIFIER),
}


@pytest.mark.parametrize("name", BUILT)
def test_separable_says_whether_a_batch_may_be_computed_in_parts(name, batch):
    objective, batch = BUILT[name], batch._replace(labels=batch.labels % 7)
    params = made.init(objective.model, batch.images)
    halves = [jax.tree.map(lambda leaf, half=half: leaf[half], batch) for half in (slice(3), slice(3, 6))]
    whole, *parts = (
        made.loss(objective, params, jax.random.key(1), part, hparams(penalty=1.0), train=True)[0]
        for part in (batch, *halves)
    )
    assert np.allclose(whole, np.concatenate(parts), rtol=1e-5) == objective.separable == (name != "sparse KL")


def test_an_objective_knows_what_its_model_gives():
    small = objectives.autoencoder(dense_autoencoder(2, (4,), image=(3, 2, 1)))
    assert objectives.output_shape(small) == (3, 2, 1) and objectives.classes(small) is None
    assert objectives.output_shape(BUILT["classifier"]) == (7,) and objectives.classes(BUILT["classifier"]) == 7
    assert objectives.classes(small._replace(recipe=None)) is None


def test_a_classifier_drops_units_in_training_only(batch):
    objective, params = BUILT["classifier"], made.init(CLASSIFIER, batch.images)

    def loss(seed, train):
        batch_of_seven = batch._replace(labels=batch.labels % 7)
        return made.loss(objective, params, jax.random.key(seed), batch_of_seven, hparams(dropout=0.5), train=train)[0]

    assert not np.allclose(loss(1, True), loss(2, True))
    np.testing.assert_array_equal(loss(1, False), loss(2, False))


def test_sparseness_is_a_share_of_ng_by_default():
    assert BUILT["sparse KL"].recipe.rho == 0.05
    for rho in (0.0, 1.0, 1.5):
        with pytest.raises(UsageError, match="rho"):
            objectives.sparse_kl(SIGMOID, rho)
