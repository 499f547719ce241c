"""Denoising autoencoders against plain ones, on clean, noisy and occluded images (report A, section IV; protocol A4).

    python -m experiments.cross_table --dataset mnist --budget full

Trains the convolutional autoencoder with latent dimensions 1, 2, 4, 8 and 16 four times: on clean images, with
Gaussian noise of 0.25, with a quarter of the area occluded by one grey value a batch, as the report's notebook means
it, and with occlusions of 5 to 35 % by a grey for each image; always against the clean image and with corruptions
drawn afresh at every step. Each is tested on clean images, along the noise curve, along both occlusion curves, and at
the corruption of its training. The report found "qualitatively identical and slightly better" results, but its notebook
read the images past the noise transform, so that its denoisers never saw noise: expect a clear gain at the training
corruption instead. Runtime on two CPU cores: digits quick a minute, MNIST full half an hour.
"""

from __future__ import annotations

import jax
import numpy as np

from ae_jax import corruptions, evaluation
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder, denoising
from experiments import common, comparison, compression, plotting, reports, sheets, study
from experiments.comparison import NOTEBOOK, Numbers
from experiments.compression import CORRUPTIONS, LEVELS, SHOWN
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

LATENT = {"quick": (2, 8), "full": reports.a.LATENT}
TRAININGS = {  # how a model is trained: its objective and the level of the corruption
    "clean": (autoencoder, 0.0),
    "Gaussian": (lambda model: denoising(model, corruptions.gaussian), 0.25),
    "occlusion, one grey": (lambda model: denoising(model, corruptions.occlusion_shared_grey), 0.25),
    "occlusion": (lambda model: denoising(model, corruptions.occlusion_up_to), 0.35),
}
OF_OCCLUSION = "clean", "occlusion, one grey", "occlusion"
CONDITIONS = {  # test images: their corruption, its level, and what was trained for it beside the clean images
    "noise 0.25": (corruptions.gaussian, 0.25, ("clean", "Gaussian")),
    "occlusion 0.2": (corruptions.occlusion, 0.2, OF_OCCLUSION),
    "occlusion 0.25": (corruptions.occlusion, 0.25, OF_OCCLUSION),
    "occlusion 0.25, one grey": (corruptions.occlusion_shared_grey, 0.25, OF_OCCLUSION),
}
SHEET = "noise 0.25", "occlusion 0.2"  # the conditions that the sheet shows after the clean images
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
    noise_key, occlusion_key, *sheet_keys = jax.random.split(setup.key, 4)

    def table(of_runs: list[np.ndarray]) -> np.ndarray:
        return np.reshape(of_runs, (len(TRAININGS), len(latent), *of_runs[0].shape))

    corrupted = compression.curves(trained, clean, noise_key, occlusion_key)
    at = [
        table(evaluation.robustness(trained, corrupt, setup.child(3), clean, [level]))[..., 0]
        for corrupt, level, _ in CONDITIONS.values()
    ]
    shown = clean[:SHOWN]
    inputs = [shown]
    for key, (corrupt, level, _) in zip(sheet_keys, (CONDITIONS[name] for name in SHEET), strict=True):
        inputs.append(corrupt(key, shown, level))
    arrays = {
        "trainings": np.array(list(TRAININGS)),
        "latent": np.array(latent),
        "status": table([run.status for run in trained]),
        "clean_mse": table(evaluation.reconstruction_error(trained, clean, clean)),
        "levels": LEVELS,
        **{f"{name}_mse": table(errors) for name, errors in corrupted.items()},
        "conditions": np.array(list(CONDITIONS)),
        "at_mse": np.array(at),
        "inputs": np.array(inputs),
        "outputs": np.stack([evaluation.reconstruct(largest, images) for images in inputs], axis=1),
    }
    return Measured(arrays, _rows(arrays), config={"optimizer": reports.a.OPTIMIZER})


def _rows(arrays: dict[str, np.ndarray]) -> list[Row]:
    """What each training was for, and the curves of the report's notebook where it has them."""
    rows, at = [], dict(zip(CONDITIONS, arrays["at_mse"], strict=True))
    tested = {name: (at[name], trainings) for name, (_, _, trainings) in CONDITIONS.items()}
    ours = tuple(training for training in TRAININGS if (training, "clean") not in reports.a.DENOISERS)
    for condition, (errors, trainings) in {"clean": (arrays["clean_mse"], ours), **tested}.items():
        of_training = dict(zip(TRAININGS, errors, strict=True))
        for j, d in enumerate(arrays["latent"]):
            what = f"A4 test MSE, {condition}, trained {{}}, d = {d}"
            rows += comparison.rows(what, trainings, [of_training[training][j] for training in trainings])
    for (training, curve), by_level in reports.a.DENOISERS.items():
        for level, reported in by_level.items():
            errors = arrays[f"{curve}_mse"][list(TRAININGS).index(training)]
            errors = errors if level is None else errors[..., np.abs(LEVELS - level).argmin()]
            what = f"A4 test MSE, {_test_set(curve, level)}, trained {training}, d = {{}}"
            rows += comparison.rows(what, arrays["latent"], errors, Numbers(reported, NOTEBOOK))
    return rows


def _test_set(curve: str, level: float | None) -> str:
    """The test images of a curve of the notebook, in words; its levels are those of the grid, rounded."""
    return "clean" if level is None else f"{CORRUPTIONS[curve][1]} at {level}"


def draw(saved: Saved) -> Paths:
    """Fig. 2 of denoisers; the curves of each test corruption, a panel for each training; the sheet."""
    arrays, trainings = saved.arrays, [f"trained on {name}" for name in saved.arrays["trainings"]]
    latent, mse = arrays["latent"], "test MSE per pixel, clean target"
    yield from saved.draw(
        plotting.line_plot, "latent", plotting.series(trainings, arrays["clean_mse"].swapaxes(1, 2), latent, "o"),
        log_x=True, x_ticks=latent, from_zero=True, xlabel="latent dimension d", ylabel=mse,
        title="Error on clean test images",
    )  # fmt: skip
    for name, (_, words, xlabel) in CORRUPTIONS.items():
        panels = {
            training: plotting.series([f"d = {d}" for d in latent], errors, arrays["levels"])
            for training, errors in zip(trainings, arrays[f"{name}_mse"], strict=True)
        }
        if saved.meta["dataset"]["name"] == "mnist":
            panels |= _notebook(name, latent)
        yield from saved.draw(
            plotting.line_panels, name, panels, xlabel=xlabel, ylabel=mse, title=f"Error on test images: {words}"
        )
    pairs = zip(arrays["inputs"], arrays["outputs"].swapaxes(0, 1), strict=True)
    yield from saved.draw(
        sheets.image_sheet, "sheet", [row for inputs, outputs in pairs for row in (inputs, *outputs)],
        [label for condition in ("clean", *SHEET) for label in (f"input, {condition}", *trainings)],
        title=f"Inputs and what the models with d = {latent[-1]} make of them",
    )  # fmt: skip


def _notebook(curve: str, latent: np.ndarray) -> dict[str, list[plotting.Series]]:
    """The same curves of the report's notebook, as far as it prints them, by training."""
    panels = {}
    for training in ("Gaussian", "occlusion, one grey"):
        if by_level := reports.a.DENOISERS.get((training, curve)):
            points = [[errors[d] for errors in by_level.values()] for d in latent.tolist()]
            lines = plotting.series([f"d = {d}" for d in latent], np.array(points), np.array(list(by_level)), ".")
            panels[f"its notebook, {training}"] = lines
    return panels


STUDY = Study("cross_table", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
