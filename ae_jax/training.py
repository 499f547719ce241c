"""Training as pure functions: ``(state, hparams, data) -> (state, metrics)``.

Every random number of a run comes from ``fold_in(key, ...)`` of the key in its state, so that a run can be
vmapped, stopped, resumed and replayed. Data stay on the device as uint8; a batch is gathered by index.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from ae_jax import optimizers
from ae_jax.models import IMAGE_SIZE
from ae_jax.objectives import Objective
from ae_jax.types import Batch, HParams, Plan, PyTree, TrainState

PADDING = -1  # an index that stands for no example
SHARE_AXIS = "share"  # the mesh axis of devices that divide each batch among them
EVALUATION_BATCH = 256  # examples scored at once, at most
CACHED_EXAMPLES = 64  # examples whose activations fit the cache of a core
SMALLEST_PART = 16  # examples of a part: fewer are slow

# The streams of random numbers of one run, each indexed by the step or epoch at which it is drawn.
STEP_STREAM, SHUFFLE_STREAM, EVALUATION_STREAM = range(3)


class Data(NamedTuple):
    """Examples on the device: images uint8 ``[n, 28, 28, 1]``, labels int32 ``[n]``."""

    images: Array
    labels: Array


def stream_key(key: Array, stream: int, index: Array) -> Array:
    """The key of draw ``index`` of a stream of the run whose key is ``key``."""
    return jax.random.fold_in(jax.random.fold_in(key, stream), index)


def take(data: Data, indices: Array) -> Batch:
    """The batch at ``indices [batch]``: float32 images in [0, 1]. A padding index gives some example."""
    white = 1.0 if jnp.issubdtype(data.images.dtype, jnp.floating) else 255.0
    return Batch(data.images[indices].astype(jnp.float32) / white, data.labels[indices])


def lane_map(function: Callable, *lanes: PyTree) -> PyTree:
    """``function`` over the leading lane axis of every argument.

    All lanes at once on an accelerator, where they become batched matrix products; one after another on a CPU,
    where lanes would only compete for the caches and a ``cond`` stays a branch.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda lane: function(*lane), lanes)
    return jax.vmap(function)(*lanes)


def init_state(objective: Objective, plan: Plan, key: Array, hparams: HParams) -> TrainState:
    """Fresh parameters and optimizer state. Consumes ``key``; the state keeps a key split from it."""
    init_key, run_key = jax.random.split(key)
    params = objective.init(init_key, jnp.zeros((1, IMAGE_SIZE, IMAGE_SIZE, 1)))
    opt_state = optimizers.build(plan, hparams).init(params)
    return TrainState(params, opt_state, jnp.zeros((), jnp.int32), run_key)


