"""Tables of trials: as rows for people, as CSV, and back from CSV or npz to be run again."""

from __future__ import annotations

import csv
import inspect
import io
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ae_jax import random_search, results
from ae_jax.lanes import STATUS_NAMES
from ae_jax.types import HParams, UsageError
from experiments.command_line import require_count

PREFIX = "trial_"
FRACTIONS = {*HParams._fields, "variance"} - {"epochs"}  # the numbers that are no counts
RESULT_COLUMNS = {"rank", "trial", "status", "epochs_trained", "score"}  # and fold_0, fold_1, ...


def static_names(build: Callable) -> tuple[str, ...]:
    """The hyper-parameters that select a program rather than fill a lane: the parameters of ``build``."""
    return tuple(inspect.signature(build).parameters)


def plain(trials: random_search.Trials) -> dict[str, np.ndarray]:
    """The arrays of an npz that hold ``trials``, which :func:`hyper_parameters` finds: objects as JSON strings."""

    def strings(values: np.ndarray) -> np.ndarray:
        return np.array([json.dumps(value, default=str) for value in values.tolist()])

    return {f"{PREFIX}{name}": strings(v) if v.dtype == object else v for name, v in trials.items()}


def hyper_parameters(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The trials of a saved search by name."""
    return {name.removeprefix(PREFIX): values for name, values in arrays.items() if name.startswith(PREFIX)}


def varying_numbers(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The numeric hyper-parameters that are not the same in all trials."""
    trials = hyper_parameters(arrays)
    return {name: v for name, v in trials.items() if v.dtype.kind in "if" and len(np.unique(v)) > 1}


def correlations(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Spearman's rank correlation of each hyper-parameter that varies with the validation error."""
    from scipy.stats import spearmanr

    finite = np.isfinite(arrays["score"])
    varying = {name: values[finite] for name, values in varying_numbers(arrays).items()}
    return {
        name: float(spearmanr(values, arrays["score"][finite]).statistic)
        for name, values in varying.items()
        if len(np.unique(values)) > 1
    }


def some(arrays: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Hyper-parameters and scores of the ``chosen [trials]``, a mask."""
    names = [name for name in arrays if name.startswith(PREFIX)] + ["score"]
    return {name: arrays[name][chosen] for name in names}


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


def write_csv(path: Path, lines: Sequence[dict[str, Any]], header: Sequence[str] | None = None) -> Path:
    """``lines`` as CSV, floats in full precision; ``header`` is that of the first by default."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, header or list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    return results.write(path, file.getvalue().encode())


def read_trials(
    path: Path, build: Callable, fixed: Mapping[str, Any], required: Collection[str], refuse: Collection[str] = (),
    limit: int | None = None,
) -> random_search.Trials:  # fmt: skip
    """Hyper-parameters from a CSV or a saved search, in the order of the file.

    Args:
        path: a CSV with a header, or the npz of a search. The columns of results that an export has are ignored.
        build: names the hyper-parameters that select a program, see :func:`static_names`.
        fixed: values for columns that the file leaves out.
        required: hyper-parameters that must come from one of the two.
        refuse: hyper-parameters that were given elsewhere too, so that the file must not have them.
        limit: take the first rows only.

    Raises:
        UsageError: no such file; a column unknown, missing or given twice; a row longer than the header; a cell that
            is empty, no finite number, or a count out of range.
    """
    if path.suffix == ".npz":
        columns = hyper_parameters(results.load(path, "random_search")[0])
    else:
        columns = _read_csv(path, {*HParams._fields, *static_names(build)})
    if not columns or not random_search.count(columns):
        raise UsageError(f"{path}: no trials in it; give a header and a row for each trial")
    if twice := columns.keys() & set(refuse):
        raise UsageError(f"{path} has a column {', '.join(sorted(twice))}: leave out the option or the column")
    count = min(random_search.count(columns), limit or random_search.count(columns))
    columns = {name: values[:count] for name, values in columns.items()}
    columns |= {name: np.full(count, value) for name, value in fixed.items() if name not in columns}
    if missing := set(required) - columns.keys():
        raise UsageError(
            f"{path}: no column {', '.join(sorted(missing))}; every hyper-parameter of the search needs one"
        )
    return columns


def _read_csv(path: Path, known: set[str]) -> random_search.Trials:
    try:
        reader = csv.DictReader(path.read_text("utf-8-sig").splitlines(), strict=True)
        names = reader.fieldnames or []
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV ({error}); give a CSV with a header or an npz") from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path}, line 1: more than one column {', '.join(twice)}; leave one of them")
    for line, row in rows:
        if None in row:  # DictReader's name for what has none
            cells = len(names) + len(row[None])
            raise UsageError(f"{path}, line {line}: {cells} cells under {len(names)} columns; give one for each")
    names = [name for name in names if name not in RESULT_COLUMNS and not name.startswith("fold_")]
    if unknown := set(names) - known:
        raise UsageError(
            f"{path}: unknown column {', '.join(sorted(unknown))}; hyper-parameters are {', '.join(sorted(known))}"
        )
    return {name: np.array([_value(f"{path}, line {i}: {name}", name, row[name]) for i, row in rows]) for name in names}


def _value(where: str, name: str, cell: str | None) -> int | float | str | None:
    """The hyper-parameter in a cell; all but the optimizer are numbers, and all but ``FRACTIONS`` are counts."""
    if name == "optimizer":
        return cell
    try:
        value = float(cell)
        if not math.isfinite(value):
            raise ValueError(f"{value} is not finite")
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where} is {cell!r:.50}, expected a number") from error
    value = int(value) if cell.strip().isdigit() and value < 2**53 else value
    if name not in FRACTIONS:
        require_count(where, value)
    return value
