"""Training as a user of a study sees it: progress, checkpoints to resume from, Ctrl-C, many processes, a dry run."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

import ae_jax
from ae_jax import checkpoints, results, trials
from ae_jax.data import holdout
from ae_jax.engine import Group, Halving, Settings
from ae_jax.lanes import DIVERGED, STATUS_NAMES, Splits, steps_per_epoch
from ae_jax.types import Dataset, UsageError, tree_size
from ae_jax.widening import parameter_shapes
from experiments import report
from experiments.common import Options, Setting, comparable, describe, plain, training_data
from experiments.report import Row

_BAR = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} epochs [{remaining} left{postfix}]"
# Options that do not decide the numbers, so that a run may be resumed with others.
NOT_IDENTITY = {"out", "data_dir", "resume", "export", "top", "dry_run"} | {
    "distributed", "coordinator", "num_processes", "process_id",
}  # fmt: skip


def train(
    name: str, setting: Setting, groups: Sequence[Group], splits: Splits | None = None,
    patience: int | None = None, halving: Halving | None = None,
) -> list[trials.Results]:  # fmt: skip
    """Train groups on a study's training images, with checkpoints under ``--out`` that last until :func:`finish`.

    ``splits`` is report A's holdout by default. A study may train more than once, under a ``name`` each.
    """
    options, _, dataset, _ = setting
    splits = trials.stack_splits([holdout(len(dataset.train_images))]) if splits is None else splits
    folder = _folder(name, options)
    settings = Settings(options.segment, patience, halving, options.lanes_per_call, folder)
    for group in groups:  # refuse what cannot run before anything is written
        steps_per_epoch(group.plan, splits)
    _open_checkpoints(folder, options, _identity(options, dataset, groups, splits, patience))
    with progress_bar(name, sum(int(np.sum(group.lanes.hparams.epochs)) for group in groups)) as monitor:
        return trials.run_groups(groups, training_data(dataset), splits, settings, monitor)


def unless_diverged(values: Any, status: np.ndarray) -> np.ndarray:
    """``values [..., lanes]`` of lanes that ended with ``status [lanes]``, NaN where one diverged."""
    return np.where(status == DIVERGED, np.nan, values)


def save(
    name: str, setting: Setting, runs: Sequence[trials.Results], arrays: dict[str, Any], rows: Sequence[Row],
    caption: str | None = None, deviations: Sequence[str] = (), **config: Any,
) -> Path:  # fmt: skip
    """Write ``name``.npz: the arrays, the rows of its table, and where all of it comes from.

    Args:
        name: the study's; the part before a ``/``, if any, is the study, the rest tells its variants apart.
        runs: what was trained, for the costs.
        caption: of every figure; :func:`~experiments.common.describe` by default.
        deviations: options of the study that must not be given if a report's figures are to stand beside ours.
        config: what options and budget do not say.
    """
    options, budget, dataset, started = setting
    config = {"options": plain(options), "budget": dataclasses.asdict(budget)} | config
    meta = results.provenance(name.split("/")[0], dataset, config)
    meta |= {
        "caption": describe(setting) if caption is None else caption,
        "comparable": comparable(setting, *deviations),
        "rows": report.plain(rows),
        "status_names": STATUS_NAMES,
        "compile_seconds": sum(run.compile_seconds for run in runs),
        "train_seconds": sum(run.train_seconds for run in runs),
        "wall_seconds": time.perf_counter() - started,
        "resumed": options.resume,  # then the seconds are those since
        "peak_host_bytes": _peak_host_bytes(),
    }
    return results.save(options.out / f"{name.replace('/', '_')}.npz", arrays, meta)


def finish(setting: Setting, npz: Path, figures: Sequence[Path], *trained: str) -> Path:
    """Print the study's table and what it wrote, delete the checkpoints of what it ``trained``; returns ``npz``."""
    report.print_rows(results.load(npz)[1])
    for name in trained:
        checkpoints.remove_folder(_folder(name, setting.options))
    print(f"\nDone in {time.perf_counter() - setting.started:.1f} s. Wrote:")
    for path in (npz, *figures):
        print(f"  {path}")
    return npz


def is_writer() -> bool:
    """Whether this process is the one that tests, writes and prints."""
    return jax.process_index() == 0


