"""The machine a benchmark runs on: what it is, how busy it is, and its two peaks, arithmetic and memory traffic."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax import results
from ae_jax.types import Dataset
from benchmarks import timing

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
PASSES = 10  # products, or passes over the array, in one call of a peak's program


class Peaks(NamedTuple):
    """The most this machine reached at the precision in force: FLOP/s and bytes/s."""

    flops: float
    bandwidth: float


def peaks(repeats: int, quick: bool) -> Peaks:
    """Both peaks, each the best of ``repeats`` calls; ``quick`` takes arrays too small to reach them."""
    small = quick or jax.default_backend() == "cpu"
    size = 256 if quick else 2048 if small else 8192
    megabytes = 8 if quick else 256 if small else 2048
    return Peaks(_matmul_peak(size, repeats), _copy_peak(megabytes * 2**20, repeats))


def _matmul_peak(size: int, repeats: int) -> float:
    """FLOP/s of products of two ``[size, size]`` float32 matrices."""
    matrix = jax.random.uniform(jax.random.key(0), (size, size)) * (2.0 / size)  # row sums near 1: powers stay finite
    return PASSES * 2 * size**3 / _fastest(lambda product, matrix: product @ matrix, matrix, repeats)


def _copy_peak(size: int, repeats: int) -> float:
    """Bytes/s, read and written, of passes over a float32 array of ``size`` bytes that is far larger than any cache."""
    array = jax.numpy.ones(size // 4)
    return PASSES * 2 * size / _fastest(lambda x, _: x * 1.0001, array, repeats)


def _fastest(function: Callable, array: jax.Array, repeats: int) -> float:
    """Seconds of the fastest of ``repeats`` calls, each ``PASSES`` times ``x = function(x, array)``."""
    loop, _ = timing.compiled(lambda a: jax.lax.fori_loop(0, PASSES, lambda _, x: function(x, a), a), array)

    def run() -> None:
        jax.block_until_ready(loop(array))

    run()
    return min(timing.timed(run)[0] for _ in range(repeats))


def describe(
    benchmark: str, config: dict[str, Any], peaks: Peaks | None = None, pixels: np.ndarray | None = None
) -> dict[str, Any]:
    """Print and return what a measurement depends on: code, versions, device, threads, load, peaks, data."""
    pixels = np.zeros((0, 28, 28, 1), np.uint8) if pixels is None else pixels
    labels = np.zeros(len(pixels), np.uint8)
    digest = hashlib.sha256(pixels).hexdigest()
    dataset = Dataset("random pixels", pixels, labels, pixels[:0], labels[:0], digest)
    meta = results.provenance(f"benchmark: {benchmark}", dataset, config)
    torch = sys.modules.get("torch")  # described only where a benchmark has loaded it
    if torch:
        meta["versions"]["torch"] = importlib.metadata.version("torch")
    meta["processor"] = _processor()
    meta["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    meta["torch_threads"] = torch and torch.get_num_threads()
    meta["environment"] = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    meta["load_average"] = os.getloadavg() if hasattr(os, "getloadavg") else None
    meta["peaks"] = peaks and peaks._asdict()
    print(f"device    {meta['device']}; {meta['processor']}")
    print("versions  " + ", ".join(f"{name} {version}" for name, version in meta["versions"].items()))
    threads = f", PyTorch on {meta['torch_threads']} threads" if torch else ""
    limits = "".join(f", {name}={value}" for name, value in meta["environment"].items())
    print(f"threads   {meta['cores']} cores{threads}{limits}")
    load = ", ".join(f"{load:.1f}" for load in meta["load_average"] or ())
    print(f"load      {load} in the last 1, 5, 15 minutes: a busy machine spoils figures, PyTorch's above all")
    if peaks:
        print(
            f"peaks     {peaks.flops / 1e9:,.0f} GFLOP/s in a large product, {peaks.bandwidth / 1e9:,.1f} GB/s copying"
        )
    return meta


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
