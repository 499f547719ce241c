"""Removing strong Gaussian noise (report B, section 2.2; report C, section 2.3; protocols B5 and C4).

    python -m experiments.denoising --study B5 --dataset mnist --budget full

B5: noise of deviation 1, five folds, the best hyper-parameters of the report's search (reported validation MSE
0.0307, test 0.0303), and beside them learning rate 0.001 without L2 and dropout, as lanes of the same program. C4:
report C's best architecture at noise 0.5 and 1 (its loss of 0.2 is on a scale of its own). Validation and test
images carry the same noise as the training's; the target is clean. Runtime on two CPU cores: digits quick half a
minute, MNIST full: B5 15 minutes, C4 5.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax
import numpy as np

from ae_jax import corruptions, data, evaluation
from ae_jax.lanes import Group, make_lanes, stack_splits
from ae_jax.models import Autoencoder, conv_autoencoder
from ae_jax.objectives import denoising
from ae_jax.types import Plan, hparams
from experiments import common, plotting, reports, study
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

SHOWN = 10  # images on the sheet


class Protocol(NamedTuple):
    """What a report trains: a model, and named hyper-parameters."""

    model: Autoencoder
    variants: dict[str, dict[str, float]]
    folds: int = 1
    reported: dict[str, float] = {}  # validation and test MSE of the first variant


PROTOCOLS = {
    "B5": Protocol(
        conv_autoencoder(latent=48),
        {"B3's best": {**reports.b.BEST, "noise": 1.0}, "lr 0.001 alone": {"learning_rate": 0.001, "noise": 1.0}},
        folds=5,
        reported=reports.b.DENOISING_MSE,
    ),
    "C4": Protocol(
        conv_autoencoder(latent=2, channels=reports.c.CHANNELS),
        {f"noise {noise}": {**reports.c.BEST, "noise": noise} for noise in (0.5, 1.0)},
    ),
}
BUDGETS = common.budgets(
    digits=Budget(epochs=20, batch_size=64),
    mnist=Budget(epochs=3, batch_size=128, limit=5_000),
    full=Budget(epochs=40, batch_size=128),
)


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """Denoising autoencoder at a given noise."""

    study: Literal["B5", "C4"] = "B5"
    """Whose: report B's (deviation 1, cross-validated) or report C's (deviations 0.5 and 1)."""


def plan(setup: Setup) -> Training:
    """One group of lanes ``[variants, folds]``: a variant is a trial."""
    options, (model, variants, folds, _) = setup.options, PROTOCOLS[setup.options.study]
    fold, trial = np.arange(folds), np.arange(len(variants))[:, None]
    columns = {
        name: np.array([numbers.get(name, 0.0) for numbers in variants.values()])[:, None]
        for name in ("learning_rate", "dropout", "l2", "noise")
    }
    numbers = hparams(**columns, epochs=setup.budget.epochs)
    lanes = make_lanes(numbers, seed=options.seed + fold, split=fold, trial=trial)
    group = Group(options.study, denoising(model, corruptions.gaussian), Plan(setup.budget.batch_size), lanes)
    count = len(setup.dataset.train_images)
    return Training([group], stack_splits(data.kfold(count, folds, options.seed)) if folds > 1 else None)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Errors under the noise of the training: ``[variants, folds]``."""
    protocol, run = setup.options.study, runs[setup.options.study]
    _, variants, folds, figures = PROTOCOLS[protocol]
    test_key, sheet_key = jax.random.split(setup.key)
    clean, noise = setup.test_images[:SHOWN], run.lanes.hparams.noise[:, 0]
    inputs = [corruptions.gaussian(sheet_key, clean, level) for level in noise]
    arrays = {
        "settings": np.array(list(variants)),
        "noise": noise,
        "validation_mse": run.loss,
        "test_mse": evaluation.score(run, test_key, setup.test)["loss"],
        "train_loss": run.curves.train_loss,
        "validation_loss": run.curves.validation_loss,
        "status": run.status,
        "images": clean,
        "inputs": np.array(inputs),
        "outputs": np.array([evaluation.reconstruct(run[i, 0], images) for i, images in enumerate(inputs)]),
    }
    rows = [
        Row(f"{protocol} {part} MSE, {variant}", None if index else figures.get(part), arrays[f"{part}_mse"][index])
        for index, variant in enumerate(variants)
        for part in ("validation", "test")
    ]
    return Measured(arrays, rows, config={"settings": variants, "folds": folds})


def draw(saved: Saved) -> Paths:
    """Learning curves and a sheet of noisy inputs and outputs."""
    arrays = saved.arrays
    yield from saved.draw(
        plotting.line_plot, "curves", plotting.series(arrays["settings"], arrays["validation_loss"]),
        xlabel="epoch", ylabel="validation MSE per pixel, clean target", title="Denoising: learning curves",
    )  # fmt: skip
    rows, labels = [arrays["images"]], ["clean"]
    for variant, inputs, outputs in zip(arrays["settings"], arrays["inputs"], arrays["outputs"], strict=True):
        rows += [inputs, outputs]
        labels += [f"input, {variant}", "output"]
    yield from saved.draw(plotting.image_sheet, "sheet", rows, labels, title="Test images, with noise, and denoised")


STUDY = Study("denoising", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
