"""Report against ours: the lines of that table, how they are judged, and tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """A figure of a report beside ours.

    what: protocol and quantity, such as ``A2 test MSE, d = 4``.
    reported: the report's figure; None where it gives none.
    ours: one for each run; NaN for a run that diverged.
    higher_is_better: for accuracies; errors are better when lower.
    """

    what: str
    reported: float | None
    ours: Sequence[float]
    higher_is_better: bool = False


def rows(
    what: str, names: Iterable[Any], ours: Iterable[Any], reported: Mapping[Any, float] | None = None,
    higher_is_better: bool = False,
) -> list[Row]:  # fmt: skip
    """A row for each of ``names``, which ``what`` has a place for: ``rows("test MSE, d = {}", (1, 2), errors)``.

    ``ours`` has a number or the runs' ``[runs]`` for each; ``reported`` knows some of the names.
    """
    return [
        Row(what.format(name), (reported or {}).get(name), np.atleast_1d(of), higher_is_better)
        for name, of in zip(names, ours, strict=True)
    ]


def plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as plain JSON values, as an npz's meta keeps them; NaN becomes None."""
    return [row._asdict() | {"ours": [float(x) if np.isfinite(x) else None for x in row.ours]} for row in rows]


def read(meta: dict[str, Any]) -> list[Row]:
    """The rows in the meta of an npz."""
    return [Row(**row | {"ours": [np.nan if x is None else x for x in row["ours"]]}) for row in meta["rows"]]


def verdict(row: Row, comparable: bool) -> str:
    """How the mean of our runs stands to the report's figure; 1 % of its error (1 - an accuracy) apart is equal."""
    if row.reported is None:
        return ""
    if not comparable:
        return "not comparable"
    ours = mean(row)
    if not np.isfinite(ours):
        return "diverged"
    error = 1.0 - row.reported if row.higher_is_better else row.reported
    if abs(ours - row.reported) <= 0.01 * abs(error):
        return "equal"
    return "better" if (ours > row.reported) == row.higher_is_better else "worse"


def mean(row: Row) -> float:
    """Mean over the runs that did not diverge; NaN if none did."""
    ours = np.asarray(row.ours)[np.isfinite(row.ours)]
    return float(ours.mean()) if ours.size else np.nan


def cells(row: Row, comparable: bool) -> tuple[str, ...]:
    """A row as text: what, report, ours, deviation over the runs, runs, verdict."""
    ours = np.asarray(row.ours)[np.isfinite(row.ours)]
    spread = f"{ours.std():.4f}" if ours.size > 1 else ""
    reported = "" if row.reported is None else f"{row.reported:.4f}"
    count = f"{ours.size}" if ours.size == len(row.ours) else f"{ours.size} of {len(row.ours)}"
    return row.what, reported, f"{mean(row):.4f}", spread, count, verdict(row, comparable)


HEADER = ("figure", "report", "ours", "+-", "runs", "verdict")


def print_rows(meta: dict[str, Any]) -> None:
    """The table of a study, from the meta of its npz."""
    rows = [cells(row, meta["comparable"]) for row in read(meta)]
    print_table("Report against ours", HEADER, rows, meta["caption"])


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", left: int = 1
) -> None:
    """A table, its first ``left`` columns aligned to the left: drawn by rich on a terminal, plain in a pipe."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
        for index, name in enumerate(header):
            table.add_column(name, justify="left" if index < left else "right")
        for row in rows:
            table.add_row(*row)
        Console().print(table, markup=False)
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(f"\n{title}")
    for row in (header, ["-" * width for width in widths], *rows):
        columns = enumerate(zip(row, widths, strict=True))
        aligned = [cell.ljust(width) if index < left else cell.rjust(width) for index, (cell, width) in columns]
        print("  ".join(aligned).rstrip())
    if caption:
        print(caption)
