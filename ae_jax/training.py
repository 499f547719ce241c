"""Training as pure functions, ``(state, hparams, data) -> (state, metrics)``: state, step, epoch, evaluation.

Every random number of a run comes from ``fold_in(key, ...)`` of the key in its state, so that a run can be
vmapped, stopped, resumed and replayed. What a batch is, and how the sums over it are made up, stands in ``batching``.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array

from ae_jax import optimizers
from ae_jax.batching import PADDING, WHOLE, Data, Division, evaluation_batches, take
from ae_jax.objectives import Objective
from ae_jax.types import Batch, HParams, Plan, PyTree, TrainState

# The streams of random numbers of one run, each indexed by the step or epoch at which it is drawn.
STEP_STREAM, SHUFFLE_STREAM, EVALUATION_STREAM = range(3)


def stream_key(key: Array, stream: int, index: Array) -> Array:
    """The key of draw ``index`` of a stream of the run whose key is ``key``."""
    return jax.random.fold_in(jax.random.fold_in(key, stream), index)


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

    batches = evaluation_batches(data.images.shape[1:], indices)
    totals = division.total(score, batches, jax.random.split(key, len(batches)))
    return {name: value / jnp.sum(indices != PADDING) for name, value in totals.items()}
