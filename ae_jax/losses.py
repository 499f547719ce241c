"""Per-example losses: images in, one number per example out. The mean over examples is taken by the caller."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def _pixel_mean(values: Array) -> Array:
    """``[batch, ...] -> [batch]``, reduced with the batch last, as the networks compute it (a third faster)."""
    return values.reshape(values.shape[0], -1).T.mean(0)


def mean_squared_error(prediction: Array, target: Array) -> Array:
    """Squared error, mean over pixels: ``[batch, ...] , [batch, ...] -> [batch]`` (report E, eq. 2, per pixel)."""
    return _pixel_mean(jnp.square(prediction - target))


def binary_cross_entropy(logits: Array, target: Array) -> Array:
    """Cross-entropy of Bernoulli pixels, mean over pixels: ``[batch, ...], [batch, ...] -> [batch]``.

    Report E, eq. 5, with ``x_hat = sigmoid(logits)``; written on the logits as ``softplus(l) - x * l``, which
    stays finite and exact for any logit.
    """
    return _pixel_mean(jax.nn.softplus(logits) - target * logits)
