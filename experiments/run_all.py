"""Every study of the reports and beyond, one after another, then all of the reports beside ours.

    python -m experiments.run_all --dataset mnist --budget full
    python -m experiments.run_all --dataset digits --only compression baseline

Only importance_weighted is left out unless named: it needs an accelerator. A study whose npz lies in ``--out`` already
is not run again, an unfinished one goes on from its checkpoints, so that the same command resumes after Ctrl-C or
`kill -9`. A study that fails is named at the end and does not stop the others. The tables are also written as
reproduction.csv and figures.csv, see ``summary``. Runtime on two CPU cores: digits quick 25 minutes; MNIST full
half a day; docs/results has the minutes of each study.
"""

from __future__ import annotations

import dataclasses
import sys
import traceback

import jax

from ae_jax import results
from ae_jax.types import UsageError
from experiments import command_line, common, page, running, study, summary
from experiments.registry import ONLY_IF_NAMED, STUDIES
from experiments.study import Study


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """All studies, or some of them, and their figures beside the reports'."""

    only: tuple[str, ...] = ()
    """Names of the studies to run; by default all of them but importance_weighted, which needs an accelerator."""
    skip: tuple[str, ...] = ()
    """Names of studies to leave out."""


def run(options: Options) -> None:
    """Run what is missing, then print and write the table. A study that fails is named and stops no other."""
    for name in (*options.only, *options.skip):
        if name not in STUDIES:
            raise UsageError(f"no study {name!r}: choose among {', '.join(STUDIES)}")
    everything = [name for name in STUDIES if name not in ONLY_IF_NAMED]
    chosen = [name for name in options.only or everything if name not in options.skip]
    failed = []
    for number, name in enumerate(chosen, start=1):
        print(f"\n[{number}/{len(chosen)}] {name}", end="", flush=True)
        try:
            _run(options, name)
        except BrokenPipeError:  # nobody reads on
            raise
        except Exception as error:
            failed.append(name)
            if not isinstance(error, UsageError):  # a fault of ours: say where
                traceback.print_exc()
            print(f"{name} failed: {error}", file=sys.stderr)
        jax.clear_caches()  # the programs of one study are of no use to the next
    if running.is_writer() and len(failed) < len(chosen):
        summary.write(options.out, [name for name in chosen if name not in failed])
        print(f"Wrote {page.write(options.out, options.out / 'page')}")
    if failed:
        raise UsageError(f"{len(failed)} of {len(chosen)} studies failed: {', '.join(failed)}; see above")


def _run(options: Options, name: str) -> None:
    """A study, unless its npz is there; an unfinished one goes on from its checkpoints."""
    of, own = STUDIES[name]
    names = {field.name for field in dataclasses.fields(of.options)} & {
        field.name for field in dataclasses.fields(common.SeededOptions)
    }
    shared = {field: getattr(options, field) for field in names}
    chosen = of.options(**shared | own | {"resume": True})
    if not options.redraw and _is_done(of, chosen):
        print(": already there", flush=True)
        return
    print(flush=True)
    study.run(of, chosen)


def _is_done(of: Study, options: common.Options) -> bool:
    """Whether the study's npz lies there; a UsageError if it does but is of other options."""
    path = of.npz(options)
    if not path.exists():
        return False
    saved, wanted = results.load(path, of.name)[1]["config"].get("options"), common.plain(options)
    unsaid = common.plain(of.options())  # of an option that a study did not have yet
    if not isinstance(saved, dict):
        raise UsageError(f"{path}: it does not say by which options it was made; delete it to run its study again")
    differences = [
        f"{option} was {saved.get(option, unsaid[option])!r} and is now {value!r}"
        for option, value in wanted.items()
        if option not in running.NOT_IDENTITY and saved.get(option, unsaid[option]) != value
    ]
    if differences:
        raise UsageError(f"{path} is of another run: {'; '.join(differences)}; give another --out, or delete the file")
    return True


if __name__ == "__main__":
    command_line.main(Options, run)
