"""One program's lanes in progress: at rest on the host, trained a call at a time, checkpointed after each call.

Between calls a lane is an entry of NumPy arrays, so that packing lanes into a call is indexing and a checkpoint is a
copy. The host loop over programs is in ``trials``; the compiled program is in ``segments``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from ae_jax import calls, checkpoints, host, sharing
from ae_jax.batching import Data
from ae_jax.calls import Calls
from ae_jax.lanes import DIVERGED, RUNNING, Group, Lanes, Splits, steps_per_epoch
from ae_jax.objectives import parameter_count
from ae_jax.runs import Cost, Curves, Run
from ae_jax.segments import LaneState, Limits, init_params, lane_state, run_segment
from ae_jax.types import static_dropout, tree_size, whole
from ae_jax.widening import narrow, widen


class Halving(NamedTuple):
    """Synchronous successive halving (Li et al. 2020): at epochs ``first * factor**i`` the best 1/factor go on."""

    first: int
    factor: int = 3


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the engine runs, whatever it runs.

    segment: epochs between two returns to the host.
    patience: epochs without a lower monitored loss before a lane is stopped; None trains to the end. Monitored is the
        validation loss, or the training loss where nothing is validated on.
    keep_best: whether a lane's parameters are those of the epoch with the lowest loss, or else of its last.
    halving: successive halving over all trials of the search; None keeps every trial.
    lanes_per_call: lanes in one call; None is one per device on CPUs and as many as fit on an accelerator.
    checkpoint_folder: where lanes are kept after every call and looked for at the start; None keeps nothing. It is
        made, belongs to one search and is refused to others.
    resume: whether to go on with an unfinished run that lies there, or else to refuse it.
    identity: what else decides the numbers, as plain JSON values: kept with the checkpoints and compared.

    Raises UsageError for an impossible number.
    """

    segment: int = 5
    patience: int | None = None
    keep_best: bool = False
    halving: Halving | None = None
    lanes_per_call: int | None = None
    checkpoint_folder: Path | None = None
    resume: bool = True
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name in ("segment", "patience", "lanes_per_call"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole(name, value))
        if self.halving is not None:
            first, factor = self.halving
            halving = Halving(whole("halving's first epoch", first), whole("halving's factor", factor, 2))
            object.__setattr__(self, "halving", halving)


