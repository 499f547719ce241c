"""Benchmarks in processes of their own, each with a time limit: none can spoil, or outlast, another."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Any, NamedTuple


class Part(NamedTuple):
    """A module to run with these arguments, for at most ``limit`` seconds (None: to its end)."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    limit: float | None = None


def run(part: Part, left: float | None = None) -> dict[str, Any]:
    """Run a part, its output passed through, for at most ``left`` seconds; says how it ended and after how long."""
    limits = [limit for limit in (part.limit, left) if limit is not None]
    print(f"\n== {part.name}" + (f", at most {min(limits):.0f} s" if limits else ""), flush=True)
    started = time.perf_counter()
    if limits and min(limits) <= 0:
        return {"part": part.name, "outcome": "no time left", "seconds": 0.0}
    words = [sys.executable, "-m", part.module, *part.arguments]
    process = subprocess.Popen(words, start_new_session=True)
    try:
        code = process.wait(min(limits, default=None))
        outcome = "done" if code == 0 else f"failed with exit code {code}"
    except subprocess.TimeoutExpired:
        outcome = "stopped at its time limit: what it has written counts"
    finally:
        with contextlib.suppress(ProcessLookupError):  # the processes that the part has started go with it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return {"part": part.name, "outcome": outcome, "seconds": time.perf_counter() - started}
