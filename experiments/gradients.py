"""The gradients of report E's losses, by hand and by ``jax.grad`` (its equations 2 to 7; protocol E5).

    python -m experiments.gradients --dataset digits

A worked example in float64 on a batch of images ``x`` and reconstructions ``y`` drawn at random. By hand: equation
(4), the derivative of the squared error by a reconstructed pixel; equation (7), that of the cross-entropy (the last
line of the report's derivation; the line before has a slip, ``x (1 - x)`` for ``x (1 - y)``); and what follows behind
a sigmoid output, where the ``y (1 - y)`` of the chain rule cancels the denominator of (7), so that the cross-entropy
keeps its slope at saturated pixels and the squared error does not (the figure). Equations (3) and (6): both gradients
vanish at ``y = x`` and the second derivatives are positive, so it is the minimum. Expected: agreement with ``jax.grad``
to 15 digits and with central differences to 7 or more. Runtime: seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax import losses, plotting
from experiments import common, study
from experiments.common import Budget, Setup
from experiments.report import Row, print_table
from experiments.running import Training
from experiments.study import Measured, Runs, Saved, Study

DIRECTIONS = 8  # random ones, along which central differences are taken
STEP = 1e-5
BUDGETS = dict.fromkeys(("quick", "full"), dict.fromkeys(("digits", "mnist"), Budget(epochs=1, batch_size=64)))


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Check the gradients that report E derives by hand."""


class Case(NamedTuple):
    """A loss ``(x, output) -> number`` of a batch, and its gradient by the output as derived by hand."""

    loss: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    of_logits: bool = False  # the output is the pixel before its sigmoid


def squared_error(x: Array, y: Array) -> Array:
    """Equation (2): ``1/M sum_i ||x_i - y_i||^2`` over the ``M`` images of the batch."""
    return jnp.square(x - y).sum() / len(x)


def cross_entropy(x: Array, y: Array) -> Array:
    """Equation (5): ``-1/M sum_i sum_j x log y + (1 - x) log(1 - y)`` over images ``i`` and pixels ``j``."""
    return -(x * jnp.log(y) + (1 - x) * jnp.log(1 - y)).sum() / len(x)


def squared_error_gradient(x: Array, y: Array) -> Array:
    """Equation (4): ``-2/M (x - y)``."""
    return -2 / len(x) * (x - y)


def cross_entropy_gradient(x: Array, y: Array) -> Array:
    """Equation (7): ``-1/M (x - y) / (y - y^2)``."""
    return -(x - y) / (y - jnp.square(y)) / len(x)


def squared_error_slope(x: Array, logits: Array) -> Array:
    """(4) behind a sigmoid: ``-2/M (x - y) y (1 - y)`` with ``y = sigmoid(logits)``, zero where it saturates."""
    y = jax.nn.sigmoid(logits)
    return squared_error_gradient(x, y) * y * (1 - y)


def cross_entropy_slope(x: Array, logits: Array) -> Array:
    """(7) behind a sigmoid: ``-1/M (x - y)``, bounded and zero only at the target."""
    return -(x - jax.nn.sigmoid(logits)) / len(x)


def trained_cross_entropy(x: Array, logits: Array) -> Array:
    """The loss that E3 and E4 train, a mean over pixels and stable at any logit, as the sum of equation (5)."""
    return losses.binary_cross_entropy(logits, x).mean() * x[0].size


