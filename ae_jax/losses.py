"""Per-example losses: images in, one number per example out. The mean over examples is taken by the caller."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax import Array


def _batch_last(values: Array) -> Array:
    """``[batch, ...] -> [values, batch]``, the layout of the networks: reductions are a third faster in it."""
    return values.reshape(values.shape[0], -1).T


def _copied(target: Array) -> Array:
    """:func:`_batch_last`, written out in that layout: a loop that reads across a layout is not vectorised."""
    return jax.lax.optimization_barrier(_batch_last(target))


def mean_squared_error(prediction: Array, target: Array) -> Array:
    """Squared error, mean over pixels: ``[batch, ...] , [batch, ...] -> [batch]`` (report E, eq. 2, per pixel)."""
    return jnp.square(_batch_last(prediction) - _copied(target)).mean(0)


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Cross-entropy of the classes: logits ``[batch, classes]``, labels int ``[batch]`` -> ``[batch]``, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def binary_cross_entropy(logits: Array, target: Array) -> Array:
    """Cross-entropy of Bernoulli pixels, mean over pixels: ``[batch, ...], [batch, ...] -> [batch]``.

    Report E, eq. 5, with ``x_hat = sigmoid(logits)``; written on the logits as ``softplus(l) - x * l``, which
    stays finite and exact for any logit.
    """
    logits, target = _batch_last(logits), _copied(target)
    return (jax.nn.softplus(logits) - target * logits).mean(0)


def bernoulli_kl(rho: float, activation: Array) -> Array:
    """KL divergence of a unit that is on with probability ``activation`` from one with ``rho``: same shape, in nats.

    ``KL(rho || a) = rho log(rho / a) + (1 - rho) log((1 - rho) / (1 - a))``; infinite at activations 0 and 1.
    """
    return rho * jnp.log(rho / activation) + (1.0 - rho) * jnp.log((1.0 - rho) / (1.0 - activation))
