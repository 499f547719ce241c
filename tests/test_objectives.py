"""Objectives: what they corrupt, what they compare with, and when."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ae_jax import batching, corruptions, evaluation, losses, objectives
from ae_jax.models import Classifier, DenseEncoder, dense_autoencoder
from ae_jax.types import Batch, hparams
from tests.made import run_of

MODEL = dense_autoencoder(latent=2, widths=(8,))


@pytest.fixture(scope="module")
def params():
    return MODEL.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))


@pytest.fixture
def batch(data):
    return batching.take(data, jnp.arange(6))


def test_autoencoder_is_the_squared_error_of_the_reconstruction(params, batch):
    loss, _ = objectives.autoencoder(MODEL).loss(params, jax.random.key(1), batch, hparams(), False)
    expected = np.square(np.asarray(MODEL.apply(params, batch.images)) - np.asarray(batch.images)).mean((1, 2, 3))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_dropout_acts_in_training_only(params, batch):
    loss = objectives.autoencoder(MODEL).loss
    numbers = hparams(dropout=0.5)
    clean = loss(params, jax.random.key(1), batch, hparams(), False)[0]
    np.testing.assert_array_equal(loss(params, jax.random.key(1), batch, numbers, False)[0], clean)
    assert not np.allclose(loss(params, jax.random.key(1), batch, numbers, True)[0], clean)


def test_denoising_corrupts_the_input_and_never_the_target(params, batch):
    """With a corruption that blanks every image, the target is still the clean one."""

    def blank(key, images, level):
        return images * (1.0 - level)

    loss = objectives.denoising(MODEL, blank).loss
    trained, _ = loss(params, jax.random.key(1), batch, hparams(noise=1.0), True)
    expected = losses.mean_squared_error(MODEL.apply(params, jnp.zeros_like(batch.images)), batch.images)
    np.testing.assert_allclose(trained, expected, rtol=1e-5)
    validated, _ = loss(params, jax.random.key(1), batch, hparams(noise=1.0), False)
    np.testing.assert_allclose(validated, expected, rtol=1e-5)


def test_denoising_draws_afresh_for_every_key(params, batch, key_reuse_check):
    loss = objectives.denoising(MODEL, corruptions.gaussian).loss
    first, second = (loss(params, jax.random.key(k), batch, hparams(noise=0.5), True)[0] for k in (1, 2))
    assert not np.allclose(first, second)


@pytest.mark.parametrize("build", [objectives.autoencoder, lambda m: objectives.denoising(m, corruptions.gaussian)])
def test_duplicating_the_batch_changes_no_loss(params, batch, build):
    """Up to the order of a sum in float32; the corruption is off."""
    twice = Batch(*(jnp.concatenate([leaf, leaf]) for leaf in batch))
    once, doubled = (build(MODEL).loss(params, jax.random.key(0), b, hparams(), True)[0] for b in (batch, twice))
    np.testing.assert_allclose(doubled, np.tile(once, 2), rtol=1e-5)


def test_scores_of_lanes_are_the_means_over_all_examples(params, data):
    lanes = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    objective = objectives.autoencoder(MODEL)
    loss = evaluation.score(run_of(MODEL, lanes), jax.random.key(0), data, objective)["loss"]
    images = batching.take(data, jnp.arange(200)).images
    for lane, scale in enumerate((1, 2)):
        scaled = jax.tree.map(lambda leaf, s=scale: s * leaf, params)
        expected = losses.mean_squared_error(MODEL.apply(scaled, images), images).mean()
        np.testing.assert_allclose(loss[lane], expected, rtol=1e-5)


def test_reconstruction_errors_are_those_of_the_images(params, data, monkeypatch):
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 14)
    images = batching.take(data, jnp.arange(45)).images
    lanes = jax.tree.map(lambda leaf: leaf[None], params)
    expected = np.square(np.asarray(MODEL.apply(params, images) - images[::-1])).mean((1, 2, 3))
    errors = evaluation.reconstruction_errors(run_of(MODEL, lanes), images, images[::-1])
    np.testing.assert_allclose(errors[0], expected, 1e-5)


def test_contraction_of_a_sigmoid_layer_is_rifais_formula(batch):
    """``sum_j (h_j (1 - h_j))^2 ||w_j||^2`` (Rifai et al. 2011, eq. 6), for two lanes."""
    model = dense_autoencoder(3, (), code_activation=jax.nn.sigmoid)
    params = model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    lanes = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    layer = lanes["params"]["encoder"]["Dense_0"]
    contractions = evaluation.contraction(run_of(model, lanes), batch.images)
    for kernel, bias, found in zip(layer["kernel"], layer["bias"], contractions, strict=True):
        h = scipy.special.expit(np.asarray(batch.images, np.float64).reshape(6, -1) @ kernel + bias)
        expected = (np.square(h * (1 - h)) * np.square(kernel).sum(0)).sum(1).mean()
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_reconstruction_error_counts_the_last_batch_exactly(params, data, monkeypatch):
    """45 images in batches of at most 14 are four of 12, the last one padded by three."""
    monkeypatch.setattr(batching, "EVALUATION_BATCH", 14)
    images = batching.take(data, jnp.arange(45)).images
    lanes = jax.tree.map(lambda leaf: leaf[None], params)
    expected = losses.mean_squared_error(MODEL.apply(params, images), images).mean()
    error = evaluation.reconstruction_error(run_of(MODEL, lanes), images, images)
    np.testing.assert_allclose(error[0], expected, rtol=1e-5)


def test_robustness_gives_every_lane_the_same_images(params, data):
    """The same network twice has the same curve; the curve is that of the corrupted images, level by level."""
    images = batching.take(data, jnp.arange(50)).images
    run = run_of(MODEL, jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params))
    levels = np.array([0.0, 0.5], np.float32)
    key = jax.random.key(3)
    curves = evaluation.robustness(run, corruptions.gaussian, key, images, levels)
    assert curves.shape == (2, 2)
    np.testing.assert_array_equal(curves[0], curves[1])
    noisy = corruptions.gaussian(jax.random.fold_in(key, 1), images, 0.5)
    expected = losses.mean_squared_error(MODEL.apply(params, noisy), images).mean()
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
    metrics = objective.loss(params, jax.random.key(0), two, hparams(), True)[1]
    np.testing.assert_allclose(metrics["penalty"], squared, rtol=1e-4)


def test_sparse_penalties_by_hand(batch):
    model = dense_autoencoder(latent=3, widths=(8,), code_activation=jax.nn.sigmoid)
    params = model.init(jax.random.key(0), batch.images[:1])
    codes = scipy.special.expit(encode64(params, batch.images))
    call = functools.partial(_penalty, params=params, batch=batch)
    np.testing.assert_allclose(call(objectives.sparse_l1(model)), np.abs(codes).mean(1), rtol=1e-5)
    mean = codes.mean(0)
    divergence = (scipy.special.rel_entr(0.1, mean) + scipy.special.rel_entr(0.9, 1 - mean)).sum()
    np.testing.assert_allclose(call(objectives.sparse_kl(model, 0.1)), np.full(6, divergence), rtol=1e-4)


def _penalty(objective, params, batch):
    return objective.loss(params, jax.random.key(0), batch, hparams(), True)[1]["penalty"]


@pytest.mark.parametrize("build", [objectives.sparse_l1, objectives.contractive])
def test_a_penalty_weighs_in_training_only(params, batch, build):
    objective, plain = build(MODEL), objectives.autoencoder(MODEL)
    arguments = params, jax.random.key(0), batch, hparams(penalty=0.5)
    trained, metrics = objective.loss(*arguments, True)
    error = plain.loss(*arguments, False)[0]
    np.testing.assert_allclose(trained, error + 0.5 * metrics["penalty"], rtol=1e-6)
    np.testing.assert_array_equal(objective.loss(*arguments, False)[0], error)


def test_cross_entropy_autoencoder_scores_the_logits(params, batch):
    loss, metrics = objectives.cross_entropy_autoencoder(MODEL).loss(params, jax.random.key(0), batch, hparams(), True)
    reconstruction = np.asarray(MODEL.apply(params, batch.images), np.float64)
    x = np.asarray(batch.images, np.float64)
    expected = -(x * np.log(reconstruction) + (1 - x) * np.log(1 - reconstruction)).mean((1, 2, 3))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["mse"], np.square(reconstruction - x).mean((1, 2, 3)), rtol=1e-5)


def test_classifier_counts_what_it_gets_right(data):
    model = Classifier(DenseEncoder(latent=3, widths=(8,)))
    objective = objectives.classifier(model)
    params = objective.init(jax.random.key(0))
    batch = batching.take(data, jnp.arange(40))
    loss, metrics = objective.loss(params, jax.random.key(0), batch, hparams(), False)
    logits = np.asarray(model.apply(params, batch.images), np.float64)
    assert logits.shape == (40, 10)
    np.testing.assert_array_equal(metrics["accuracy"], logits.argmax(1) == batch.labels)
    np.testing.assert_allclose(loss, -np.log(scipy.special.softmax(logits, 1))[np.arange(40), batch.labels], rtol=1e-4)
