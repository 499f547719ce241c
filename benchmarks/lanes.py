"""Many lanes in one search, against PyTorch's ways to train as many trials: ``python -m benchmarks.lanes``.

Of our searches whole calls are timed, with copies to and from the host, validation and bookkeeping; compiling and
the first initialisation are not, and checkpoints are off. PyTorch is timed on its training steps alone, which
favours it. The case is the convolutional autoencoder of report A, batch 128.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from ae_jax import trials
from ae_jax.batching import Data
from ae_jax.data import holdout
from ae_jax.lanes import lane_grid, stack_splits
from ae_jax.types import Plan
from benchmarks import machine, report, timing, torch_peers
from benchmarks.networks import NETWORKS
from experiments.comparison import print_table

NAME = "lanes"
QUICK = {"lanes": (1, 2), "torch_lanes": 2, "images": 40, "batch_size": 8, "epochs": 1, "repeats": 1}
DROPOUT = 0.1
# A trial of report A's search on MNIST: 93 batches of 512 in an epoch, 26.5 epochs in the mean of their prior.
TRIAL_IMAGES = 93 * 512 * 26.5


@dataclasses.dataclass(frozen=True)
class Options(torch_peers.Options):
    """Aggregate speed of a search against its number of lanes."""

    lanes: tuple[int, ...] = (1, 8, 32, 128, 256)
    """Lanes of a search; the first is the one that the others are set beside."""
    torch_lanes: int = 32
    """Trials that PyTorch trains at once by torch.func."""
    images: int = 5_120
    """Training and validation images."""
    batch_size: int = 128
    """Images in a step."""
    epochs: int = 2
    """Epochs of each lane."""


def searches(options: Options) -> dict[str, Callable[[], float]]:
    """Seconds an image, over all lanes, of a search of each size; the first call compiles."""
    objective, plan = NETWORKS["conv"].ours(), Plan(options.batch_size)
    data = Data(jnp.asarray(report.random_images(options.images)), jnp.zeros(options.images, jnp.int32))
    splits = stack_splits([holdout(options.images)])

    def seconds_an_image(count: int) -> float:
        lanes = lane_grid(dropout=DROPOUT, epochs=options.epochs, seed=np.arange(count))
        cost = trials.run_lanes(objective, plan, lanes, data, splits).cost
        return cost.train_seconds / cost.images

    return {f"ours, {count} lane(s)": functools.partial(seconds_an_image, count) for count in options.lanes}


def peers(options: Options) -> dict[str, Callable[[], float]]:
    """Seconds an image of PyTorch: trials one after another, and many at once by ``torch.func``."""
    images = report.random_images(len(holdout(options.images)[0]))
    steps = len(images) // options.batch_size
    arguments = "conv", DROPOUT, images, options.batch_size

    def seconds_an_image(program: timing.Program, count: int) -> float:
        return timing.timed(program.run)[0] / (count * steps * options.batch_size)

    one, many = torch_peers.memory_program(*arguments), torch_peers.vmap_program(*arguments, options.torch_lanes)
    return {
        "PyTorch, one after another": functools.partial(seconds_an_image, one, 1),
        f"PyTorch, torch.func, {options.torch_lanes} trials": functools.partial(
            seconds_an_image, many, options.torch_lanes
        ),
    }


def run(options: Options) -> None:
    """Time every size in turns, print the table, write the samples."""
    report.check(options)
    has_torch = torch_peers.configure(options)
    meta = machine.describe(NAME, report.config(options))
    contestants = searches(options) | (peers(options) if has_torch else {})
    case = f"conv, batch {options.batch_size}, seconds an image over all lanes"
    samples = {name: [] for name in contestants}
    with timing.empty_cache():  # every search builds its program anew: compile each size once
        for search in contestants.values():  # warms up
            search()
        for _ in range(options.repeats):
            for name, search in contestants.items():
                samples[name].append(search())
            rows = [report.measurement(case, name, seconds) for name, seconds in samples.items()]
            report.save(options.out, meta, rows)
    alone, cells = rows[0]["samples"], []
    for row in rows:
        high, median, low = (1 / seconds for seconds in row["quartiles"])
        cells.append(
            (
                row["contestant"],
                f"{median:,.0f}",
                f"{low:,.0f} - {high:,.0f}",
                f"{3600 * median / TRIAL_IMAGES:,.0f}",
                f"{timing.ratio(alone, row['samples']):.2f}",
            )
        )
    header = ("contestant", "images/s, all lanes", "quartiles", "trials/hour", f"over {options.lanes[0]} lane(s)")
    caption = f"{options.repeats} searches of each, in turns; a trial is one of report A's, {TRIAL_IMAGES:,.0f} images."
    print_table("A search against its number of lanes", header, cells, caption)
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    report.main(NAME, Options, QUICK, run)
