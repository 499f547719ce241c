"""What a model is trained for: an :class:`Objective` is two pure functions, built by one function for each idea.

Builders are cached: the same model gives the same objective, so that a compiled program is found again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array

from ae_jax import losses
from ae_jax.corruptions import Corruption
from ae_jax.models import Autoencoder
from ae_jax.types import Batch, HParams, PyTree


class Objective(NamedTuple):
    """``init`` makes parameters, ``loss`` scores a batch; training and evaluation share both.

    init: ``(key, images [1, 28, 28, 1]) -> params``; consumes the key.
    loss: ``(params, key, batch, hparams, train) -> (loss [batch], metrics of [batch])``; consumes the key.
        ``train`` is a Python bool: dropout and corruption act only when it is true.
    """

    init: Callable[[Array, Array], PyTree]
    loss: Callable[[PyTree, Array, Batch, HParams, bool], tuple[Array, dict[str, Array]]]


@functools.cache
def autoencoder(model: Autoencoder) -> Objective:
    """Mean squared reconstruction error of each image (the plain autoencoder of every report)."""

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        reconstruction = model.apply(params, batch.images, hparams.dropout, train, rngs={"dropout": key})
        return losses.mean_squared_error(reconstruction, batch.images), {}

    return Objective(model.init, loss)


@functools.cache
def denoising(model: Autoencoder, corrupt: Corruption) -> Objective:
    """The plain objective with a corrupted input and a clean target (reports A section IV, B 2.2, C 2.3).

    The corruption is drawn afresh at every step, at level ``hparams.noise``; evaluation is on clean images.
    """

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        noise_key, dropout_key = jax.random.split(key)
        images = corrupt(noise_key, batch.images, hparams.noise) if train else batch.images
        reconstruction = model.apply(params, images, hparams.dropout, train, rngs={"dropout": dropout_key})
        return losses.mean_squared_error(reconstruction, batch.images), {}

    return Objective(model.init, loss)
