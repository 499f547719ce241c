"""One training step of two autoencoders, ours against Linen's layers and PyTorch: ``python -m benchmarks.step``.

With the default options a run takes minutes on a few CPU cores; see ``benchmarks/README.md`` for the columns.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from ae_jax import models, objectives
from ae_jax.objectives import Objective
from ae_jax.training import Data, init_state, lane_map, take, train_epoch, train_step
from ae_jax.types import Plan, UsageError, hparams
from benchmarks import peers, timing
from benchmarks.timing import Program, Timing
from experiments.common import print_table

OURS = "ours"


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure. Every combination of networks, batch sizes, dropout rates and trials is one case."""

    networks: tuple[Literal["conv", "dense"], ...] = ("conv", "dense")
    """conv: 28x28 - 8, 16, 32 channels - 64 - 4, mirrored; dense: 784-500-500-5, mirrored."""
    batch_sizes: tuple[int, ...] = (32, 128, 512)
    """Images in a step."""
    dropout: tuple[float, ...] = (0.0,)
    """Rates of dropout after every hidden activation, in [0, 1)."""
    trials: tuple[int, ...] = (1,)
    """Networks trained at once; above 1 lanes are measured against vmapped peers."""
    images: int = 12_800
    """Images a timed call trains on, all trials together; at least four steps are taken."""
    repeats: int = 7
    """Timed calls of each contestant; fewer than 7 are a smoke test."""
    precision: Literal["tf32", "float32"] = "tf32"
    """Of float32 products on a GPU, in JAX and PyTorch alike; a CPU knows only float32."""
    torch_threads: int | None = None
    """PyTorch's CPU threads; by default its own choice, one for each core. Small batches may be faster with one."""
    torch_compile: bool = False
    """Measure torch.compile too: needs a C++ compiler and half a minute a case."""
    out: Path = Path("results/benchmarks/step.json")
    """The result file."""
    compare: tuple[Path, Path] | None = None
    """Measure nothing; print two result files side by side."""


class Case(NamedTuple):
    """One table of contestants."""

    network: str
    batch_size: int
    dropout: float
    trials: int

    def __str__(self) -> str:
        return f"{self.network}, batch {self.batch_size}, dropout {self.dropout:g}, trials {self.trials}"


def scan_program(objective: Objective, case: Case, images: np.ndarray) -> Program:
    """An epoch as one call: ``training.train_epoch``, and over several trials the engine's ``lane_map`` of it."""
    plan = Plan(case.batch_size)
    steps = len(images) // case.batch_size
    data, indices = _on_device(images)

    def epoch(lanes, data: Data, indices: jax.Array):
        def lane(state, numbers):
            return train_epoch(objective, plan, state, numbers, data, indices, steps)

        return lane(*lanes) if case.trials == 1 else lane_map(lane, *lanes)

    state, numbers = _fresh(objective, plan, case)
    executable, seconds = timing.compiled(epoch, (state, numbers), data, indices)

    def run() -> float:
        nonlocal state
        state, loss = jax.block_until_ready(executable((state, numbers), data, indices))
        return float(loss.mean())

    return Program(run, seconds)


def call_program(objective: Objective, case: Case, images: np.ndarray) -> Program:
    """The loop most users write: one jitted call for each step of ``training.train_step``."""
    plan = Plan(case.batch_size)
    data, indices = _on_device(images)
    order = np.random.default_rng(0)

    def step(state, numbers, data: Data, rows: jax.Array):
        return train_step(objective, plan, state, numbers, take(data, rows))

    state, numbers = _fresh(objective, plan, case)
    executable, seconds = timing.compiled(step, state, numbers, data, indices[: case.batch_size])

    def run() -> float:
        nonlocal state
        for rows in order.permutation(len(images)).astype(np.int32).reshape(-1, case.batch_size):
            state, loss = executable(state, numbers, data, rows)
        return float(jax.block_until_ready((state, loss))[1])

    return Program(run, seconds)


def _on_device(images: np.ndarray) -> tuple[Data, jax.Array]:
    """The resident dataset and the indices of all its examples."""
    return Data(jnp.asarray(images), jnp.zeros(len(images), jnp.int32)), jnp.arange(len(images))


def _fresh(objective: Objective, plan: Plan, case: Case):
    """``(state, hparams)`` of one trial, or of ``case.trials`` trials with a leading axis."""
    init = functools.partial(init_state, objective, plan)
    if case.trials == 1:
        numbers = hparams(dropout=case.dropout)
        return jax.jit(init)(jax.random.key(0), numbers), numbers
    numbers = hparams(dropout=[case.dropout] * case.trials)
    return jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), case.trials), numbers), numbers


