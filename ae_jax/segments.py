"""The compiled programs: a lane epoch by epoch, and a segment of epochs for many lanes at once.

Everything here is pure; the host loop that decides which lanes go on is in ``trials``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from ae_jax import sharing, training
from ae_jax.batching import Data, Division
from ae_jax.lanes import DIVERGED, DONE, RUNNING, STOPPED, Splits
from ae_jax.objectives import Objective
from ae_jax.training import EVALUATION_STREAM, evaluate, first_state, stream_key, train_epoch
from ae_jax.types import AnyArray, HParams, Plan, PyTree, TrainState


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

    patience: AnyArray  # epochs without a lower monitored loss before a lane is stopped
    until: AnyArray  # no lane trains past this epoch


def lane_epoch(
    objective: Objective, plan: Plan, steps: int, division: Division, state: LaneState, hparams: HParams,
    patience: Array, data: Data, train_indices: Array, validation_indices: Array,
) -> tuple[LaneState, Epoch]:  # fmt: skip
    """One epoch of one lane, its validation, and what follows from it. A diverged lane keeps its last finite state."""
    train, train_loss = train_epoch(objective, plan, state.train, hparams, data, train_indices, steps, division)
    if validation_indices.shape[0]:
        key = stream_key(train.key, EVALUATION_STREAM, state.epoch)
        scores = evaluate(objective, train.params, hparams, key, data, validation_indices, division)
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


@functools.partial(
    jax.jit,
    static_argnames="init",
    compiler_options={"xla_backend_optimization_level": 0},  # runs once: worth compiling four times faster
)
def init_params(init: Callable[[Array], PyTree], seed: Array) -> tuple[PyTree, Array]:
    """Fresh parameters of the lane whose key is ``jax.random.key(seed)``, and the key of its run.

    Of one lane: the program is the same however many there are, and whatever they are trained with.
    """
    return training.init_params(init, jax.random.key(seed))


@functools.partial(jax.jit, static_argnames="plan")
def lane_state(plan: Plan, params: PyTree, run_key: Array, hparams: HParams) -> LaneState:
    """A lane before its first epoch."""
    train, zero = first_state(plan, params, run_key, hparams), jnp.zeros((), jnp.int32)
    return LaneState(train, zero, zero + RUNNING, params, jnp.full((), jnp.inf), zero)


@functools.partial(jax.jit, static_argnames=("objective", "plan", "steps", "epochs", "mesh"))
def run_segment(
    objective: Objective, plan: Plan, steps: int, epochs: int, mesh: Mesh, states: LaneState, hparams: HParams,
    split: Array, limits: Limits, data: Data, splits: Splits,
) -> tuple[LaneState, Epoch]:  # fmt: skip
    """The program of a group: a segment of ``epochs`` epochs for each lane of ``states``.

    Epoch by epoch, a lane that is done or has come to ``limits.until`` is left untouched and logs NaN; an epoch in
    which no lane of a device is active is not computed. The lane axis, ``[lanes]`` in ``states``, ``hparams`` and
    ``split``, is sharded over the mesh's axis ``LANES`` and must be a multiple of its size; limits, data and splits
    are replicated. The devices along ``SHARE`` train the same lanes, each a share of every batch. Curves are
    ``[lanes, epochs]``.
    """
    division = sharing.division(mesh.shape[sharing.SHARE])

    def run_shard(states, hparams, split, limits: Limits, data: Data, splits: Splits):
        def active(state: LaneState) -> Array:
            return (state.status == RUNNING) & (state.epoch < limits.until)

        def one(state: LaneState, hparams: HParams, split: Array) -> tuple[LaneState, Epoch]:
            def train(state: LaneState) -> tuple[LaneState, Epoch]:
                indices = splits.train[split], splits.validation[split]
                return lane_epoch(objective, plan, steps, division, state, hparams, limits.patience, data, *indices)

            return jax.lax.cond(active(state), train, _skip, state)

        def all_of_them(states: LaneState) -> tuple[LaneState, Epoch]:
            return sharing.lane_map(one, states, hparams, split)

        def epoch(states: LaneState, _) -> tuple[LaneState, Epoch]:
            return jax.lax.cond(active(states).any(), all_of_them, _skip, states)

        states, curves = jax.lax.scan(epoch, states, length=epochs)
        return states, jax.tree.map(jnp.transpose, curves)

    lanes, everywhere = PartitionSpec(sharing.LANES), PartitionSpec()
    run = jax.shard_map(
        run_shard,
        mesh=mesh,
        in_specs=(lanes, lanes, lanes, everywhere, everywhere, everywhere),
        out_specs=lanes,
        check_vma=False,
    )
    return run(states, hparams, split, limits, data, splits)


def _skip(state: LaneState) -> tuple[LaneState, Epoch]:
    """An epoch of nothing, of a lane or of many."""
    nothing = jnp.full(state.epoch.shape, jnp.nan)
    return state, Epoch(nothing, nothing)


def _select(condition: Array, chosen: PyTree, other: PyTree) -> PyTree:
    """Leaf by leaf; but a key, which is the same in both: to JAX's checker a choice of keys consumes them."""

    def of_leaf(new: Array, old: Array) -> Array:
        return old if jnp.issubdtype(new.dtype, jax.dtypes.prng_key) else jnp.where(condition, new, old)

    return jax.tree.map(of_leaf, chosen, other)
