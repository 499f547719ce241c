"""Training as pure functions, ``(state, hparams, data) -> (state, metrics)``: state, step, epoch, evaluation.

Every random number of a run comes from ``fold_in(key, ...)`` of the key in its state, so that a run can be
vmapped, stopped, resumed and replayed. Data stay uint8; a batch is gathered by index.

What a :class:`Division` does differently changes no number: who sums over a batch, and in which order, is not decided
here (``sharing`` does), only what the sums are and which key each part of them draws from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from ae_jax import optimizers
from ae_jax.objectives import Objective
from ae_jax.types import Batch, HParams, Plan, PyTree, TrainState

PADDING = -1  # an index that stands for no example
EVALUATION_BATCH = 256  # examples scored at once, at most
MICROBATCH, SMALLEST_MICROBATCH = 64, 16  # examples that draw from one key, as a rule and at the least

# The streams of random numbers of one run, each indexed by the step or epoch at which it is drawn.
STEP_STREAM, SHUFFLE_STREAM, EVALUATION_STREAM = range(3)


class Data(NamedTuple):
    """Examples on the device: images uint8, or float in [0, 1], ``[n, *image]``, labels int32 ``[n]``."""

    images: Array
    labels: Array


def stream_key(key: Array, stream: int, index: Array) -> Array:
    """The key of draw ``index`` of a stream of the run whose key is ``key``."""
    return jax.random.fold_in(jax.random.fold_in(key, stream), index)


def take(data: Data, indices: Array) -> Batch:
    """The batch at ``indices [batch]``: float32 images in [0, 1]. A padding index gives some example."""
    images = data.images[indices]
    scale = 255.0 if jnp.issubdtype(images.dtype, jnp.integer) else 1.0
    return Batch(images.astype(jnp.float32) / scale, data.labels[indices])


def init_params(init: Callable[[Array], PyTree], key: Array) -> tuple[PyTree, Array]:
    """Fresh parameters by an objective's ``init``, and the key of the run that trains them. Consumes ``key``."""
    init_key, run_key = jax.random.split(key)
    return init(init_key), run_key


def first_state(plan: Plan, params: PyTree, run_key: Array, hparams: HParams) -> TrainState:
    """The state of a run before its first step."""
    return TrainState(params, optimizers.build(plan, hparams).init(params), jnp.zeros((), jnp.int32), run_key)


def init_state(objective: Objective, plan: Plan, key: Array, hparams: HParams) -> TrainState:
    """Fresh parameters and optimizer state. Consumes ``key``."""
    return first_state(plan, *init_params(objective.init, key), hparams)


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


def divide(batch: Batch, key: Array, count: int) -> tuple[Batch, Array]:
    """``batch`` as microbatches ``[count, size, ...]`` and their keys ``[count]``; consumes ``key``."""
    parts = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), batch)
    return parts, jax.random.split(key, count) if count > 1 else key[None]


def gradient(objective: Objective, params: PyTree, key: Array, batch: Batch, hparams: HParams) -> tuple[Array, PyTree]:
    """The batch-mean loss and its gradient: the mean over the :func:`microbatches`. Consumes ``key``."""

    def mean_loss(params: PyTree) -> Array:
        return jax.vmap(lambda part, key: objective.loss(params, key, part, hparams, True)[0].mean())(*parts).mean()

    parts = divide(batch, key, microbatches(objective, params, len(batch.labels)))
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


def train_step(
    objective: Objective, plan: Plan, state: TrainState, hparams: HParams, batch: Batch, division: Division = WHOLE
) -> tuple[TrainState, Array]:
    """One optimizer step on the batch-mean loss; returns that loss, taken before the step."""
    key = stream_key(state.key, STEP_STREAM, state.step)
    ramp = jnp.where(state.step < hparams.warmup, state.step / jnp.maximum(hparams.warmup, 1.0), 1.0)
    warmed = hparams._replace(penalty=hparams.penalty * ramp)
    loss, gradients = division.gradient(objective, state.params, key, batch, warmed)
    updates, opt_state = optimizers.build(plan, hparams).update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(params, opt_state, state.step + 1, state.key), loss


def shuffle(key: Array, indices: Array) -> Array:
    """A random order of ``indices [n]`` with the padding, if any, at the end. Consumes ``key``."""
    order = jnp.where(indices == PADDING, 1.0, jax.random.uniform(key, indices.shape))
    return indices[jnp.argsort(order)]


def train_epoch(
    objective: Objective, plan: Plan, state: TrainState, hparams: HParams, data: Data, indices: Array, steps: int,
    division: Division = WHOLE,
) -> tuple[TrainState, Array]:  # fmt: skip
    """One pass over ``indices [n]`` in random order: ``steps`` full batches, the rest dropped.

    Returns the new state and the mean of the step losses, which are those of the training mode.
    """
    key = stream_key(state.key, SHUFFLE_STREAM, state.step)
    batches = shuffle(key, indices)[: steps * plan.batch_size].reshape(steps, plan.batch_size)

    def step(state: TrainState, batch: Array) -> tuple[TrainState, Array]:
        return train_step(objective, plan, state, hparams, take(data, batch), division)

    state, losses = jax.lax.scan(step, state, division.share(batches))
    return state, losses.mean()


def evaluation_batches(indices: Array) -> Array:
    """``indices [n]`` as ``[batches, size]`` of about equal batches, the last one padded."""
    batches = max(1, math.ceil(indices.shape[0] / EVALUATION_BATCH))
    size = math.ceil(indices.shape[0] / batches)
    padded = jnp.pad(indices, (0, batches * size - indices.shape[0]), constant_values=PADDING)
    return padded.reshape(batches, size)


def evaluate(
    objective: Objective, params: PyTree, hparams: HParams, key: Array, data: Data, indices: Array,
    division: Division = WHOLE,
) -> dict[str, Array]:  # fmt: skip
    """Exact means over the examples at ``indices [n]`` (padding ignored) of the loss and every metric.

    No dropout, no partial-batch bias. Consumes ``key``, which stochastic objectives draw from.
    """

    def score(batch: Array, key: Array) -> dict[str, Array]:
        loss, metrics = objective.loss(params, key, take(data, batch), hparams, False)
        return {name: jnp.where(batch != PADDING, v, 0.0).sum() for name, v in {"loss": loss, **metrics}.items()}

    batches = evaluation_batches(indices)
    totals = division.total(score, batches, jax.random.split(key, len(batches)))
    return {name: value / jnp.sum(indices != PADDING) for name, value in totals.items()}
