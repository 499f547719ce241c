"""One page of everything in a folder of results: index.html, which opens from the disk, offline, on any screen.

    python -m experiments.page results/mnist-full

Reads the npz, the figures and the models that the studies left there, and writes FOLDER/page: what was reproduced in
numbers, the reports' numbers, findings and figures beside ours, every study with its figures, where each number comes
from, a live view of the latent spaces, whose decoders run in the browser, and the trials of the random searches. What
is seen is in it, some megabytes; PDFs and interactive pages stay in FOLDER, to which it links. Half a minute; nothing
is trained.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import numpy as np
import tyro

from ae_jax import results
from ae_jax.data import TITLES
from ae_jax.lanes import STATUS_NAMES
from ae_jax.types import UsageError
from experiments import command_line, comparison, explorer, reports, search_results, tables
from experiments.registry import NAMES, STUDIES

WEB = Path(__file__).parent / "web"
FURTHER = "Further numbers"  # that no report gives
WIDE = 1440  # pixels of a figure, from which on its panels are lost in a column
STATIC = ("style.css", "network.js", "explorer.js", "trials.js")


@dataclasses.dataclass(frozen=True)
class Options:
    """One page, offline, of everything in a folder of results."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with the npz, figures and models of the studies."""
    out: Path | None = None
    """Folder for the page; by default FOLDER/page."""


class Shown(NamedTuple):
    """A figure: its image, what it is called, and the same for printing."""

    image: str
    width: int
    height: int
    label: str
    pdf: str | None

    @property
    def wide(self) -> bool:
        """Whether its panels need the whole width of the page; such figures come after the others."""
        return self.width >= WIDE


class Table(NamedTuple):
    """A table of words."""

    header: list[str]
    rows: list[tuple[str, ...]]


class Section(NamedTuple):
    """A study on the page: what its module, its npz and its figures say."""

    name: str
    title: str
    subtitle: str
    about: str
    caption: str
    comparable: bool
    figures: list[Shown]
    pages: dict[str, str]  # interactive ones: what each is called
    numbers: list[tuple[str, ...]]
    findings: list[tuple[str, ...]]
    data: str  # which, and whose budget
    provenance: dict[str, str]


def run(options: Options) -> None:
    """Write the page, and say where."""
    out = options.out or options.folder / "page"
    print(f"Wrote {write(options.folder, out)}")


def write(folder: Path, out: Path) -> Path:
    """The page of the studies in ``folder``; returns its index.html. Raises UsageError if there is none."""
    names = [name for name in NAMES if (folder / f"{name}.npz").exists()]
    if not names:
        raise UsageError(f"{folder}: no study's npz in it; give the folder of a run, such as results/mnist-full")
    if out.resolve() == folder.resolve():
        raise UsageError(
            f"--out {out}: the studies' own figures are there; give another folder, such as {out / 'page'}"
        )
    sections, scripts = [], []
    for name in names:
        arrays, meta = results.load(folder / f"{name}.npz")
        sections.append(section(folder, name, meta, out))
        for kind, entry in data(folder, name, arrays, meta):
            scripts.append(_script(out, kind, name, entry))
    for file in STATIC:
        results.write(out / file, (WEB / file).read_bytes())
    return results.write(out / "index.html", _html(sections, scripts, quote(os.path.relpath(folder, out))).encode())


def section(folder: Path, name: str, meta: Mapping[str, Any], out: Path) -> Section:
    """What the page in ``out`` shows of a study; its figures are copied there."""
    comparable = meta["comparable"]
    return Section(
        name, *description(name), meta["caption"], comparable,
        [_figure(path, _label(path, name), out) for path in _files(folder, name, ".png")],
        {path.name: _label(path, name) for path in _files(folder, name, ".html")},
        [comparison.number_cells(row, comparable) for row in comparison.read_rows(meta)],
        [comparison.finding_cells(finding, comparable) for finding in comparison.read_findings(meta)],
        _data(meta),
        provenance(meta),
    )  # fmt: skip


def _files(folder: Path, name: str, ending: str) -> list[Path]:
    """Those of a study, its only one first; not those of another whose name goes on, as ``baseline_factors`` does."""
    others = [f"{other}_" for other in NAMES if other.startswith(f"{name}_")]
    own = (path for path in folder.glob(f"{name}*{ending}") if f"{path.stem}_".startswith(f"{name}_"))
    return sorted(path for path in own if not f"{path.stem}_".startswith(tuple(others)))


def _figure(path: Path, label: str, out: Path) -> Shown:
    """A figure, once its image is in ``out``: in 256 colours, which takes half the bytes."""
    from PIL import Image

    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(content := io.BytesIO(), "PNG", optimize=True)
        results.write(out / path.name, content.getvalue())
        pdf = path.with_suffix(".pdf")
        return Shown(path.name, *image.size, label, pdf.name if pdf.exists() else None)


def _label(path: Path, name: str) -> str:
    """What the reports call the figure, all of those that it shows, or its file's name in words."""
    own = path.stem.removeprefix(name).strip("_").replace("_", " ")
    reported = [f"{figure.where}: {figure.shows}" for figure in reports.FIGURES if Path(figure.path).stem == path.stem]
    return "; ".join(reported) or own or "results"


def description(name: str) -> tuple[str, str, str]:
    """A study's title, the rest of it and what it does, from the docstring of its module but for the command line.

    The title ends at a bracket or colon; the protocol of a variant stands behind it.
    """
    of, own = STUDIES[name]
    text = re.sub(r"``(.+?)``", r"\1", importlib.import_module(f"experiments.{of.name}").__doc__)
    first, *paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if not part.startswith("    ")]
    title, rest = re.fullmatch(r"(.+?)((?: \(|: ).*)?\.", first).groups(default="")
    rest = re.sub(r"^\((.*)\)$", r"\1", rest.lstrip(" :"))
    return ", ".join([title, *own.values()]), rest[:1].upper() + rest[1:], " ".join(paragraphs)


