"""What every benchmark shares: interleaved timing, the machine it ran on, its result file. No peer is in here."""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax import results
from ae_jax.types import Dataset, UsageError
from experiments.common import print_table

PAUSE = 0.05  # seconds before a timed call, in which the worker threads of the call before fall asleep

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")


class Program(NamedTuple):
    """A contestant ready to run. ``run`` trains one call's worth of steps, waits for the device, returns the loss."""

    run: Callable[[], float]
    compile_seconds: float | None = None  # None: nothing is compiled ahead


class Timing(NamedTuple):
    """The seconds of one contestant: ``samples`` holds one number for each timed call, in the order of the calls."""

    compile: float | None
    first: float
    samples: list[float]
    loss: float  # after the last call: contestants that do the same work end near the same loss


def compiled(function: Callable, *arguments: Any) -> tuple[Callable, float]:
    """``function`` traced and compiled for ``arguments``, and the seconds that took."""
    start = time.perf_counter()
    executable = jax.jit(function).lower(*arguments).compile()
    return executable, time.perf_counter() - start


def measure(contestants: Mapping[str, Callable[[], Program]], repeats: int) -> dict[str, Timing]:
    """Start every contestant, then time them in turns, A B C A B C, so that a slow minute slows them all.

    Each contestant has its first call (timed apart) and one warm-up call behind it when the turns begin.
    """
    programs, firsts = {}, {}
    for name, start in contestants.items():
        programs[name] = start()
        firsts[name], _ = _timed(programs[name])
    for program in programs.values():
        program.run()
    samples = {name: [] for name in programs}
    losses = {}
    for _ in range(repeats):
        for name, program in programs.items():
            seconds, losses[name] = _timed(program)
            samples[name].append(seconds)
    return {name: Timing(p.compile_seconds, firsts[name], samples[name], losses[name]) for name, p in programs.items()}


def _timed(program: Program) -> tuple[float, float]:
    """Seconds of one call, and its loss; no garbage is collected meanwhile."""
    time.sleep(PAUSE)
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        loss = program.run()
        return time.perf_counter() - start, loss
    finally:
        gc.enable()


def matmul_peak(repeats: int) -> float:
    """FLOP/s of a large square float32 matrix product at the precision in force: the best of ``repeats`` calls."""
    size, products = 2048 if jax.default_backend() == "cpu" else 8192, 10
    matrix = jax.random.uniform(jax.random.key(0), (size, size)) * (2.0 / size)  # row sums near 1: powers stay finite

    def power(matrix: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, products, lambda _, product: product @ matrix, matrix)

    executable, _ = compiled(power, matrix)

    def run() -> float:
        return float(executable(matrix).block_until_ready()[0, 0])

    run()
    best = min(_timed(Program(run))[0] for _ in range(repeats))
    return products * 2 * size**3 / best


def quartiles(samples: Iterable[float]) -> list[float]:
    """First quartile, median, third quartile."""
    return np.percentile(list(samples), [25, 50, 75]).tolist()


def describe(benchmark: str, config: dict[str, Any], pixels: np.ndarray, repeats: int) -> dict[str, Any]:
    """Print and return what a measurement depends on: code, versions, device, threads, load, peak."""
    none, labels = pixels[:0], np.zeros(len(pixels), np.uint8)
    dataset = Dataset("random pixels", pixels, labels, none, labels[:0], hashlib.sha256(pixels).hexdigest())
    meta = results.provenance(f"benchmark: {benchmark}", dataset, config)
    torch = sys.modules.get("torch")  # described only where a benchmark has loaded it
    if torch:
        meta["versions"]["torch"] = importlib.metadata.version("torch")
    meta["processor"] = _processor()
    meta["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    meta["torch_threads"] = torch and torch.get_num_threads()
    meta["environment"] = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    meta["load_average"] = os.getloadavg() if hasattr(os, "getloadavg") else None
    meta["matmul_flops"] = matmul_peak(repeats)
    print(f"device    {meta['device']}; {meta['processor']}")
    print("versions  " + ", ".join(f"{name} {version}" for name, version in meta["versions"].items()))
    threads = f", PyTorch on {meta['torch_threads']} threads" if torch else ""
    limits = "".join(f", {name}={value}" for name, value in meta["environment"].items())
    print(f"threads   {meta['cores']} cores{threads}{limits}")
    load = ", ".join(f"{load:.1f}" for load in meta["load_average"] or ())
    print(f"load      {load} in the last 1, 5, 15 minutes: a busy machine spoils figures, PyTorch's above all")
    print(f"peak      {meta['matmul_flops'] / 1e9:,.0f} GFLOP/s in a large matrix product")
    return meta


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def save(path: Path, meta: dict[str, Any], measurements: list[dict[str, Any]]) -> None:
    """Write the result file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results.write_atomically(path, json.dumps({"meta": meta, "measurements": measurements}, indent=1).encode())


def compare(paths: tuple[Path, Path]) -> None:
    """Print the medians of two result files side by side, for what both of them measured."""
    before, after = map(_medians, paths)
    both = [key for key in before if key in after]
    if not both:
        raise UsageError(f"{paths[0]} and {paths[1]} have no measurement in common: run both with the same options")
    rows = [
        [*key, f"{1e3 * before[key]:.3f}", f"{1e3 * after[key]:.3f}", f"{after[key] / before[key]:.3f}"] for key in both
    ]
    caption = f"A = {paths[0]}, B = {paths[1]}; milliseconds a step and trial, medians. Below 1: B is faster."
    print_table("A against B", ["case", "contestant", "A", "B", "B / A"], rows, caption)


def _medians(path: Path) -> dict[tuple[str, str], float]:
    """``{(case, contestant): median seconds}`` of a result file."""
    try:
        measurements = json.loads(path.read_text())["measurements"]
        return {(row["case"], row["contestant"]): row["quartiles"][1] for row in measurements}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: not a result file of a benchmark ({error}); name two that --out has written"
        ) from error
