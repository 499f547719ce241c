"""Training as a user of a study sees it: progress, checkpoints to resume from, Ctrl-C, many processes, a dry run."""

from __future__ import annotations

import dataclasses
import resource
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax

from ae_jax import checkpoints, trials
from ae_jax.data import holdout
from ae_jax.engine import Halving, Settings
from ae_jax.lanes import Group, Splits, stack_splits
from ae_jax.progress import progress_bar
from ae_jax.runs import Cost, Run
from ae_jax.types import tree_size
from experiments import comparison
from experiments.common import Setup, plain

# Options that do not decide the numbers, so that a run may be resumed with others.
NOT_IDENTITY = {"out", "data_dir", "resume", "redraw", "export", "top", "dry_run"} | {
    "distributed", "coordinator", "num_processes", "process_id",
}  # fmt: skip


class Training(NamedTuple):
    """What a study trains, and how; see ``engine.Settings``.

    splits: report A's holdout by default.
    best_too: beside each run there is ``{name}, best epoch``, with the parameters of the epoch of the lowest loss.
    """

    groups: Sequence[Group]
    splits: Splits | None = None
    patience: int | None = None
    keep_best: bool = False
    halving: Halving | None = None
    best_too: bool = False


def train(setup: Setup, training: Training, stage: str = "") -> dict[str, Run]:
    """Train on a study's training images; runs by the name of their group.

    Checkpoints lie under ``--out`` until the study is done. A study that trains before its own training names the
    ``stage``, whose runs are kept in ``setup.earlier``.
    """
    if not training.groups:
        return {}
    options = setup.options
    folder = options.out / f"{'_'.join([setup.label, *([stage] if stage else [])])}.checkpoints"
    setup.checkpoints.append(folder)
    if options.resume and folder.is_dir():
        setup.resumed.append(folder)
    settings = Settings(
        options.segment, training.patience, training.keep_best, training.halving, options.lanes_per_call,
        folder, options.resume,
        {name: value for name, value in plain(options).items() if name not in NOT_IDENTITY},
    )  # fmt: skip
    title = " ".join([setup.label, *([stage] if stage else [])])
    epochs = sum(int(group.lanes.hparams.epochs.sum()) for group in training.groups)
    with progress_bar(title, epochs, shown=is_writer()) as monitor:
        trained = trials.train_groups(training.groups, setup.training, _splits(setup, training), settings, monitor)
    found = {run.name: run for run in trials.results(training.groups, trained, training.keep_best)}
    if training.best_too:
        best = trials.results(training.groups, trained, keep_best=True)
        found |= {f"{run.name}, best epoch": dataclasses.replace(run, cost=Cost()) for run in best}
    if stage:
        setup.earlier.update({f"{stage} {name}": run for name, run in found.items()})
    return found


def _splits(setup: Setup, training: Training) -> Splits:
    return stack_splits([holdout(len(setup.dataset.train_images))]) if training.splits is None else training.splits


def remove_checkpoints(setup: Setup) -> None:
    """Those of a study that is done, all stages; another study's name may begin with its."""
    for folder in setup.checkpoints:
        checkpoints.remove_folder(folder)


def is_writer() -> bool:
    """Whether this process is the one that tests, writes and prints."""
    return jax.process_index() == 0


def dry_run(setup: Setup, training: Training) -> None:
    """Print what a study would do: a line for each program, and the memory of the largest, which is compiled."""
    settings = Settings(setup.options.segment, lanes_per_call=setup.options.lanes_per_call)
    runs = trials.start(training.groups, setup.training, _splits(setup, training), settings)
    images = [int(run.budget.sum()) * run.steps * run.plan.batch_size for run in runs]
    lines = [
        (run.name, str(len(run.budget)), str(run.calls.most), str(run.steps), f"{run.budget.sum():,}", f"{n:,}")
        for run, n in zip(runs, images, strict=True)
    ]
    largest = max(runs, key=lambda run: run.plan.batch_size * tree_size(run.store.best_params) // len(run.budget))
    needed = largest.memory()  # compiles, which is what takes the most of the rest
    memory = needed + peak_host_bytes()
    header = ("program", "lanes", "at a time", "steps/epoch", "lane-epochs", "images")
    total = f"{sum(images):,} images in all; about {memory / 2**30:.2f} GiB of memory at the peak"
    comparison.print_table("Programs", header, lines, total)


def peak_host_bytes() -> int:
    """The most memory this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
