"""A report beside ours: rows of numbers, findings in words, how both are judged, and tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

REPORT, NOTEBOOK, ELSEWHERE = "report", "its notebook", "measured elsewhere"  # who says a number


class Numbers(NamedTuple):
    """What is said of several things by name, such as code sizes, and who says it."""

    values: Mapping[Any, float]
    source: str = REPORT


class Row(NamedTuple):
    """A figure of a report beside ours.

    what: protocol and quantity, such as ``A2 test MSE, d = 4``.
    reported: the report's figure; None where it gives none.
    ours: one for each run; NaN for a run that diverged.
    higher_is_better: for accuracies; errors are better when lower; None where neither is, as for a correlation.
    source: who says ``reported``: the report, the notebook that its authors published, or others.
    """

    what: str
    reported: float | None
    ours: Sequence[float]
    higher_is_better: bool | None = False
    source: str = REPORT


class Finding(NamedTuple):
    """A sentence of a report, and the measurement that decides it.

    protocol: such as ``A3``.
    says: the sentence, in the report's words or shorter.
    measure: what is measured, such as ``error at noise 0.5 over clean, d = 1``.
    ours: the measurement, one for each run; NaN for a run that diverged.
    low, high: it holds for a run whose measurement lies in [low, high].
    """

    protocol: str
    says: str
    measure: str
    ours: Sequence[float]
    low: float = -np.inf
    high: float = np.inf


def rows(
    what: str, names: Iterable[Any], ours: Iterable[Any], reported: Numbers | None = None,
    higher_is_better: bool | None = False,
) -> list[Row]:  # fmt: skip
    """A row for each of ``names``, which ``what`` has a place for: ``rows("test MSE, d = {}", (1, 2), errors)``.

    ``ours`` has a number or the runs' ``[runs]`` for each; ``reported`` knows some of the names.
    """
    values, source = reported or Numbers({})
    return [
        Row(what.format(name), values.get(name), np.atleast_1d(of), higher_is_better, source)
        for name, of in zip(names, ours, strict=True)
    ]


def measures(what: str, names: Iterable[Any], labels: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> list[Row]:
    """For each of ``names``, the first axis of the ``arrays``, a row for each array that has a label: of no report.

    ``what`` has a place for the name and one for the label.
    """
    return [
        Row(what.format(name, label), None, np.atleast_1d(arrays[measure][index]))
        for index, name in enumerate(names)
        for measure, label in labels.items()
    ]


def plain(lines: Iterable[Row | Finding]) -> list[dict[str, Any]]:
    """Rows or findings as plain JSON values, as an npz's meta keeps them; NaN and infinity become None."""

    def number(value: Any) -> Any:
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return [
        {name: number(value) for name, value in line._asdict().items()}
        | {"ours": [number(float(x)) for x in line.ours]}
        for line in lines
    ]


def read_rows(meta: Mapping[str, Any]) -> list[Row]:
    """The rows in the meta of an npz."""
    return [Row(**row | {"ours": _numbers(row["ours"])}) for row in meta["rows"]]


def read_findings(meta: Mapping[str, Any]) -> list[Finding]:
    """The findings in the meta of an npz."""
    return [
        Finding(
            **{name: value for name, value in finding.items() if value is not None}
            | {"ours": _numbers(finding["ours"])}
        )
        for finding in meta["findings"]
    ]


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def verdict(row: Row, comparable: bool) -> str:
    """How the mean of our runs stands to what is reported; 1 % of its error (1 - an accuracy) apart is equal."""
    if row.reported is None:
        return ""
    if not comparable:
        return "not comparable"
    ours = mean(row.ours)
    if not np.isfinite(ours):
        return "diverged"
    error = 1.0 - row.reported if row.higher_is_better else row.reported
    if abs(ours - row.reported) <= 0.01 * abs(error):
        return "equal"
    if row.higher_is_better is None:
        return "different"
    return "better" if (ours > row.reported) == row.higher_is_better else "worse"


def decide(finding: Finding, comparable: bool) -> str:
    """Confirmed if every run says so, not confirmed if none does, else undecided; the spread stands beside it.

    Runs that diverged say nothing. Where a run is not comparable with the report's, the claim is not testable.
    """
    ours = finite(finding.ours)
    if not comparable or not ours.size:
        return "not testable on this data" if ours.size else "not testable: every run diverged"
    holds = (finding.low <= ours) & (ours <= finding.high)
    return "confirmed" if holds.all() else "undecided" if holds.any() else "not confirmed"


def criterion(finding: Finding) -> str:
    """Which measurements confirm it, in words."""
    low, high = f"{finding.low:.4g}", f"{finding.high:.4g}"
    if low == high:
        return low
    if finding.low == -np.inf:
        return f"at most {high}"
    return f"at least {low}" if finding.high == np.inf else f"{low} to {high}"


def finite(ours: Sequence[float]) -> np.ndarray:
    """The runs that did not diverge."""
    return np.asarray(ours, float)[np.isfinite(ours)]


def mean(ours: Sequence[float]) -> float:
    """Mean over the runs that did not diverge; NaN if none did."""
    return float(finite(ours).mean()) if finite(ours).size else np.nan


NUMBERS_HEADER = ("number", "report", "other source", "ours", "+-", "runs", "verdict")
FINDINGS_HEADER = ("finding", "measured", "confirmed if", "ours", "+-", "runs", "verdict")


def number_cells(row: Row, comparable: bool) -> tuple[str, ...]:
    """A row as text, see ``NUMBERS_HEADER``: what the report itself does not say has a column of its own."""
    said = "" if row.reported is None else f"{row.reported:.4f}"
    reported, other = (said, "") if row.source == REPORT or not said else ("", f"{said} ({row.source})")
    return row.what, reported, other, *_ours(row.ours), verdict(row, comparable)


def finding_cells(finding: Finding, comparable: bool) -> tuple[str, ...]:
    """A finding as text, see ``FINDINGS_HEADER``."""
    sentence = f"{finding.protocol}: {finding.says}"
    return sentence, finding.measure, criterion(finding), *_ours(finding.ours), decide(finding, comparable)


def _ours(ours: Sequence[float]) -> tuple[str, str, str]:
    """Mean, deviation over the runs, and how many they are."""
    said = finite(ours)
    count = f"{said.size}" if said.size == len(ours) else f"{said.size} of {len(ours)}"
    return f"{mean(ours):.4f}", f"{said.std():.4f}" if said.size > 1 else "", count


def print_meta(meta: Mapping[str, Any]) -> None:
    """The tables of a study, from the meta of its npz."""
    comparable, caption = meta["comparable"], meta["caption"]
    numbers = [number_cells(row, comparable) for row in read_rows(meta)]
    print_table("Report against ours", NUMBERS_HEADER, numbers, caption)
    if findings := [finding_cells(finding, comparable) for finding in read_findings(meta)]:
        print_table("What the report finds", FINDINGS_HEADER, findings, caption, left=2)


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
