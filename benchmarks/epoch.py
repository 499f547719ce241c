"""A whole epoch: one scan, a Python loop of jitted steps, and PyTorch's ways: ``python -m benchmarks.epoch``.

All of them pass once over as many images as MNIST has, in a new random order, the last partial batch dropped.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np

from benchmarks import machine, networks, report, timing, torch_peers
from benchmarks.networks import NETWORKS
from benchmarks.programs import Case, call_program, scan_program
from experiments.comparison import print_table

NAME = "epoch"
QUICK = {"networks": ("dense",), "batch_sizes": (8,), "images": 40, "repeats": 2}


@dataclasses.dataclass(frozen=True)
class Options(torch_peers.Options):
    """Time a whole epoch, with everything that a training loop adds to its steps."""

    networks: tuple[str, ...] = ("conv",)
    """Networks to train: conv, dense, conv_vae."""
    batch_sizes: tuple[int, ...] = (128, 512)
    """Images in a step."""
    images: int = 60_000
    """Images of an epoch."""


def contestants(case: Case, images: np.ndarray, has_torch: bool) -> dict:
    """Ours in one scan first; every one starts with the images in the host's memory or the device's."""
    ours = NETWORKS[case.network].ours()
    found = {
        "ours, one scan": functools.partial(scan_program, ours, case, images),
        "ours, a jitted call a step": functools.partial(call_program, ours, case, images),
    }
    if jax.local_device_count() > 1:
        found["ours, one scan, one device"] = functools.partial(scan_program, ours, case, images, most_devices=1)
    if has_torch:
        arguments = case.network, case.dropout, images, case.batch_size
        found["PyTorch, DataLoader"] = functools.partial(torch_peers.loader_program, *arguments)
        found["PyTorch, data in memory"] = functools.partial(torch_peers.memory_program, *arguments)
    return found


def run(options: Options) -> None:
    """Measure every case, print its table, and write what there is so far."""
    networks.check(options.networks)
    report.check(options)
    jax.config.update("jax_enable_compilation_cache", False)
    has_torch = torch_peers.configure(options)
    images = report.random_images(max(options.images, *options.batch_sizes))
    meta = machine.describe(NAME, report.config(options), pixels=images)
    measurements = []
    for case in (Case(name, size) for name in options.networks for size in options.batch_sizes):
        timings = timing.measure(contestants(case, images, has_torch), options.repeats)
        ours = next(iter(timings.values())).samples
        rows = [
            report.measurement(
                str(case), name, t.samples, compile_seconds=t.compile, first_call_seconds=t.first, loss=t.loss
            )
            for name, t in timings.items()
        ]
        cells = [
            (
                row["contestant"],
                "-" if row["compile_seconds"] is None else f"{row['compile_seconds']:.1f}",
                f"{row['first_call_seconds']:.2f}",
                *report.spread(row),
                f"{len(images) / row['quartiles'][1]:,.0f}",
                f"{timing.ratio(row['samples'], ours):.2f}",
            )
            for row in rows
        ]
        header = ("contestant", "compile s", "first call s", "s an epoch", "quartiles", "images/s", "time / ours")
        print_table(f"An epoch of {len(images):,} images: {case}", header, cells, f"{options.repeats} epochs, in turns")
        measurements += rows
        report.save(options.out, meta, measurements)
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    report.main(NAME, Options, QUICK, run)