def behind_sigmoid(loss: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """A loss of logits from a loss of pixels."""
    return lambda x, logits: loss(x, jax.nn.sigmoid(logits))


CASES = {
    "(4) squared error": Case(squared_error, squared_error_gradient),
    "(7) cross-entropy": Case(cross_entropy, cross_entropy_gradient),
    "squared error behind a sigmoid": Case(behind_sigmoid(squared_error), squared_error_slope, of_logits=True),
    "cross-entropy behind a sigmoid": Case(behind_sigmoid(cross_entropy), cross_entropy_slope, of_logits=True),
    "cross-entropy as it is trained": Case(trained_cross_entropy, cross_entropy_slope, of_logits=True),
}


class Check(NamedTuple):
    """Largest differences relative to the largest gradient; what (3) and (6) say of ``y = x``."""

    autodiff: float  # of the gradient by hand from jax.grad
    numeric: float  # of its product with random directions from central differences
    at_target: float  # the largest gradient at y = x, which should vanish
    curvature: float  # the smallest second derivative at y = x, times the batch: positive


def check(case: Case, key: Array, images: np.ndarray) -> Check:
    """A case against its two oracles on float64 ``images [batch, ...]`` in [0, 1]. Consumes ``key``."""
    with jax.enable_x64(True):
        output_key, direction_key = jax.random.split(key)
        x = jnp.asarray(images, jnp.float64)
        y = jax.random.uniform(output_key, x.shape, jnp.float64, 0.05, 0.95)
        target = x.clip(0.01, 0.99)  # inside (0, 1), where (6) and logits are defined
        if case.of_logits:
            y, at_target = jax.scipy.special.logit(y), jax.scipy.special.logit(target)
        else:
            at_target = target
        by_hand = case.gradient(x, y)
        scale = jnp.abs(by_hand).max()
        by_jax = jax.grad(case.loss, argnums=1)(x, y)
        directions = jax.random.normal(direction_key, (DIRECTIONS, *x.shape), jnp.float64)
        central = [(case.loss(x, y + STEP * v) - case.loss(x, y - STEP * v)) / (2 * STEP) for v in directions]
        products = jnp.stack([(by_hand * v).sum() for v in directions])
        # A pixel's derivative depends on that pixel alone: the gradient of their sum has the second derivatives.
        second = jax.grad(lambda y: jax.grad(case.loss, argnums=1)(target, y).sum())(at_target)
        return Check(
            autodiff=float(jnp.abs(by_hand - by_jax).max() / scale),
            numeric=float(jnp.abs(products - jnp.stack(central)).max() / jnp.abs(products).max()),
            at_target=float(jnp.abs(case.gradient(target, at_target)).max() / scale),
            curvature=float(second.min() * len(x)),
        )


def plan(setup: Setup) -> Training:
    """Nothing is trained."""
    return Training([])


def measure(setup: Setup, runs: Runs) -> Measured:
    """Every case against its oracles, and the slopes of both losses behind a sigmoid."""
    images = setup.dataset.train_images[: setup.budget.batch_size] / 255.0
    keys = jax.random.split(setup.key, len(CASES))
    checks = [check(case, key, images) for key, case in zip(keys, CASES.values(), strict=True)]
    logits = np.linspace(-8, 8, 161)[:, None]
    ink = np.ones_like(logits)
    arrays = {
        "case": np.array(list(CASES)),
        **{name: np.array([getattr(found, name) for found in checks]) for name in Check._fields},
        "logit": logits[:, 0],
        "squared_error_slope": squared_error_slope(ink, logits)[:, 0] * len(ink),
        "cross_entropy_slope": cross_entropy_slope(ink, logits)[:, 0] * len(ink),
    }
    rows = [
        Row(f"E5 {case}, digits equal to {oracle}", None, [-np.log10(max(difference, np.finfo(float).eps))], True)
        for oracle, differences in (("jax.grad", arrays["autodiff"]), ("central differences", arrays["numeric"]))
        for case, difference in zip(CASES, differences, strict=True)
    ]
    return Measured(arrays, rows, common.describe(setup, f"no training, one batch of {len(images)} in float64"))


def show(saved: Saved) -> None:
    """The table of differences."""
    header = ("gradient by hand", "from jax.grad", "central diff.", "at y = x", "least curvature")
    columns = (saved.arrays[name] for name in ("case", *Check._fields))
    cells = [[case, *(f"{value:.1e}" for value in values)] for case, *values in zip(*columns, strict=True)]
    print_table("Largest differences, relative to the largest gradient", header, cells)


def draw(saved: Saved) -> list[Path]:
    """The slopes of both losses behind a sigmoid, for a pixel of ink."""
    slopes = {"squared error": "squared_error_slope", "cross-entropy": "cross_entropy_slope"}
    series = [plotting.Series(label, saved.arrays["logit"], saved.arrays[name], "") for label, name in slopes.items()]
    return plotting.line_plot(
        saved.place("sigmoid"), series, xlabel="logit of the output pixel",
        ylabel="derivative of the pixel's loss by its logit", title="Slopes behind a sigmoid, target 1",
        caption=saved.caption,
    )  # fmt: skip


STUDY = Study("gradients", Options, BUDGETS, plan, measure, draw, show)

if __name__ == "__main__":
    study.main(STUDY)
