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
import runpy
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import load_file

from ae_jax import data, results, trials
from tests.commands import READS_MODEL, STUDIES, UNOPTIMIZED, words

KILLS = 3
LIMIT = 1800  # seconds of a run, on a machine that is busy
SOURCE = "latent_space_A5"  # the study whose model others read


def forked(module: str, arguments: list[str], said: Path, first: Callable[[], None], seconds: float = LIMIT) -> int:
    """A command line in a fork of this process, which has computed nothing: its exit code, or minus a signal's number.

    ``first`` runs in it before. After ``seconds`` it is killed.
    """
    if not (child := os.fork()):
        for stream, path in enumerate((os.devnull, os.devnull, said)):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), stream)
        sys.argv = [module, *arguments]
        code = 70
        try:
            first()
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    end = time.monotonic() + seconds
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(done[1])


def note_runs(path: Path) -> None:
    """From now on a line goes to ``path`` for each trained run: what it is, and a digest of all that it holds."""
    original = trials.results

    def noting(*arguments, **named):
        runs = original(*arguments, **named)
        with path.open("a") as file:
            for run in runs:
                leaves = jax.tree.leaves((run.params, run.status, run.epochs, run.loss, run.curves))
                found = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves))
                print(run.name, run.shape, found.hexdigest(), file=file)
        return runs

    trials.results = noting


def noise_for_test_images() -> None:
    """From now on every data set has others, and its test labels backwards."""
    load = data.load

    def garbled(*arguments):
        dataset = load(*arguments)
        noise = np.random.default_rng(0).integers(0, 256, dataset.test_images.shape, np.uint8)
        return dataset._replace(test_images=noise, test_labels=dataset.test_labels[::-1])

    data.load = garbled


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
    said = folder / f"{name}.txt"
    runs = {part: folder / name / f"{part}.runs" for part in ("once", "noise")}

    def run(part: str, first: Callable[[], None] = lambda: None, *more: str, seconds: float = LIMIT) -> int:
        source = folder / SOURCE / ("noise" if part == "noise" else "once") / f"{SOURCE}.safetensors"
        model = [READS_MODEL[name], str(source)] if name in READS_MODEL else []
        line = [*words(folder / name / part, *own.split(), *model), *more]
        (folder / name).mkdir(exist_ok=True)
        return forked(f"experiments.{module}", line, said, first, seconds)

    def same(part: str, code: int) -> str:
        if code:
            errors = [line for line in said.read_text().splitlines() if "Error:" in line or line.startswith("error:")]
            return f"exit code {code}: {errors[-1] if errors else said}"
        return "kept" if found(folder / name / part, name) == reference else "other numbers"

    def with_noise() -> None:
        noise_for_test_images()
        note_runs(runs["noise"])

    started = time.monotonic()
    if code := run("once", lambda: note_runs(runs["once"])):
        return name, {"ran": same("once", code)}
    took, reference = time.monotonic() - started, found(folder / name / "once", name)
    verdicts = {"again": same("again", run("again"))}
    draw = random.Random(name)
    kills = sum(
        run("killed", lambda: None, "--resume", seconds=draw.uniform(0.1, 0.9) * took) == -signal.SIGKILL
        for _ in range(KILLS)
    )
    verdict = same("killed", run("killed", lambda: None, "--resume"))
    verdicts["killed"] = f"{verdict}, {kills} kills" if verdict == "kept" else verdict
    code = run("noise", with_noise)
    unmoved = [path.read_text() if path.exists() else "" for path in runs.values()]
    verdicts["noise"] = same("noise", code) if code else "kept" if unmoved[0] == unmoved[1] else "others were trained"
    verdicts["keys"] = same("keys", run("keys", lambda: jax.config.update("jax_debug_key_reuse", True)))
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
                broken += sum(not verdict.startswith("kept") for verdict in verdicts.values())
    print(f"{broken} broken promises")
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
