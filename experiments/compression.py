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

from ae_jax import corruptions, engine, evaluation, plotting, results, trials, widening
from ae_jax.lanes import DIVERGED
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, UsageError, hparams
from experiments import common, running
from experiments.report import Row

STUDY = "compression"
LATENT = (1, 2, 4, 8, 16)
REPORTED_MSE = (0.0525, 0.0436, 0.0317, 0.0228, 0.0184)  # Fig. 2
REPORTED_NOISY = (0.0558, 0.0460, 0.0431, 0.0325, 0.0404)  # Fig. 3 at sigma 0.5
REPORTED_OCCLUDED = (0.0709, 0.0688, 0.0974, 0.1635, 0.0829)  # Fig. 4 at area 0.5
LEVELS = np.linspace(0.01, 0.5, 20, dtype=np.float32)
OPTIMIZER = "adamax"
BEST = {
    "mnist": {"learning_rate": 0.0136, "l2": 1.08e-4, "dropout": 0.0216},  # report A, section II
    "digits": {"learning_rate": 0.005, "l2": 1e-5, "dropout": 0.0},  # ours: so few images decay under the report's L2
}
SHOWN = 10  # images on the sheet

BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=120, batch_size=64),
        "mnist": common.Budget(epochs=5, batch_size=128, limit=10_000),
    },
    "full": {
        "digits": common.Budget(epochs=40, batch_size=512),
        "mnist": common.Budget(epochs=40, batch_size=512),
    },
}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Compression study: test error against latent dimension, clean, noisy and occluded."""

    learning_rate: float | None = None
    """Learning rate. The default, as of the next two, is the best of the report's random search; on digits, ours."""
    l2: float | None = None
    """Coupled L2 penalty."""
    dropout: float | None = None
    """Dropout probability."""
    shared_grey: bool = False
    """Occlude with one grey value for the whole test set, as the report did, instead of one for each image."""


def study(options: Options) -> Path | None:
    """Train, test, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    numbers = BEST[options.dataset] | common.given(options, "learning_rate", "l2", "dropout")
    lanes = trials.make_lanes(hparams(**numbers, epochs=budget.epochs), seed=common.seeds(setting))
    plan = Plan(budget.batch_size, OPTIMIZER)
    models = [conv_autoencoder(latent) for latent in LATENT]
    groups = [
        engine.Group(f"d={latent}", autoencoder(model), plan, lanes)
        for latent, model in zip(LATENT, models, strict=True)
    ]
    runs = running.train(STUDY, setting, groups)
    if not running.is_writer():
        return None

    model, params = widening.as_one(models, [run.params for run in runs])
    clean = common.unit_images(dataset.test_images)
    occlude = corruptions.occlusion_shared_grey if options.shared_grey else corruptions.occlusion
    noise_key, occlusion_key = jax.random.split(common.study_key(options))

    def by_run(errors: np.ndarray) -> np.ndarray:
        """``[lanes, ...] -> [sizes, seeds, ...]``."""
        return errors.reshape(len(LATENT), budget.seeds, *errors.shape[1:])

    test = by_run(evaluation.reconstruction_error(model, params, clean, clean))
    noisy = by_run(evaluation.robustness(model, params, corruptions.gaussian, noise_key, clean, LEVELS))
    occluded = by_run(evaluation.robustness(model, params, occlude, occlusion_key, clean, LEVELS))
    status = np.array([run.status for run in runs])
    test[status == DIVERGED] = noisy[status == DIVERGED] = occluded[status == DIVERGED] = np.nan
    if np.isnan(test).all(1).any():
        raise UsageError("every run of a latent dimension diverged: give a smaller --learning-rate")
    arrays = {
        "latent": np.array(LATENT),
        "seed": lanes.seed,
        "status": status,
        "train_loss": np.array([run.train_loss for run in runs]),
        "validation_loss": np.array([run.validation_loss for run in runs]),
        "test_mse": test,
        "levels": LEVELS,
        "noisy_mse": noisy,
        "occluded_mse": occluded,
        "images": np.asarray(clean[:SHOWN]),
        "reconstructions": by_run(evaluation.reconstruct(model, params, clean[:SHOWN]))[:, 0],
    }
    greys = "all images" if options.shared_grey else "each image"  # the report has one for all
    rows = [
        Row(f"{what}, d = {d}", figure, errors)
        for what, reported, ours in (
            ("A2 test MSE", REPORTED_MSE, test),
            ("A3 Gaussian noise 0.5", REPORTED_NOISY, noisy[..., -1]),
            (f"A3 occlusion 0.5, a grey for {greys}", REPORTED_OCCLUDED, occluded[..., -1]),
        )
        for d, figure, errors in zip(LATENT, reported, ours, strict=True)
    ]
    deviations = ("learning_rate", "l2", "dropout")
    npz = running.save(STUDY, setting, runs, arrays, rows, deviations=deviations, optimizer=OPTIMIZER, **numbers)
    return running.finish(setting, npz, draw(npz), STUDY)


def draw(npz: Path) -> list[Path]:
    """Figs. 2, 3 and 4 of the report and a sheet of reconstructions, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    latent, levels, caption = arrays["latent"], arrays["levels"], meta["caption"]
    series = [plotting.Series("ours", latent, arrays["test_mse"].T)]
    if meta["dataset"]["name"] == "mnist":
        series.append(plotting.Series("report A", latent, np.array(REPORTED_MSE), "s", dashed=True))
    mse = "test MSE per pixel"
    paths = plotting.line_plot(
        npz.with_name(f"{STUDY}_fig2_latent"), series, log_x=True, x_ticks=latent, from_zero=True,
        xlabel="latent dimension d", ylabel=mse, title="Fig. 2  Error against latent dimension", caption=caption,
    )  # fmt: skip
    for figure, name, xlabel in (
        ("fig3", "noisy", "standard deviation of the Gaussian noise (pixel units)"),
        ("fig4", "occluded", "occluded fraction of the image area"),
    ):
        series = [
            plotting.Series(f"d = {d}", levels, runs, ".")
            for d, runs in zip(latent, arrays[f"{name}_mse"], strict=True)
        ]
        paths += plotting.line_plot(
            npz.with_name(f"{STUDY}_{figure}_{name}"), series, xlabel=xlabel, ylabel=f"{mse}, clean target",
            title=f"Fig. {figure[-1]}  Error on {name} test images", caption=caption,
        )  # fmt: skip
    rows = [arrays["images"], *arrays["reconstructions"]]
    paths += plotting.image_sheet(
        npz.with_name(f"{STUDY}_reconstructions"), rows, ["input", *(f"d = {d}" for d in latent)],
        title="Test images and their reconstructions", caption=caption,
    )  # fmt: skip
    return paths


if __name__ == "__main__":
    common.main(Options, study)
