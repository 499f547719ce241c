"""What a study is, and the one way in which all of them run: prepare, train, measure, save, draw, finish.

A study says what it trains (``plan``), what it finds (``measure``) and how that looks (``draw``). It knows nothing of
processes, checkpoints or files. A lane that diverged is NaN in what it finds, never a lost study.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ae_jax import evaluation, latent, locks, results
from ae_jax.lanes import STATUS_NAMES
from ae_jax.runs import Run
from ae_jax.types import UsageError
from experiments import command_line, common, comparison, reports, running
from experiments.common import Budget, Budgets, Options, Setup
from experiments.comparison import Row
from experiments.running import Training

# The words that a study is written in, whichever room they come from; functions are called as ``study.main``.
__all__ = ["Budget", "Measured", "Paths", "Row", "Runs", "Saved", "Setup", "Study", "Training"]

FITTED = 10_000  # training images that what is fitted to images or their codes learns from, at most
Runs = dict[str, Run]  # by the name of their group
Paths = Iterable[Path]  # of figures, as they are written


class Measured(NamedTuple):
    """What a study finds.

    arrays: for the npz, all that its figures need.
    rows: of its table; what its report claims is decided from the arrays, see :mod:`experiments.reports`.
    caption: of every figure; :func:`~experiments.common.describe` by default.
    config: what options and budget do not say, as plain JSON values.
    comparable: False where what the study starts from, as a model that it was given, is not by a report's protocol.
    """

    arrays: dict[str, Any]
    rows: Sequence[Row]
    caption: str | None = None
    config: dict[str, Any] = {}
    comparable: bool = True


class Saved(NamedTuple):
    """An npz read back: figures and tables come from nothing else."""

    npz: Path
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]

    @property
    def caption(self) -> str:
        """Which data and which budget."""
        return self.meta["caption"]

    def place(self, name: str = "") -> Path:
        """Where the figure ``name`` goes, without its ending; the only one of a study needs none."""
        return self.npz.with_name("_".join([self.npz.stem, *([name] if name else [])]))

    def draw(self, plot: Callable[..., list[Path]], name: str, *content: Any, **words: Any) -> list[Path]:
        """The figure ``name`` by a function that draws, which is given the study's caption too."""
        return plot(self.place(name), *content, **words, caption=self.caption)


@dataclasses.dataclass(frozen=True)
class Study:
    """A study.

    name: of its module and its npz, to which ``--study`` is added where there is one.
    budgets: by budget and dataset, or a function of the options that gives them.
    plan: ``setup -> Training``; bad options are refused here.
    measure: ``(setup, runs) -> Measured``, in one process only.
    draw: ``saved -> paths`` of the figures.
    show: further tables on the terminal, from what was saved.
    export: ``(setup, runs, saved) -> paths`` of further files, as models.
    deviations: options that must not be given if a report's figures are to stand beside ours, likewise.
    """

    name: str
    options: type[Options]
    budgets: Budgets | Callable[[Any], Budgets]
    plan: Callable[[Setup], Training]
    measure: Callable[[Setup, Runs], Measured]
    draw: Callable[[Saved], Paths]
    show: Callable[[Saved], None] = lambda saved: None
    export: Callable[[Setup, Runs, Saved], list[Path]] = lambda setup, runs, saved: []
    deviations: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = ()

    def npz(self, options: Options) -> Path:
        """Where the results go."""
        return options.out / f"{self.label(options)}.npz"

    def label(self, options: Options) -> str:
        """The study's name with its variant's."""
        return "_".join([self.name, *([options.study] if hasattr(options, "study") else [])])


def main(study: Study) -> None:
    """The command line of a study."""

    def start(options: Options) -> None:
        if options.resume and not any(options.out.glob(f"{study.label(options)}*.checkpoints")):
            print(f"nothing to resume in {options.out}: starting anew", file=sys.stderr)
        run(study, options)

    command_line.main(study.options, start)


def run(study: Study, options: Options) -> Path | None:
    """The whole study; returns its npz, None in the processes that do not write and for a dry run."""
    if options.redraw:
        return redraw(study, options)
    if getattr(options, "dry_run", False):
        return running.dry_run(*_prepare(study, options))
    with locks.alone(options.out / study.label(options)):
        return _finish(study, *_prepare(study, options))


def _prepare(study: Study, options: Options) -> tuple[Setup, Training]:
    """What a study starts from, and what it trains."""
    setup = common.prepare(options, study.label(options), _of(options, study.budgets))
    return setup, study.plan(setup)


