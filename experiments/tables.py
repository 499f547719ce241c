"""Tables of trials: as rows for people, as CSV, and back from CSV or npz to be run again."""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ae_jax import results, search
from ae_jax.lanes import STATUS_NAMES
from ae_jax.types import HParams, UsageError

PREFIX = "trial_"


def static_names(build: Callable) -> tuple[str, ...]:
    """The hyper-parameters that select a program rather than fill a lane: the parameters of ``build``."""
    return tuple(inspect.signature(build).parameters)


def hyper_parameters(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The trials of a saved search by name."""
    return {name.removeprefix(PREFIX): values for name, values in arrays.items() if name.startswith(PREFIX)}


def varying_numbers(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The numeric hyper-parameters that are not the same in all trials."""
    trials = hyper_parameters(arrays)
    return {name: v for name, v in trials.items() if v.dtype.kind in "if" and len(np.unique(v)) > 1}


def trial_rows(arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row for each trial, best first: rank, hyper-parameters, status, epochs, score and the folds' scores."""
    rows = []
    for rank, trial in enumerate(arrays["ranking"], start=1):
        status = arrays["status"][trial]
        row = {"rank": rank, "trial": int(trial)}
        row |= {name: values[trial].item() for name, values in hyper_parameters(arrays).items()}
        row |= {"status": STATUS_NAMES[status.max()], "epochs_trained": int(arrays["epochs"][trial].max())}
        row |= {"score": float(arrays["score"][trial])}
        if len(status) > 1:
            row |= {f"fold_{fold}": float(score) for fold, score in enumerate(arrays["fold_score"][trial])}
        rows.append(row)
    return rows


def text(value: Any) -> str:
    """A cell as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """``rows`` as CSV, floats in full precision."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    results.write_atomically(path, file.getvalue().encode())
    return path


def read_trials(path: Path, build: Callable, limit: int | None = None) -> search.Trials:
    """Hyper-parameters from a CSV or a saved search, in the order of the file; columns of results are ignored.

    Raises:
        UsageError: no such file, no usable column, an empty or non-numeric cell.
    """
    known = {*HParams._fields, *static_names(build)}
    if path.suffix == ".npz":
        columns = hyper_parameters(results.load(path, "random_search")[0])
    else:
        columns = _read_csv(path, known)
    columns = {name: values[:limit] for name, values in columns.items() if name in known}
    if not columns or not len(next(iter(columns.values()))):
        raise UsageError(
            f"{path}: no trials in it; a header must name hyper-parameters among {', '.join(sorted(known))}"
        )
    return columns


def _read_csv(path: Path, known: set[str]) -> search.Trials:
    try:
        rows = list(csv.DictReader(path.read_text().splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV ({error}); give a CSV with a header or an npz") from error

    def number(name: str, line: int, cell: str | None) -> Any:
        if name == "optimizer":
            return cell
        try:
            return int(cell) if name != "dropout" and cell.lstrip("-").isdigit() else float(cell)
        except (ValueError, AttributeError) as error:
            raise UsageError(f"{path}, line {line}: {name} is {cell!r}, expected a number") from error

    names = [name for name in (rows[0] if rows else ()) if name in known]
    return {name: np.array([number(name, i, row[name]) for i, row in enumerate(rows, start=2)]) for name in names}
