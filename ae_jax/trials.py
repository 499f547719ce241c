"""Many runs as one search: a host loop over segments that serves every group of lanes until all are done.

Epoch budgets, early stopping, k-fold, successive halving, resuming and progress are all this one loop; a single
training is a search with one lane. Lanes with the same objective and plan form a group; a group is a program, or
several are one (:func:`programs`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ae_jax import checkpoints, optimizers, sharing
from ae_jax.batching import Data
from ae_jax.engine import ProgramRun, Settings
from ae_jax.identity import identity
from ae_jax.lanes import DIVERGED, HALVED, OWN_TRIAL, RUNNING, Group, Lanes, Splits, steps_per_epoch
from ae_jax.objectives import Objective, parameter_count, parameter_shapes
from ae_jax.runs import Run
from ae_jax.sharing import side_by_side
from ae_jax.types import Interrupted, Plan, UsageError
from ae_jax.widening import fits


class Progress(NamedTuple):
    """What the engine reports after each call, about the lanes of this process."""

    group: str
    lanes: int
    running: int
    epoch: int  # epochs trained by the lane of the call that is furthest behind
    epochs_done: int  # lane-epochs behind us
    epochs_left: int  # lane-epochs ahead, if no lane ends early
    epochs_restored: int  # of those behind us, what checkpoints gave
    train_loss: float  # medians over the lanes of the call
    validation_loss: float | None  # None where nothing is validated on
    images_per_second: float


class Monitor(NamedTuple):
    """Who follows: ``report`` after each call, ``log`` a line at a time.

    ``should_stop`` is asked before a program is compiled and after each call: for which signal to stop, or 0.
    """

    report: Callable[[Progress], None] = lambda progress: None
    log: Callable[[str], None] = lambda line: None
    should_stop: Callable[[], int] = lambda: 0


def run_lanes(
    objective: Objective, plan: Plan, lanes: Lanes, data: Data, splits: Splits, settings: Settings = Settings(),
    monitor: Monitor = Monitor(),
) -> Run:  # fmt: skip
    """Train the lanes of one group: :func:`run_groups` with a single one."""
    (run,) = run_groups([Group(plan.optimizer, objective, plan, lanes)], data, splits, settings, monitor)
    return run


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

    def mesh_for(members: Sequence[Group]) -> Mesh:
        widest = max(members, key=lambda group: parameter_count(group.objective))
        owned = -(-sum(group.lanes.seed.size for group in members) // jax.process_count())
        return sharing.mesh_for(widest.objective, widest.plan, min(owned, settings.lanes_per_call or owned), local)

    def begin(index: int) -> ProgramRun:
        mesh = meshes[index]
        examples, indices = copies[mesh]
        return ProgramRun(index, together[index], examples, indices, mesh, settings, monitor.log)

    if jnp.result_type(float) != jnp.float32:
        raise UsageError("JAX's 64-bit mode is not allowed: lanes are float32; unset JAX_ENABLE_X64 (jax_enable_x64)")
    groups = _numbered(groups)
    together = [[groups[number] for number in numbers] for numbers in programs(groups)]
    for group in groups:  # refuse what cannot run before anything is written
        steps_per_epoch(group.plan, splits)
        jax.eval_shape(optimizers.build(group.plan, group.lanes.hparams).init, parameter_shapes(group.objective))
    _open_checkpoints(groups, data, splits, settings)
    meshes = [mesh_for(members) for members in together]
    copies = {mesh: jax.device_put((data, splits), NamedSharding(mesh, PartitionSpec())) for mesh in set(meshes)}
    return side_by_side(begin, range(len(together)))


def _numbered(groups: Sequence[Group]) -> list[Group]:
    """The groups with a trial's number of its own for each lane that is a trial by itself."""
    free = itertools.count(1 + max(int(group.lanes.trial.max()) for group in groups))

    def number(trial: np.ndarray) -> np.ndarray:
        numbers = [next(free) if of == OWN_TRIAL else of for of in trial.ravel().tolist()]
        return np.array(numbers, np.int32).reshape(trial.shape)

    return [group._replace(lanes=group.lanes._replace(trial=number(group.lanes.trial))) for group in groups]


def _open_checkpoints(groups: Sequence[Group], data: Data, splits: Splits, settings: Settings) -> None:
    """Process 0 makes or checks the folder."""
    if (folder := settings.checkpoint_folder) is None:
        return

    def open_it() -> None:
        checkpoints.open_folder(folder, identity(groups, data, splits, _deciding(settings)), settings.resume)

    sharing.in_first_process(open_it)
    folder.mkdir(parents=True, exist_ok=True)  # in every process: it need not be shared


