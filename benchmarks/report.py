"""What every benchmark shares at its two ends: its options and command line, its result file, and their comparison."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from ae_jax import process, results
from ae_jax.types import UsageError
from benchmarks import timing
from experiments import command_line, common
from experiments.comparison import print_table

FOLDER = Path("results/benchmarks")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options that every benchmark takes."""

    repeats: int = 7
    """Timed calls of each contestant, in turns; fewer than 7 are a smoke test."""
    quick: bool = False
    """A smoke test of the code: sizes too small to mean anything."""
    out: Path | None = None
    """The result file; by default results/benchmarks/NAME.json."""


O = TypeVar("O", bound=Options)


def main(name: str, options_type: type[O], quick: Mapping[str, Any], run: Callable[[O], None]) -> None:
    """Parse the command line and run; with ``--quick`` the defaults are those of ``quick``.

    Bad input ends in one line on stderr and exit code 2.
    """
    defaults = {"out": FOLDER / f"{name}.json"} | (quick if "--quick" in sys.argv[1:] else {})
    guard(_with_defaults(options_type, defaults), run)


def _with_defaults(options_type: type[O], defaults: Mapping[str, Any]) -> type[O]:
    hints = get_type_hints(options_type)
    fields = [(name, hints[name], value) for name, value in defaults.items()]
    namespace = {"__doc__": options_type.__doc__}
    return dataclasses.make_dataclass("Options", fields, bases=(options_type,), namespace=namespace, frozen=True)


def guard(options_type: type[O], run: Callable[[O], None]) -> None:
    """``run`` with the options of the command line; a UsageError becomes one line on stderr and exit code 2."""
    options = command_line.parse(options_type)
    process.use_all_cores()
    try:
        run(options)
    except UsageError as error:
        process.fail(str(error))


def check(options: Options, may_be_zero: Sequence[str] = (), may_be_empty: Sequence[str] = ()) -> None:
    """Refuse whole numbers that are too small and a result file that cannot be written; a UsageError says which."""
    for name, value in vars(options).items():
        values, option = value if isinstance(value, tuple) else (value,), f"--{name.replace('_', '-')}"
        least = 0 if name in may_be_zero else 1
        if not values and name not in may_be_empty:
            raise UsageError(f"{option} has no value: give at least one")
        if any(type(number) is int and number < least for number in values):
            given = " ".join(map(str, values))
            raise UsageError(f"{option} {given} is not allowed: give whole numbers of at least {least}")
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        results.write_atomically(options.out, b"{}")
    except OSError as error:
        raise UsageError(f"--out {options.out}: cannot write there ({error.strerror}); name another file") from error


def config(options: Options) -> dict[str, Any]:
    """Options as plain JSON values."""
    return common.plain(options)


def random_images(count: int) -> np.ndarray:
    """``[count, 28, 28, 1]`` uint8, random pixels: speed does not depend on what is on an image."""
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), np.uint8)


def measurement(case: str, contestant: str, samples: Sequence[float], unit: str = "s", **more: Any) -> dict[str, Any]:
    """One row of a result file. Whatever the unit, less is better."""
    row = {"case": case, "contestant": contestant, "unit": unit, "samples": list(samples)}
    return row | {"quartiles": timing.quartiles(samples)} | more


def spread(row: Mapping[str, Any], scale: float = 1.0, digits: int = 3) -> tuple[str, str]:
    """Median and quartiles of a row, times ``scale``, as text."""
    low, median, high = (f"{scale * value:,.{digits}f}" for value in row["quartiles"])
    return median, f"{low} - {high}"


def save(path: Path, meta: dict[str, Any], measurements: Sequence[dict[str, Any]]) -> None:
    """Write the result file."""
    results.write_atomically(path, json.dumps({"meta": meta, "measurements": list(measurements)}, indent=1).encode())


def load(path: Path) -> tuple[dict[str, Any], dict[tuple[str, str], dict[str, Any]]]:
    """``(meta, {(case, contestant): row})`` of a result file; a UsageError if it is none."""
    try:
        content = json.loads(path.read_text())
        rows = {(row["case"], row["contestant"]): row for row in content["measurements"]}
        for row in rows.values():
            low, median, high = row["quartiles"]
            if not 0 < low <= median <= high:
                raise ValueError(f"quartiles {row['quartiles']}")
        return dict(content["meta"]), rows
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{path}: not a result file of a benchmark ({reason}); name one that --out has written"
        ) from error


def change(before: Sequence[float], after: Sequence[float]) -> str:
    """How two triples of quartiles stand: ``less`` or ``more`` where the boxes are apart, else ``same``."""
    if after[2] < before[0]:
        return "less"
    return "more" if after[0] > before[2] else "same"


def compare(old: Path, new: Path) -> None:
    """Print the medians of two result files side by side, for what both of them measured."""
    (old_meta, before), (new_meta, after) = load(old), load(new)
    both = [key for key in before if key in after]
    if not both:
        raise UsageError(f"{old} and {new} have no measurement in common: run both with the same options")
    for name in ("device", "processor", "cores", "versions", "environment"):
        if old_meta.get(name) != new_meta.get(name):
            print(f"caution: {name} differs: {old_meta.get(name)} against {new_meta.get(name)}")
    rows = []
    for key in both:
        (a, b), unit = (side[key]["quartiles"] for side in (before, after)), before[key].get("unit", "s")
        rows.append([*key, f"{a[1]:.4g} {unit}", f"{b[1]:.4g} {unit}", f"{b[1] / a[1]:.3f}", change(a, b)])
    left_out = len(before) + len(after) - 2 * len(both)
    caption = f"A = {old}, B = {new}: medians, less is better. same: their quartiles overlap."
    if left_out:
        caption += f" {left_out} row(s) in one file only."
    print_table("A against B", ["case", "contestant", "A", "B", "B / A", "B is"], rows, caption)
