"""Many runs as one search: a host loop over segments that serves every group of lanes until all are done.

Epoch budgets, early stopping, k-fold, successive halving, resuming and progress are all this one loop; a single
training is a search with one lane. Lanes with the same objective and plan form a group; a group is a program, or
several are one (:func:`programs`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ae_jax import devices, rows
from ae_jax.devices import side_by_side
from ae_jax.engine import Group, Halving, Lanes, ProgramRun, Settings, merged
from ae_jax.lanes import DIVERGED, HALVED, RUNNING, Splits
from ae_jax.objectives import Objective
from ae_jax.training import PADDING, Data
from ae_jax.types import HParams, Plan, PyTree, UsageError
from ae_jax.widening import fits, narrow, parameter_count

UNLIMITED = int(np.iinfo(np.int32).max)


class Progress(NamedTuple):
    """What the engine reports after each call, about the lanes of this process."""

    group: str
    lanes: int
    running: int
    epoch: int  # epochs trained by the lane of the call that is furthest behind
    epochs_done: int  # lane-epochs behind us
    epochs_left: int  # lane-epochs ahead, if no lane ends early
    train_loss: float  # medians over the lanes of the call
    validation_loss: float
    images_per_second: float


class Monitor(NamedTuple):
    """Who follows: ``report`` after each call, ``log`` a line at a time.

    ``should_stop`` is asked before a program is compiled and after each call.
    """

    report: Callable[[Progress], None] = lambda progress: None
    log: Callable[[str], None] = lambda line: None
    should_stop: Callable[[], bool] = lambda: False


class Results(NamedTuple):
    """What became of the lanes of a group. Curves are ``[lanes, epochs]``, NaN after a lane's last epoch."""

    status: np.ndarray  # [lanes] int32, see lanes.STATUS_NAMES
    epochs: np.ndarray  # [lanes] int32: epochs trained
    train_loss: np.ndarray
    validation_loss: np.ndarray
    score: np.ndarray  # [lanes]: monitored loss of ``params``; infinite for a diverged lane
    params: PyTree  # leaves [lanes, ...]: the best epoch's with patience, else the last epoch's
    compile_seconds: float
    train_seconds: float
    images_per_second: float


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop and did so between two calls; its checkpoints, if any, are written."""


def make_lanes(numbers: HParams, seed=0, split=0, trial=0) -> Lanes:
    """Lanes from hyper-parameters, seeds, splits and trials that broadcast against each other to ``[lanes]``.

    Raises UsageError for a hyper-parameter out of its range.
    """
    columns = np.broadcast_arrays(*map(np.atleast_1d, (*map(np.asarray, numbers), seed, split, trial)))
    numbers = HParams(*columns[:-3])
    allowed = {
        "learning_rate": (numbers.learning_rate > 0, "greater than 0"),
        "l2": (numbers.l2 >= 0, "at least 0"),
        "dropout": ((numbers.dropout >= 0) & (numbers.dropout < 1), "at least 0 and less than 1"),
        "momentum": ((numbers.momentum >= 0) & (numbers.momentum < 1), "at least 0 and less than 1"),
        "noise": (numbers.noise >= 0, "at least 0"),
        "penalty": (numbers.penalty >= 0, "at least 0"),
        "warmup": (numbers.warmup >= 0, "at least 0"),
        "epochs": (numbers.epochs >= 1, "at least 1"),
    }
    for name, (valid, rule) in allowed.items():
        if not valid.all():
            raise UsageError(f"{name} {getattr(numbers, name)[~valid][0]:g} is not allowed: it must be {rule}")
    return Lanes(numbers, *(column.astype(np.int32) for column in columns[-3:]))


def stack_splits(splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> Splits:
    """(train, validation) index pairs as rows of equal length, the shorter ones padded."""

    def stack(rows: Sequence[np.ndarray]) -> np.ndarray:
        longest = max(map(len, rows))
        padded = [np.pad(row, (0, longest - len(row)), constant_values=PADDING) for row in rows]
        return np.asarray(padded, np.int32)

    return Splits(*map(stack, zip(*splits, strict=True)))


def run_lanes(
    objective: Objective, plan: Plan, lanes: Lanes, data: Data, splits: Splits, settings: Settings = Settings(),
    monitor: Monitor = Monitor(),
) -> Results:  # fmt: skip
    """Train the lanes of one group: :func:`run_groups` with a single one."""
    (result,) = run_groups([Group(plan.optimizer, objective, plan, lanes)], data, splits, settings, monitor)
    return result


def programs(groups: Sequence[Group]) -> list[list[int]]:
    """The numbers of the groups that each program trains: those whose objectives fit a wider one's, else one alone."""
    found: list[list[int]] = []
    for number in sorted(range(len(groups)), key=lambda i: -parameter_count(groups[i].objective)):
        for together in found:
            if _may_share(groups[number], groups[together[0]]):
                together.append(number)
                break
        else:
            found.append([number])
    return sorted(sorted(together) for together in found)


