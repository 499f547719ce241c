"""The JAX contestants: a network trained as the engine does it, an epoch in one call, or with a call for each step."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ae_jax import sharing
from ae_jax.batching import Data, take
from ae_jax.data import holdout
from ae_jax.engine import Settings
from ae_jax.lanes import lane_grid, stack_splits, steps_per_epoch
from ae_jax.objectives import Objective
from ae_jax.segments import Limits, init_params, lane_state
from ae_jax.sharing import LANES, SHARE, lane_map
from ae_jax.training import init_state, train_epoch, train_step
from ae_jax.types import HParams, Plan, TrainState, hparams, static_dropout
from benchmarks import timing
from benchmarks.networks import NETWORKS
from benchmarks.timing import Program


class Case(NamedTuple):
    """One table of contestants."""

    network: str
    batch_size: int
    dropout: float = 0.0
    trials: int = 1

    def __str__(self) -> str:
        return f"{self.network}, batch {self.batch_size}, dropout {self.dropout:g}, trials {self.trials}"


def scan_program(objective: Objective, case: Case, images: np.ndarray, most_devices: int = 2**20) -> Program:
    """An epoch as one call, on the devices that the engine would take: its ``lane_map`` of ``training.train_epoch``.

    A number of trials that the devices do not divide leaves some of them idle.
    """
    most = min(most_devices, jax.local_device_count())
    count = max(n for n in range(1, most + 1) if case.trials % min(n, case.trials) == 0)
    plan = Plan(case.batch_size)
    mesh = sharing.mesh_for(objective, plan, case.trials, jax.local_devices()[:count])
    division = sharing.division(mesh.shape[SHARE])
    steps = len(images) // case.batch_size
    lanes, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((LANES,), ()))

    def epoch(states: TrainState, numbers: HParams, data: Data, indices: jax.Array):
        def lane(state: TrainState, numbers: HParams) -> tuple[TrainState, jax.Array]:
            return train_epoch(objective, plan, state, numbers, data, indices, steps, division)

        return lane_map(lane, states, numbers)

    specs = (lanes.spec, lanes.spec, everywhere.spec, everywhere.spec)
    epoch = jax.shard_map(epoch, mesh=mesh, in_specs=specs, out_specs=lanes.spec, check_vma=False)
    states, numbers = jax.device_put(fresh_lanes(objective, case), lanes)
    rest = jax.device_put(resident(images), everywhere)
    executable, seconds = timing.compiled(epoch, states, numbers, *rest)

    def run() -> float:
        nonlocal states
        states, loss = jax.block_until_ready(executable(states, numbers, *rest))
        return float(loss.mean())

    return Program(run, seconds)


def call_program(objective: Objective, case: Case, images: np.ndarray) -> Program:
    """The loop most users write: one jitted call for each step of ``training.train_step``; of one trial only."""
    plan = Plan(case.batch_size)
    data, indices = resident(images)
    order = np.random.default_rng(0)
    steps = len(images) // case.batch_size

    def step(state, numbers, data: Data, batch: jax.Array):
        return train_step(objective, plan, state, numbers, take(data, batch), sharing.division())

    state, numbers = fresh(objective, case)
    executable, seconds = timing.compiled(step, state, numbers, data, indices[: case.batch_size])

    def run() -> float:
        nonlocal state
        shuffled = order.permutation(len(images))[: steps * case.batch_size].astype(np.int32)
        for batch in shuffled.reshape(steps, -1):
            state, loss = executable(state, numbers, data, batch)
        return float(jax.block_until_ready((state, loss))[1])

    return Program(run, seconds)


def segment(case: Case, images: np.ndarray) -> tuple:
    """Arguments of ``segments.run_segment``, statics first: as long as the engine's, ``case.trials`` lanes."""
    plan, data = Plan(case.batch_size), resident(images)[0]
    objective = NETWORKS[case.network].ours()
    splits = stack_splits([holdout(len(images))])
    epochs = Settings().segment
    lanes = lane_grid(dropout=case.dropout, epochs=epochs, seed=np.arange(case.trials))
    mesh = sharing.mesh_for(objective, plan, case.trials, jax.local_devices()[:1])
    params, keys = jax.vmap(functools.partial(init_params, objective.init))(lanes.seed)
    states = jax.vmap(functools.partial(lane_state, plan))(params, keys, lanes.hparams)
    limits = Limits(np.int32(np.iinfo(np.int32).max), np.int32(epochs))
    statics = objective, plan, steps_per_epoch(plan, splits), epochs, mesh
    return *statics, states, static_dropout(lanes.hparams), lanes.split, limits, data, splits


def resident(images: np.ndarray) -> tuple[Data, jax.Array]:
    """The dataset on the device and the indices of all its examples."""
    return Data(jnp.asarray(images), jnp.zeros(len(images), jnp.int32)), jnp.arange(len(images))


def fresh(objective: Objective, case: Case) -> tuple[TrainState, HParams]:
    """``(state, hparams)`` of one trial."""
    return jax.tree.map(lambda leaf: leaf[0], fresh_lanes(objective, case._replace(trials=1)))


def fresh_lanes(objective: Objective, case: Case) -> tuple[TrainState, HParams]:
    """``(state, hparams)`` of ``case.trials`` trials, a leading axis."""
    init = functools.partial(init_state, objective, Plan(case.batch_size))
    numbers = static_dropout(hparams(dropout=[case.dropout] * case.trials))
    return jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), case.trials), numbers), numbers
