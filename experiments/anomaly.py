"""Anomaly detection by reconstruction error: a digit that was never trained on stands out (beyond the reports).

    python -m experiments.anomaly --dataset mnist --budget full

Report E names anomaly detection among the uses of autoencoders. For each digit a dense autoencoder is trained on the
other nine and scores the test set by its reconstruction error; the area under the ROC curve (AUC) tells the left-out
digit from the rest. The ten are lanes of one program that differ in their training split. Expected on MNIST: digits
with much ink (0, 2, 8) far above 0.5, the digit 1, whose few strokes any decoder can draw, below it. Runtime on two
CPU cores: digits quick half a minute, MNIST full 10 minutes.
"""

from __future__ import annotations

import numpy as np

from ae_jax import evaluation
from ae_jax.lanes import Group, lane_grid, stack_splits
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, UsageError, hparams
from experiments import common, comparison, plotting, sheets, study
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

DIGITS = np.arange(10)
LATENT, WIDTHS = 32, (256, 128)
SHOWN = 10  # images of each row of the sheet
BUDGETS = common.budgets(
    digits=Budget(epochs=40, batch_size=64),
    mnist=Budget(epochs=4, batch_size=128, limit=10_000),
    full=Budget(epochs=30, batch_size=128),
    full_digits=Budget(epochs=200, batch_size=64),
)


class Options(common.SeededOptions):
    """Detect a left-out digit by its reconstruction error."""


def plan(setup: Setup) -> Training:
    """One group of lanes ``[digits, seeds]``: a split has no image of its digit."""
    if missing := set(DIGITS.tolist()) - set(setup.dataset.test_labels.tolist()):
        raise UsageError(f"no test image of {', '.join(map(str, sorted(missing)))}: give a larger --limit")
    labels, none = setup.dataset.train_labels, np.empty(0, np.int32)
    splits = stack_splits([(np.flatnonzero(labels != digit), none) for digit in DIGITS])
    lanes = lane_grid(hparams(epochs=setup.budget.epochs), split=DIGITS, seed=setup.seeds)
    objective = autoencoder(dense_autoencoder(LATENT, WIDTHS))
    return Training([Group("nine digits", objective, Plan(setup.budget.batch_size), lanes)], splits)


def measure(setup: Setup, runs: Runs) -> Measured:
    """How well the error of a test image tells the left-out digit: ``[digits, seeds]``."""
    run, labels, test = runs["nine digits"], setup.dataset.test_labels, setup.test_images
    errors = evaluation.reconstruction_errors(run, test, test)
    pairs = zip(DIGITS, errors, strict=True)
    areas = np.array([[evaluation.auc(lane, labels == digit) for lane in lanes] for digit, lanes in pairs])
    most = setup.dataset.test_images[np.argsort(-errors[:, 0], axis=1)[:, :SHOWN]] / np.float32(255)
    most[run.diverged[:, 0]] = np.nan
    arrays = {
        "digit": DIGITS,
        "seed": setup.seeds,
        "label": labels,
        "errors": errors,
        "auc": areas,
        "train_loss": run.curves.train_loss,
        "most_anomalous": most,
    }
    rows = comparison.rows("AUC, digit {} left out", DIGITS, areas, None, True)
    rows.append(Row("AUC, mean over digits", None, areas.mean(0), True))
    return Measured(arrays, rows, config={"latent": LATENT, "widths": WIDTHS})


def draw(saved: Saved) -> Paths:
    """AUC of each digit, errors of the easiest and the hardest one, the most anomalous images."""
    arrays, digits, areas = saved.arrays, saved.arrays["digit"], saved.arrays["auc"]
    yield from saved.draw(
        plotting.bar_panels, "auc", [f"digit {k}" for k in digits], {"area under the ROC curve (0.5: chance)": areas},
        mark=0.5, title="Telling a left-out digit by its error",
    )  # fmt: skip
    mean = np.nanmean(areas, axis=1)
    for which, row in (("easiest", np.nanargmax(mean)), ("hardest", np.nanargmin(mean))):
        lane = np.isfinite(areas[row]).argmax()  # the first that did not diverge
        left_out, errors = arrays["label"] == digits[row], arrays["errors"][row, lane]
        groups = {"other digits": errors[~left_out], f"digit {digits[row]}": errors[left_out]}
        yield from saved.draw(
            plotting.line_plot, which, plotting.densities(groups), from_zero=True,
            xlabel="reconstruction MSE per pixel", ylabel="density of the test images",
            title=f"The {which} digit to tell: {digits[row]}, AUC {areas[row, lane]:.3f}",
        )  # fmt: skip
    yield from saved.draw(
        sheets.image_sheet, "images", arrays["most_anomalous"], [f"without {k}" for k in digits],
        title="Test images with the largest error, by the digit left out",
    )  # fmt: skip


STUDY = Study("anomaly", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
