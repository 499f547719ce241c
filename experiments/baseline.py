"""The baseline and its optimizers (report B, sections 1 and 2.1; protocols B1 and B2).

    python -m experiments.baseline --dataset mnist --budget full

Trains the convolutional autoencoder with a latent plane, L2 5e-5, no dropout, batch 256 for 40 epochs: by Adam with 16
seeds, and by Adadelta and RMSProp with a quarter as many. Draws the learning curves. Reported: training MSE
0.0382, validation MSE 0.0381, Adam the best of the three. Runtime on two CPU cores: digits quick half a minute, MNIST
full 16 minutes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ae_jax import engine, evaluation, plotting, results, trials
from ae_jax.data import holdout
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, hparams
from experiments import common, running
from experiments.report import Row

STUDY = "baseline"
LEARNING_RATE = {"adam": 1e-3, "adadelta": 1.0, "rmsprop": 0.01}
L2 = 5e-5
REPORTED_TRAIN, REPORTED_VALIDATION = 0.0382, 0.0381

BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=40, batch_size=64, seeds=4),
        "mnist": common.Budget(epochs=5, batch_size=128, seeds=4, limit=10_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), common.Budget(epochs=40, batch_size=256, seeds=16)),
}


class Options(common.SeededOptions):
    """Baseline study: Adam over many seeds, Adadelta and RMSProp over a quarter of them."""


def study(options: Options) -> Path | None:
    """Train, score on the training and validation images, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    model = conv_autoencoder(latent=2)
    seeds = {name: common.seeds(setting)[:: 1 if name == "adam" else 4] for name in LEARNING_RATE}
    groups = [
        engine.Group(
            name,
            autoencoder(model),
            Plan(budget.batch_size, name),
            trials.make_lanes(hparams(learning_rate=rate, l2=L2, epochs=budget.epochs), seed=seeds[name]),
        )
        for name, rate in LEARNING_RATE.items()
    ]
    runs = running.train(STUDY, setting, groups)
    if not running.is_writer():
        return None
    train, _ = holdout(len(dataset.train_images))
    clean = common.unit_images(dataset.train_images[train])
    train_mse = evaluation.reconstruction_error(model, runs[0].params, clean, clean)
    train_mse = running.unless_diverged(train_mse, runs[0].status)
    arrays = {"adam_train_mse": train_mse}
    for name, run in zip(LEARNING_RATE, runs, strict=True):
        arrays |= {f"{name}_seed": seeds[name], f"{name}_score": run.score, f"{name}_status": run.status}
        arrays |= {f"{name}_train_loss": run.train_loss, f"{name}_validation_loss": run.validation_loss}
    below = (runs[0].score <= REPORTED_VALIDATION).mean()
    rows = [
        Row("B1 training MSE", REPORTED_TRAIN, train_mse),
        Row("B1 validation MSE", REPORTED_VALIDATION, runs[0].score),
        Row("B1 validation MSE, best seed", REPORTED_VALIDATION, [runs[0].score.min()]),
        Row(f"B1 share of seeds at {REPORTED_VALIDATION} or below", None, [below]),
        *(Row(f"B2 validation MSE, {name}", None, run.score) for name, run in zip(LEARNING_RATE, runs, strict=True)),
    ]
    npz = running.save(STUDY, setting, runs, arrays, rows, learning_rate=LEARNING_RATE, l2=L2)
    return running.finish(setting, npz, draw(npz), STUDY)


def draw(npz: Path) -> list[Path]:
    """The learning curves of the three optimizers, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    curves = {name: arrays[f"{name}_validation_loss"] for name in LEARNING_RATE}
    series = [
        plotting.Series(f"{name}, lr {LEARNING_RATE[name]:g}", 1 + np.arange(runs.shape[1]), runs, marker="")
        for name, runs in curves.items()
    ]
    return plotting.line_plot(
        npz.with_name(f"{STUDY}_curves"), series, xlabel="epoch", ylabel="validation MSE per pixel",
        title="Optimizers on the baseline autoencoder", caption=meta["caption"],
    )  # fmt: skip


if __name__ == "__main__":
    common.main(Options, study)