@contextlib.contextmanager
def progress_bar(title: str, epochs: int) -> Iterator[trials.Monitor]:
    """A monitor for the engine: a bar over lane-epochs on stderr. The first Ctrl-C stops cleanly after the call."""
    bar = tqdm(total=epochs, desc=title, dynamic_ncols=True, bar_format=_BAR, disable=not is_writer())
    stop = threading.Event()

    def log(line: str) -> None:
        tqdm.write(line, file=sys.stderr)
        bar.initial, bar.start_t = bar.n, time.time()  # the time left goes by the speed since then

    def show(progress: trials.Progress) -> None:
        bar.total, bar.n = progress.epochs_done + progress.epochs_left, progress.epochs_done
        bar.set_postfix_str(
            f"{progress.group}, epoch {progress.epoch}, lanes {progress.running}/{progress.lanes}, "
            f"train {progress.train_loss:.4f}, val {progress.validation_loss:.4f}, "
            f"{progress.images_per_second:,.0f} images/s"
        )

    def interrupt(signum: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        log("stopping after this segment; press Ctrl-C again to stop at once")

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield trials.Monitor(show, log, stop.is_set)
    finally:
        signal.signal(signal.SIGINT, previous)
        bar.close()


def dry_run(setting: Setting, groups: Sequence[Group], splits: Splits) -> None:
    """Print what a study would do: a row for each program, and the memory of the largest, which is compiled."""
    options = setting.options
    settings = Settings(segment=options.segment, lanes_per_call=options.lanes_per_call)
    runs = trials.start(groups, training_data(setting.dataset), splits, settings)
    images = [int(run.budget.sum()) * run.steps * run.group.plan.batch_size for run in runs]
    rows = [
        (
            run.group.name,
            str(len(run.budget)),
            str(run.lanes_per_call),
            str(run.steps),
            f"{run.budget.sum():,}",
            f"{n:,}",
        )
        for run, n in zip(runs, images, strict=True)
    ]
    largest = max(runs, key=lambda run: run.group.plan.batch_size * tree_size(run.store.best_params) // len(run.budget))
    needed = largest.memory()  # compiles, which is what takes the most of the rest
    memory = needed + _peak_host_bytes()
    header = ("program", "lanes", "at a time", "steps/epoch", "lane-epochs", "images")
    total = f"{sum(images):,} images in all; about {memory / 2**30:.2f} GiB of memory at the peak"
    report.print_table("Programs", header, rows, total)


def _folder(name: str, options: Options) -> Path:
    return options.out / f"{name.replace('/', '_')}.checkpoints"


def _identity(
    options: Options, dataset: Dataset, groups: Sequence[Group], splits: Splits, patience: int | None
) -> dict[str, Any]:
    """All that decides the numbers of a run, as plain values; the long ones as digests."""

    def digest(tree: object) -> str:
        content = hashlib.sha256()
        for leaf in jax.tree.leaves(tree):
            content.update(leaf.encode() if isinstance(leaf, str) else np.ascontiguousarray(leaf).tobytes())
        return content.hexdigest()[:16]

    return {name: value for name, value in plain(options).items() if name not in NOT_IDENTITY} | {
        "lanes": digest([(group.lanes, group.pretrained) for group in groups]),
        "programs": digest([f"{group.name} {group.plan} {parameter_shapes(group.objective)}" for group in groups]),
        "splits": digest(splits),
        "patience": patience,
        "dataset_sha256": dataset.digest,
        "processes": jax.process_count(),
        "devices (JAX_NUM_CPU_DEVICES)": f"{jax.local_device_count()} {jax.local_devices()[0].device_kind}",
        "ae_jax": ae_jax.__version__,
        "jax": f"{jax.__version__}, jaxlib {importlib.metadata.version('jaxlib')}",
    }


def _open_checkpoints(folder: Path, options: Options, identity: dict[str, Any]) -> None:
    """Process 0 makes or checks the folder; if it refuses, every process ends with an error."""
    refusal = None
    if is_writer():
        if options.resume and not folder.exists():
            print(f"nothing to resume in {folder}: starting anew", file=sys.stderr)
        try:
            checkpoints.open_folder(folder, identity, options.resume)
        except UsageError as error:
            refusal = error
    if jax.process_count() > 1 and multihost_utils.broadcast_one_to_all(np.int32(refusal is not None)):
        refusal = refusal or UsageError("process 0 refused the checkpoints")
    if refusal is not None:
        raise refusal
    folder.mkdir(parents=True, exist_ok=True)  # in every process: it need not be shared


def _peak_host_bytes() -> int:
    """The most memory this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
