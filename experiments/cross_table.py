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

import jax
import numpy as np

from ae_jax import corruptions, evaluation
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder, denoising
from experiments import common, comparison, plotting, reports, study
from experiments.compression import CORRUPTED, LEVELS, SHOWN
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training

LATENT = {"quick": (2, 8), "full": reports.a.LATENT}
TRAININGS = {  # how a model is trained: its objective and the level of the corruption
    "clean": (autoencoder, 0.0),
    "Gaussian": (lambda model: denoising(model, corruptions.gaussian), 0.25),
    "occlusion": (lambda model: denoising(model, corruptions.occlusion_up_to), 0.35),
}
BUDGETS = common.budgets(
    digits=Budget(epochs=60, batch_size=64),
    mnist=Budget(epochs=5, batch_size=128, limit=10_000),
    full=Budget(epochs=40, batch_size=512),
)


class Options(common.SeededOptions):
    """Denoising study: training corruption x test corruption x latent dimension."""


def plan(setup: Setup) -> Training:
    """A group for each training and latent dimension, a lane for each seed."""
    best, groups = reports.best(reports.a.BEST, setup.options.dataset), []
    for training, (objective, level) in TRAININGS.items():
        of_size = {f"{training}, d={d}": objective(conv_autoencoder(d)) for d in LATENT[setup.options.budget]}
        groups += setup.groups(of_size, reports.a.OPTIMIZER, **best, noise=level)
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
    rows = []
    for condition, (errors, trainings) in tested.items():
        of_training = dict(zip(TRAININGS, errors, strict=True))
        for j, d in enumerate(latent):
            what = f"A4 test MSE, {condition}, trained {{}}, d = {d}"
            rows += comparison.rows(what, trainings, [of_training[training][j] for training in trainings])
    return Measured(arrays, rows, config={"optimizer": reports.a.OPTIMIZER})


def _level(wanted: float) -> int:
    """The test level next to ``wanted``."""
    return int(np.abs(LEVELS - wanted).argmin())


def draw(saved: Saved) -> Paths:
    """The curves of each test corruption, a panel for each training; the sheet."""
    arrays, trainings = saved.arrays, [f"trained on {name}" for name in saved.arrays["trainings"]]
    sizes = [f"d = {d}" for d in arrays["latent"]]
    for name, xlabel in CORRUPTED.items():
        lines = [plotting.series(sizes, errors, arrays["levels"]) for errors in arrays[f"{name}_mse"]]
        yield from saved.draw(
            plotting.line_panels, name, dict(zip(trainings, lines, strict=True)), xlabel=xlabel,
            ylabel="test MSE per pixel, clean target", title=f"Error on {name} test images",
        )  # fmt: skip
    pairs = zip(arrays["inputs"], arrays["outputs"].swapaxes(0, 1), strict=True)
    yield from saved.draw(
        plotting.image_sheet, "sheet", [row for inputs, outputs in pairs for row in (inputs, *outputs)],
        ["input", *trainings] * len(arrays["inputs"]),
        title=f"Inputs and what the models with {sizes[-1]} make of them",
    )  # fmt: skip


STUDY = Study("cross_table", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