def batch_parts(objective: Objective, params: PyTree, batch_size: int) -> int:
    """In how many equal parts, each with a key of its own, a CPU takes a convolutional network's batch; 1 elsewhere.

    A part's activations stay in the cache, and devices may share the parts; which of them do changes no numbers.
    There are at least two parts where they hold ``SMALLEST_PART`` examples or more. A dense network's gradients are
    too many to be added up part by part.
    """
    if not (objective.separable and convolves(params) and jax.default_backend() == "cpu"):
        return 1
    wanted = max(2, batch_size // CACHED_EXAMPLES)
    fitting = (n for n in range(1, wanted + 1) if batch_size % n == 0 and batch_size >= n * SMALLEST_PART)
    return max(fitting, default=1)


def convolves(params: PyTree) -> bool:
    """Whether a model with these parameters (or their shapes) has convolutions: kernels of rank four."""
    return any(leaf.ndim == 4 for leaf in jax.tree.leaves(params))


def gradient(
    objective: Objective, params: PyTree, key: Array, batch: Batch, hparams: HParams, sharers: int = 1
) -> tuple[Array, PyTree]:
    """The batch-mean loss and its gradient: the mean over the :func:`batch_parts`. Consumes ``key``.

    With ``sharers`` devices along ``SHARE_AXIS``, ``batch`` is this device's share, and all get the mean of the whole.
    """
    size = batch.labels.shape[0]
    parts = batch_parts(objective, params, sharers * size) // sharers

    def part_gradient(part: Batch, key: Array) -> tuple[Array, PyTree]:
        return jax.value_and_grad(lambda params: objective.loss(params, key, part, hparams, True)[0].mean())(params)

    def add(total: PyTree, inputs: tuple[Batch, Array]) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, total, part_gradient(*inputs)), None

    if sharers * parts == 1:
        return part_gradient(batch, key)
    keys = jax.random.split(key, sharers * parts)
    if sharers > 1:
        keys = keys.reshape(sharers, parts)[jax.lax.axis_index(SHARE_AXIS)]
    batches = jax.tree.map(lambda leaf: leaf.reshape(parts, size // parts, *leaf.shape[1:]), batch)
    zeros = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    total, _ = jax.lax.scan(add, zeros, (batches, keys))
    if sharers > 1:
        flat, unravel = ravel_pytree(total)  # one message instead of one for each parameter
        total = unravel(jax.lax.psum(flat, SHARE_AXIS))
    return jax.tree.map(lambda leaf: leaf / (sharers * parts), total)


def train_step(
    objective: Objective, plan: Plan, state: TrainState, hparams: HParams, batch: Batch, sharers: int = 1
) -> tuple[TrainState, Array]:
    """One optimizer step on the batch-mean loss; returns that loss, taken before the step.

    With ``sharers`` devices along ``SHARE_AXIS``, ``batch`` is this device's share and all take the same step.
    """
    key = stream_key(state.key, STEP_STREAM, state.step)
    ramp = jnp.where(state.step < hparams.warmup, state.step / jnp.maximum(hparams.warmup, 1.0), 1.0)
    warmed = hparams._replace(penalty=hparams.penalty * ramp)
    loss, gradients = gradient(objective, state.params, key, batch, warmed, sharers)
    optimizer = optimizers.build(plan, hparams)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(params, opt_state, state.step + 1, state.key), loss


def shuffle(key: Array, indices: Array) -> Array:
    """A random order of ``indices [n]`` with the padding, if any, at the end. Consumes ``key``."""
    order = jnp.where(indices == PADDING, 1.0, jax.random.uniform(key, indices.shape))
    return indices[jnp.argsort(order)]


def train_epoch(
    objective: Objective,
    plan: Plan,
    state: TrainState,
    hparams: HParams,
    data: Data,
    indices: Array,
    steps: int,
    sharers: int = 1,
) -> tuple[TrainState, Array]:
    """One pass over ``indices [n]`` in random order: ``steps`` full batches, the rest dropped.

    ``sharers`` devices along ``SHARE_AXIS``, if more than one, divide each batch and get the same result.
    Returns the new state and the mean of the step losses, which are those of the training mode.
    """
    key = stream_key(state.key, SHUFFLE_STREAM, state.step)
    batches = shuffle(key, indices)[: steps * plan.batch_size].reshape(steps, plan.batch_size)
    if sharers > 1:
        batches = batches.reshape(steps, sharers, -1)[:, jax.lax.axis_index(SHARE_AXIS)]

    def step(state: TrainState, batch_indices: Array) -> tuple[TrainState, Array]:
        return train_step(objective, plan, state, hparams, take(data, batch_indices), sharers)

    state, step_losses = jax.lax.scan(step, state, batches)
    return state, step_losses.mean()


def evaluation_batches(indices: Array) -> Array:
    """``indices [n]`` as ``[batches, size]`` of about equal batches, the last one padded."""
    batches = max(1, math.ceil(indices.shape[0] / EVALUATION_BATCH))
    size = math.ceil(indices.shape[0] / batches)
    padded = jnp.pad(indices, (0, batches * size - indices.shape[0]), constant_values=PADDING)
    return padded.reshape(batches, size)


def evaluate(
    objective: Objective, params: PyTree, hparams: HParams, key: Array, data: Data, indices: Array, sharers: int = 1
) -> dict[str, Array]:
    """Exact means over the examples at ``indices [n]`` (padding ignored) of the loss and every metric.

    No dropout, no partial-batch bias. Consumes ``key``, which stochastic objectives draw from. Along ``SHARE_AXIS``
    every one of ``sharers`` devices scores some of the batches, and all get the means.
    """
    batches = evaluation_batches(indices)
    keys = jax.random.split(key, len(batches))
    if sharers > 1:
        mine = jnp.arange(math.ceil(len(batches) / sharers)) * sharers + jax.lax.axis_index(SHARE_AXIS)
        batches, keys = batches.at[mine].get(mode="fill", fill_value=PADDING), keys[mine]

    def score(_, inputs: tuple[Array, Array]):
        batch_indices, batch_key = inputs
        batch = take(data, batch_indices)
        loss, metrics = objective.loss(params, batch_key, batch, hparams, False)
        counted = batch_indices != PADDING
        return None, {name: jnp.where(counted, v, 0.0).sum() for name, v in {"loss": loss, **metrics}.items()}

    _, sums = jax.lax.scan(score, None, (batches, keys))
    totals = {name: values.sum() for name, values in sums.items()}
    if sharers > 1:
        totals = jax.lax.psum(totals, SHARE_AXIS)
    return {name: total / jnp.sum(indices != PADDING) for name, total in totals.items()}