def _deciding(settings: Settings) -> dict[str, Any]:
    """The settings that decide numbers, as plain values."""
    names = ("segment", "patience", "keep_best", "halving", "lanes_per_call")
    return {**settings.identity, **{name: getattr(settings, name) for name in names}}


def run_groups(
    groups: Sequence[Group], data: Data, splits: Splits, settings: Settings = Settings(), monitor: Monitor = Monitor()
) -> list[Run]:
    """Train every lane of every group to its end.

    Args:
        groups: what is trained; a program each, or one for several (:func:`programs`).
        data: examples on the device, shared by all lanes.
        splits: which examples a lane trains and validates on.
        settings, monitor: how it runs and who is told.

    Returns:
        Runs in the order of ``groups``, the same in every process.

    Raises:
        UsageError: a batch larger than the training split; checkpoints of another search.
        Interrupted: ``monitor.should_stop`` said so.
        ConnectionError: another process of a distributed run is gone.
    """
    return results(groups, train_groups(groups, data, splits, settings, monitor), settings.keep_best)


def train_groups(
    groups: Sequence[Group], data: Data, splits: Splits, settings: Settings = Settings(), monitor: Monitor = Monitor()
) -> list[ProgramRun]:
    """:func:`run_groups` up to the trained programs, of which :func:`results` makes runs."""
    runs = start(groups, data, splits, settings, monitor)
    last = max(int(run.budget.max()) for run in runs)
    side_by_side(lambda run: monitor.should_stop() or run.compile(last), runs)
    for rung in (*_rungs(settings, last), last):
        # A process that was stopped waits here for the others, so that all stop.
        if stopped := int(sharing.gathered(np.int32(_train_until(runs, rung, monitor))).max()):
            raise Interrupted(
                "stopped between two calls; checkpoints, if any are kept, go on with resume=True", stopped
            )
        for run in runs:
            run.share()
        if settings.halving is not None and rung < last:
            _halve(runs, rung, settings.halving.factor, monitor)
    return runs


def results(groups: Sequence[Group], trained: Sequence[ProgramRun], keep_best: bool) -> list[Run]:
    """A run for each of the ``groups`` that :func:`train_groups` has trained, ``keep_best`` as in ``Settings``."""
    by_number: dict[int, Run] = {}
    for numbers, run in zip(programs(groups), trained, strict=True):
        by_number |= zip(numbers, run.results(keep_best), strict=True)
    return [by_number[number] for number in range(len(groups))]


def _train_until(runs: Sequence[ProgramRun], epoch: int, monitor: Monitor) -> int:
    """Train this process's lanes to ``epoch``, or until the monitor says stop; returns what it said."""
    if stop := monitor.should_stop():
        return stop
    for run in runs:
        while (ids := run.runnable(epoch)).size:
            trained = run.call(ids, epoch)
            monitor.report(_progress(runs, run, trained))
            if stop := monitor.should_stop():
                return stop
    return 0


def _rungs(settings: Settings, last: int) -> list[int]:
    if settings.halving is None:
        return []
    first, factor = settings.halving
    epochs = (first * factor**i for i in itertools.count())
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
        competing |= set(run.lanes.trial[judged].tolist())
        for trial, loss in zip(run.lanes.trial.tolist(), lowest.tolist(), strict=True):
            scores.setdefault(trial, []).append(loss)
    ranking = sorted(competing, key=lambda trial: (np.mean(scores[trial]), trial))
    kept = ranking[: -(-len(ranking) // factor)]
    monitor.log(f"epoch {rung}: {len(kept)} of {len(ranking)} trials go on")
    for run in runs:
        waiting = (run.store.status == RUNNING) & (run.store.epoch == rung)
        leaving = waiting & ~np.isin(run.lanes.trial, kept)
        run.store.status[leaving] = HALVED
        run.save(np.flatnonzero(leaving))


def _progress(runs: Sequence[ProgramRun], run: ProgramRun, trained: np.ndarray) -> Progress:
    running = [other.owned & (other.store.status == RUNNING) for other in runs]
    last = run.store.epoch[trained] - 1
    train_loss, validation_loss = (float(np.median(curve[trained, last])) for curve in run.curves)
    return Progress(
        group=run.name,
        lanes=sum(int(other.owned.sum()) for other in runs),
        running=sum(int(lanes.sum()) for lanes in running),
        epoch=int(last.min()) + 1,
        epochs_done=sum(int(other.store.epoch[other.owned].sum()) for other in runs),
        epochs_left=sum(int((r.budget - r.store.epoch)[lanes].sum()) for r, lanes in zip(runs, running, strict=True)),
        epochs_restored=sum(r.restored for r in runs),
        train_loss=train_loss,
        validation_loss=validation_loss if run.splits.validation.shape[1] else None,
        images_per_second=sum(r.images for r in runs) / sum(r.calls.run_seconds for r in runs),
    )
