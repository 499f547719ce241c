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

from pathlib import Path

import jax
import numpy as np

from ae_jax import corruptions, engine, evaluation, plotting, results, trials, widening
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder, denoising
from ae_jax.types import Plan, hparams
from experiments import common, compression, running
from experiments.report import Row

STUDY = "cross_table"
LATENT = {"quick": (2, 8), "full": compression.LATENT}
TRAININGS = {  # how a model is trained: corruption and its level
    "clean": (None, 0.0),
    "Gaussian": (corruptions.gaussian, 0.25),
    "occlusion": (corruptions.occlusion_up_to, 0.35),
}
SHOWN = 10  # images on the sheet

BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=60, batch_size=64),
        "mnist": common.Budget(epochs=5, batch_size=128, limit=10_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), common.Budget(epochs=40, batch_size=512)),
}


class Options(common.SeededOptions):
    """Denoising study: training corruption x test corruption x latent dimension."""


def study(options: Options) -> Path | None:
    """Train every combination, test each three ways, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    latent = LATENT[options.budget]
    models = [conv_autoencoder(d) for d in latent]
    plan = Plan(budget.batch_size, compression.OPTIMIZER)
    groups = []
    for training, (corrupt, level) in TRAININGS.items():
        numbers = hparams(**compression.BEST[options.dataset], noise=level, epochs=budget.epochs)
        lanes = trials.make_lanes(numbers, seed=common.seeds(setting))
        for d, model in zip(latent, models, strict=True):
            objective = autoencoder(model) if corrupt is None else denoising(model, corrupt)
            groups.append(engine.Group(f"{training}, d={d}", objective, plan, lanes))
    runs = running.train(STUDY, setting, groups)
    if not running.is_writer():
        return None

    levels = compression.LEVELS
    clean = common.unit_images(dataset.test_images)
    noise_key, occlusion_key, sheet_key = jax.random.split(common.study_key(options), 3)
    model, params = widening.as_one(models * len(TRAININGS), [run.params for run in runs])
    table = len(TRAININGS), len(latent), budget.seeds

    def curves(corrupt: corruptions.Corruption, key: jax.Array) -> np.ndarray:
        """``[trainings, latent, seeds, levels]``."""
        return evaluation.robustness(model, params, corrupt, key, clean, levels).reshape(*table, -1)

    status = np.array([run.status for run in runs]).reshape(table)

    def unless_diverged(errors: np.ndarray) -> np.ndarray:
        return running.unless_diverged(errors.T, status.T).T  # the levels, if any, come last

    noisy, occluded = curves(corruptions.gaussian, noise_key), curves(corruptions.occlusion, occlusion_key)
    test = evaluation.reconstruction_error(model, params, clean, clean).reshape(table)
    inputs = {
        "clean": clean[:SHOWN],
        "Gaussian": corruptions.gaussian(sheet_key, clean[:SHOWN], 0.25),
        "occlusion": corruptions.occlusion(sheet_key, clean[:SHOWN], 0.2),
    }
    outputs = np.stack([evaluation.reconstruct(model, params, x) for x in inputs.values()], axis=1)
    outputs = outputs.reshape(*table, *outputs.shape[1:])
    arrays = {
        "trainings": np.array(list(TRAININGS)),
        "latent": np.array(latent),
        "status": status,
        "clean_mse": unless_diverged(test),
        "levels": levels,
        "noisy_mse": unless_diverged(noisy),
        "occluded_mse": unless_diverged(occluded),
        "inputs": np.array(list(inputs.values())),
        "outputs": outputs[:, -1, 0],  # [trainings, inputs, images, 28, 28, 1], by the largest model
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
    npz = running.save(STUDY, setting, runs, arrays, rows, optimizer=compression.OPTIMIZER)
    return running.finish(setting, npz, draw(npz), STUDY)


def _level(wanted: float) -> int:
    """The test level next to ``wanted``."""
    return int(np.abs(compression.LEVELS - wanted).argmin())


def draw(npz: Path) -> list[Path]:
    """The curves of each test corruption, a panel for each training; the sheet. From the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    caption, paths = meta["caption"], []
    for name, xlabel in (
        ("noisy", "standard deviation of the Gaussian noise (pixel units)"),
        ("occluded", "occluded fraction of the image area"),
    ):
        panels = {
            f"trained on {training}": [
                plotting.Series(f"d = {d}", arrays["levels"], runs, "")
                for d, runs in zip(arrays["latent"], of_training, strict=True)
            ]
            for training, of_training in zip(arrays["trainings"], arrays[f"{name}_mse"], strict=True)
        }
        paths += plotting.line_panels(
            npz.with_name(f"{STUDY}_{name}"), panels, xlabel=xlabel, ylabel="test MSE per pixel, clean target",
            title=f"Error on {name} test images", caption=caption,
        )  # fmt: skip
    rows, labels = [], []
    for tested, images in enumerate(arrays["inputs"]):
        rows += [images, *arrays["outputs"][:, tested]]
        labels += ["input", *(f"trained on {name}" for name in arrays["trainings"])]
    title = f"Inputs and what the models with d = {arrays['latent'][-1]} make of them"
    return paths + plotting.image_sheet(npz.with_name(f"{STUDY}_sheet"), rows, labels, title=title, caption=caption)


if __name__ == "__main__":
    common.main(Options, study)
