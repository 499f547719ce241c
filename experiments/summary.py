"""All studies of a folder beside the reports: every number, every finding and every figure, from the npz alone.

    python -m experiments.summary results/mnist-full

Prints the three tables and how much of the reports they answer, and writes reproduction.csv and figures.csv.
``run_all`` ends with it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from ae_jax import results
from ae_jax.types import UsageError
from experiments import command_line, comparison, reports, tables
from experiments.registry import NAMES

CSV_HEADER = ("study", "kind", "what", "report", "other source", "ours", "+-", "runs", "verdict", "seconds")
FIGURES_HEADER = ("figure", "shows", "study", "file")


@dataclasses.dataclass(frozen=True)
class Options:
    """Every number, finding and figure of the reports, from the npz of a folder."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with the npz of the studies."""


class Told(NamedTuple):
    """What the npz of the studies say, by study: rows as ``comparison`` gives them, and all of them for the CSV."""

    numbers: list[tuple[str, ...]]
    findings: list[tuple[str, ...]]
    csv: list[tuple[str, ...]]


def run(options: Options) -> None:
    """Summarize the npz that lie in the folder."""
    if not (names := [name for name in NAMES if (options.folder / f"{name}.npz").exists()]):
        raise UsageError(
            f"{options.folder}: no study's npz in it; give the folder of a run, such as results/mnist-full"
        )
    write(options.folder, names)


def write(folder: Path, names: Iterable[str]) -> None:
    """Print the tables of the named studies and write them into ``folder``."""
    told = read(folder, names)
    comparison.print_table("Numbers: report against ours", ("study", *comparison.NUMBERS_HEADER), told.numbers, left=2)
    if told.findings:
        comparison.print_table("Findings", ("study", *comparison.FINDINGS_HEADER), told.findings, left=3)
    figures = [(figure.where, figure.shows, figure.study, _found(folder, figure.path)) for figure in reports.FIGURES]
    comparison.print_table("Figures and tables of the reports", FIGURES_HEADER, figures, left=4)
    print("\n" + answered(told, figures))
    for name, header, lines in (("reproduction", CSV_HEADER, told.csv), ("figures", FIGURES_HEADER, figures)):
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        print(f"Wrote {tables.write_csv(folder / f'{name}.csv', rows, header)}")


def read(folder: Path, names: Iterable[str]) -> Told:
    """The tables of the named studies. Raises UsageError for an npz without them."""
    told = Told([], [], [])
    for name in names:
        path = folder / f"{name}.npz"
        _, meta = results.load(path)
        try:
            _tell(told, name, meta)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: no table in its meta ({error!r}); delete it to run its study again") from error
    return told


def _tell(told: Told, name: str, meta: dict[str, Any]) -> None:
    """Append what one study says."""
    comparable, wall = meta["comparable"], f"{meta['wall_seconds']:.0f}"
    numbers = [comparison.number_cells(row, comparable) for row in comparison.read_rows(meta)]
    findings = [comparison.finding_cells(finding, comparable) for finding in comparison.read_findings(meta)]
    told.numbers.extend((name, *cells) for cells in numbers)
    told.findings.extend((name, *cells) for cells in findings)
    told.csv.extend((name, "number", *cells, wall) for cells in numbers)
    told.csv.extend(
        (name, "finding", f"{sentence} ({measure})", holds, "", *ours, wall)
        for sentence, measure, holds, *ours in findings
    )


def _found(folder: Path, file: str) -> str:
    return file if (folder / file).exists() else f"{file}, not drawn yet"


def answered(told: Told, figures: list[tuple[str, ...]]) -> str:
    """How much of the reports is answered, in words."""
    verdicts = [cells[-1] for cells in told.numbers if cells[-1]]
    compared = sum(verdict not in ("not comparable", "diverged") for verdict in verdicts)
    drawn = sum(not file.endswith("not drawn yet") for *_, file in figures)
    decided = Counter(cells[-1] for cells in told.findings)
    words = ", ".join(f"{count} {verdict}" for verdict, count in decided.items())
    return (
        f"{compared} of {len(verdicts)} reported numbers compared; {len(told.findings)} findings"
        f"{': ' + words if words else ''}; {drawn} of {len(figures)} figures and tables drawn."
    )


if __name__ == "__main__":
    command_line.look(Options, run)
