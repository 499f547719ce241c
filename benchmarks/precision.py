"""What rounding the factors of matrix products does to a loss: ``python -m benchmarks.precision``.

Accelerators multiply faster if both factors of a product are rounded to TF32 (10 bits of mantissa) or bfloat16 (7);
they add in float32 either way, and ``--precision`` of the studies chooses. Here any device does as they do: each
factor of each product of a training step, forwards and backwards, is rounded, then multiplied in float32. Seeds and
batches are the same for all, so that only the rounding differs; the deviation over seeds says whether it matters.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, Literal as Constant

from ae_jax import data as datasets
from ae_jax.batching import Data, take
from ae_jax.objectives import Objective
from ae_jax.sharing import lane_map
from ae_jax.training import SHUFFLE_STREAM, evaluate, init_state, shuffle, stream_key, train_step
from ae_jax.types import Plan, TrainState, hparams
from benchmarks import machine, networks, report
from benchmarks.networks import NETWORKS
from experiments.comparison import print_table

NAME = "precision"
QUICK = {"networks": ("dense",), "images": 100, "batch_size": 20, "epochs": 1, "seeds": 2}
MANTISSA = {"float32": 23, "tf32": 10, "bfloat16": 7}  # bits; the exponent has 8 in all of them
PRODUCTS = {"dot_general", "conv_general_dilated"}


@dataclasses.dataclass(frozen=True)
class Options(report.Options):
    """Train the same networks with products of less and less precise factors."""

    networks: tuple[str, ...] = ("conv", "dense")
    """What is trained: conv, dense, conv_vae."""
    dataset: Literal["digits", "mnist"] = "digits"
    """The embedded digits, or MNIST."""
    data_dir: Path | None = None
    """Folder with the four IDX files of MNIST; AE_JAX_DATA says the same."""
    images: int = 10_000
    """Use at most this many images; a fifth of them validates."""
    batch_size: int = 64
    """Images in a step."""
    epochs: int = 40
    """Epochs of each run."""
    seeds: int = 4
    """Runs of each network and precision."""


def rounded(function: Callable, bits: int) -> Callable:
    """``function`` with both factors of its products, forwards and backwards, rounded to ``bits`` of mantissa.

    Products inside loops are not reached: batches must not be taken in parts.
    """

    def call(*arguments):
        traced, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = _evaluate(traced, jax.tree.leaves(arguments), bits)
        return jax.tree.unflatten(jax.tree.structure(shapes), outputs)

    return call


def _evaluate(traced: ClosedJaxpr, inputs: list[Array], bits: int) -> list[Array]:
    """The outputs of a traced function, an equation at a time."""
    jaxpr = traced.jaxpr
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*traced.consts, *inputs), strict=True))

    def read(name: Any) -> Array:
        return name.val if isinstance(name, Constant) else values[name]

    for equation in jaxpr.eqns:
        factors = [read(name) for name in equation.invars]
        inner = [equation.params[name] for name in ("jaxpr", "call_jaxpr") if name in equation.params]
        if inner and equation.primitive.name not in ("scan", "while", "cond"):
            outputs = _evaluate(inner[0], factors, bits)
        else:
            if equation.primitive.name in PRODUCTS:
                factors = [jax.lax.reduce_precision(factor, 8, bits) for factor in factors]
            outputs = equation.primitive.bind(*factors, **equation.params)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        values |= dict(zip(equation.outvars, outputs, strict=True))
    return [read(name) for name in jaxpr.outvars]


@functools.partial(jax.jit, static_argnames=("objective", "bits", "options"))
def validation_losses(objective: Objective, bits: int, options: Options, data: Data) -> Array:
    """The validation loss of each seed, in float32, after training with products of ``bits``: ``[seeds]``."""
    plan, numbers = Plan(options.batch_size), hparams()
    train, validation = map(jnp.asarray, datasets.holdout(len(data.labels)))
    steps = len(train) // options.batch_size
    train_rounded = rounded(functools.partial(train_step, objective, plan), bits)

    def step(state: TrainState, batch: Array) -> tuple[TrainState, Array]:
        return train_rounded(state, numbers, take(data, batch))

    def epoch(state: TrainState, _) -> tuple[TrainState, Array]:
        order = shuffle(stream_key(state.key, SHUFFLE_STREAM, state.step), train)
        return jax.lax.scan(step, state, order[: steps * options.batch_size].reshape(steps, -1))

    def run(key: Array) -> Array:
        state, _ = jax.lax.scan(epoch, init_state(objective, plan, key, numbers), length=options.epochs)
        return evaluate(objective, state.params, numbers, jax.random.key(0), data, validation)["loss"]

    return lane_map(run, jax.random.split(jax.random.key(0), options.seeds))


def run(options: Options) -> None:
    """Train, print a table for each network, and write what there is so far."""
    networks.check(options.networks)
    report.check(options)
    jax.config.update("jax_default_matmul_precision", "highest")  # what is left is the rounding done here
    dataset = datasets.limit(datasets.load(options.dataset, options.data_dir), options.images)
    meta = machine.describe(NAME, report.config(options))
    measurements = []
    for network in options.networks:
        case = f"{network}, batch {options.batch_size}, {options.epochs} epochs of {dataset.name}"
        data = Data(jnp.asarray(dataset.train_images), jnp.asarray(dataset.train_labels, jnp.int32))
        objective, cells = NETWORKS[network].ours()._replace(separable=False), []
        losses = {
            name: np.asarray(validation_losses(objective, bits, options, data)) for name, bits in MANTISSA.items()
        }
        for name, values in losses.items():
            change = values / losses["float32"] - 1.0
            cells.append(
                [
                    name,
                    str(MANTISSA[name]),
                    f"{values.mean():.5f}",
                    f"{values.std(ddof=1):.5f}",
                    f"{change.mean():+.2%}",
                ]
            )
            measurements.append(report.measurement(case, name, values.tolist(), unit="loss", change=change.tolist()))
        caption = f"Mean and deviation over {options.seeds} seeds; the change is that of the same seeds."
        print_table(case, ["products in", "bits", "validation loss", "+-", "change"], cells, caption)
        report.save(options.out, meta, measurements)
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    report.main(NAME, Options, QUICK, run)