def _may_share(group: Group, wide: Group) -> bool:
    fresh = group.pretrained is None and wide.pretrained is None
    return fresh and group.plan == wide.plan and fits(group.objective, wide.objective)


def start(
    groups: Sequence[Group], data: Data, splits: Splits, settings: Settings = Settings(), monitor: Monitor = Monitor()
) -> list[ProgramRun]:
    """The groups by program, initialised or restored from their checkpoints, before any further training."""

    local = jax.local_devices()  # processes share lanes, not arrays

    def mesh_for(group: Group) -> Mesh:
        owned = -(-len(group.lanes.seed) // jax.process_count())
        return devices.mesh_for(group.objective, group.plan, min(owned, settings.lanes_per_call or owned), local)

    def begin(index: int) -> ProgramRun:
        mesh = meshes[index]
        return ProgramRun(index, together[index], *copies[mesh], mesh, settings, monitor.log)

    together = [[groups[number] for number in numbers] for numbers in programs(groups)]
    meshes = [mesh_for(merged(members)) for members in together]
    copies = {mesh: jax.device_put((data, splits), NamedSharding(mesh, PartitionSpec())) for mesh in set(meshes)}
    return side_by_side(begin, range(len(together)))


def run_groups(
    groups: Sequence[Group], data: Data, splits: Splits, settings: Settings = Settings(), monitor: Monitor = Monitor()
) -> list[Results]:
    """Train every lane of every group to its end.

    Args:
        groups: what is trained; a program each, or one for several (:func:`programs`).
        data: examples on the device, shared by all lanes.
        splits: which examples a lane trains and validates on.
        settings, monitor: how it runs and who is told.

    Returns:
        Results in the order of ``groups``, the same in every process.

    Raises:
        UsageError: a batch larger than the training split.
        Interrupted: ``monitor.should_stop`` said so.
    """
    runs = start(groups, data, splits, settings, monitor)
    patience = settings.patience or UNLIMITED
    last = max(int(run.budget.max()) for run in runs)
    side_by_side(lambda run: monitor.should_stop() or run.compile(last), runs)
    for rung in (*_rungs(settings.halving, last), last):
        stopped = _train_until(runs, rung, patience, monitor)
        if jax.process_count() > 1:  # a process that was stopped waits here for the others, so that all stop
            stopped = bool(multihost_utils.process_allgather(np.array(stopped)).any())
        if stopped:
            raise Interrupted
        for run in runs:
            run.share()
        if rung < last:
            _halve(runs, rung, settings.halving.factor, monitor)
    results = {}
    for numbers, run in zip(programs(groups), runs, strict=True):
        results |= zip(numbers, _results(run, keep_best=settings.patience is not None), strict=True)
    return [results[number] for number in range(len(groups))]


def _train_until(runs: Sequence[ProgramRun], epoch: int, patience: int, monitor: Monitor) -> bool:
    """Train this process's lanes to ``epoch``, or until the monitor says stop; returns whether it did."""
    if monitor.should_stop():
        return True
    for run in runs:
        while (ids := run.runnable(epoch)).size:
            trained = run.call(ids, patience, epoch)
            monitor.report(_progress(runs, run, trained))
            if monitor.should_stop():
                return True
    return False


def _rungs(halving: Halving | None, last: int) -> list[int]:
    if halving is None:
        return []
    epochs = (halving.first * halving.factor**i for i in itertools.count())
    return list(itertools.takewhile(lambda epoch: epoch < last, epochs))


def _halve(runs: Sequence[ProgramRun], rung: int, factor: int, monitor: Monitor) -> None:
    """Of the trials that were running at ``rung``, let the best 1/factor go on, judged by the mean of their lanes.

    A lane counts with its lowest loss up to the rung, infinity if it had diverged. That is a function of the
    curves alone, so that a resumed search, some of whose lanes are past the rung, judges as it did before.
    """
    scores: dict[int, list[float]] = {}
    competing = set()
    for run in runs:
        status, epoch = run.store.status, run.store.epoch
        lowest = np.nanmin(np.c_[run.monitored[:, :rung], np.full(len(epoch), np.inf)], axis=1)
        lowest[(status == DIVERGED) & (epoch <= rung)] = np.inf
        judged = (epoch > rung) | ((epoch == rung) & np.isin(status, (RUNNING, HALVED)))
        competing |= set(run.group.lanes.trial[judged].tolist())
        for trial, loss in zip(run.group.lanes.trial.tolist(), lowest.tolist(), strict=True):
            scores.setdefault(trial, []).append(loss)
    ranking = sorted(competing, key=lambda trial: (np.mean(scores[trial]), trial))
    kept = ranking[: -(-len(ranking) // factor)]
    monitor.log(f"epoch {rung}: {len(kept)} of {len(ranking)} trials go on")
    for run in runs:
        waiting = (run.store.status == RUNNING) & (run.store.epoch == rung)
        leaving = waiting & ~np.isin(run.group.lanes.trial, kept)
        run.store.status[leaving] = HALVED
        run.save(np.flatnonzero(leaving))


def _progress(runs: Sequence[ProgramRun], run: ProgramRun, trained: np.ndarray) -> Progress:
    running = [other.owned & (other.store.status == RUNNING) for other in runs]
    last = run.store.epoch[trained] - 1
    train_loss, validation_loss = (float(np.median(curve[trained, last])) for curve in run.curves)
    return Progress(
        group=run.group.name,
        lanes=sum(int(other.owned.sum()) for other in runs),
        running=sum(int(lanes.sum()) for lanes in running),
        epoch=int(last.min()) + 1,
        epochs_done=sum(int(other.store.epoch[other.owned].sum()) for other in runs),
        epochs_left=sum(int((r.budget - r.store.epoch)[lanes].sum()) for r, lanes in zip(runs, running, strict=True)),
        train_loss=train_loss,
        validation_loss=validation_loss,
        images_per_second=sum(r.cost.images for r in runs) / sum(r.cost.train_seconds for r in runs),
    )


def _results(run: ProgramRun, keep_best: bool) -> list[Results]:
    """Of each group that the program trained. Its seconds are shared out by the images of each."""
    store, curves = run.store, run.curves
    score = store.best_loss if keep_best else run.monitored[np.arange(len(store.epoch)), store.epoch - 1]
    score = np.where(store.status == DIVERGED, np.float32(np.inf), score)
    params = store.best_params if keep_best else store.train.params

    def of_group(group: Group, lanes: slice) -> Results:
        epochs = int(group.lanes.hparams.epochs.max())
        share = store.epoch[lanes].sum() / store.epoch.sum()
        return Results(
            status=store.status[lanes],
            epochs=store.epoch[lanes],
            train_loss=curves.train_loss[lanes, :epochs],
            validation_loss=curves.validation_loss[lanes, :epochs],
            score=score[lanes],
            params=narrow(rows.take(params, lanes), group.objective),
            compile_seconds=share * run.cost.compile_seconds,
            train_seconds=share * run.cost.train_seconds,
            images_per_second=run.cost.images / max(run.cost.train_seconds, 1e-9),
        )

    ends = itertools.accumulate((len(group.lanes.seed) for group in run.groups), initial=0)
    return [of_group(group, slice(*span)) for group, span in zip(run.groups, itertools.pairwise(ends), strict=True)]
