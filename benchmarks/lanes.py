"""Many lanes in one search against one lane alone: ``python -m benchmarks.lanes``.

Everything a search pays is timed but the compiler: packing lanes into calls, copies to and from the host,
validation and bookkeeping. Checkpoints are off. The case is the convolutional autoencoder of report A, batch 128.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
import tyro

from ae_jax import trials
from ae_jax.data import holdout
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, UsageError, hparams
from benchmarks import timing
from experiments.common import on_device, print_table


@dataclasses.dataclass(frozen=True)
class Options:
    """Aggregate speed of a search against its number of lanes."""

    lanes: tuple[int, ...] = (1, 8, 32, 128)
    """Lanes of a search; the first is the one that the others are set beside."""
    images: int = 5_120
    """Training and validation images."""
    epochs: int = 2
    """Epochs of each lane."""
    repeats: int = 7
    """Searches of each size, in turns; fewer than 7 are a smoke test."""
    out: Path = Path("results/benchmarks/lanes.json")
    """The result file."""


def run(options: Options) -> None:
    """Time every size in turns, print the table, write the samples."""
    if min(*options.lanes, options.images, options.epochs, options.repeats) < 1:
        raise UsageError(f"{options}: every number must be at least 1")
    plan, model = Plan(batch_size=128, optimizer="adam"), conv_autoencoder(latent=4)
    pixels = np.random.default_rng(0).integers(0, 256, (options.images, 28, 28, 1), np.uint8)
    data = on_device(pixels, np.zeros(options.images))
    splits = trials.stack_splits([holdout(options.images)])
    meta = timing.describe("lanes", dataclasses.asdict(options) | {"out": str(options.out)}, pixels, options.repeats)

    def images_per_second(count: int) -> float:
        lanes = trials.make_lanes(hparams(1e-3, dropout=0.1, epochs=options.epochs), seed=np.arange(count))
        return trials.run_lanes(autoencoder(model), plan, lanes, data, splits).images_per_second

    samples = {count: [] for count in options.lanes}
    with tempfile.TemporaryDirectory() as programs:  # compile each size once
        jax.config.update("jax_compilation_cache_dir", programs)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        for repeat in range(options.repeats + 1):
            for count in options.lanes:
                rate = images_per_second(count)
                if repeat:  # the first round warms up
                    samples[count].append(rate)
        jax.config.update("jax_compilation_cache_dir", None)
    alone = np.array(samples[options.lanes[0]])
    rows, measurements = [], []
    for count, rates in samples.items():
        low, median, high = timing.quartiles(rates)
        share = np.median(np.array(rates) / alone)
        rows.append((str(count), f"{median:,.0f}", f"{low:,.0f} - {high:,.0f}", f"{share:.2f}"))
        seconds = [1 / rate for rate in rates]
        measurements.append(
            {"case": "images/s", "contestant": str(count), "samples": seconds, "quartiles": timing.quartiles(seconds)}
        )
    header = ("lanes", "images/s, all lanes", "quartiles", f"over {options.lanes[0]} lane(s)")
    print_table("A search against its number of lanes", header, rows, f"{options.repeats} searches of each, in turns")
    timing.save(options.out, meta, measurements)
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    try:
        run(tyro.cli(Options, description=__doc__))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
