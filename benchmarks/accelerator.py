"""All that is to be measured on an accelerator, in one call of under ten minutes: ``python -m benchmarks.accelerator``.

Each part has a process and a time limit of its own and writes what it has as it goes; ``summary.json`` is written
after each. Report A's search of 174 trials is timed at full size on the dataset given. Neither PyTorch nor
tensorflow-datasets is needed: ``--data-dir`` names a folder with MNIST's four IDX files.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any, Literal

from ae_jax import results
from ae_jax.types import UsageError
from benchmarks import parts, report
from benchmarks.parts import Part

SUMMARY = "summary.json"


@dataclasses.dataclass(frozen=True)
class Options:
    """Time what a GPU is for, with a limit for each part and for all."""

    dataset: Literal["mnist", "digits"] = "mnist"
    """What report A's search trains on; digits are embedded."""
    data_dir: Path | None = None
    """Folder with the four IDX files of MNIST; AE_JAX_DATA says the same."""
    seconds: int = 570
    """Limit for everything together."""
    quick: bool = False
    """A smoke test of the code: sizes too small to mean anything."""
    only: tuple[
        Literal["A1", "lanes", "step", "epoch", "memory", "shares", "compile", "likelihood", "precision"], ...
    ] = ()
    """Run these parts alone."""
    out: Path = report.FOLDER / "accelerator"
    """Folder for the result files."""


def plan(options: Options) -> list[Part]:
    """The parts, the most wanted first. Their limits add up to less than ten minutes."""
    search = ["--study", "A1", "--dataset", options.dataset, "--out", str(options.out)]
    search += ["--limit", "100", "--batch-size", "16", "--epochs", "5", "--trials", "2"] if options.quick else []
    search += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    # A timed call must last long beside its launch: an H200 may train millions of images a second.
    larger = {
        "lanes": (100, "--lanes", "1", "4", "16", "64", "256", "--images", "20480"),
        "step": (100, "--images", "256000", "--torch-compile", "60", "--implementations", "banded", "lax"),
        "memory": (50, "--repeats", "1"),
        "epoch": (40,),
        "shares": (40, "--images", "128000"),
        "likelihood": (30, "--samples", "5000", "--torch-codes", "20000"),
        "compile": (40, "--repeats", "3", "--studies"),
        "precision": (30, "--networks", "conv"),
    }
    found = [Part("A1", "experiments.random_search", ("--budget", "full", *search), 140)]
    for name, (limit, *arguments) in larger.items():
        chosen = ["--quick"] if options.quick else arguments
        out = str(options.out / f"{name}.json")
        found.append(Part(name, f"benchmarks.{name}", (*chosen, "--out", out), limit))
    return [part for part in found if not options.only or part.name in options.only]


def costs(options: Options) -> dict[str, Any]:
    """Where the time of the search went, if it came to its end: from its npz."""
    npz = options.out / "random_search_A1.npz"
    if not npz.is_file():
        return {}
    arrays, meta = results.load(npz)
    seconds = {name: meta[name] for name in ("compile_seconds", "train_seconds", "wall_seconds")}
    return seconds | {"trials": len(arrays["score"]), "best": float(arrays["score"].min()), "device": meta["device"]}


def run(options: Options) -> None:
    """Run the parts in turn; a UsageError at the end if one of them failed."""
    if options.seconds < 1:
        raise UsageError(f"--seconds {options.seconds} is not allowed: give a whole number of at least 1")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {options.out}: cannot write there ({error.strerror}); name another folder") from error
    (options.out / "random_search_A1.npz").unlink(missing_ok=True)  # an older search must not pass for this one
    end, outcomes = time.perf_counter() + options.seconds, []
    for part in plan(options):
        outcomes.append(parts.run(part, end - time.perf_counter()))
        if part.name == "A1":
            outcomes[-1] |= costs(options)
        results.write_atomically(options.out / SUMMARY, json.dumps(outcomes, indent=1).encode())
    print()
    for outcome in outcomes:
        print(f"{outcome['part']:8} {outcome['seconds']:6.1f} s  {outcome['outcome']}")
    print(f"\nWrote {options.out / SUMMARY}")
    if failed := [outcome["part"] for outcome in outcomes if outcome["outcome"].startswith("failed")]:
        raise UsageError(f"{', '.join(failed)} failed: the reason is above; --only runs a part alone")


if __name__ == "__main__":
    report.guard(Options, run)
