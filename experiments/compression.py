"""Compression against performance (report A, sections II and III; protocols A2 and A3).

    python -m experiments.compression --dataset mnist --budget full --seeds 3

Trains the convolutional autoencoder with latent dimensions 1, 2, 4, 8 and 16 on clean images, with the best
hyper-parameters of the report's random search, and tests it on clean, noisy and occluded images. Draws the
report's Figs. 2-4 and a sheet of reconstructions. Expected test MSE on MNIST in full: 0.0525, 0.0436, 0.0317,
0.0228, 0.0184 or below. Runtime on two CPU cores: digits quick half a minute, MNIST full 3 minutes a seed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np

from ae_jax import corruptions, evaluation, plotting
from ae_jax.lanes import Group, lane_grid
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, hparams
from experiments import common, reported, study
from experiments.common import Budget, Setup
from experiments.report import Row
from experiments.reported import LATENT
from experiments.running import Training
from experiments.study import Measured, Runs, Saved, Study

LEVELS = np.linspace(0.01, 0.5, 20, dtype=np.float32)
SHOWN = 10  # images on the sheet

BUDGETS = {
    "quick": {
        "digits": Budget(epochs=120, batch_size=64),
        "mnist": Budget(epochs=5, batch_size=128, limit=10_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), Budget(epochs=40, batch_size=512)),
}


OURS = "The default is the best of the report's random search; on digits, ours."


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Compression study: test error against latent dimension, clean, noisy and occluded."""

    learning_rate: common.hyper_parameter("learning_rate", OURS) = None
    l2: common.hyper_parameter("l2", OURS) = None
    dropout: common.hyper_parameter("dropout", OURS) = None
    shared_grey: bool = False
    """Occlude with one grey value for the whole test set, as the report did, instead of one for each image."""


def numbers(options: Options) -> dict[str, float]:
    """The hyper-parameters, those of the command line first."""
    return reported.best(reported.A_BEST, options.dataset) | common.given(options, "learning_rate", "l2", "dropout")


def plan(setup: Setup) -> Training:
    """A group for each latent dimension, a lane for each seed."""
    lanes = lane_grid(hparams(**numbers(setup.options), epochs=setup.budget.epochs), seed=setup.seeds)
    protocol = Plan(setup.budget.batch_size, reported.A_OPTIMIZER)
    return Training([Group(f"d={d}", autoencoder(conv_autoencoder(d)), protocol, lanes) for d in LATENT])


def measure(setup: Setup, runs: Runs) -> Measured:
    """Test errors, clean and as the input gets worse: ``[latent, seeds, ...]``."""
    runs, clean, options = list(runs.values()), setup.test_images, setup.options
    occlude = corruptions.occlusion_shared_grey if options.shared_grey else corruptions.occlusion
    noise_key, occlusion_key = jax.random.split(setup.key)
    test = np.array(evaluation.reconstruction_error(runs, clean, clean))
    noisy = np.array(evaluation.robustness(runs, corruptions.gaussian, noise_key, clean, LEVELS))
    occluded = np.array(evaluation.robustness(runs, occlude, occlusion_key, clean, LEVELS))
    arrays = {
        "latent": np.array(LATENT),
        "seed": setup.seeds,
        "status": np.array([run.status for run in runs]),
        "train_loss": np.array([run.curves.train_loss for run in runs]),
        "validation_loss": np.array([run.curves.validation_loss for run in runs]),
        "test_mse": test,
        "levels": LEVELS,
        "noisy_mse": noisy,
        "occluded_mse": occluded,
        "images": np.asarray(clean[:SHOWN]),
        "reconstructions": np.array(evaluation.reconstruct([run[0] for run in runs], clean[:SHOWN])),
    }
    greys = "all images" if options.shared_grey else "each image"  # the report has one for all
    rows = [
        Row(f"{what}, d = {d}", figure, errors)
        for what, figures, ours in (
            ("A2 test MSE", reported.A2_MSE, test),
            ("A3 Gaussian noise 0.5", reported.A3_NOISY, noisy[..., -1]),
            (f"A3 occlusion 0.5, a grey for {greys}", reported.A3_OCCLUDED, occluded[..., -1]),
        )
        for d, figure, errors in zip(LATENT, figures, ours, strict=True)
    ]
    return Measured(arrays, rows, config={"optimizer": reported.A_OPTIMIZER, **numbers(options)})


def draw(saved: Saved) -> list[Path]:
    """Figs. 2, 3 and 4 of the report and a sheet of reconstructions."""
    arrays, caption = saved.arrays, saved.caption
    latent, levels = arrays["latent"], arrays["levels"]
    series = [plotting.Series("ours", latent, arrays["test_mse"].T)]
    if saved.meta["dataset"]["name"] == "mnist":
        series.append(plotting.Series("report A", latent, np.array(reported.A2_MSE), "s", dashed=True))
    mse = "test MSE per pixel"
    paths = plotting.line_plot(
        saved.place("fig2_latent"), series, log_x=True, x_ticks=latent, from_zero=True,
        xlabel="latent dimension d", ylabel=mse, title="Fig. 2  Error against latent dimension", caption=caption,
    )  # fmt: skip
    for figure, name, xlabel in (
        ("fig3", "noisy", "standard deviation of the Gaussian noise (pixel units)"),
        ("fig4", "occluded", "occluded fraction of the image area"),
    ):
        series = [
            plotting.Series(f"d = {d}", levels, errors, ".")
            for d, errors in zip(latent, arrays[f"{name}_mse"], strict=True)
        ]
        paths += plotting.line_plot(
            saved.place(f"{figure}_{name}"), series, xlabel=xlabel, ylabel=f"{mse}, clean target",
            title=f"Fig. {figure[-1]}  Error on {name} test images", caption=caption,
        )  # fmt: skip
    return paths + plotting.image_sheet(
        saved.place("reconstructions"), [arrays["images"], *arrays["reconstructions"]],
        ["input", *(f"d = {d}" for d in latent)], title="Test images and their reconstructions", caption=caption,
    )  # fmt: skip


STUDY = Study("compression", Options, BUDGETS, plan, measure, draw, deviations=("learning_rate", "l2", "dropout"))

if __name__ == "__main__":
    study.main(STUDY)
