"""One page of everything in a folder of results: index.html, which opens from the disk, offline, on any screen.

    python -m experiments.page results/mnist-full

Reads the npz, the figures and the models that the studies left there, and writes FOLDER/page: what was reproduced in
numbers, the reports' numbers, findings and figures beside ours, every study with its figures, where each number comes
from, a live view of the latent spaces, whose decoders run in the browser, and the trials of the random searches.
Seconds; nothing is trained.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro

from ae_jax import files, results
from ae_jax.lanes import STATUS_NAMES
from ae_jax.types import UsageError
from experiments import command_line, comparison, decoders, reports, tables
from experiments.registry import NAMES, STUDIES

WEB = Path(__file__).parent / "web"
STATIC = ("style.css", "network.js", "explorer.js", "trials.js")
DECIMALS = 4  # of the codes and curves on the page
THUMBNAILS = 600  # test images of a latent space, at most


@dataclasses.dataclass(frozen=True)
class Options:
    """One page, offline and self-contained, of everything in a folder of results."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with the npz, figures and models of the studies."""
    out: Path | None = None
    """Folder for the page; by default FOLDER/page."""


class Shown(NamedTuple):
    """A figure on the page: its image, what it is called, and the same for printing."""

    image: str
    label: str
    pdf: str | None


class Section(NamedTuple):
    """A study on the page: what its module, its npz and its figures say."""

    name: str
    title: str
    about: str
    caption: str
    comparable: bool
    figures: list[Shown]
    pages: list[str]  # interactive ones
    numbers: list[tuple[str, ...]]
    findings: list[tuple[str, ...]]
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
    sections, scripts = [], []
    for name in names:
        arrays, meta = results.load(folder / f"{name}.npz")
        sections.append(section(folder, name, meta))
        for kind, entry in data(folder, name, arrays, meta):
            scripts.append(_script(out, kind, name, entry))
    for of in sections:
        for file in [*(shown.image for shown in of.figures), *(shown.pdf for shown in of.figures), *of.pages]:
            if file:
                _copy(folder / file, out)
    if any(of.pages for of in sections):
        _copy(folder / "plotly.min.js", out)
    for file in STATIC:
        _copy(WEB / file, out)
    return results.write(out / "index.html", _html(sections, scripts).encode())


def _copy(file: Path, out: Path) -> None:
    results.write(out / file.name, file.read_bytes())


def section(folder: Path, name: str, meta: Mapping[str, Any]) -> Section:
    """What the page shows of a study."""
    title, about = description(name)
    of_report = {figure.path: f"{figure.where}: {figure.shows}" for figure in reports.FIGURES}
    figures = [
        Shown(
            path.name, _label(path, name, of_report), pdf.name if (pdf := path.with_suffix(".pdf")).exists() else None
        )
        for path in _files(folder, name, ".png")
    ]
    comparable = meta["comparable"]
    return Section(
        name, title, about, meta["caption"], comparable, figures,
        [path.name for path in _files(folder, name, ".html")],
        [comparison.number_cells(row, comparable) for row in comparison.read_rows(meta)],
        [comparison.finding_cells(finding, comparable) for finding in comparison.read_findings(meta)],
        provenance(meta),
    )  # fmt: skip


def _files(folder: Path, name: str, ending: str) -> list[Path]:
    """Those of a study, its only one first."""
    return sorted(path for path in folder.glob(f"{name}*{ending}") if path.stem == name or path.stem[len(name)] == "_")


def _label(path: Path, name: str, of_report: Mapping[str, str]) -> str:
    """What the report calls the figure, or its file's name in words."""
    own = path.stem.removeprefix(name).strip("_").replace("_", " ")
    return of_report.get(path.with_suffix(".pdf").name, own or "results")


