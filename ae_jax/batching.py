"""What a batch is: examples taken by index, in microbatches that draw from keys of their own, and sums over them.

What a :class:`Division` does differently changes no number: who sums over a batch, and in which order, is not decided
here (``sharing`` does), only what the sums are and which key each part of them draws from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ae_jax.objectives import Objective
from ae_jax.types import AnyArray, Batch, HParams, PyTree

PADDING = -1  # an index that stands for no example
EVALUATION_BATCH = 256  # examples scored at once, at most
EVALUATION_VALUES = 1 << 22  # pixels times channels scored at once, at most: fewer images of more than 128 x 128
MICROBATCH, SMALLEST_MICROBATCH = 64, 16  # examples that draw from one key, as a rule and at the least


class Data(NamedTuple):
    """Examples on the device: images uint8, or float in [0, 1], ``[n, *image]``, labels int32 ``[n]``."""

    images: Array
    labels: Array


def take(data: Data, indices: Array) -> Batch:
    """The batch at ``indices [batch]``: float32 images in [0, 1]. A padding index gives some example."""
    return Batch(unit(data.images[indices]), data.labels[indices])


def unit(images: AnyArray) -> AnyArray:
    """uint8 images as float32 in [0, 1]; those that are float are there already."""
    scale = 255.0 if jnp.issubdtype(images.dtype, jnp.integer) else 1.0
    return images.astype(jnp.float32) / scale


def evaluation_batch(image: tuple[int, ...]) -> int:
    """How many examples are scored at once, at most: fewer where images are large, whose units would fill a memory."""
    return max(1, min(EVALUATION_BATCH, EVALUATION_VALUES // math.prod(image)))


def evaluation_batches(image: tuple[int, ...], indices: Array) -> Array:
    """``indices [n]`` as ``[batches, size]`` of about equal batches, the last one padded."""
    batches = max(1, math.ceil(indices.shape[0] / evaluation_batch(image)))
    size = math.ceil(indices.shape[0] / batches)
    padded = jnp.pad(indices, (0, batches * size - indices.shape[0]), constant_values=PADDING)
    return padded.reshape(batches, size)


def microbatches(objective: Objective, params: PyTree, batch_size: int) -> int:
    """How many equal microbatches, each with a key of its own, a batch consists of.

    Two or more where an example's loss depends on that example alone, the network has convolutions (kernels of rank
    four) and each gets ``SMALLEST_MICROBATCH`` examples; a dense network takes its batch whole: its gradients are too
    many to be added up.
    """
    if not objective.separable or all(leaf.ndim < 4 for leaf in jax.tree.leaves(params)):
        return 1
    wanted = max(2, batch_size // MICROBATCH)
    fitting = (n for n in range(1, wanted + 1) if batch_size % n == 0 and batch_size >= n * SMALLEST_MICROBATCH)
    return max(fitting, default=1)


def divide(batch: Batch, count: int) -> Batch:
    """``batch`` as microbatches ``[count, size, ...]``."""
    return jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), batch)


def microbatch_keys(key: Array, count: int) -> Array:
    """What each microbatch draws from, wherever it is computed: ``[count]``. Consumes ``key``."""
    return jax.random.split(key, count) if count > 1 else key[None]


def gradient(objective: Objective, params: PyTree, key: Array, batch: Batch, hparams: HParams) -> tuple[Array, PyTree]:
    """The batch-mean loss and its gradient: the mean over the :func:`microbatches`. Consumes ``key``."""

    def mean_loss(params: PyTree) -> Array:
        return jax.vmap(lambda part, key: objective.loss(params, key, part, hparams, True)[0].mean())(*parts).mean()

    count = microbatches(objective, params, len(batch.labels))
    parts = divide(batch, count), microbatch_keys(key, count)
    return jax.value_and_grad(mean_loss)(params)


def total(score: Callable[[Array, Array], PyTree], batches: Array, keys: Array) -> PyTree:
    """The sum of ``score(batch, key)`` over batches ``[batches, size]``, each with its key."""
    return jax.tree.map(lambda sums: sums.sum(0), jax.lax.map(lambda inputs: score(*inputs), (batches, keys)))


class Division(NamedTuple):
    """Who does which part of the sums of a step and of an evaluation; by default everything is done here, at once."""

    share: Callable[[Array], Array] = lambda batches: batches  # indices [steps, batch] -> those to be taken here
    gradient: Callable[[Objective, PyTree, Array, Batch, HParams], tuple[Array, PyTree]] = gradient
    total: Callable[[Callable[[Array, Array], PyTree], Array, Array], PyTree] = total


WHOLE = Division()
