"""Memory of a lane: what XLA plans and what the machine measures, against the lanes of a call.

    python -m benchmarks.memory

Each number of lanes has a process of its own, so that no peak hides another. On a CPU the peak is the resident set
of the process while the program runs, on a GPU that of JAX's allocator. What the compiler has freed may be used again,
so that small programs measure low on a CPU.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax

from ae_jax.segments import run_segment
from ae_jax.types import UsageError, tree_size
from benchmarks import machine, networks, report
from benchmarks.programs import Case, segment
from experiments.comparison import print_table

NAME = "memory"
QUICK = {"networks": ("dense",), "lanes": (1, 2), "batch_size": 8, "images": 40, "repeats": 1}
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Options(report.Options):
    """Bytes that ``segments.run_segment`` needs, planned and measured."""

    networks: tuple[str, ...] = ("conv",)
    """Networks to train: conv, dense, conv_vae."""
    lanes: tuple[int, ...] = (1, 8, 32)
    """Lanes in a call."""
    batch_size: int = 128
    """Images in a step."""
    images: int = 5_120
    """Training and validation images."""


def footprint(network: str, lanes: int, batch_size: int, images: int) -> dict[str, int | None]:
    """``planned`` bytes of the compiled program, all but its data, and the ``measured`` growth while it runs twice.

    Call it in a fresh process. ``measured`` is None where the machine cannot tell.
    """
    arguments = segment(Case(network, batch_size, trials=lanes), report.random_images(images))
    statics, traced = arguments[:5], arguments[5:]
    program = run_segment.lower(*statics, *traced).compile()
    analysis = program.memory_analysis()
    planned = analysis.temp_size_in_bytes + analysis.argument_size_in_bytes + analysis.output_size_in_bytes
    lanes_at_rest = tree_size(jax.tree.map(jax.numpy.asarray, traced[:2]))
    before = _start_peak()
    for _ in range(2):
        jax.block_until_ready(program(*traced))
    peak = _peak()
    # The states passed in are held already when the measurement starts.
    measured = None if peak is None else peak - before + lanes_at_rest
    return {"planned": planned - tree_size(traced[-2:]), "measured": measured}


def _start_peak() -> int | None:
    """Forget the peak so far; the bytes held now."""
    stats = jax.local_devices()[0].memory_stats()
    if stats:
        return stats["bytes_in_use"]
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _peak() -> int | None:
    """The most bytes held since :func:`_start_peak`; on a GPU since the process began, whose program is its largest."""
    stats = jax.local_devices()[0].memory_stats()
    if stats:
        return stats["peak_bytes_in_use"]
    return _status("VmHWM")


def _status(field: str) -> int | None:
    """A field of Linux's account of this process, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def in_its_own_process(*arguments: str | int) -> dict[str, int | None]:
    """:func:`footprint` in a fresh process that takes device memory only as it needs it."""
    code = f"import json; from benchmarks.memory import footprint; print(json.dumps(footprint{arguments!r}))"
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"footprint{arguments} failed: {done.stderr.strip().splitlines()[-1]}; give fewer --lanes")
    return json.loads(done.stdout.splitlines()[-1])


def run(options: Options) -> None:
    """Measure every number of lanes, print the table, write what there is so far."""
    networks.check(options.networks)
    report.check(options)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    meta = machine.describe(NAME, report.config(options))
    measurements = []
    for network in options.networks:
        cells = []
        for lanes in options.lanes:
            found = [
                in_its_own_process(network, lanes, options.batch_size, options.images) for _ in range(options.repeats)
            ]
            rows = [
                report.measurement(
                    f"{network}, batch {options.batch_size}, {lanes} lanes", kind, values, "bytes a lane"
                )
                for kind in ("planned", "measured")
                if (values := [one[kind] / lanes for one in found if one[kind]])
            ]
            measurements += rows
            planned, *measured = (report.spread(row, 1 / MIB, 2) for row in rows)
            ratio = [f"{row['quartiles'][1] / rows[0]['quartiles'][1]:.2f}" for row in rows[1:]]
            cells.append((str(lanes), planned[0], *(measured[0] if measured else ("-", "-")), *(ratio or "-")))
            report.save(options.out, meta, measurements)
        header = ("lanes", "planned MiB a lane", "measured MiB a lane", "quartiles", "measured / planned")
        caption = "lanes at rest, their successors and all intermediates; without the dataset, which lanes share"
        print_table(f"Memory of run_segment: {network}, batch {options.batch_size}", header, cells, caption)
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    report.main(NAME, Options, QUICK, run)