def _data(meta: Mapping[str, Any]) -> str:
    title = TITLES[meta["dataset"]["name"]]
    return f"{title[0].upper()}{title[1:]}, budget {meta['config'].get('options', {}).get('budget')}"


def provenance(meta: Mapping[str, Any]) -> dict[str, str]:
    """Where a study's numbers come from, as a table of words."""
    dataset, options, versions = meta["dataset"], meta["config"].get("options", {}), meta["versions"]
    return {
        "dataset": f"{dataset['name']}, {dataset['train']:,} and {dataset['test']:,} images",
        "sha256": dataset["sha256"],
        "budget": json.dumps({"budget": options.get("budget"), **meta["config"].get("budget", {})}),
        "first seed": str(options.get("seed")),
        "device": str(meta["device"]),
        "versions": ", ".join(f"{package} {version}" for package, version in versions.items()),
        "commit": str(meta.get("git_commit")),
        "written": str(meta["created"]),
        "seconds": f"{meta['wall_seconds']:.0f}, of which training {meta['train_seconds']:.0f}"
        f" and compiling {meta['compile_seconds']:.0f}",
    }


def data(
    folder: Path, name: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the page's scripts draw of a study: ``latent`` spaces and ``trials``."""
    if "explorer_models" in arrays and (space := explorer.space(folder / f"{name}.npz", arrays, description(name)[0])):
        yield "latent", space
    if "trial_learning_rate" in arrays:
        yield "trials", trials(arrays, meta)


def trials(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> dict[str, Any]:
    """A search's trials: hyper-parameters that vary, score, how each ended, its mean validation curve."""

    def plain(values: np.ndarray) -> list[Any]:
        return [None if isinstance(x, float) and not np.isfinite(x) else x for x in values.tolist()]

    curves, columns = arrays["validation_loss"].mean(1), tables.varying_numbers(dict(arrays))
    return {
        "caption": meta["caption"],
        "columns": {name: plain(values) for name, values in columns.items()},
        "log": search_results.log_axes(columns),
        "score": plain(arrays["score"]),
        "status": [STATUS_NAMES[status.max()] for status in arrays["status"]],
        "curves": [plain(curve.astype(float).round(5)) for curve in curves],
    }


def _script(out: Path, kind: str, name: str, entry: dict[str, Any]) -> str:
    """Write ``entry`` as a script, the only data that a page on the disk may read; returns the file's name."""
    file = f"{kind}_{name}.js"
    content = json.dumps(entry, separators=(",", ":"), allow_nan=False)
    results.write(out / file, f"page.{kind}[{json.dumps(name)}] = {content};\n".encode())
    return file


def _html(sections: list[Section], scripts: list[str], beside: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    places = {shown.pdf: f"#figure-{Path(shown.image).stem}" for of in sections for shown in of.figures}
    places |= {file: f"{beside}/{file}" for of in sections for file in of.pages}
    return environment.get_template("index.html.jinja").render(
        sections=sections,
        data=Counter(of.data for of in sections),
        scripts=scripts,
        beside=beside,
        score=_score(sections, places.keys()),
        figures=[(figure, places.get(figure.path)) for figure in reports.FIGURES],
        further=FURTHER,
        tables={of.name: _tables(of) for of in sections},
        latent=any(file.startswith("latent_") for file in scripts),
        trials=any(file.startswith("trials_") for file in scripts),
    )


def _tables(of: Section) -> dict[str, Table]:
    """A study's tables by title, those that have rows: findings, numbers that a report gives, and further ones."""
    tables = {
        "What the report finds": (comparison.FINDINGS_HEADER, of.findings),
        "Report against ours": (comparison.NUMBERS_HEADER, [cells for cells in of.numbers if cells[-1]]),
        FURTHER: (comparison.NUMBERS_HEADER, [cells for cells in of.numbers if not cells[-1]]),
    }
    return {title: _filled(header, rows) for title, (header, rows) in tables.items() if rows}


def _filled(header: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    """A table without the columns that have no cell."""
    columns = [column for column in zip(header, *rows, strict=True) if any(column[1:])]
    names, *rows = zip(*columns, strict=True)
    return Table(["±" if name == "+-" else name for name in names], rows)


def _score(sections: list[Section], present: Collection[str | None]) -> list[tuple[str, str, str]]:
    """The first screen: what of the reports was reproduced, as a number, what it counts, and what of the rest."""
    verdicts = Counter(cells[-1] for of in sections for cells in of.numbers if cells[-1])
    decided = Counter(cells[-1] for of in sections for cells in of.findings)
    reported = sum(verdicts.values())
    met = verdicts["equal"] + verdicts["better"]
    untested = sum(count for verdict, count in decided.items() if verdict.startswith("not testable"))
    drawn = sum(figure.path in present for figure in reports.FIGURES)
    return [
        (
            f"{met} of {reported}", "comparisons with a reported number met: equal within 1 % of the error, or better",
            f"{verdicts['worse'] + verdicts['different']} worse or different, {verdicts['not comparable']} not "
            "comparable (other data, or a quick run)",
        ),
        (
            f"{decided['confirmed']} of {sum(decided.values())}", "findings confirmed by every run",
            f"{decided['not confirmed']} not confirmed, {decided['undecided']} undecided, "
            f"{untested} not testable on these data",
        ),
        (f"{drawn} of {len(reports.FIGURES)}", "figures and tables of the reports drawn", ""),
    ]  # fmt: skip


if __name__ == "__main__":
    command_line.look(Options, run)
