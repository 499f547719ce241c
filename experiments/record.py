"""Full runs kept in the repository, docs/results: small enough for it, and the tables that are made from them.

    python -m experiments.record results/mnist-full

Takes over what the studies left in a folder, writes docs/results/README.md, and the table of the README's section
"The reports, rebuilt". Without a folder it writes both again from docs/results, which a test compares with what is
there. Only full runs on MNIST from committed code are taken. Images stay behind, and with them every example of the
data set: ``python -m experiments.run_all`` is what draws figures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from ae_jax import results
from ae_jax.types import UsageError
from experiments import command_line, common, comparison, reports, running
from experiments.registry import NAMES, STUDIES

ROOT = Path(__file__).parent.parent
LARGEST = 100_000  # bytes of an array that is kept
FIGURES = ("latent_space_A5_plane.png",)  # that the README shows
BEGIN, END = "<!-- made by experiments.record: begin -->", "<!-- end -->"
AT_LENGTH = ("cross_table",)  # studies of so many numbers that the README leaves them to docs/results
INTRODUCTION = """# Recorded runs

Full runs on MNIST, each from the commit that it names. Minutes are those of the run, or of its last part if it was
resumed, in which the machine may have done other work; those of CPU are of all cores. A number is met if it is equal
within 1 % of the error, or better; a finding is confirmed if every run says so; +- is one deviation over the runs. The
npz hold all arrays but images and large ones. `python -m experiments.record` makes this page from them, and decides the
findings from their arrays anew.

"""
RUNS_HEADER = ("study", "command", "commit", "minutes", "of CPU", "numbers met", "findings confirmed")


@dataclasses.dataclass(frozen=True)
class Options:
    """Take over full runs into docs/results, and write the tables made from them."""

    folder: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder with the npz of full runs on MNIST; without it only the tables are written."""
    root: Annotated[Path, tyro.conf.Suppress] = ROOT


def run(options: Options) -> None:
    """Take over, write, and say what."""
    kept = options.root / "docs" / "results"
    if options.folder is not None:
        for path in take(options.folder, kept):
            print(f"Took {path}")
    for path, text in tables(options.root).items():
        results.write(path, text.encode())
        print(f"Wrote {path}")


def take(folder: Path, kept: Path) -> Iterable[Path]:
    """Copy every study's npz without its images, and the README's figures. Raises UsageError for other runs."""
    names = [name for name in NAMES if (folder / f"{name}.npz").exists()]
    if not names:
        raise UsageError(f"{folder}: no study's npz in it; give the folder of a run, such as results/mnist-full")
    loaded = {name: results.load(folder / f"{name}.npz") for name in names}
    for name, (_, meta) in loaded.items():
        _require_recordable(folder / f"{name}.npz", meta)
    for name, (arrays, meta) in loaded.items():
        yield results.save(kept / f"{name}.npz", small(arrays), without_folders(meta))
    for figure in FIGURES:
        if (folder / figure).exists():
            yield results.write(kept / figure, (folder / figure).read_bytes())


def _require_recordable(path: Path, meta: Mapping[str, Any]) -> None:
    commit = meta.get("git_commit", "unknown")
    if not meta.get("comparable"):
        raise UsageError(f"{path}: {meta.get('caption')}; only runs by a report's protocol on MNIST are recorded")
    if commit == "unknown" or commit.endswith("+"):
        raise UsageError(f"{path}: it was made by code that no commit holds ({commit}); commit, and run it again")


