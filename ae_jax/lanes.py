"""A lane: one run, seen epoch by epoch, and the compiled programs that run many of them at once.

A lane is one (trial, seed, fold). Lanes of a group share an objective and a plan, hence a program. Everything
here is pure; the host loop that decides which lanes go on is in ``trials``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from ae_jax.objectives import Objective
from ae_jax.training import (
    EVALUATION_STREAM,
    PADDING,
    SHARE_AXIS,
    Data,
    evaluate,
    init_state,
    lane_map,
    stream_key,
    train_epoch,
)
from ae_jax.types import HParams, Plan, PyTree, TrainState, UsageError

RUNNING, DONE, STOPPED, DIVERGED, HALVED = range(5)
STATUS_NAMES = ("running", "done", "early-stopped", "diverged", "halved")


class Splits(NamedTuple):
    """Index sets, one row a split (a fold), padded with ``PADDING``: ``[splits, n]`` and ``[splits, m]`` int32.

    With ``m = 0`` there is no validation and the training loss is monitored in its place.
    """

    train: Array
    validation: Array


class LaneState(NamedTuple):
    """A lane between two epochs."""

    train: TrainState
    epoch: Array  # int32: epochs trained
    status: Array  # int32: RUNNING, DONE, STOPPED, DIVERGED or HALVED
    best_params: PyTree  # parameters at the lowest monitored loss
    best_loss: Array  # that loss; infinite before the first epoch
    best_epoch: Array  # int32, counted from 1; 0 before the first


class Epoch(NamedTuple):
    """What an epoch logs; NaN where the lane did not run. Without validation that loss is NaN."""

    train_loss: Array
    validation_loss: Array


class Limits(NamedTuple):
    """int32 scalars, equal for all lanes of a call: numbers, so that changing them compiles nothing."""

    patience: Array  # epochs without a lower monitored loss before a lane is stopped
    until: Array  # no lane trains past this epoch


def steps_per_epoch(plan: Plan, splits: Splits) -> int:
    """Full batches in the smallest training split; a UsageError if there is none."""
    smallest = int((np.asarray(splits.train) != PADDING).sum(1).min())
    if not 1 <= plan.batch_size <= smallest:
        raise UsageError(
            f"batch size {plan.batch_size} does not fit a training split of {smallest} examples: "
            f"choose one from 1 to {smallest}"
        )
    return smallest // plan.batch_size


def init_lane(objective: Objective, plan: Plan, seed: Array, hparams: HParams) -> LaneState:
    """A lane before its first epoch; its key is ``jax.random.key(seed)``."""
    train = init_state(objective, plan, jax.random.key(seed), hparams)
    zero = jnp.zeros((), jnp.int32)
    return LaneState(train, zero, zero + RUNNING, train.params, jnp.full((), jnp.inf), zero)


def lane_epoch(
    objective: Objective, plan: Plan, steps: int, sharers: int, state: LaneState, hparams: HParams, patience: Array,
    data: Data, train_indices: Array, validation_indices: Array,
) -> tuple[LaneState, Epoch]:  # fmt: skip
    """One epoch of one lane, its validation, and what follows from it. A diverged lane keeps its last finite state."""
    train, train_loss = train_epoch(objective, plan, state.train, hparams, data, train_indices, steps, sharers)
    if validation_indices.shape[0]:
        key = stream_key(train.key, EVALUATION_STREAM, state.epoch)
        scores = evaluate(objective, train.params, hparams, key, data, validation_indices, sharers)
        monitored = validation_loss = scores["loss"]
    else:
        intact = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(train.params)]).all()
        monitored, validation_loss = jnp.where(intact, train_loss, jnp.nan), jnp.full((), jnp.nan)
    epoch = state.epoch + 1
    finite = jnp.isfinite(train_loss) & jnp.isfinite(monitored)
    better = finite & (monitored < state.best_loss)
    best_epoch = jnp.where(better, epoch, state.best_epoch)
    status = jnp.where(epoch - best_epoch >= patience, STOPPED, RUNNING)
    status = jnp.where(epoch >= hparams.epochs, DONE, status)
    new = LaneState(
        train=_select(finite, train, state.train),
        epoch=epoch,
        status=jnp.where(finite, status, DIVERGED),
        best_params=_select(better, train.params, state.best_params),
        best_loss=jnp.where(better, monitored, state.best_loss),
        best_epoch=best_epoch,
    )
    return new, Epoch(train_loss, validation_loss)


def lane_segment(
    one_epoch: Callable[[LaneState], tuple[LaneState, Epoch]], epochs: int, until: Array, state: LaneState
) -> tuple[LaneState, Epoch]:
    """``epochs`` epochs of one lane; those past the lane's end or past ``until`` leave it untouched and log NaN."""

    def skip(state: LaneState) -> tuple[LaneState, Epoch]:
        return state, Epoch(jnp.full((), jnp.nan), jnp.full((), jnp.nan))

    def body(state: LaneState, _) -> tuple[LaneState, Epoch]:
        return jax.lax.cond((state.status == RUNNING) & (state.epoch < until), one_epoch, skip, state)

    return jax.lax.scan(body, state, None, length=epochs)


@functools.partial(
    jax.jit,
    static_argnames=("objective", "plan"),
    compiler_options={"xla_backend_optimization_level": 0},  # runs once: worth compiling four times faster
)
def init_lanes(objective: Objective, plan: Plan, seeds: Array, hparams: HParams) -> LaneState:
    """Fresh lanes: ``seeds [lanes]``, leaves of ``hparams [lanes]``."""
    return lane_map(functools.partial(init_lane, objective, plan), seeds, hparams)


@functools.partial(jax.jit, static_argnames=("objective", "plan", "steps", "epochs", "mesh"))
def run_segment(
    objective: Objective, plan: Plan, steps: int, epochs: int, mesh: Mesh, states: LaneState, hparams: HParams,
    split: Array, limits: Limits, data: Data, splits: Splits,
) -> tuple[LaneState, Epoch]:  # fmt: skip
    """The program of a group: a segment of ``epochs`` epochs for each lane of ``states``.

    The lane axis, ``[lanes]`` in ``states``, ``hparams`` and ``split``, is sharded over the mesh's axis ``lanes``
    and must be a multiple of its size; limits, data and splits are replicated. The devices along the axis
    ``SHARE_AXIS`` train the same lanes, each on a share of every batch. Curves are ``[lanes, epochs]``.
    """

    def run_shard(states, hparams, split, limits: Limits, data: Data, splits: Splits):
        def run_lane(state: LaneState, hparams: HParams, split: Array) -> tuple[LaneState, Epoch]:
            one_epoch = functools.partial(
                lane_epoch, objective, plan, steps, mesh.shape[SHARE_AXIS], hparams=hparams, patience=limits.patience,
                data=data, train_indices=splits.train[split], validation_indices=splits.validation[split],
            )  # fmt: skip
            return lane_segment(one_epoch, epochs, limits.until, state)

        return lane_map(run_lane, states, hparams, split)

    lanes, everywhere = PartitionSpec("lanes"), PartitionSpec()
    run = jax.shard_map(
        run_shard,
        mesh=mesh,
        in_specs=(lanes, lanes, lanes, everywhere, everywhere, everywhere),
        out_specs=lanes,
        check_vma=False,
    )
    return run(states, hparams, split, limits, data, splits)


def _select(condition: Array, chosen: PyTree, other: PyTree) -> PyTree:
    return jax.tree.map(functools.partial(jnp.where, condition), chosen, other)
