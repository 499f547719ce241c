"""Objectives: what they corrupt, what they compare with, and when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import corruptions, evaluation, losses, objectives, training
from ae_jax.models import dense_autoencoder
from ae_jax.types import Batch, hparams

MODEL = dense_autoencoder(latent=2, widths=(8,))


@pytest.fixture(scope="module")
def params():
    return MODEL.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))


@pytest.fixture
def batch(data):
    return training.take(data, jnp.arange(6))


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


def test_denoising_corrupts_the_input_of_training_and_never_the_target(params, batch):
    """With a corruption that blanks every image, the target is still the clean one."""

    def blank(key, images, level):
        return images * (1.0 - level)

    loss = objectives.denoising(MODEL, blank).loss
    trained, _ = loss(params, jax.random.key(1), batch, hparams(noise=1.0), True)
    expected = losses.mean_squared_error(MODEL.apply(params, jnp.zeros_like(batch.images)), batch.images)
    np.testing.assert_allclose(trained, expected, rtol=1e-5)
    plain = objectives.autoencoder(MODEL).loss(params, jax.random.key(1), batch, hparams(), False)[0]
    np.testing.assert_array_equal(loss(params, jax.random.key(1), batch, hparams(noise=1.0), False)[0], plain)


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
    numbers = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), hparams())
    loss = evaluation.score(objectives.autoencoder(MODEL), lanes, numbers, jax.random.key(0), data)["loss"]
    images = training.take(data, jnp.arange(200)).images
    for lane, scale in enumerate((1, 2)):
        scaled = jax.tree.map(lambda leaf, s=scale: s * leaf, params)
        expected = losses.mean_squared_error(MODEL.apply(scaled, images), images).mean()
        np.testing.assert_allclose(loss[lane], expected, rtol=1e-5)


def test_reconstruction_error_counts_the_last_batch_exactly(params, data, monkeypatch):
    """45 images in batches of at most 14 are four of 12, the last one padded by three."""
    monkeypatch.setattr(training, "EVALUATION_BATCH", 14)
    images = training.take(data, jnp.arange(45)).images
    lanes = jax.tree.map(lambda leaf: leaf[None], params)
    expected = losses.mean_squared_error(MODEL.apply(params, images), images).mean()
    np.testing.assert_allclose(evaluation.reconstruction_error(MODEL, lanes, images, images)[0], expected, rtol=1e-5)


def test_robustness_gives_every_model_the_same_images(params, data):
    """The same network twice has the same curve; the curve is that of the corrupted images, level by level."""
    images = training.take(data, jnp.arange(50)).images
    lanes = jax.tree.map(lambda leaf: leaf[None], params)
    levels = np.array([0.0, 0.5], np.float32)
    key = jax.random.key(3)
    curves = evaluation.robustness([MODEL, MODEL], [lanes, lanes], corruptions.gaussian, key, images, levels)
    assert curves.shape == (2, 1, 2)
    np.testing.assert_array_equal(curves[0], curves[1])
    noisy = corruptions.gaussian(jax.random.fold_in(key, 1), images, 0.5)
    expected = losses.mean_squared_error(MODEL.apply(params, noisy), images).mean()
    np.testing.assert_allclose(curves[0, 0, 1], expected, rtol=1e-5)
    np.testing.assert_allclose(curves[0, 0, 0], evaluation.reconstruction_error(MODEL, lanes, images, images)[0])