class ProgramRun:
    """The mutable side of the engine: ``groups`` that train as one program, the widest's; their lanes flat, in order.

    ``store`` and ``curves`` hold every lane, ``[lanes, ...]``. With several processes each trains every n-th lane;
    :meth:`share` brings those of all together.
    """

    def __init__(
        self, index: int, groups: Sequence[Group], data: Data, splits: Splits, mesh: Mesh, settings: Settings,
        log: Callable[[str], None],
    ):  # fmt: skip
        widest = max(groups, key=lambda group: parameter_count(group.objective))
        self.index, self.groups, self.objective, self.plan = index, groups, widest.objective, widest.plan
        self.name = widest.name if len(groups) == 1 else f"{widest.name} and {len(groups) - 1} more"
        self.lanes = host.concatenate(map(_flat, groups))
        self.data, self.splits, self.mesh, self.settings = data, splits, mesh, settings
        self.steps = steps_per_epoch(self.plan, splits)
        self.budget = np.asarray(self.lanes.hparams.epochs)
        count, processes = len(self.budget), jax.process_count()
        self.owned = np.arange(count) % processes == jax.process_index()
        abreast, sharers = mesh.devices.shape
        wanted = settings.lanes_per_call or (abreast if sharing.one_by_one() else count)
        self.calls = Calls(
            self._lower, min(wanted, int(self.owned.sum())), abreast, mesh.devices.flat[0],
            sharing.COMPILER_OPTIONS if sharers > 1 else None, lambda line: log(f"{self.name}: {line}"),
        )  # fmt: skip
        self.images = 0
        self.curves = Curves(*np.full((2, count, int(self.budget.max())), np.nan, np.float32))
        self.store = self._fresh()
        self._restore()
        self.restored = int(self.store.epoch[self.owned].sum())  # lane-epochs done before

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
            size = self.calls.size(len(ids))
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                self.calls.compiled(size, self._arguments(until, np.resize(ids, size)))

    def call(self, ids: np.ndarray, until: int) -> np.ndarray:
        """Train the first of the lanes ``ids``, as many as a call takes, for a segment; returns the ids trained."""
        ids, (states, epochs) = self.calls(ids, functools.partial(self._arguments, until))
        before = self.store.epoch[ids]
        host.put(self.store, ids, states)
        after = self.store.epoch[ids]
        for curve, trained in zip(self.curves, epochs, strict=True):
            for lane, start, stop, losses in zip(ids, before, after, trained, strict=False):
                curve[lane, start:stop] = losses[: stop - start]
        self.images += int((after - before).sum()) * self.steps * self.plan.batch_size
        self.save(ids)
        return ids

    def share(self) -> None:
        """Give every process the lanes that the others have trained."""
        if jax.process_count() > 1:
            lane = np.arange(len(self.budget))
            owners = lane % jax.process_count(), lane
            everyones = sharing.gathered((self.store, self.curves))
            self.store, self.curves = jax.tree.map(lambda leaf: np.array(leaf[owners]), everyones)

    def save(self, ids: np.ndarray) -> None:
        """Checkpoint those of these lanes that this process owns."""
        if (folder := self.settings.checkpoint_folder) is not None:
            for lane in ids[self.owned[ids]]:
                checkpoints.save(self._path(folder, lane), host.take((self.store, self.curves), lane))

    def memory(self) -> int:
        """Bytes this group needs at its peak: lanes at rest, data, and what its program asks for (compiles it)."""
        size = self.calls.most
        program = self.calls.compiled(size, self._arguments(1, np.resize(0, size)))
        return tree_size((self.store, self.curves)) + self.mesh.size * calls.device_bytes(program)

    def results(self, keep_best: bool) -> list[Run]:
        """What became of each group. The program's seconds and images are shared out by their lanes' epochs."""
        store, curves = self.store, self.curves
        loss = store.best_loss if keep_best else self.monitored[np.arange(len(store.epoch)), store.epoch - 1]
        loss = np.where(store.status == DIVERGED, np.float32(np.inf), loss)
        params = store.best_params if keep_best else store.train.params

        def of_group(group: Group, lanes: slice) -> Run:
            epochs = int(group.lanes.hparams.epochs.max())
            share = float(store.epoch[lanes].sum() / store.epoch.sum())
            cost = Cost(share * self.calls.run_seconds, share * self.calls.compile_seconds, round(share * self.images))
            arrays = {
                "status": store.status[lanes],
                "epochs": store.epoch[lanes],
                "curves": Curves(curves.train_loss[lanes, :epochs], curves.validation_loss[lanes, :epochs]),
                "loss": loss[lanes],
                "params": narrow(host.take(params, lanes), group.objective),
            }
            return Run(*group[:4], **host.reshape(arrays, 1, group.lanes.shape), cost=cost)

        ends = itertools.accumulate((group.lanes.seed.size for group in self.groups), initial=0)
        return [
            of_group(group, slice(*span)) for group, span in zip(self.groups, itertools.pairwise(ends), strict=True)
        ]

    def _fresh(self) -> LaneState:
        """All lanes before their first epoch, each group's made by its own objective and then widened."""
        states = sharing.side_by_side(self._fresh_group, self.groups)
        widest = max((host.take(state, 0) for state in states), key=tree_size)
        return host.concatenate(widen(state, widest) for state in states)

    def _fresh_group(self, group: Group) -> LaneState:
        """The lanes of one group, one after another."""
        lanes = _flat(group)

        def fresh(lane: int) -> LaneState:
            params, key = init_params(group.objective.init, lanes.seed[lane])
            return host.to_host(lane_state(group.plan, params, key, host.take(lanes.hparams, lane)))

        states = host.stack(map(fresh, range(len(lanes.seed))))
        if group.pretrained:
            start = host.reshape(group.pretrained, len(group.lanes.shape), lanes.seed.shape)
            for params in (states.train.params, states.best_params):
                host.overwrite(params, start)
        return states

    def _lower(self, *arguments) -> jax.stages.Lowered:
        return run_segment.lower(self.objective, self.plan, self.steps, self.settings.segment, self.mesh, *arguments)

    def _arguments(self, until: int, ids: np.ndarray) -> tuple:
        states = host.take(self.store, ids)
        key = jax.random.wrap_key_data(states.train.key)
        states = states._replace(train=states.train._replace(key=key))
        patience = self.settings.patience or np.iinfo(np.int32).max
        limits = Limits(np.int32(patience), np.int32(until))
        numbers = host.take(static_dropout(self.lanes.hparams), ids)
        return states, numbers, self.lanes.split[ids], limits, self.data, self.splits

    def _path(self, folder: Path, lane: int) -> Path:
        return folder / f"group{self.index:03d}-lane{lane:05d}.msgpack"

    def _restore(self) -> None:
        if (folder := self.settings.checkpoint_folder) is not None:
            for lane in range(len(self.budget)):
                kept = checkpoints.load(self._path(folder, lane), host.take((self.store, self.curves), lane))
                if kept is not None:
                    host.put((self.store, self.curves), np.array([lane]), jax.tree.map(lambda leaf: leaf[None], kept))


def _flat(group: Group) -> Lanes:
    """The lanes of a group ``[lanes]``, whatever their shape."""
    return host.reshape(group.lanes, len(group.lanes.shape), (group.lanes.seed.size,))
