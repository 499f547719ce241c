"""What every study shares: its options, its set-up, its progress, its closing table. No study is in here."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from tqdm import tqdm

import ae_jax
from ae_jax import checkpoints, data, engine, search, trials
from ae_jax.training import Data
from ae_jax.types import Dataset, UsageError, tree_size


@dataclasses.dataclass(frozen=True)
class Options:
    """Options that every study takes."""

    dataset: Literal["mnist", "digits"] = "mnist"
    """mnist, or digits: scikit-learn's embedded 8x8 digits, enlarged, which need no network."""
    data_dir: Path | None = None
    """Folder with the four IDX files of MNIST; AE_JAX_DATA says the same."""
    budget: Literal["quick", "full"] = "quick"
    """quick: seconds to a minute on two cores; full: the report's protocol."""
    out: Path = Path("results")
    """Folder for the npz and the figures."""
    seed: int = 0
    """Seed of the first run; further runs count on from it."""
    seeds: int | None = None
    """Number of runs with different seeds, for error bars."""
    epochs: int | None = None
    """Override the budget's number of epochs."""
    batch_size: int | None = None
    """Override the budget's batch size."""
    limit: int | None = None
    """Use at most this many training and test examples."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """The numbers that make a run quick or full."""

    epochs: int
    batch_size: int
    seeds: int = 1
    limit: int | None = None


O = TypeVar("O", bound=Options)


def main(options_type: type[O], study: Callable[[O], None]) -> None:
    """Parse the command line, run ``study``; bad input ends in one line on stderr and exit code 2."""
    options = _parse(options_type)
    jax.config.update(
        "jax_compilation_cache_dir",
        os.environ.get("JAX_COMPILATION_CACHE_DIR", str(data.cache_dir() / "xla")),
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    try:
        _check(options)
        study(options)
    except UsageError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted; a search goes on from its last checkpoint with --resume", file=sys.stderr)
        sys.exit(130)


def _parse(options_type: type[O]) -> O:
    """tyro's parser, with its error box folded to one line."""
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            return tyro.cli(options_type)
    except SystemExit as end:
        if end.code:
            words = message.getvalue().translate(dict.fromkeys(map(ord, "│╭╮╰╯─"), " ")).split()
            _fail(" ".join(words))
        raise


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _check(options: Options) -> None:
    for name in ("seeds", "epochs", "batch_size", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} {value} is not allowed: give a whole number of at least 1")
    if not 0 <= options.seed < 2**31 - 10**6:
        raise UsageError(f"--seed {options.seed} is not allowed: give a whole number from 0 to two thousand million")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as error:
        raise UsageError(
            f"--out {options.out}: cannot write there ({error.strerror}); name a folder that can be written to"
        ) from error


def resolve(options: Options, budgets: dict[str, dict[str, Budget]]) -> Budget:
    """The budget of the chosen dataset, with the overrides of the command line in place."""
    overrides = given(options, *(field.name for field in dataclasses.fields(Budget)))
    return dataclasses.replace(budgets[options.budget][options.dataset], **overrides)


def given(options: Options, *names: str) -> dict[str, Any]:
    """Those of the named options that the command line gave."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def load(options: Options, budget: Budget) -> Dataset:
    """The dataset of a study, cut to the budget's limit."""
    dataset = data.load(options.dataset, options.data_dir)
    return dataset if budget.limit is None else data.limit(dataset, budget.limit)


def on_device(images: np.ndarray, labels: np.ndarray) -> Data:
    """Examples as the engine takes them."""
    return Data(jnp.asarray(images), jnp.asarray(labels, jnp.int32))


def unit_images(images: np.ndarray) -> jax.Array:
    """uint8 images as float32 in [0, 1], on the device."""
    return jnp.asarray(images).astype(jnp.float32) / 255.0


def describe(options: Options, budget: Budget, dataset: Dataset) -> str:
    """The caption that every figure and table of a run carries: which data, which budget."""
    name = "MNIST" if dataset.name == "mnist" else "embedded digits (not MNIST)"
    sizes = f"{len(dataset.train_images):,} training and {len(dataset.test_images):,} test images"
    numbers = f"{budget.epochs} epochs, batch {budget.batch_size}, {budget.seeds} seed(s)"
    return f"{name}, {sizes}; budget {options.budget}: {numbers}"


def config(options: Options, budget: Budget, **more: Any) -> dict[str, Any]:
    """The whole configuration of a run as plain JSON values."""
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(options).items()}
    return {"options": plain, "budget": dataclasses.asdict(budget), **more}


