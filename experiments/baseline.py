"""The baseline and its optimizers (report B, sections 2.1 and 3.1; protocols B1 and B2).

    python -m experiments.baseline --dataset mnist --budget full

Trains the convolutional autoencoder with a latent plane, L2 5e-5, no dropout, batch 256 for 40 epochs: by Adam with 16
seeds, and by Adadelta and RMSProp with a quarter as many. Draws the learning curves, and images beside their
reconstructions. Reported: training MSE 0.0382, validation MSE 0.0381, Adam the best of the three; what these depend
on is the question of ``baseline_factors``. Runtime on two CPU cores: digits quick half a minute, MNIST full 16 minutes.
"""

from __future__ import annotations

import numpy as np

from ae_jax import data, evaluation
from ae_jax.lanes import Group, lane_grid
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, hparams
from experiments import common, plotting, reports, sheets, study
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

LEARNING_RATE = {"adam": 1e-3, "adadelta": 1.0, "rmsprop": 0.01}
L2 = 5e-5
SHOWN = 10  # images on the sheet
BUDGETS = common.budgets(
    digits=Budget(epochs=40, batch_size=64, seeds=4),
    mnist=Budget(epochs=5, batch_size=128, seeds=4, limit=10_000),
    full=Budget(epochs=40, batch_size=256, seeds=16),
)


class Options(common.SeededOptions):
    """Baseline study: Adam over many seeds, Adadelta and RMSProp over a quarter of them."""


def seeds(setup: Setup, optimizer: str) -> np.ndarray:
    """Those of Adam are all; of the others every fourth."""
    return setup.seeds if optimizer == "adam" else setup.seeds[::4]


def plan(setup: Setup) -> Training:
    """A group for each optimizer, a lane for each of its seeds."""
    objective, budget = autoencoder(conv_autoencoder(latent=2)), setup.budget
    groups = []
    for name, rate in LEARNING_RATE.items():
        lanes = lane_grid(hparams(learning_rate=rate, l2=L2, epochs=budget.epochs), seed=seeds(setup, name))
        groups.append(Group(name, objective, Plan(budget.batch_size, name), lanes))
    return Training(groups)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Errors on the training and validation images: ``[seeds]``, those of each optimizer."""
    adam, (train, validation) = runs["adam"], data.holdout(len(setup.dataset.train_images))
    clean, unseen = setup.train_images[train], setup.train_images[validation[:SHOWN]]
    train_mse = evaluation.reconstruction_error(adam, clean, clean)
    arrays = {
        "adam_train_mse": train_mse,
        "images": unseen,
        "reconstructions": evaluation.reconstruct(adam[0], unseen),
    }
    for name, run in runs.items():
        told = {"seed": seeds(setup, name), "score": run.loss, **study.history(run)}
        arrays |= {f"{name}_{what}": values for what, values in told.items()}
    reported = reports.b.BASELINE_MSE
    below = (adam.loss <= reported["validation"]).mean()
    rows = [
        Row("B1 training MSE", reported["training"], train_mse),
        Row("B1 validation MSE", reported["validation"], adam.loss),
        Row("B1 validation MSE, best seed", reported["validation"], [adam.loss.min()]),
        Row(f"B1 share of seeds at {reported['validation']} or below", None, [below]),
        *(Row(f"B2 validation MSE, {name}", None, run.loss) for name, run in runs.items()),
    ]
    budget, others = setup.budget, len(seeds(setup, "rmsprop"))
    runs_of = f"{budget.seeds} seeds of Adam, {others} of the others (mean and one deviation)"
    caption = common.describe(setup, f"{budget.epochs} epochs, batch {budget.batch_size}, {runs_of}")
    return Measured(arrays, rows, caption, {"learning_rate": LEARNING_RATE, "l2": L2})


def draw(saved: Saved) -> Paths:
    """The learning curves of the three optimizers, and the report's sheet of inputs and reconstructions."""
    labels = [f"{name}, lr {rate:g}" for name, rate in LEARNING_RATE.items()]
    curves = plotting.series(labels, [saved.arrays[f"{name}_validation_loss"] for name in LEARNING_RATE])
    yield from saved.draw(
        plotting.line_plot, "curves", curves, xlabel="epoch", ylabel="validation MSE per pixel",
        title="Optimizers on the baseline autoencoder",
    )  # fmt: skip
    rows = [saved.arrays["images"], saved.arrays["reconstructions"]]
    title = "Validation images, and what Adam's first seed makes of them"
    yield from saved.draw(sheets.image_sheet, "reconstructions", rows, ["input", "output"], title=title)


STUDY = Study("baseline", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
