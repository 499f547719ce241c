"""What compiling costs, cold and from the persistent cache, and how often it happens: ``python -m benchmarks.compile``.

Times are those of tracing, lowering and compiling each training program; counts are those of studies, the demo
unless others are named, each run in a process of its own. ``counts`` tells their programs at the full budget.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np

from ae_jax import sharing
from ae_jax.batching import Data, take
from ae_jax.segments import run_segment
from ae_jax.training import train_epoch, train_step
from ae_jax.types import Plan, UsageError
from benchmarks import machine, networks, report, timing
from benchmarks.networks import NETWORKS
from benchmarks.programs import Case, fresh, resident, segment
from experiments import registry
from experiments.comparison import print_table

NAME = "compile"
QUICK = {"networks": ("dense",), "batch_size": 8, "images": 40, "repeats": 1, "studies": ()}
PHASES = ("trace", "lower", "compile")


@dataclasses.dataclass(frozen=True)
class Options(report.Options):
    """Time the compilation of the training programs and count the programs of the studies."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    """Networks to train."""
    batch_size: int = 128
    """Images in a step."""
    images: int = 5_120
    """Training and validation images."""
    studies: tuple[str, ...] = ("compression",)
    """Studies of run_all, or all, whose programs are counted by training for an epoch, cold and again from the cache;
    the default is the demo."""


def programs(case: Case, images: np.ndarray) -> dict[str, Callable[[], jax.stages.Traced]]:
    """The training programs of a case, each ready to be traced."""
    objective, plan = NETWORKS[case.network].ours(), Plan(case.batch_size)
    data, indices = resident(images)
    steps = len(images) // case.batch_size

    def step(state, numbers, data: Data, batch: jax.Array):
        return train_step(objective, plan, state, numbers, take(data, batch), sharing.division())

    def epoch(state, numbers, data: Data, indices: jax.Array):
        return train_epoch(objective, plan, state, numbers, data, indices, steps, sharing.division())

    lane, batch = (*fresh(objective, case), data), indices[: case.batch_size]
    return {
        "train_step": lambda: jax.jit(step).trace(*lane, batch),
        "train_epoch": lambda: jax.jit(epoch).trace(*lane, indices),
        "run_segment": functools.partial(run_segment.trace, *segment(case, images)),
    }


def phases(trace: Callable[[], jax.stages.Traced]) -> tuple[float, float, float]:
    """Seconds of tracing, lowering and compiling, with nothing left in this process from the time before."""
    jax.clear_caches()
    clock = [time.perf_counter()]
    traced = trace()
    clock.append(time.perf_counter())
    lowered = traced.lower()
    clock.append(time.perf_counter())
    lowered.compile()
    clock.append(time.perf_counter())
    return tuple(np.diff(clock).tolist())


def time_programs(case: Case, images: np.ndarray, repeats: int) -> list[dict]:
    """A measurement for each program, phase and state of the cache: cold, then cached, in turns."""
    samples: dict[tuple[str, str], list[float]] = {}
    for name, trace in programs(case, images).items():
        for _ in range(repeats):
            with timing.empty_cache():
                for state in ("cold", "cached"):
                    for phase, seconds in zip(PHASES, phases(trace), strict=True):
                        samples.setdefault((name, f"{phase}, {state}"), []).append(seconds)
    return [report.measurement(f"{case}: {name}", phase, s) for (name, phase), s in samples.items()]


def print_phases(title: str, rows: list[dict]) -> None:
    medians: dict[str, dict[str, str]] = {}
    for row in rows:
        medians.setdefault(row["case"], {})[row["contestant"]] = " ".join(report.spread(row, digits=2))
    header = [f"{phase}, {state}" for state in ("cold", "cached") for phase in PHASES]
    cells = [[case.split(": ")[-1], *(values[name] for name in header)] for case, values in medians.items()]
    print_table(title, ("program", *header), cells, "seconds: median, first - third quartile")


# Counts and times, in a process of its own, every program that XLA compiles or finds in the cache.
_STUDY = """
import json, jax
from ae_jax import trials
from experiments import command_line, run_all
seconds, training = [], []
def listen(event, duration, **_):
    if event == "/jax/core/compile/backend_compile_duration":
        seconds.append(duration)
def start(*arguments, start=trials.start):
    runs = start(*arguments)
    training.append(len(runs))
    return runs
trials.start = start
jax.monitoring.register_event_duration_secs_listener(listen)
try:
    command_line.main(run_all.Options, run_all.run)
finally:
    print(json.dumps([seconds, sum(training)]))
"""


def count_programs(study: str, *options: str) -> list[dict]:
    """Compile seconds and number of programs of a study on the embedded digits, cold, then with its cache.

    ``options`` are further words of its command line.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/programs"}
        for state in ("cold", "cached"):
            arguments = ["--only", study, "--dataset", "digits", "--epochs", "1", "--out", f"{folder}/{state}"]
            words = [sys.executable, "-c", _STUDY, *arguments, *options]
            done = subprocess.run(words, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise UsageError(f"{study} failed: {done.stderr.strip().splitlines()[-1]}")
            seconds, training = json.loads(done.stdout.splitlines()[-1])
            long = [s for s in seconds if s >= 0.3]  # what the studies keep in their cache
            more = {"training": training, "programs": len(seconds), "long_programs": len(long)}
            rows.append(report.measurement(study, state, [sum(seconds)], **more))
    return rows


def run(options: Options) -> None:
    """Time, count, print, and write what there is so far."""
    networks.check(options.networks)
    report.check(options, may_be_empty=("studies",))
    studies = tuple(registry.STUDIES) if options.studies == ("all",) else options.studies
    if unknown := [name for name in studies if name not in registry.STUDIES]:
        raise UsageError(f"no study {unknown[0]!r}: choose all, or among {', '.join(registry.STUDIES)}")
    images = report.random_images(options.images)
    meta = machine.describe(NAME, report.config(options), pixels=images)
    measurements = []
    for name in options.networks:
        case = Case(name, options.batch_size)
        rows = time_programs(case, images, options.repeats)
        print_phases(str(case), rows)
        measurements += rows
        report.save(options.out, meta, measurements)
    counted = []
    for study in studies:
        counted += count_programs(study)
        report.save(options.out, meta, measurements + counted)
    if counted:
        header = ("study", "cache", "compile s", "training programs", "all", "of 0.3 s or more")
        numbers = ("training", "programs", "long_programs")
        cells = [
            (row["case"], row["contestant"], f"{row['samples'][0]:.1f}", *(str(row[name]) for name in numbers))
            for row in counted
        ]
        print_table("Programs of the studies", header, cells, "digits, quick: every program compiled or loaded")
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    report.main(NAME, Options, QUICK, run)
