"""What a trained model is worth on images it has not seen. Parameters come with a leading lane axis."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax import losses
from ae_jax.corruptions import Corruption
from ae_jax.models import Autoencoder
from ae_jax.objectives import Objective
from ae_jax.training import PADDING, Data, evaluate, evaluation_batches, lane_map
from ae_jax.types import HParams, PyTree


@functools.partial(jax.jit, static_argnames="objective")
def score(objective: Objective, params: PyTree, hparams: HParams, key: Array, data: Data) -> dict[str, Array]:
    """Loss and metrics of every lane on all of ``data``, exact means over examples: ``[lanes]`` each.

    ``params`` and ``hparams`` have a leading lane axis. Every lane draws from the same ``key``, which is consumed.
    """
    indices = jnp.arange(data.labels.shape[0])
    return lane_map(lambda params, hparams: evaluate(objective, params, hparams, key, data, indices), params, hparams)


@functools.partial(jax.jit, static_argnames="model")
def reconstruct(model: Autoencoder, params: PyTree, images: Array) -> Array:
    """Reconstructions by every lane: ``[n, 28, 28, 1] -> [lanes, n, 28, 28, 1]``."""
    return lane_map(lambda lane: model.apply(lane, images), params)


def reconstruction_error(model: Autoencoder, params: PyTree, inputs: Array, targets: Array) -> np.ndarray:
    """Mean squared error per pixel of every lane, exact mean over examples: ``[lanes]``.

    ``inputs`` and ``targets`` are float images ``[n, 28, 28, 1]``: equal for a plain test, corrupted and clean
    for a test of robustness.
    """
    return np.asarray(_reconstruction_error(model, params, inputs, targets))


@functools.partial(jax.jit, static_argnames="model")
def _reconstruction_error(model: Autoencoder, params: PyTree, inputs: Array, targets: Array) -> Array:
    def lane_error(lane: PyTree) -> Array:
        def batch_error(rows: Array) -> Array:
            error = losses.mean_squared_error(model.apply(lane, inputs[rows]), targets[rows])
            return jnp.where(rows == PADDING, 0.0, error).sum()

        return jax.lax.map(batch_error, batches).sum() / len(inputs)

    batches = evaluation_batches(jnp.arange(len(inputs)))

    return lane_map(lane_error, params)


def robustness(
    models: Sequence[Autoencoder],
    params: Sequence[PyTree],
    corrupt: Corruption,
    key: Array,
    images: Array,
    levels: np.ndarray,
) -> np.ndarray:
    """Error against the clean image as the input gets worse: ``[models, lanes, levels]``.

    Every model and lane sees the same corrupted images. Level ``i`` draws from ``fold_in(key, i)``.
    """
    corrupt = jax.jit(corrupt)
    errors = []
    for index, level in enumerate(levels):
        corrupted = corrupt(jax.random.fold_in(key, index), images, jnp.float32(level))
        pairs = zip(models, params, strict=True)
        errors.append([reconstruction_error(model, lanes, corrupted, images) for model, lanes in pairs])
    return np.moveaxis(np.asarray(errors), 0, -1)
