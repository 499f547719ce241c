"""Compression against performance (report A, sections II and III; protocols A2 and A3).

    python -m experiments.compression --dataset mnist --budget full

Trains the convolutional autoencoder with latent dimensions 1, 2, 4, 8 and 16 on clean images, with the best
hyper-parameters of the report's random search, and tests it on clean, noisy and occluded images: occluded by one grey
value for the whole test set, as the report has it, and by one for each image. Draws the report's Figs. 2-4 and a sheet
of reconstructions. Expected test MSE on MNIST in full: 0.0525, 0.0436, 0.0317, 0.0228, 0.0184 or below. Runtime on two
CPU cores: digits quick half a minute, MNIST full 4 minutes for each of 4 seeds.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from ae_jax import corruptions, evaluation
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.runs import Run
from experiments import common, comparison, plotting, reports, sheets, study
from experiments.reports.a import LATENT
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training

LEVELS = np.linspace(0.01, 0.5, 20, dtype=np.float32)
SHOWN = 10  # images on the sheet
NOISE, AREA = "standard deviation of the Gaussian noise (pixel units)", "occluded fraction of the image area"
CORRUPTIONS = {  # of the test images: what each is called, what its level is
    "noisy": (corruptions.gaussian, "Gaussian noise", NOISE),
    "occluded_alike": (corruptions.occlusion_shared_grey, "occlusion, one grey for all", AREA),
    "occluded": (corruptions.occlusion, "occlusion, a grey for each", AREA),
}
FIGURES = {"fig3_noisy": ["noisy"], "fig4_occluded": ["occluded_alike", "occluded"]}
BUDGETS = common.budgets(
    digits=Budget(epochs=120, batch_size=64),
    mnist=Budget(epochs=5, batch_size=128, limit=10_000),
    full=Budget(epochs=40, batch_size=512, seeds=4),
)
OURS = "The default is the best of the report's random search; on digits, ours."


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Compression study: test error against latent dimension, clean, noisy and occluded."""

    learning_rate: common.hyper_parameter("learning_rate", OURS) = None
    l2: common.hyper_parameter("l2", OURS) = None
    dropout: common.hyper_parameter("dropout", OURS) = None


def numbers(options: Options) -> dict[str, float]:
    """The hyper-parameters, those of the command line first."""
    return reports.best(reports.a.BEST, options.dataset) | common.given(options, "learning_rate", "l2", "dropout")


def plan(setup: Setup) -> Training:
    """A group for each latent dimension, a lane for each seed."""
    objectives = {f"d={d}": autoencoder(conv_autoencoder(d)) for d in LATENT}
    return Training(setup.groups(objectives, reports.a.OPTIMIZER, **numbers(setup.options)))


def measure(setup: Setup, runs: Runs) -> Measured:
    """Test errors, clean and as the input gets worse: ``[latent, seeds, ...]``."""
    trained, clean = list(runs.values()), setup.test_images
    test = np.array(evaluation.reconstruction_error(trained, clean, clean))
    corrupted = curves(trained, clean, *jax.random.split(setup.key))
    arrays = study.histories(runs) | {
        "latent": np.array(LATENT),
        "seed": setup.seeds,
        "test_mse": test,
        "levels": LEVELS,
        **{f"{name}_mse": np.array(errors) for name, errors in corrupted.items()},
        "images": np.asarray(clean[:SHOWN]),
        "reconstructions": np.array(evaluation.reconstruct([run[0] for run in trained], clean[:SHOWN])),
    }
    tables = {
        "A2 test MSE, d = {}": (test, reports.a.TEST_MSE),
        "A3 Gaussian noise 0.5, d = {}": (arrays["noisy_mse"][..., -1], reports.a.NOISY),
        "A3 occlusion 0.5, one grey, d = {}": (arrays["occluded_alike_mse"][..., -1], reports.a.OCCLUDED),
        "A3 occlusion 0.5, a grey for each image, d = {}": (arrays["occluded_mse"][..., -1], None),
    }
    rows = [row for what, (errors, said) in tables.items() for row in comparison.rows(what, LATENT, errors, said)]
    return Measured(arrays, rows, config={"optimizer": reports.a.OPTIMIZER, **numbers(setup.options)})


def curves(trained: list[Run], clean: jax.Array, noise_key: jax.Array, occlusion_key: jax.Array) -> dict[str, list]:
    """Errors under each of ``CORRUPTIONS``, ``[seeds, levels]`` of every run. Consumes the keys.

    Both kinds of occlusion are drawn from the same key, so that they cover the same pixels.
    """
    keys = {NOISE: noise_key, AREA: occlusion_key}
    return {
        name: evaluation.robustness(trained, corrupt, keys[level], clean, LEVELS)
        for name, (corrupt, _, level) in CORRUPTIONS.items()
    }


def draw(saved: Saved) -> Paths:
    """Figs. 2, 3 and 4 of the report and a sheet of reconstructions."""
    arrays, latent, mse = saved.arrays, saved.arrays["latent"], "test MSE per pixel"
    lines = [plotting.Series("ours", latent, arrays["test_mse"].T)]
    if saved.meta["dataset"]["name"] == "mnist":
        reported = np.array(list(reports.a.TEST_MSE.values.values()))
        lines.append(plotting.Series("report A's notebook", latent, reported, "s", dashed=True))
    yield from saved.draw(
        plotting.line_plot, "fig2_latent", lines, log_x=True, x_ticks=latent, from_zero=True,
        xlabel="latent dimension d", ylabel=mse, title="Fig. 2  Error against latent dimension",
    )  # fmt: skip
    sizes = [f"d = {d}" for d in latent]
    for number, (figure, names) in enumerate(FIGURES.items(), start=3):
        panels = {
            CORRUPTIONS[name][1]: plotting.series(sizes, arrays[f"{name}_mse"], arrays["levels"], ".") for name in names
        }
        yield from saved.draw(
            plotting.line_panels, figure, panels, xlabel=CORRUPTIONS[names[0]][2], ylabel=f"{mse}, clean target",
            title=f"Fig. {number}  Error on {names[-1]} test images",
        )  # fmt: skip
    yield from saved.draw(
        sheets.image_sheet, "reconstructions", [arrays["images"], *arrays["reconstructions"]], ["input", *sizes],
        title="Test images and their reconstructions",
    )  # fmt: skip


STUDY = Study("compression", Options, BUDGETS, plan, measure, draw, deviations=("learning_rate", "l2", "dropout"))

if __name__ == "__main__":
    study.main(STUDY)
