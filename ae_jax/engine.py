"""One program's lanes in progress: at rest on the host, trained a call at a time, checkpointed after each call.

Between calls a lane is a row of NumPy arrays, so that packing lanes into a call is indexing and a checkpoint is a
copy of rows. The host loop over programs is in ``trials``; the compiled program is in ``lanes``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from ae_jax import checkpoints, rows
from ae_jax.devices import COMPILER_OPTIONS, side_by_side
from ae_jax.lanes import RUNNING, Epoch, LaneState, Limits, Splits, init_lanes, run_segment, steps_per_epoch
from ae_jax.objectives import Objective
from ae_jax.training import Data
from ae_jax.types import HParams, Plan, PyTree, UsageError, static_dropout, tree_size
from ae_jax.widening import parameter_count, widen

USABLE_MEMORY = 0.9  # of a device's; the rest is left to fragmentation


class Lanes(NamedTuple):
    """The lanes of a group, on the host; ``trials.make_lanes`` builds it."""

    hparams: HParams  # leaves [lanes]
    seed: np.ndarray  # [lanes] int32
    split: np.ndarray  # [lanes] int32: the row of Splits a lane trains on
    trial: np.ndarray  # [lanes] int32: the lanes of one trial (its folds, its seeds) are judged together


class Group(NamedTuple):
    """Lanes that share an objective and a plan, hence a program; a program may train several groups (``widening``).

    ``pretrained`` is what lanes start from in place of fresh parameters: a part of the objective's parameter tree,
    leaves ``[lanes, ...]``.
    """

    name: str
    objective: Objective
    plan: Plan
    lanes: Lanes
    pretrained: PyTree = None


class Halving(NamedTuple):
    """Synchronous successive halving (Li et al. 2020): at epochs ``first * factor**i`` the best 1/factor go on."""

    first: int
    factor: int = 3


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the engine runs, whatever it runs.

    segment: epochs between two returns to the host.
    patience: epochs without a lower validation loss before a lane is stopped; None trains to the end.
    halving: successive halving over all trials of the search; None keeps every trial.
    lanes_per_call: lanes in one call; None is one per device on CPUs and as many as fit on an accelerator.
    checkpoint_folder: where lanes are kept after every call and looked for at the start; None keeps nothing.

    Raises UsageError for an impossible number.
    """

    segment: int = 5
    patience: int | None = None
    halving: Halving | None = None
    lanes_per_call: int | None = None
    checkpoint_folder: Path | None = None

    def __post_init__(self):
        for name in ("segment", "patience", "lanes_per_call"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"{name} {value} is not allowed: it must be at least 1")
        if self.halving is not None and (self.halving.first < 1 or self.halving.factor < 2):
            raise UsageError(f"halving {tuple(self.halving)} is not allowed: first epoch at least 1, factor at least 2")


class Cost(NamedTuple):
    """What calls have cost. Groups that compile side by side slow each other down, so that their seconds overlap."""

    train_seconds: float = 0.0
    compile_seconds: float = 0.0
    images: int = 0


def merged(groups: Sequence[Group]) -> Group:
    """The lanes of ``groups``, in order, as lanes of the widest."""
    if len(groups) == 1:
        return groups[0]
    widest = max(groups, key=lambda group: parameter_count(group.objective))
    lanes = rows.concatenate(group.lanes for group in groups)
    return widest._replace(name=f"{widest.name} and {len(groups) - 1} more", lanes=lanes)