def without_folders(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Without the folders of the machine that ran it, which say nothing to others."""
    config = meta["config"]
    return {**meta, "config": {**config, "options": {**config["options"], "out": None, "data_dir": None}}}


def small(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those that are neither images, ``[..., 28, 28, 1]``, nor large."""
    return {
        name: values
        for name, values in arrays.items()
        if values.nbytes <= LARGEST and values.shape[-3:] != (28, 28, 1) and values.dtype != np.uint8
    }


def tables(root: Path) -> dict[Path, str]:
    """What docs/results/README.md and the README must be, from the recorded npz alone."""
    kept = root / "docs" / "results"
    metas = {name: _decided(name, kept / f"{name}.npz") for name in NAMES if (kept / f"{name}.npz").exists()}
    readme = root / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise UsageError(f"{readme}: no place for the table; it wants the lines {BEGIN} and {END}")
    return {kept / "README.md": _everything(metas), readme: f"{before}{BEGIN}\n{_brief(metas)}{END}{after}"}


def _decided(name: str, path: Path) -> dict[str, Any]:
    """The meta of a recorded run, with the findings as today's criteria have them."""
    arrays, meta = results.load(path)
    return {**meta, "findings": comparison.plain(reports.findings(name, arrays))}


def _brief(metas: Mapping[str, Mapping[str, Any]]) -> str:
    """The README's: every number that a report says beside ours, and how many findings hold."""
    rows = [
        comparison.number_cells(row, True)
        for name, meta in metas.items()
        if name not in AT_LENGTH
        for row in comparison.read_rows(meta)
        if row.reported is not None
    ]
    decided = [
        comparison.decide(finding, True) for meta in metas.values() for finding in comparison.read_findings(meta)
    ]
    missing = [f"`{name}`" for name in NAMES if name not in metas]
    return (
        markdown(comparison.NUMBERS_HEADER, rows)
        + f"\nOf {len(decided)} tests of the reports' findings, one for each network or reading, "
        f"{decided.count('confirmed')} are confirmed by "
        f"every run, {decided.count('not confirmed')} by none, {decided.count('undecided')} by some.\n"
        + (f"\nNot recorded yet: {', '.join(missing)}.\n" if missing else "")
    )


def _everything(metas: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/results/README.md: how each study was run, all of its numbers and findings."""
    runs = [_how(name, meta) for name, meta in metas.items()]
    return INTRODUCTION + markdown(RUNS_HEADER, runs) + "".join(_found(name, meta) for name, meta in metas.items())


def _how(name: str, meta: Mapping[str, Any]) -> tuple[str, ...]:
    """How a study was run and what came of it, see ``RUNS_HEADER``."""
    met = [comparison.verdict(row, True) for row in comparison.read_rows(meta) if row.reported is not None]
    holds = [comparison.decide(finding, True) for finding in comparison.read_findings(meta)]
    return (
        f"[{name}](#{name.lower()})", f"`{command(name, meta)}`", meta["git_commit"][:8],
        _minutes(meta["wall_seconds"]), _minutes(meta.get("cpu_seconds")),
        f"{met.count('equal') + met.count('better')} of {len(met)}" if met else "",
        f"{holds.count('confirmed')} of {len(holds)}" if holds else "",
    )  # fmt: skip


def _found(name: str, meta: Mapping[str, Any]) -> str:
    """A study's section: its numbers and its findings."""
    versions = ", ".join(f"{package} {meta['versions'][package]}" for package in ("python", "jax", "flax", "optax"))
    numbers = [comparison.number_cells(row, True) for row in comparison.read_rows(meta)]
    found = [comparison.finding_cells(finding, True) for finding in comparison.read_findings(meta)]
    return (
        f"\n## {name}\n\n{meta['caption']}. {meta['device']}, {versions}.\n\n"
        + markdown(comparison.NUMBERS_HEADER, numbers)
        + ("\n" + markdown(comparison.FINDINGS_HEADER, found) if found else "")
    )


def command(name: str, meta: Mapping[str, Any]) -> str:
    """The command line that makes a study's npz: the options that are not at their default."""
    of, own = STUDIES[name]
    default, saved = common.plain(of.options(**own)), meta["config"]["options"]
    known = [key for key in default if key in saved and key not in running.NOT_IDENTITY]  # options are added
    given = {key: saved[key] for key in known if saved[key] != default[key]}
    words = [
        f"--{key.replace('_', '-')} {' '.join(map(str, np.atleast_1d(value)))}"
        for key, value in ({"dataset": saved["dataset"]} | own | given).items()
    ]
    return " ".join(["python -m", f"experiments.{of.name}", *words])


def _minutes(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 60:.1f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    command_line.look(Options, run)