def description(name: str) -> tuple[str, str]:
    """A study's title and what it does, from the docstring of its module: the paragraphs that are no command line."""
    of, _ = STUDIES[name]
    title, *paragraphs = importlib.import_module(f"experiments.{of.name}").__doc__.strip().split("\n\n")
    about = " ".join(" ".join(paragraph.split()) for paragraph in paragraphs if not paragraph.startswith("    "))
    return title.rstrip("."), re.sub(r"``(.+?)``", r"\1", about)


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
    if (path := folder / f"{name}{files.SUFFIX}").exists():
        yield "latent", latent_space(path, name, arrays)
    if "trial_learning_rate" in arrays:
        yield "trials", trials(arrays, meta)


def latent_space(path: Path, name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The decoders in a model's file, one for each lane, and codes of test images where there are two dimensions."""
    run = files.load(path)
    lanes = [run[index] for index in np.ndindex(run.shape)]
    lanes = [(index, lane) for index, lane in enumerate(lanes) if not lane.diverged]
    names = arrays["names"].tolist() if "names" in arrays else [""] * len(lanes)
    models = [
        {"name": names[index], "decoder": base64.b64encode(decoders.save(lane)).decode()} for index, lane in lanes
    ]
    codes = next((arrays[key] for key in ("codes_2", "codes") if key in arrays), None)
    if codes is None:
        return {"title": name, "models": models}
    chosen = arrays["sample"][:THUMBNAILS]
    space = {
        "title": name,
        "models": models,
        "range": np.percentile(codes, (0.5, 99.5), axis=0).T.round(DECIMALS).tolist(),
        "codes": codes[chosen].round(DECIMALS).tolist(),
        "labels": arrays["labels"][chosen].tolist(),
    }
    if "sample_images" in arrays:
        images = arrays["sample_images"][:THUMBNAILS]
        space |= {"images": base64.b64encode(images.tobytes()).decode(), "shape": images.shape[1:]}
    return space


def trials(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> dict[str, Any]:
    """A search's trials: hyper-parameters that vary, score, how each ended, its mean validation curve."""

    def plain(values: np.ndarray) -> list[Any]:
        return [None if isinstance(x, float) and not np.isfinite(x) else x for x in values.tolist()]

    curves = arrays["validation_loss"].mean(1)
    return {
        "caption": meta["caption"],
        "columns": {name: plain(values) for name, values in tables.varying_numbers(dict(arrays)).items()},
        "log": ["learning_rate", "l2"],
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


def _html(sections: list[Section], scripts: list[str]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    present = {shown.pdf for of in sections for shown in of.figures} | {file for of in sections for file in of.pages}
    return environment.get_template("index.html.jinja").render(
        sections=sections,
        scripts=scripts,
        score=_score(sections, present),
        figures=[(figure, figure.path in present) for figure in reports.FIGURES],
        numbers_header=comparison.NUMBERS_HEADER,
        findings_header=comparison.FINDINGS_HEADER,
        latent=any(file.startswith("latent_") for file in scripts),
        trials=any(file.startswith("trials_") for file in scripts),
    )


def _score(sections: list[Section], present: set[str | None]) -> list[tuple[str, str]]:
    """The first screen: what of the reports was reproduced, as numbers and what they count."""
    verdicts = Counter(cells[-1] for of in sections for cells in of.numbers if cells[-1])
    decided = Counter(cells[-1] for of in sections for cells in of.findings)
    reported = sum(verdicts.values())
    met = verdicts["equal"] + verdicts["better"]
    untested = sum(count for verdict, count in decided.items() if verdict.startswith("not testable"))
    drawn = sum(figure.path in present for figure in reports.FIGURES)
    return [
        (f"{met} of {reported}", "reported numbers met: equal within 1 % of the error, or better"),
        (str(verdicts["worse"]), "reported numbers where ours is worse"),
        (str(verdicts["not comparable"]), "reported numbers not comparable: other data, or a quick run"),
        (f"{decided['confirmed']} of {sum(decided.values())}", "findings confirmed by every run"),
        (str(decided["not confirmed"]), "findings not confirmed"),
        (f"{decided['undecided']}, {untested}", "findings undecided, not testable on this data"),
        (f"{drawn} of {len(reports.FIGURES)}", "figures and tables of the reports drawn"),
    ]  # fmt: skip


if __name__ == "__main__":
    command_line.look(Options, run)
