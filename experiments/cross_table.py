"""Denoising autoencoders against plain ones, on clean, noisy and occluded images (report A, section IV; protocol A4).

    python -m experiments.cross_table --dataset mnist --budget full

Trains the convolutional autoencoder with latent dimensions 1, 2, 4, 8 and 16 three times: on clean images, with
Gaussian noise of 0.25, and with occlusions of 5 to 35 % of the area, always against the clean image and with
corruptions drawn afresh at every step. Each is tested on clean images, along the noise curve and along the
occlusion curve. The report found "qualitatively identical and slightly better" results, but its notebook read the
images past the noise transform, so that its denoisers never saw noise: expect a clear gain at the training
corruption instead. Runtime on two CPU cores: digits quick 40 seconds, MNIST full 20 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np

from ae_jax import corruptions, evaluation, plotting
from ae_jax.lanes import Group, lane_grid
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder, denoising
from ae_jax.types import Plan, hparams
from experiments import common, reported, study
from experiments.common import Budget, Setup
from experiments.compression import LEVELS
from experiments.report import Row
from experiments.running import Training
from experiments.study import Measured, Runs, Saved, Study

LATENT = {"quick": (2, 8), "full": reported.LATENT}
TRAININGS = {  # how a model is trained: corruption and its level
    "clean": (None, 0.0),
    "Gaussian": (corruptions.gaussian, 0.25),
    "occlusion": (corruptions.occlusion_up_to, 0.35),
}
SHOWN = 10  # images on the sheet

BUDGETS = {
    "quick": {
        "digits": Budget(epochs=60, batch_size=64),
        "mnist": Budget(epochs=5, batch_size=128, limit=10_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), Budget(epochs=40, batch_size=512)),
}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Denoising study: training corruption x test corruption x latent dimension."""


def plan(setup: Setup) -> Training:
    """A group for each training and latent dimension, a lane for each seed."""
    best = reported.best(reported.A_BEST, setup.options.dataset)
    protocol = Plan(setup.budget.batch_size, reported.A_OPTIMIZER)
    groups = []
    for training, (corrupt, level) in TRAININGS.items():
        lanes = lane_grid(hparams(**best, noise=level, epochs=setup.budget.epochs), seed=setup.seeds)
        for d in LATENT[setup.options.budget]:
            model = conv_autoencoder(d)
            objective = autoencoder(model) if corrupt is None else denoising(model, corrupt)
            groups.append(Group(f"{training}, d={d}", objective, protocol, lanes))
    return Training(groups)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Test errors of every training, clean and as the input gets worse: ``[trainings, latent, seeds, ...]``."""
    latent, clean = LATENT[setup.options.budget], setup.test_images
    trained, largest = list(runs.values()), [runs[f"{training}, d={latent[-1]}"][0] for training in TRAININGS]
    noise_key, occlusion_key, sheet_key = jax.random.split(setup.key, 3)

    def table(of_runs: list[np.ndarray]) -> np.ndarray:
        return np.reshape(of_runs, (len(TRAININGS), len(latent), *of_runs[0].shape))

    test = table(evaluation.reconstruction_error(trained, clean, clean))
    noisy = table(evaluation.robustness(trained, corruptions.gaussian, noise_key, clean, LEVELS))
    occluded = table(evaluation.robustness(trained, corruptions.occlusion, occlusion_key, clean, LEVELS))
    shown = clean[:SHOWN]
    inputs = [
        shown, corruptions.gaussian(sheet_key, shown, 0.25), corruptions.occlusion(sheet_key, shown, 0.2)
    ]  # fmt: skip
    arrays = {
        "trainings": np.array(list(TRAININGS)),
        "latent": np.array(latent),
        "status": table([run.status for run in trained]),
        "clean_mse": test,
        "levels": LEVELS,
        "noisy_mse": noisy,
        "occluded_mse": occluded,
        "inputs": np.array(inputs),
        "outputs": np.stack([evaluation.reconstruct(largest, images) for images in inputs], axis=1),
    }
    tested = {
        "clean": (test, ("clean", "Gaussian", "occlusion")),
        "noise 0.25": (noisy[..., _level(0.25)], ("clean", "Gaussian")),
        "occlusion 0.2": (occluded[..., _level(0.2)], ("clean", "occlusion")),
    }
    rows = [
        Row(f"A4 test MSE, {condition}, trained {training}, d = {d}", None, errors[list(TRAININGS).index(training), j])
        for condition, (errors, trainings) in tested.items()
        for j, d in enumerate(latent)
        for training in trainings
    ]
    return Measured(arrays, rows, config={"optimizer": reported.A_OPTIMIZER})


def _level(wanted: float) -> int:
    """The test level next to ``wanted``."""
    return int(np.abs(LEVELS - wanted).argmin())


def draw(saved: Saved) -> list[Path]:
    """The curves of each test corruption, a panel for each training; the sheet."""
    arrays, caption, paths = saved.arrays, saved.caption, []
    for name, xlabel in (
        ("noisy", "standard deviation of the Gaussian noise (pixel units)"),
        ("occluded", "occluded fraction of the image area"),
    ):
        panels = {
            f"trained on {training}": [
                plotting.Series(f"d = {d}", arrays["levels"], errors, "")
                for d, errors in zip(arrays["latent"], of_training, strict=True)
            ]
            for training, of_training in zip(arrays["trainings"], arrays[f"{name}_mse"], strict=True)
        }
        paths += plotting.line_panels(
            saved.place(name), panels, xlabel=xlabel, ylabel="test MSE per pixel, clean target",
            title=f"Error on {name} test images", caption=caption,
        )  # fmt: skip
    rows, labels = [], []
    for tested, images in enumerate(arrays["inputs"]):
        rows += [images, *arrays["outputs"][:, tested]]
        labels += ["input", *(f"trained on {name}" for name in arrays["trainings"])]
    title = f"Inputs and what the models with d = {arrays['latent'][-1]} make of them"
    return paths + plotting.image_sheet(saved.place("sheet"), rows, labels, title=title, caption=caption)


STUDY = Study("cross_table", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
