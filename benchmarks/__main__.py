"""The benchmarks, one after another: ``python -m benchmarks``. Each has its own options when run alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ae_jax.types import UsageError
from benchmarks import parts, report

BENCHMARKS = ("step", "lanes", "epoch", "compile", "memory", "shares", "likelihood", "precision")


@dataclasses.dataclass(frozen=True)
class Options:
    """Run every benchmark with its default options, or compare two result files."""

    repeats: int | None = None
    """Timed calls of each contestant; by default each benchmark's own, 7."""
    quick: bool = False
    """A smoke test of the code: sizes too small to mean anything."""
    out: Path = report.FOLDER
    """Folder for the JSON files, one for each benchmark."""
    compare: tuple[Path, Path] | None = None
    """OLD NEW: measure nothing; print the ratio of each row, and which have changed beyond their quartiles."""


def run(options: Options) -> None:
    """Each benchmark in a process of its own; a UsageError names those that failed."""
    if options.compare:
        report.compare(*options.compare)
        return
    if options.repeats is not None and options.repeats < 1:
        raise UsageError(f"--repeats {options.repeats} is not allowed: give whole numbers of at least 1")
    common = ["--quick"] if options.quick else []
    common += ["--repeats", str(options.repeats)] if options.repeats else []
    outcomes = [
        parts.run(parts.Part(name, f"benchmarks.{name}", (*common, "--out", str(options.out / f"{name}.json"))))
        for name in BENCHMARKS
    ]
    if failed := [outcome["part"] for outcome in outcomes if outcome["outcome"] != "done"]:
        raise UsageError(f"{', '.join(failed)} did not end well: run python -m benchmarks.{failed[0]} alone")


if __name__ == "__main__":
    report.guard(Options, run)