class ProgramRun:
    """The mutable side of the engine: ``groups`` that train as one, the widest's (:func:`merged`).

    ``store`` and ``curves`` hold every lane, ``[lanes, ...]``. With several processes each trains every n-th lane;
    :meth:`share` brings the rows of all of them together.
    """

    def __init__(
        self, index: int, groups: Sequence[Group], data: Data, splits: Splits, mesh: Mesh, settings: Settings,
        log: Callable[[str], None],
    ):  # fmt: skip
        self.groups, self.group = groups, (group := merged(groups))
        self.data, self.splits, self.mesh, self.log = data, splits, mesh, log
        self.segment, folder = settings.segment, settings.checkpoint_folder
        self.steps = steps_per_epoch(group.plan, splits)
        self.budget = np.asarray(group.lanes.hparams.epochs)
        self.cost = Cost()
        self._prefix = None if folder is None else folder / f"group{index:03d}"
        self._programs: dict[int, jax.stages.Compiled] = {}
        count = len(self.budget)
        self.rows, self.sharers = mesh.devices.shape  # lanes at once, and devices for each of them
        wanted = settings.lanes_per_call or (self.rows if jax.default_backend() == "cpu" else count)
        self.owned = np.arange(count) % jax.process_count() == jax.process_index()
        self.lanes_per_call = self._whole_rows(min(wanted, self.owned.sum()))
        self.curves = Epoch(*np.full((2, count, int(self.budget.max())), np.nan, np.float32))
        self.store = self._fresh()
        for params in (self.store.train.params, self.store.best_params):
            rows.overwrite(params, group.pretrained or {})
        self._restore()

    @property
    def monitored(self) -> np.ndarray:
        """The curves that early stopping and ranking look at, ``[lanes, epochs]``."""
        return self.curves.validation_loss if self.splits.validation.shape[1] else self.curves.train_loss

    def runnable(self, until: int) -> np.ndarray:
        """Ids of this process's lanes that have epochs to train before ``until``, those furthest behind first."""
        ids = np.flatnonzero(self.owned & (self.store.status == RUNNING) & (self.store.epoch < until))
        return ids[np.argsort(self.store.epoch[ids], kind="stable")]

    def compile(self, until: int) -> None:
        """Compile the next call's program ahead of it; too little memory for it is dealt with there."""
        if (ids := self.runnable(until)).size:
            size = self._call_size(len(ids))
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                self._program(size, self._arguments(ids[:size], size, 1, until))

    def call(self, ids: np.ndarray, patience: int, until: int) -> np.ndarray:
        """Train the first of the lanes ``ids``, as many as a call takes, for a segment; returns the ids trained."""
        size = self._call_size(len(ids))
        chosen, ids = ids, ids[:size]
        arguments = self._arguments(ids, size, patience, until)
        try:
            program = self._program(size, arguments)
            if (fitting := self._fitting(size, program)) < size:
                self.log(f"{self.group.name}: {size} lanes need more memory than there is, taking {fitting} at a time")
                self.lanes_per_call = fitting
                return self.call(chosen, patience, until)
            started = time.perf_counter()
            states, epochs = rows.to_host(program(*arguments))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or size == self.rows:
                raise
            self.lanes_per_call = self._whole_rows(size // 2)
            warnings.warn(f"{size} lanes do not fit the device: going on with {self.lanes_per_call}", stacklevel=2)
            return self.call(chosen, patience, until)
        before = self.store.epoch[ids]
        rows.put(self.store, ids, states)
        after = self.store.epoch[ids]
        for curve, trained in zip(self.curves, epochs, strict=True):
            for lane, start, stop, row in zip(ids, before, after, trained, strict=False):
                curve[lane, start:stop] = row[: stop - start]
        self.cost = self.cost._replace(
            train_seconds=self.cost.train_seconds + time.perf_counter() - started,
            images=self.cost.images + int((after - before).sum()) * self.steps * self.group.plan.batch_size,
        )
        self.save(ids)
        return ids

    def share(self) -> None:
        """Give every process the rows that the others have trained."""
        if jax.process_count() > 1:
            lane = np.arange(len(self.budget))
            gathered = multihost_utils.process_allgather((self.store, self.curves))
            rows = jax.tree.map(lambda leaf: np.array(leaf[lane % jax.process_count(), lane]), gathered)
            self.store, self.curves = rows

    def save(self, ids: np.ndarray) -> None:
        """Checkpoint those of these lanes that this process owns."""
        if self._prefix is not None:
            for lane in ids[self.owned[ids]]:
                checkpoints.save(self._path(lane), rows.take((self.store, self.curves), lane))

    def memory(self) -> int:
        """Bytes this group needs at its peak: lanes at rest, data, and what its program asks for (compiles it)."""
        program = self._program(self.lanes_per_call, self._arguments(np.array([0]), self.lanes_per_call, 1, 1))
        return tree_size((self.store, self.curves)) + self.mesh.size * _device_bytes(program)

    def _fresh(self) -> LaneState:
        """All lanes before their first epoch, each group's made by its own objective and then widened."""
        states = side_by_side(self._fresh_group, self.groups)
        widest = max(states, key=lambda state: tree_size(rows.take(state, 0)))
        return rows.concatenate(widen(state, widest) for state in states)

    def _fresh_group(self, group: Group) -> LaneState:
        """The lanes of one group, made as many at a time as they are trained."""
        lanes, count = (group.lanes.seed, group.lanes.hparams), len(group.lanes.seed)
        size = min(self.lanes_per_call, count)
        chunks = [np.arange(start, start + size).clip(max=count - 1) for start in range(0, count, size)]
        init = functools.partial(init_lanes, group.objective, group.plan)
        states = rows.concatenate(rows.to_host(init(*rows.take(lanes, ids))) for ids in chunks)
        return rows.take(states, slice(count))  # all chunks were of one size, for one program

    def _program(self, size: int, arguments: tuple) -> jax.stages.Compiled:
        if size not in self._programs:
            self.log(f"{self.group.name}: compiling for {size} of {len(self.budget)} lanes at a time")
            started = time.perf_counter()
            statics = (self.group.objective, self.group.plan, self.steps, self.segment, self.mesh)
            self._programs[size] = run_segment.lower(*statics, *arguments).compile(
                compiler_options=COMPILER_OPTIONS if self.sharers > 1 else None
            )
            seconds = time.perf_counter() - started
            self.cost = self.cost._replace(compile_seconds=self.cost.compile_seconds + seconds)
            self.log(f"{self.group.name}: compiled in {seconds:.1f} s")
        return self._programs[size]

    def _fitting(self, size: int, program: jax.stages.Compiled) -> int:
        """How many of ``size`` lanes the devices have memory for; all where a device does not tell, as CPUs do not."""
        memory = (self.mesh.devices.flat[0].memory_stats() or {}).get("bytes_limit")
        if memory is None:
            return size
        share = USABLE_MEMORY * memory / _device_bytes(program)
        fitting = size if share >= 1 else int(size * share) // self.rows * self.rows
        return max(fitting, self.rows)

    def _call_size(self, lanes: int) -> int:
        """For how many lanes the next call is compiled, if ``lanes`` are left."""
        size = self.lanes_per_call
        while (smaller := self._whole_rows(size // 2)) < size and smaller >= lanes:
            size = smaller  # worth compiling another program for
        return size

    def _arguments(self, ids: np.ndarray, size: int, patience: int, until: int) -> tuple:
        ids = np.pad(ids, (0, size - len(ids)), mode="edge")
        states = rows.take(self.store, ids)
        key = jax.random.wrap_key_data(states.train.key)
        states = states._replace(train=states.train._replace(key=key))
        lanes = self.group.lanes
        limits = Limits(np.int32(patience), np.int32(until))
        return states, rows.take(static_dropout(lanes.hparams), ids), lanes.split[ids], limits, self.data, self.splits

    def _whole_rows(self, lanes: int) -> int:
        return -(-max(lanes, 1) // self.rows) * self.rows

    def _path(self, lane: int) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}-lane{lane:05d}.msgpack")

    def _restore(self) -> None:
        if self._prefix is not None:
            for lane in range(len(self.budget)):
                kept = checkpoints.load(self._path(lane), rows.take((self.store, self.curves), lane))
                if kept is not None:
                    rows.put((self.store, self.curves), np.array([lane]), jax.tree.map(lambda leaf: leaf[None], kept))


def _device_bytes(program: jax.stages.Compiled) -> int:
    """What a compiled program takes of each device's memory."""
    analysis = program.memory_analysis()
    return analysis.temp_size_in_bytes + analysis.argument_size_in_bytes + analysis.output_size_in_bytes
