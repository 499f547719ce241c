"""One training step, ours against Linen's layers and PyTorch: ``python -m benchmarks.step``.

With the default options a run takes minutes on a few CPU cores; see ``benchmarks/README.md`` for the columns.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ae_jax.convolutions import Implementation
from ae_jax.types import UsageError
from benchmarks import machine, networks, report, roofline, timing, torch_peers
from benchmarks.machine import Peaks
from benchmarks.networks import NETWORKS
from benchmarks.programs import Case, call_program, scan_program
from benchmarks.timing import Program, Timing
from experiments.comparison import print_table

NAME = "step"
OURS = "ours"
QUICK = {"networks": ("dense",), "batch_sizes": (8,), "images": 32, "repeats": 2, "torch_compile": 0}


@dataclasses.dataclass(frozen=True)
class Options(torch_peers.Options):
    """Time a training step. Every combination of networks, batch sizes, dropout rates and trials is one case."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    """conv: 28x28 - 8, 16, 32 channels - 64 - 4; dense: 784-500-500-5; conv_vae: 28x28 - 32, 64 - 64 - 2; mirrored."""
    batch_sizes: tuple[int, ...] = (32, 128, 512)
    """Images in a step."""
    dropout: tuple[float, ...] = (0.0,)
    """Rates of dropout after every hidden activation, in [0, 1)."""
    trials: tuple[int, ...] = (1,)
    """Networks trained at once; above 1 lanes are measured against vmapped peers."""
    images: int = 12_800
    """Images a timed call trains on, all trials together; at least four steps are taken."""
    implementations: tuple[Implementation, ...] = ()
    """Ways to convolve that are set beside ours, the one that ``auto`` picks: patches, banded, lax."""
    torch_compile: int = 120
    """Seconds that torch.compile may take for a case; it is left out past them, at 0, or without a C++ compiler."""


def contestants(
    case: Case,
    images: np.ndarray,
    has_torch: bool,
    torch_compile: int,
    implementations: tuple[Implementation, ...] = (),
) -> dict[str, Callable[[], Program]]:
    """Ours first, then every peer that this machine has."""
    network, batch_size, rate, trials = case
    ours, linen = NETWORKS[network].ours(), NETWORKS[network].linen(rate)
    found = {
        OURS: functools.partial(scan_program, ours, case, images),
        "Linen layers, same scan": functools.partial(scan_program, linen, case, images),
    }
    for name in implementations if "conv" in network else ():
        found[f"ours, {name}"] = functools.partial(scan_program, NETWORKS[network].ours(name), case, images)
    if jax.local_device_count() > 1:
        found["ours, one device"] = functools.partial(scan_program, ours, case, images, most_devices=1)
    torch_case = network, rate, images, batch_size
    if trials > 1:
        if has_torch:
            found["PyTorch, torch.func"] = functools.partial(torch_peers.vmap_program, *torch_case, trials)
        return found
    found["Linen layers, a call a step"] = functools.partial(call_program, linen, case, images)
    if has_torch:
        found["PyTorch eager"] = functools.partial(torch_peers.memory_program, *torch_case)
        if network in networks.CHANNELS:
            channels_last = functools.partial(torch_peers.memory_program, *torch_case, channels_last=True)
            found["PyTorch eager, channels_last"] = channels_last
        if torch_compile:
            compiled = functools.partial(torch_peers.compiled_program, *torch_case, torch_compile)
            found["PyTorch, torch.compile"] = compiled
    return found


def summarise(case: Case, steps: int, timings: dict[str, Timing], peaks: Peaks) -> list[dict[str, Any]]:
    """One measurement for each contestant; samples are the seconds of a step of one trial."""
    cost = roofline.by_hand(case.network, case.batch_size)
    fastest, roof = roofline.bound(cost, peaks)
    xla = roofline.by_xla(case.network, case.batch_size)
    rows = []
    for name, timing_ in timings.items():
        samples = [seconds / (steps * case.trials) for seconds in timing_.samples]
        _, median, _ = timing.quartiles(samples)
        pairs = zip(timing_.samples, timings[OURS].samples, strict=True)
        row = report.measurement(
            str(case),
            name,
            samples,
            **case._asdict(),
            steps_a_call=steps,
            compile_seconds=timing_.compile,
            first_call_seconds=timing_.first,
            images_per_second=case.batch_size / median,
            flops=cost.flops,
            bytes=cost.bytes,
            xla_flops=xla.flops,
            xla_bytes=xla.bytes,
            roof=roof,
            share_of_roof=fastest / median,
            ratio_quartiles=timing.quartiles(theirs / ours for theirs, ours in pairs),
            loss=timing_.loss,
        )
        rows.append(row)
    return rows


def print_case(case: Case, rows: list[dict[str, Any]]) -> None:
    header = ["contestant", "compile s", "first call s", "ms a step", "quartiles", "images/s", "GFLOP/s", "of roof"]
    cells = []
    for row in rows:
        _, median, _ = row["quartiles"]
        cells.append(
            [
                row["contestant"],
                "-" if row["compile_seconds"] is None else f"{row['compile_seconds']:.1f}",
                f"{row['first_call_seconds']:.2f}",
                *report.spread(row, 1e3),
                f"{row['images_per_second']:,.0f}",
                f"{row['flops'] / median / 1e9:,.1f}",
                f"{row['share_of_roof']:.1%}",
                f"{row['ratio_quartiles'][1]:.2f}",
                f"{row['loss']:.4f}",
            ]
        )
    first = rows[0]
    mega = {name: first[name] / 1e6 for name in ("flops", "bytes", "xla_flops", "xla_bytes")}
    caption = (
        f"{len(first['samples'])} calls of {first['steps_a_call']} steps each, in turns; a step is that of one trial; "
        f"time is over ours.\nA step is {mega['flops']:,.1f} MFLOP and {mega['bytes']:,.1f} MB by hand, "
        f"{mega['xla_flops']:,.1f} MFLOP and {mega['xla_bytes']:,.1f} MB by XLA's count; its roof is {first['roof']}."
    )
    print_table(str(case), [*header, "time / ours", "loss"], cells, caption)


def run(options: Options) -> None:
    """Measure every case, print its table, and write what there is so far."""
    networks.check(options.networks)
    if not all(0 <= rate < 1 for rate in options.dropout):
        raise UsageError(f"--dropout {options.dropout} is not allowed: give rates in [0, 1)")
    report.check(options, may_be_zero=("torch_compile",), may_be_empty=("implementations",))
    jax.config.update("jax_enable_compilation_cache", False)  # compile seconds are those of a first run
    has_torch = torch_peers.configure(options)
    pixels = report.random_images(max(options.images, 4 * max(options.batch_sizes)))
    peaks = machine.peaks(options.repeats, options.quick)
    meta = machine.describe(NAME, report.config(options), peaks, pixels)
    measurements = []
    cases = itertools.product(options.networks, options.batch_sizes, options.dropout, options.trials)
    for case in itertools.starmap(Case, cases):
        steps = max(4, options.images // (case.batch_size * case.trials))
        images = pixels[: steps * case.batch_size]
        timings = timing.measure(
            contestants(case, images, has_torch, options.torch_compile, options.implementations), options.repeats
        )
        rows = summarise(case, steps, timings, peaks)
        print_case(case, rows)
        measurements += rows
        report.save(options.out, meta, measurements)
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    report.main(NAME, Options, QUICK, run)
