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

import jax
import numpy as np

from experiments import common, comparison, derivations, plotting, study
from experiments.derivations import CASES, Check
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training

BATCH = Budget(epochs=1, batch_size=64)
BUDGETS = common.budgets(digits=BATCH, mnist=BATCH, full=BATCH)


class Options(common.Options):
    """Check the gradients that report E derives by hand."""


def plan(setup: Setup) -> Training:
    """Nothing is trained."""
    return Training([])


def measure(setup: Setup, runs: Runs) -> Measured:
    """Every case against its oracles, and the slopes of both losses behind a sigmoid."""
    images = setup.dataset.train_images[: setup.budget.batch_size] / 255.0
    keys = jax.random.split(setup.key, len(CASES))
    checks = [derivations.check(case, key, images) for key, case in zip(keys, CASES.values(), strict=True)]
    logits = np.linspace(-8, 8, 161)[:, None]
    ink = np.ones_like(logits)
    arrays = {
        "case": np.array(list(CASES)),
        **{name: np.array([getattr(found, name) for found in checks]) for name in Check._fields},
        "logit": logits[:, 0],
        "squared_error_slope": derivations.squared_error_slope(ink, logits)[:, 0] * len(ink),
        "cross_entropy_slope": derivations.cross_entropy_slope(ink, logits)[:, 0] * len(ink),
    }
    rows = []
    for oracle, name in (("jax.grad", "autodiff"), ("central differences", "numeric")):
        digits = -np.log10(arrays[name].clip(np.finfo(float).eps))
        rows += comparison.rows(f"E5 {{}}, digits equal to {oracle}", CASES, digits, None, True)
    return Measured(arrays, rows, common.describe(setup, f"no training, one batch of {len(images)} in float64"))


def show(saved: Saved) -> None:
    """The table of differences."""
    header = ("gradient by hand", "from jax.grad", "central diff.", "at y = x", "least curvature")
    columns = (saved.arrays[name] for name in ("case", *Check._fields))
    cells = [[case, *(f"{value:.1e}" for value in values)] for case, *values in zip(*columns, strict=True)]
    comparison.print_table("Largest differences, relative to the largest gradient", header, cells)


def draw(saved: Saved) -> Paths:
    """The slopes of both losses behind a sigmoid, for a pixel of ink."""
    arrays, losses = saved.arrays, ("squared error", "cross-entropy")
    slopes = [arrays["squared_error_slope"], arrays["cross_entropy_slope"]]
    yield from saved.draw(
        plotting.line_plot, "sigmoid", plotting.series(losses, slopes, arrays["logit"]),
        title="Slopes behind a sigmoid, target 1", xlabel="logit of the output pixel",
        ylabel="derivative of the pixel's loss by its logit",
    )  # fmt: skip


STUDY = Study("gradients", Options, BUDGETS, plan, measure, draw, show)

if __name__ == "__main__":
    study.main(STUDY)
