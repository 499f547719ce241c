"""Promises of every study, at the smallest size: ``python -m tests.promises [STUDY ...]``, or ``make promises``.

Each study of ``run_all`` runs in fresh processes: twice as it is, which must give the same bits; killed by ``kill -9``
at three random moments and resumed, the same again; with noise for test images, which must change no trained
parameter, curve or status, and so no selection; and under JAX's check that no key is consumed twice.
"""

import hashlib
import importlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import load_file

from ae_jax import data, results, trials
from tests.commands import READS_MODEL, STUDIES, UNOPTIMIZED, noisy, words
from tests.forks import LIMIT, Ended, forked

KILLS = 3
SOURCE = "latent_space_A5"  # the study whose model others read


def note_runs(path: Path) -> None:
    """From now on a line goes to ``path`` for each trained run: what it is, and a digest of all that it holds."""
    original = trials.results

    def noting(*arguments, **named):
        runs = original(*arguments, **named)
        with path.open("a") as file:
            for run in runs:
                leaves = jax.tree.leaves((run.params, run.status, run.epochs, run.loss, run.curves))
                content = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves))
                print(run.name, run.shape, content.hexdigest(), file=file)
        return runs

    trials.results = noting


def found(folder: Path, name: str) -> str:
    """A digest of all that a study found: its arrays, and the weights that it kept."""
    arrays = dict(results.load(folder / f"{name}.npz")[0])
    for path in sorted(folder.glob("*.safetensors")):
        arrays |= {f"{path.name} {key}": values for key, values in load_file(path).items()}
    return results.digest({}, arrays)


def check(task: tuple[str, Path]) -> tuple[str, dict[str, str]]:
    """Every promise for one study: ``kept``, or what was wrong."""
    name, folder = task
    module, own = STUDIES[name]
    runs = {part: folder / name / f"{part}.runs" for part in ("once", "noise")}

    def run(part: str, first: Callable[[], None] = lambda: None, *more: str, seconds: float = LIMIT) -> Ended:
        source = folder / SOURCE / ("noise" if part == "noise" else "once") / f"{SOURCE}.safetensors"
        model = [READS_MODEL[name], str(source)] if name in READS_MODEL else []
        line = [*words(folder / name / part, *own.split(), *model), *more]
        (folder / name).mkdir(exist_ok=True)
        return forked(f"experiments.{module}", line, first, seconds=seconds)

    def failed(ended: Ended) -> str:
        errors = [line for line in ended.stderr.splitlines() if "Error:" in line or line.startswith("error:")]
        return f"exit code {ended.code}: {' '.join(errors[-1:])}" if ended.code else ""

    def same(part: str, ended: Ended) -> str:
        return failed(ended) or ("kept" if found(folder / name / part, name) == reference else "other numbers")

    def with_noise() -> None:
        data.load = noisy(data.load)
        note_runs(runs["noise"])

    started = time.monotonic()
    if wrong := failed(run("once", lambda: note_runs(runs["once"]))):
        return name, {"ran": wrong}
    took, reference = time.monotonic() - started, found(folder / name / "once", name)
    draw = random.Random(name)
    kills = sum(
        run("killed", lambda: None, "--resume", seconds=draw.uniform(0.1, 0.9) * took).code == -signal.SIGKILL
        for _ in range(KILLS)
    )
    noise = failed(run("noise", with_noise))
    unmoved = len({path.read_text() if path.exists() else "" for path in runs.values()}) == 1
    verdicts = {
        "again": same("again", run("again")),
        f"killed {kills} times": same("killed", run("killed", lambda: None, "--resume")),
        "noise": noise or ("kept" if unmoved else "others were trained"),
        "keys": same("keys", run("keys", lambda: jax.config.update("jax_debug_key_reuse", True))),
    }
    return name, verdicts


def main() -> None:
    """A line for each study; exit code 1 if a promise was broken."""
    os.environ |= UNOPTIMIZED
    jax.config.update("jax_disable_most_optimizations", True)  # it read its variables when it was imported
    chosen = sys.argv[1:] or list(STUDIES)
    for module in {module for module, _ in STUDIES.values()}:
        importlib.import_module(f"experiments.{module}")
    importlib.import_module("ae_jax.embedded").digits()
    broken = 0
    with tempfile.TemporaryDirectory() as name, multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        folder = Path(name)
        first = [SOURCE] if any(study in READS_MODEL for study in chosen) or SOURCE in chosen else []
        rest = [study for study in chosen if study not in first]
        for studies in (first, rest):
            for study, verdicts in pool.imap_unordered(check, [(study, folder) for study in studies], chunksize=1):
                print(f"{study:22}", ", ".join(f"{what}: {verdict}" for what, verdict in verdicts.items()), flush=True)
                broken += sum(verdict != "kept" for verdict in verdicts.values())
    print(f"{broken} broken promises")
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