@contextlib.contextmanager
def progress_bar(title: str, epochs: int) -> Iterator[trials.Monitor]:
    """A monitor for the engine: a bar over lane-epochs on stderr. The first Ctrl-C stops cleanly after the call."""
    bar = tqdm(total=epochs, desc=title, dynamic_ncols=True, bar_format=_BAR_FORMAT)
    stop = threading.Event()

    def log(line: str) -> None:
        tqdm.write(line, file=sys.stderr)
        bar.start_t = time.time()  # the time left should not count the compiler's

    def report(progress: trials.Progress) -> None:
        bar.total, bar.n = progress.epochs_done + progress.epochs_left, progress.epochs_done
        bar.set_postfix_str(
            f"{progress.group}, lanes {progress.running}/{progress.lanes}, epoch {progress.epoch}, "
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
        yield trials.Monitor(report, log, stop.is_set)
    finally:
        signal.signal(signal.SIGINT, previous)
        bar.close()


_BAR_FORMAT = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}<{remaining}{postfix}]"


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> None:
    """A plain table, first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in (header, ["-" * width for width in widths], *rows):
        first, *rest = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]))
    print(caption)


def verdict(reported: float, ours: float, comparable: bool) -> str:
    """How our figure stands to the report's, where lower is better; only MNIST in full can be compared."""
    if not comparable:
        return "not comparable"
    if abs(ours - reported) <= 0.01 * reported:
        return "equal"
    return "better" if ours < reported else "worse"


def print_paths(started: float, paths: Sequence[Path]) -> None:
    """The last lines of a study: how long it took and what it wrote."""
    print(f"\nDone in {time.perf_counter() - started:.1f} s. Wrote:")
    for path in paths:
        print(f"  {path}")


def comparable(options: Options, dataset: Dataset) -> bool:
    """Whether a run's figures may be set beside a report's: MNIST, all of it, by the full budget's numbers."""
    overridden = given(options, "limit", "epochs", "batch_size")
    return dataset.name == "mnist" and options.budget == "full" and not overridden


def total_epochs(groups: Sequence[engine.Group]) -> int:
    """Lane-epochs of a whole search."""
    return sum(int(np.sum(group.lanes.hparams.epochs)) for group in groups)


def open_checkpoints(
    settings: trials.Settings, options: Options, dataset: Dataset, plan: search.Search, splits: trials.Splits
) -> None:
    """Make or check the checkpoint folder; what identifies a search is all that decides its numbers."""
    hidden = {"out", "data_dir", "resume", "export", "top", "dry_run"}
    identity = {k: v for k, v in config(options, Budget(0, 0))["options"].items() if k not in hidden}
    tables = {name: values.tolist() for name, values in plan.trials.items()}
    identity |= {
        "trials": hashlib.sha256(repr(tables).encode()).hexdigest()[:16],
        "programs": hashlib.sha256(repr([(g.name, g.plan) for g in plan.groups]).encode()).hexdigest()[:16],
        "splits": hashlib.sha256(b"".join(np.ascontiguousarray(rows).tobytes() for rows in splits)).hexdigest()[:16],
        "dataset_sha256": dataset.digest,
        "ae_jax": ae_jax.__version__,
        "jax": jax.__version__,
        "backend": jax.default_backend(),
    }
    if jax.process_index() == 0:
        checkpoints.open_folder(settings.checkpoint_folder, identity, options.resume)


def print_dry_run(runs: Sequence[engine.GroupRun]) -> None:
    """What a search would do: a row for each group, and the memory of the largest program (which is compiled)."""
    rows = [
        (run.group.name, str(len(run.budget)), str(run.steps), f"{run.budget.sum():,}",
         f"{run.budget.sum() * run.steps * run.group.plan.batch_size:,}")
        for run in runs
    ]  # fmt: skip
    largest = max(runs, key=lambda run: run.group.plan.batch_size * tree_size(run.store.best_params) // len(run.budget))
    memory = largest.memory() + sum(tree_size(run.store) for run in runs if run is not largest)
    total = sum(int(run.budget.sum()) * run.steps * run.group.plan.batch_size for run in runs)
    print_table(
        "Groups", ("group", "lanes", "steps/epoch", "lane-epochs", "images"), rows,
        f"{len(rows)} program(s), {total:,} images; about {(memory + peak_host_bytes()) / 2**30:.2f} GiB at the peak",
    )  # fmt: skip


def peak_host_bytes() -> int:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