def contestants(case: Case, images: np.ndarray, torch_compile: bool) -> dict[str, Callable[[], Program]]:
    """Ours first, then every peer that this machine has."""
    network, batch_size, rate, trials = case
    model = {"conv": models.conv_autoencoder, "dense": models.dense_autoencoder}[network](peers.LATENT[network])
    ours, linen = objectives.autoencoder(model), objectives.autoencoder(peers.LINEN[network](rate))
    has_torch = peers.torch_device() is not None
    found = {
        OURS: functools.partial(scan_program, ours, case, images),
        "Linen layers, same scan": functools.partial(scan_program, linen, case, images),
    }
    if trials > 1:
        if has_torch:
            torch_vmap = functools.partial(peers.torch_vmap_program, network, rate, images, batch_size, trials)
            found["PyTorch, torch.func.vmap"] = torch_vmap
        return found
    found["Linen layers, a call a step"] = functools.partial(call_program, linen, case, images)
    if has_torch:
        eager = functools.partial(peers.torch_program, network, rate, images, batch_size)
        found["PyTorch eager"] = eager
        if network == "conv":
            found["PyTorch eager, channels_last"] = functools.partial(eager, channels_last=True)
        if torch_compile:
            found["PyTorch, torch.compile"] = functools.partial(eager, compiled=True)
    return found


def summarise(case: Case, steps: int, timings: dict[str, Timing], peak: float) -> list[dict[str, Any]]:
    """One JSON object for each contestant; seconds are those of a step of one trial, except where they say more."""
    rows = []
    for name, timing_ in timings.items():
        samples = [seconds / (steps * case.trials) for seconds in timing_.samples]
        low, median, high = timing.quartiles(samples)
        flops_a_second = peers.step_flops(case.network, case.batch_size) / median
        pairs = zip(timing_.samples, timings[OURS].samples, strict=True)
        rows.append(
            {
                "case": str(case),
                **case._asdict(),
                "contestant": name,
                "steps_a_call": steps,
                "compile_seconds": timing_.compile,
                "first_call_seconds": timing_.first,
                "samples": samples,
                "quartiles": [low, median, high],
                "images_per_second": case.batch_size / median,
                "gflops": flops_a_second / 1e9,
                "share_of_peak": flops_a_second / peak,
                "ratio_quartiles": timing.quartiles(theirs / ours for theirs, ours in pairs),
                "loss": timing_.loss,
            }
        )
    return rows


def print_case(case: Case, rows: list[dict[str, Any]]) -> None:
    header = ["contestant", "compile s", "first call s", "ms a step", "quartiles", "images/s", "GFLOP/s", "of peak"]
    cells = []
    for row in rows:
        low, median, high = (1e3 * seconds for seconds in row["quartiles"])
        compile_seconds = "-" if row["compile_seconds"] is None else f"{row['compile_seconds']:.1f}"
        cells.append(
            [
                row["contestant"],
                compile_seconds,
                f"{row['first_call_seconds']:.2f}",
                f"{median:.3f}",
                f"{low:.3f} - {high:.3f}",
                f"{row['images_per_second']:,.0f}",
                f"{row['gflops']:,.1f}",
                f"{row['share_of_peak']:.1%}",
                f"{row['ratio_quartiles'][1]:.2f}",
                f"{row['loss']:.4f}",
            ]
        )
    steps, repeats = rows[0]["steps_a_call"], len(rows[0]["samples"])
    caption = f"{repeats} calls of {steps} steps each, in turns; a step is that of one trial; time is over ours"
    print_table(str(case), [*header, "time / ours", "loss"], cells, caption)


def run(options: Options) -> None:
    """Measure every case, print its table, and write what there is so far."""
    _check(options)
    jax.config.update("jax_enable_compilation_cache", False)  # compile seconds are those of a first run
    if options.precision == "float32":
        jax.config.update("jax_default_matmul_precision", "highest")
    if peers.torch_device() is None:
        print("PyTorch is missing or cannot use this device: JAX peers only (pip install '.[peers]' brings PyTorch).")
    else:
        peers.configure_torch(options.precision == "tf32", options.torch_threads)
    pixels = np.random.default_rng(0).integers(0, 256, (max(options.images, 4 * max(options.batch_sizes)), 28, 28, 1))
    pixels = pixels.astype(np.uint8)
    config = {k: v for k, v in dataclasses.asdict(options).items() if k not in ("out", "compare")}
    meta = timing.describe("step", config, pixels, options.repeats)
    measurements = []
    cases = itertools.product(options.networks, options.batch_sizes, options.dropout, options.trials)
    for case in itertools.starmap(Case, cases):
        steps = max(4, options.images // (case.batch_size * case.trials))
        images = pixels[: steps * case.batch_size]
        timings = timing.measure(contestants(case, images, options.torch_compile), options.repeats)
        rows = summarise(case, steps, timings, meta["matmul_flops"])
        print_case(case, rows)
        measurements += rows
        timing.save(options.out, meta, measurements)
    print(f"\nWrote {options.out}")


def _check(options: Options) -> None:
    for name in ("batch_sizes", "trials", "images", "repeats"):
        given = getattr(options, name)
        if np.min(given) < 1:
            raise UsageError(f"--{name.replace('_', '-')} {given} is not allowed: give whole numbers of at least 1")
    if not all(0 <= rate < 1 for rate in options.dropout):
        raise UsageError(f"--dropout {options.dropout} is not allowed: give rates in [0, 1)")
    if options.torch_threads is not None and options.torch_threads < 1:
        raise UsageError(f"--torch-threads {options.torch_threads} is not allowed: give a whole number of at least 1")
    if options.torch_compile and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise UsageError("--torch-compile needs a C++ compiler: install g++, or name one in CXX")


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    try:
        timing.compare(options.compare) if options.compare else run(options)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