def _finish(study: Study, setup: Setup, training: Training) -> Path | None:
    """Train, measure, save, draw; returns the npz, None in the processes that do not write."""
    runs = running.train(setup, training)
    if not running.is_writer():
        return None
    _tell_diverged(setup.earlier | runs)
    npz = save(study, setup, runs, study.measure(setup, runs))
    saved = read(study, npz)
    written = [npz, *study.draw(saved), *study.export(setup, runs, saved)]
    study.show(saved)
    comparison.print_meta(saved.meta)
    running.remove_checkpoints(setup)
    for path in written:
        results.remove_leftovers(path)
    print(f"\nDone in {time.perf_counter() - setup.started:.1f} s. Wrote:")
    print(*(f"  {path}" for path in written), sep="\n")
    return npz


def redraw(study: Study, options: Options) -> Path | None:
    """The figures and tables of a finished study once more, from its npz alone."""
    if not running.is_writer():
        return None
    saved = read(study, study.npz(options))
    figures = list(study.draw(saved))
    study.show(saved)
    comparison.print_meta(saved.meta)
    print("\nDrawn again:")
    print(*(f"  {path}" for path in figures), sep="\n")
    return saved.npz


def save(study: Study, setup: Setup, runs: Runs, measured: Measured) -> Path:
    """Write the npz: the arrays, the rows of the table, and where all of it comes from."""
    options = setup.options
    variant = getattr(options, "study", None)
    config = {"options": common.plain(options), "budget": dataclasses.asdict(setup.budget)} | measured.config
    config |= {"study": variant} if variant else {}
    default = ". ".join([*([variant] if variant else []), common.describe(setup)])
    costs = [run.cost for run in [*setup.earlier.values(), *runs.values()]]
    meta = results.provenance(study.name, setup.dataset, config) | {
        "caption": measured.caption or default,
        "comparable": measured.comparable and common.comparable(setup, *_of(options, study.deviations)),
        "rows": comparison.plain(measured.rows),
        "findings": comparison.plain(reports.findings(study.label(options), measured.arrays)),
        "status_names": STATUS_NAMES,
        "compile_seconds": float(sum(cost.compile_seconds for cost in costs)),
        "train_seconds": float(sum(cost.train_seconds for cost in costs)),
        "wall_seconds": time.perf_counter() - setup.started,
        "cpu_seconds": time.process_time() - setup.cpu,
        "resumed": bool(setup.resumed),  # then the seconds are those since
        "peak_host_bytes": running.peak_host_bytes(),
    }
    return results.save(study.npz(options), measured.arrays, meta)


def probe(setup: Setup, run: Run) -> np.ndarray:
    """Test accuracy of a linear probe of each lane's codes, fitted to ``FITTED`` training images: ``[*run.shape]``."""
    train, test = (latent.encode(run, images) for images in (setup.train_images[:FITTED], setup.test_images))
    labels = setup.dataset.train_labels[:FITTED], setup.dataset.test_labels
    found = [evaluation.linear_probe(train[i], labels[0], test[i], labels[1]) for i in np.ndindex(run.shape)]
    return np.reshape(found, run.shape)


def history(run: Run) -> dict[str, np.ndarray]:
    """How the lanes of a run ended, ``[*shape]``, and their losses by epoch, ``[*shape, epochs]``."""
    return {"status": run.status, **run.curves._asdict()}


def histories(runs: Runs) -> dict[str, np.ndarray]:
    """The :func:`history` of every run: ``[runs, *shape, ...]``."""
    return together(map(history, runs.values()))


def together(
    found: Iterable[dict[str, np.ndarray]], join: Callable[[list[np.ndarray]], np.ndarray] = np.stack
) -> dict[str, np.ndarray]:
    """What was found of several things, by name, as arrays of all: with a leading axis of them, or as ``join`` does."""
    found = list(found)
    return {name: join([of_one[name] for of_one in found]) for name in found[0]}


def _of(options: Options, value: Any) -> Any:
    """``value``, or what it gives for ``options`` if it is a function of them."""
    return value(options) if callable(value) else value


def read(study: Study, npz: Path) -> Saved:
    """A study's results, as its figures take them."""
    return Saved(npz, *results.load(npz, study.name))


def _tell_diverged(runs: Runs) -> None:
    """Name the runs that diverged. Raises UsageError if all did."""
    lanes = sum(run.status.size for run in runs.values())
    lost = {name: int(run.diverged.sum()) for name, run in runs.items() if run.diverged.any()}
    if lanes and sum(lost.values()) == lanes:
        raise UsageError("every run diverged: give smaller learning rates, or another --seed")
    if lost:
        names = ", ".join(f"{name} ({count} of {runs[name].status.size})" for name, count in lost.items())
        print(f"diverged, and left out of every figure: {names}", file=sys.stderr)
