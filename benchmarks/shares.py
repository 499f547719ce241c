"""The pieces of a training step, each alone, as shares of the step: ``python -m benchmarks.shares``.

A piece runs in a scan as it does in ``training.train_epoch``, on the shapes of the network. Beside ours stand what
it could be: threefry's and rbg's random bits, a hand-fused Adam, a float32 dataset, no shuffle. The differences of
whole steps, with and without a piece, are in ``benchmarks.step --dropout 0 0.1``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from ae_jax import optimizers, sharing
from ae_jax.batching import Data, take
from ae_jax.layers import dropout_bits
from ae_jax.training import shuffle, stream_key
from ae_jax.types import Batch, HParams, Plan, PyTree
from benchmarks import machine, networks, report, timing
from benchmarks.networks import NETWORKS
from benchmarks.programs import Case, fresh, resident, scan_program
from benchmarks.timing import Program
from experiments.comparison import print_table

NAME = "shares"
QUICK = {"networks": ("dense",), "batch_size": 8, "images": 40, "repeats": 1}
STEP = "whole step"
DROPOUT = 0.1

Body = Callable[[PyTree, Array, PyTree], PyTree]  # (carried, number of the step, what stays the same) -> carried


@dataclasses.dataclass(frozen=True)
class Options(report.Options):
    """Time the pieces of a training step: optimizer, random bits, gathers, shuffle."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    """Networks whose shapes the pieces have."""
    batch_size: int = 128
    """Images in a step."""
    images: int = 12_800
    """Images a timed call trains on."""


def scan_of(body: Body, carry: PyTree, fixed: PyTree, steps: int) -> Program:
    """``steps`` times ``carry = body(carry, step, fixed)`` in one compiled scan; a call goes on where the last ended.

    ``fixed`` is an argument of the program: a constant could be folded away.
    """

    def scan(carry: PyTree, first: Array, fixed: PyTree) -> PyTree:
        return jax.lax.scan(lambda c, step: (body(c, step, fixed), None), carry, first + jnp.arange(steps))[0]

    executable, seconds = timing.compiled(scan, carry, jnp.int32(0), fixed)
    calls = 0

    def run() -> float:
        nonlocal carry, calls
        carry = jax.block_until_ready(executable(carry, jnp.int32(calls * steps), fixed))
        calls += 1
        return float(jnp.ravel(jax.tree.leaves(carry)[0])[0])

    return Program(run, seconds)


def fused_adam(
    params: PyTree, first: PyTree, second: PyTree, step: Array, gradients: PyTree, numbers: HParams
) -> tuple[PyTree, PyTree, PyTree]:
    """Coupled L2 and Adam in one expression a leaf; ``step`` counts from 1. Kingma & Ba 2015, algorithm 1."""
    bias1, bias2 = 1 - 0.9**step, 1 - 0.999**step

    def update(p: Array, m: Array, v: Array, g: Array) -> tuple[Array, Array, Array]:
        g = g + numbers.l2 * p
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        return p - numbers.learning_rate * (m / bias1) / (jnp.sqrt(v / bias2) + 1e-8), m, v

    updated = jax.tree.map(update, params, first, second, gradients)
    return tuple(jax.tree.map(lambda _, three, i=i: three[i], params, updated) for i in range(3))


def pieces(network: str, batch_size: int, images: np.ndarray) -> dict[str, Callable[[], Program]]:
    """The whole step and its pieces, every one ready to be started; a call of each does the same number of steps."""
    case, steps = Case(network, batch_size, DROPOUT), len(images) // batch_size
    objective, plan = NETWORKS[network].ours(), Plan(batch_size)
    data, indices = resident(images)
    state, numbers = fresh(objective, case)
    shapes = [(units, batch_size) for units in NETWORKS[network].hidden]
    batch, key = take(data, indices[:batch_size]), jax.random.key(0)
    zeros, no_batch = (jax.tree.map(jnp.zeros_like, tree) for tree in (state.params, batch))

    gradient = sharing.division().gradient

    def sum_of_gradients(total: PyTree, step: Array, fixed: tuple[PyTree, Batch]) -> PyTree:
        params, batch = fixed
        return _add(total, gradient(objective, params, stream_key(key, 0, step), batch, numbers)[1])

    def optax_adam(carry: tuple, step: Array, gradients: PyTree) -> tuple:
        params, opt_state = carry
        updates, opt_state = optimizers.build(plan, numbers).update(_vary(gradients, step), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def hand_adam(carry: tuple, step: Array, gradients: PyTree) -> tuple:
        return fused_adam(*carry, step + 1.0, _vary(gradients, step), numbers)

    def masks(draw: Callable, implementation: str) -> Callable[[], Program]:
        def body(kept: Array, step: Array, rate: Array) -> Array:
            keys = jax.random.split(jax.random.fold_in(jax.random.key(0, impl=implementation), step), len(shapes))
            threshold = jnp.asarray(rate * 2.0**32, jnp.uint32)
            drawn = (draw(k, shape) for k, shape in zip(keys, shapes, strict=True))
            return kept + sum(jnp.sum(words >= threshold, dtype=jnp.uint32) for words in drawn)

        return functools.partial(scan_of, body, jnp.uint32(0), numbers.dropout, steps)

    def batch_at(order: Array, step: Array) -> Array:
        return jax.lax.dynamic_slice(order, (step % steps * batch_size,), (batch_size,))

    def gather_uint8(total: Batch, step: Array, fixed: tuple[Data, Array]) -> Batch:
        return _add(total, take(fixed[0], batch_at(fixed[1], step)))

    def gather_float32(total: Array, step: Array, fixed: tuple[Array, Array]) -> Array:
        return total + fixed[0][batch_at(fixed[1], step)]

    def reshuffle(order: Array, step: Array, key: Array) -> Array:
        return shuffle(jax.random.fold_in(key, step), order)

    floats, order = data.images.astype(jnp.float32) / 255.0, shuffle(key, indices)
    scans = {
        "gradient (batch at hand)": (sum_of_gradients, zeros, (state.params, batch), steps),
        "Adam: optax chain (ours)": (optax_adam, (state.params, state.opt_state), state.params, steps),
        "Adam: fused by hand": (hand_adam, (state.params, zeros, zeros), state.params, steps),
        "batch: gather uint8 (ours)": (gather_uint8, no_batch, (data, order), steps),
        "batch: gather float32": (gather_float32, no_batch.images, (floats, order), steps),
        "shuffle: argsort, once a call (ours)": (reshuffle, order, key, 1),
    }
    return {
        STEP: functools.partial(scan_program, objective, case, images, most_devices=1),
        **{name: functools.partial(scan_of, *arguments) for name, arguments in scans.items()},
        "masks: dropout_bits (ours)": masks(dropout_bits, "threefry2x32"),
        "masks: threefry": masks(jax.random.bits, "threefry2x32"),
        "masks: rbg": masks(jax.random.bits, "rbg"),
    }


def _add(total: PyTree, terms: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, total, terms)


def _vary(gradients: PyTree, step: Array) -> PyTree:
    """Gradients that differ between steps, so that no work on them leaves the loop; fused, this costs nothing."""
    return jax.tree.map(lambda leaf: leaf / (1.0 + step), gradients)


def run(options: Options) -> None:
    """Time every piece in turns, print the shares, write what there is so far."""
    networks.check(options.networks)
    report.check(options)
    images = report.random_images(max(options.images, options.batch_size))
    meta = machine.describe(NAME, report.config(options), pixels=images)
    steps, measurements = len(images) // options.batch_size, []
    for network in options.networks:
        timings = timing.measure(pieces(network, options.batch_size, images), options.repeats)
        case = f"{network}, batch {options.batch_size}, dropout {DROPOUT}"
        rows = [
            report.measurement(case, name, [seconds / steps for seconds in piece.samples])
            for name, piece in timings.items()
        ]
        cells = [
            (
                row["contestant"],
                *report.spread(row, 1e3, 4),
                f"{timing.ratio(row['samples'], rows[0]['samples']):.1%}",
            )
            for row in rows
        ]
        caption = f"{options.repeats} calls of {steps} steps, in turns; XLA fuses pieces, so that shares are rough"
        print_table(f"Pieces of a step: {case}", ("piece", "ms a step", "quartiles", "of the step"), cells, caption)
        measurements += rows
        report.save(options.out, meta, measurements)
    print(f"\nWrote {options.out}")


if __name__ == "__main__":
    report.main(NAME, Options, QUICK, run)
