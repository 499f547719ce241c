"""Losses against hand-computed values, closed forms and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ae_jax import losses

LOSSES = [losses.mean_squared_error, losses.binary_cross_entropy]


def test_squared_error_by_hand():
    prediction = jnp.array([[0.0, 1.0], [0.5, 0.5]])
    target = jnp.array([[0.0, 0.0], [1.0, 0.5]])
    np.testing.assert_allclose(losses.mean_squared_error(prediction, target), [0.5, 0.125])


def test_cross_entropy_in_float64():
    logits = np.linspace(-12, 12, 60).reshape(3, 20)
    target = np.random.default_rng(0).uniform(size=(3, 20))
    p = 1 / (1 + np.exp(-logits))
    expected = -(target * np.log(p) + (1 - target) * np.log1p(-p)).mean(1)
    np.testing.assert_allclose(
        losses.binary_cross_entropy(jnp.asarray(logits), jnp.asarray(target)), expected, rtol=1e-5
    )


def test_cross_entropy_is_finite_at_any_logit():
    logits = jnp.array([[-1000.0, 1000.0, -1e4, 1e4]])
    value, gradient = jax.value_and_grad(
        lambda l: losses.binary_cross_entropy(l, jnp.array([[1.0, 0.0, 0.0, 1.0]]))[0]
    )(logits)
    np.testing.assert_allclose(value, 500.0)  # two pixels wrong by 1,000 nats, two right, mean of four
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_one_number_per_example(loss):
    """Duplicating the batch leaves every example's loss, and so the mean, unchanged."""
    images = jax.random.uniform(jax.random.key(0), (5, 28, 28, 1))
    predictions = jax.random.uniform(jax.random.key(1), (5, 28, 28, 1))
    once, twice = loss(predictions, images), loss(jnp.tile(predictions, (2, 1, 1, 1)), jnp.tile(images, (2, 1, 1, 1)))
    assert once.shape == (5,)
    np.testing.assert_allclose(twice, np.tile(once, 2), rtol=1e-6)


def test_class_cross_entropy_against_scipy():
    logits = np.random.default_rng(0).normal(scale=20, size=(6, 10))
    labels = np.array([0, 1, 2, 3, 9, 9])
    expected = scipy.special.logsumexp(logits, axis=1) - logits[np.arange(6), labels]
    np.testing.assert_allclose(losses.cross_entropy(jnp.asarray(logits), jnp.asarray(labels)), expected, rtol=1e-5)


def test_bernoulli_kl_against_scipy():
    activation = np.linspace(0.01, 0.99, 25)
    expected = scipy.special.rel_entr(0.1, activation) + scipy.special.rel_entr(0.9, 1 - activation)
    np.testing.assert_allclose(losses.bernoulli_kl(0.1, jnp.asarray(activation)), expected, rtol=1e-4, atol=1e-6)
