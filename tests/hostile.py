"""Hostile command lines of every study: ``python -m tests.hostile [STUDY ...]``, or ``make hostile``.

Every option that a study has for itself takes every hostile value, and the options that all studies share take every
value in some study, and some value in every study; flags are given one too. What is refused must end in one ``error:``
line and exit code 2 and leave no file; what is allowed runs to its end, at the smallest size, and leaves its results.
"""

import dataclasses
import importlib
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.common import Options
from tests.commands import READS_MODEL, STUDIES, UNOPTIMIZED, words
from tests.forks import Ended, forked

VALUES = (
    "", " ", "-", "--", "None", "True", "0", "-1", "1.5", "nan", "-inf", "1e400", "9" * 30, "1,2", "[1]", "0x10", "١٢",
    "\u00fc\u2603\U0001f600", "\x1b[31mred\x07", "two\nlines", "\u202eabc", "\udcff", "</script><b>", "%s{0}$HOME`id`",
    "a/../..", "/dev/null", "/proc/self/mem", "x" * 5000,
)  # fmt: skip
SMALLEST = dict(reversed(STUDIES.values()))  # of each module its first study
SOURCE = "latent_space_A5"  # the study whose model others read
MODEL = "AE_JAX_HOSTILE_MODEL"  # where it is
MODELS = {STUDIES[name][0]: option for name, option in READS_MODEL.items()}


class Line(NamedTuple):
    """A study's command line: one option with one value."""

    module: str
    option: str
    value: str


def options_of(module: str) -> list[str]:
    """The options of a study's command line."""
    found = vars(importlib.import_module(f"experiments.{module}")).values()
    kinds = [kind for kind in found if isinstance(kind, type) and issubclass(kind, Options)]
    (options,) = [kind for kind in kinds if kind.__module__ == f"experiments.{module}"] or [Options]
    return [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(options)]


def lines(modules: list[str]) -> Iterator[Line]:
    """All that are tried."""
    shared = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Options)]
    for number, option in enumerate(shared):
        for i in range(max(len(modules), len(VALUES))):
            yield Line(modules[(i + number) % len(modules)], option, VALUES[i % len(VALUES)])
    for module in modules:
        for option in options_of(module):
            if option not in shared:
                yield from (Line(module, option, value) for value in VALUES)


def wrong(line: Line, ended: Ended, files: list[Path]) -> str:
    """What is wrong with the end of a command line; nothing if all is well."""
    errors = [said for said in ended.stderr.splitlines() if said.startswith("error: ")]
    if "Traceback" in ended.stderr:
        return f"a traceback: {ended.stderr.splitlines()[-1]}"
    if ended.code == 0:
        written = any(path.suffix == ".npz" for path in files)
        return "" if written or line.option == "--dry-run" else "exit code 0 and no results"
    if ended.code != 2:
        return f"exit code {ended.code}"
    if len(errors) != 1:
        return f"{len(errors)} lines of error: {ended.stderr[-300:]}"
    diverged = "every run diverged" in errors[0]  # which is told when all has trained, and leaves its checkpoints
    return f"files left: {files}" if files and not diverged else ""


def tried(line: Line) -> tuple[Line, int, str]:
    """The exit code of a line, and what is wrong with its end."""
    own = SMALLEST[line.module]
    with tempfile.TemporaryDirectory() as sandbox:
        here = Path(sandbox) / "one" / "two" / "three"
        here.mkdir(parents=True)
        model = [MODELS[line.module], os.environ[MODEL]] if line.module in MODELS else []
        arguments = words("out", *own.split(), *model, line.option, line.value)
        ended = forked(f"experiments.{line.module}", arguments, lambda: os.chdir(here))
        files = [path for path in Path(sandbox).rglob("*") if not path.is_dir()]
        return line, ended.code, wrong(line, ended, files)


def main() -> None:
    """A line for each that ends wrongly, and the counts; exit code 1 if there is one."""
    os.environ |= UNOPTIMIZED
    jax.config.update("jax_disable_most_optimizations", True)  # it read its variables when it was imported
    modules = sys.argv[1:] or list(SMALLEST)
    for module in modules:
        importlib.import_module(f"experiments.{module}")
    importlib.import_module("ae_jax.embedded").digits()
    counts: Counter[int] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"JAX_COMPILATION_CACHE_DIR": f"{name}/programs", MODEL: f"{name}/{SOURCE}.safetensors"}
        with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
            if MODELS.keys() & set(modules):
                module, own = STUDIES[SOURCE]
                pool.apply(forked, (f"experiments.{module}", words(name, *own.split())))
            for line, code, what in pool.imap_unordered(tried, lines(modules), chunksize=1):
                counts[code] += 1
                if what:
                    failures += 1
                    print(f"{line.module} {line.option} {line.value[:40]!r}: {what}", flush=True)
    print(f"{counts[2]} lines refused, {counts[0]} run to their end, {failures} ended wrongly")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
