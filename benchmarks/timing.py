"""Interleaved timing: contestants take turns, so that a slow minute slows them all. No peer is in here."""

from __future__ import annotations

import contextlib
import gc
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

PAUSE = 0.05  # seconds before a timed call, in which the worker threads of the call before fall asleep
SETTLE = 0.5  # seconds of untimed calls after it: cores that have slept take some 10 ms to be fast again


class Unavailable(Exception):
    """A contestant cannot run on this machine: the message says why. It is left out, with a line that says so."""


class Program(NamedTuple):
    """A contestant ready to run. ``run`` does one call's worth of work, waits for the device, returns the loss."""

    run: Callable[[], float]
    compile_seconds: float | None = None  # None: nothing is compiled ahead


class Timing(NamedTuple):
    """The seconds of one contestant: ``samples`` holds one number for each timed call, in the order of the calls."""

    compile: float | None
    first: float
    samples: list[float]
    loss: float  # after the last call: contestants that do the same work end near the same loss


def compiled(function: Callable, *arguments: Any) -> tuple[jax.stages.Compiled, float]:
    """``function`` traced and compiled for ``arguments``, and the seconds that took."""
    start = time.perf_counter()
    executable = jax.jit(function).lower(*arguments).compile()
    return executable, time.perf_counter() - start


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    """A persistent compilation cache of its own, which takes every program."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"jax_compilation_cache_dir": folder, "jax_persistent_cache_min_compile_time_secs": 0.0}
        before = {name: getattr(jax.config, name) for name in settings}
        _set(settings)
        try:
            yield
        finally:
            _set(before)


def _set(settings: dict) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def measure(contestants: Mapping[str, Callable[[], Program]], repeats: int) -> dict[str, Timing]:
    """Start every contestant, then time them in turns, A B C A B C; those that are :class:`Unavailable` are named.

    Each contestant has its first call (timed apart) and one warm-up call behind it when the turns begin. A turn is
    a pause, as many untimed calls as fit into ``SETTLE`` seconds (none of a long one), and the timed call.
    """
    programs, firsts = {}, {}
    for name, start in contestants.items():
        try:
            programs[name] = start()
        except Unavailable as reason:
            print(f"{name} is left out: {reason}")
            continue
        firsts[name], _ = timed(programs[name].run)
    untimed = {name: int(SETTLE / timed(program.run)[0]) for name, program in programs.items()}
    rounds = [{name: timed(program.run, untimed[name]) for name, program in programs.items()} for _ in range(repeats)]
    return {
        name: Timing(program.compile_seconds, firsts[name], [r[name][0] for r in rounds], rounds[-1][name][1])
        for name, program in programs.items()
    }


def timed(call: Callable[[], Any], untimed: int = 0) -> tuple[float, Any]:
    """Seconds of one call, after ``untimed`` others, and what it returned; no garbage is collected meanwhile."""
    time.sleep(PAUSE)
    gc.collect()
    gc.disable()
    try:
        for _ in range(untimed):
            call()
        start = time.perf_counter()
        value = call()
        return time.perf_counter() - start, value
    finally:
        gc.enable()


def quartiles(samples: Iterable[float]) -> list[float]:
    """First quartile, median, third quartile."""
    return np.percentile(list(samples), [25, 50, 75]).tolist()


def ratio(samples: Iterable[float], reference: Iterable[float]) -> float:
    """Median over the rounds of (a sample / the reference's in the same round)."""
    return float(np.median(np.divide(list(samples), list(reference))))
