"""Every study of the reports and beyond, one after another, then one table of report against ours.

    python -m experiments.run_all --dataset mnist --budget full
    python -m experiments.run_all --dataset digits --only compression baseline

Only importance_weighted is left out unless named: it needs an accelerator. A study whose npz lies in ``--out`` already
is not run again, an unfinished one goes on from its checkpoints, so that the same command resumes after Ctrl-C or a
power cut. A study that fails is named at the end and does not stop the others. The table is also written as
reproduction.csv. Runtime on two CPU cores: digits quick 25 minutes, MNIST full about 5 hours.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from ae_jax import results
from ae_jax.types import UsageError
from experiments import (
    anomaly,
    baseline,
    common,
    compression,
    cross_table,
    denoising,
    gradients,
    importance_weighted,
    latent_space,
    latent_sweep,
    linear_pca,
    random_search,
    rate_distortion,
    reconstruction_losses,
    regularised,
    report,
    running,
    smoothness,
    tables,
    transfer,
    variational,
)


class Job(NamedTuple):
    """A study with its own options, beside the shared ones."""

    study: Callable[[Any], Path | None]
    options: type[common.Options]
    own: dict[str, Any] = {}
    trains: str | None = None  # the study whose checkpoints it leaves behind, if not its own


JOBS = {
    "compression": Job(compression.study, compression.Options),
    "random_search_A1": Job(random_search.study, random_search.Options, {"study": "A1"}),
    "cross_table": Job(cross_table.study, cross_table.Options),
    "latent_space_A5": Job(latent_space.study, latent_space.Options, {"study": "A5"}),
    "smoothness": Job(smoothness.study, smoothness.Options, trains="latent_space_A5"),
    "baseline": Job(baseline.study, baseline.Options),
    "random_search_B3": Job(random_search.study, random_search.Options, {"study": "B3"}),
    "latent_space_B4": Job(latent_space.study, latent_space.Options, {"study": "B4"}),
    "denoising_B5": Job(denoising.study, denoising.Options, {"study": "B5"}),
    "transfer_B6": Job(transfer.study, transfer.Options, {"study": "B6"}),
    "random_search_C1": Job(random_search.study, random_search.Options, {"study": "C1"}),
    "latent_space_C2": Job(latent_space.study, latent_space.Options, {"study": "C2"}),
    "transfer_C3": Job(transfer.study, transfer.Options, {"study": "C3"}),
    "denoising_C4": Job(denoising.study, denoising.Options, {"study": "C4"}),
    "linear_pca": Job(linear_pca.study, linear_pca.Options),
    **{
        f"variational_{study}": Job(variational.study, variational.Options, {"study": study})
        for study in ("B7", "C5", "D3", "D4")
    },
    "latent_sweep": Job(latent_sweep.study, latent_sweep.Options),
    "reconstruction_losses": Job(reconstruction_losses.study, reconstruction_losses.Options),
    "gradients": Job(gradients.study, gradients.Options),
    "regularised": Job(regularised.study, regularised.Options),
    "anomaly": Job(anomaly.study, anomaly.Options),
    "rate_distortion": Job(rate_distortion.study, rate_distortion.Options),
    "importance_weighted": Job(importance_weighted.study, importance_weighted.Options),
}  # the npz of a job is NAME.npz
ONLY_IF_NAMED = {"importance_weighted"}  # its full budget, 3,280 epochs, takes days without an accelerator


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """All studies, or some of them, and their figures beside the reports'."""

    only: tuple[str, ...] = ()
    """Names of the studies to run; by default all of them but importance_weighted, which needs an accelerator."""
    skip: tuple[str, ...] = ()
    """Names of studies to leave out."""


def study(options: Options) -> None:
    """Run what is missing, then print and write the table."""
    for name in (*options.only, *options.skip):
        if name not in JOBS:
            raise UsageError(f"no study {name!r}: choose among {', '.join(JOBS)}")
    everything = [name for name in JOBS if name not in ONLY_IF_NAMED]
    chosen = [name for name in options.only or everything if name not in options.skip]
    failures = {}
    for number, name in enumerate(chosen, start=1):
        settings = _options(options, name)
        if _is_done(settings, name):
            print(f"[{number}/{len(chosen)}] {name}: already there", flush=True)
            continue
        print(f"\n[{number}/{len(chosen)}] {name}", flush=True)
        try:
            JOBS[name].study(settings)
        except UsageError as error:
            failures[name] = error
            print(f"{name} failed: {error}", file=sys.stderr)
        jax.clear_caches()  # the programs of one study are of no use to the next
    if running.is_writer():
        print_summary(options.out, [name for name in chosen if name not in failures])
    if failures:
        raise UsageError(f"{len(failures)} of {len(chosen)} studies failed: {', '.join(failures)}; see above")


def _options(options: Options, name: str) -> common.Options:
    """The shared options as those of one study; an unfinished run of it is resumed."""
    job = JOBS[name]
    names = {field.name for field in dataclasses.fields(job.options)} & {
        field.name for field in dataclasses.fields(common.SeededOptions)
    }
    shared = {field: getattr(options, field) for field in names}
    unfinished = any(options.out.glob(f"{job.trains or name}*.checkpoints"))
    return job.options(**shared | job.own | {"resume": unfinished})


def _is_done(settings: common.Options, name: str) -> bool:
    """Whether the study's npz lies there; a UsageError if it does but is of other options."""
    path = settings.out / f"{name}.npz"
    if not path.exists():
        return False
    saved, wanted = results.load(path)[1]["config"].get("options"), common.plain(settings)
    if not isinstance(saved, dict):
        raise UsageError(f"{path}: it does not say by which options it was made; delete it to run its study again")
    differences = [
        f"{option} was {saved.get(option)!r} and is now {value!r}"
        for option, value in wanted.items()
        if option not in running.NOT_IDENTITY and saved.get(option) != value
    ]
    if differences:
        raise UsageError(f"{path} is of another run: {'; '.join(differences)}; give another --out, or delete the file")
    return True


def print_summary(folder: Path, names: list[str]) -> None:
    """Report against ours over all studies, from their npz alone; also as CSV."""
    rows = []
    for name in names:
        path = folder / f"{name}.npz"
        _, meta = results.load(path)
        try:
            wall = f"{meta['wall_seconds']:.0f}"
            rows += [(name, *report.cells(row, meta["comparable"]), wall) for row in report.read(meta)]
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: no table in its meta ({error!r}); delete it to run its study again") from error
    header = ("study", *report.HEADER, "seconds")
    report.print_table("Reproduction: report against ours", header, rows, left=2)
    path = tables.write_csv(folder / "reproduction.csv", [dict(zip(header, row, strict=True)) for row in rows])
    print(f"\nWrote {path}")


if __name__ == "__main__":
    common.main(Options, study)
