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
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np

from ae_jax import corruptions, data, engine, evaluation, plotting, results, trials
from ae_jax.models import Autoencoder, conv_autoencoder
from ae_jax.objectives import denoising
from ae_jax.types import Plan, hparams
from experiments import common, running
from experiments.report import Row

STUDY = "denoising"
SHOWN = 10  # images on the sheet


class Study(NamedTuple):
    """What is trained: a model, and named settings that are lanes of its program."""

    model: Autoencoder
    settings: dict[str, dict[str, float]]
    folds: int = 1
    reported: tuple[float | None, float | None] = (None, None)  # validation and test MSE of the first setting


STUDIES = {
    "B5": Study(
        conv_autoencoder(latent=48),
        {
            "B3's best": {"learning_rate": 0.006, "dropout": 0.0775, "l2": 5e-5, "noise": 1.0},
            "lr 0.001 alone": {"learning_rate": 0.001, "noise": 1.0},
        },
        folds=5,
        reported=(0.0307, 0.0303),
    ),
    "C4": Study(
        conv_autoencoder(latent=2, channels=(8, 16, 64)),
        {
            f"noise {noise}": {"learning_rate": 0.001, "dropout": 0.1, "l2": 1e-5, "noise": noise}
            for noise in (0.5, 1.0)
        },
    ),
}
BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=20, batch_size=64),
        "mnist": common.Budget(epochs=3, batch_size=128, limit=5_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), common.Budget(epochs=40, batch_size=128)),
}


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """Denoising autoencoder at a given noise."""

    study: Literal["B5", "C4"] = "B5"
    """Whose: report B's (deviation 1, cross-validated) or report C's (deviations 0.5 and 1)."""


def study(options: Options) -> Path | None:
    """Train, test under the noise of the training, save, draw, compare."""
    model, settings, folds, reported = STUDIES[options.study]
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    count = len(dataset.train_images)
    splits = trials.stack_splits(data.kfold(count, folds, options.seed) if folds > 1 else [data.holdout(count)])
    columns = {
        name: [numbers.get(name, 0.0) for numbers in settings.values()]
        for name in ("learning_rate", "dropout", "l2", "noise")
    }
    trial, fold = np.repeat(np.arange(len(settings)), folds), np.tile(np.arange(folds), len(settings))
    numbers = hparams(**{name: np.array(values)[trial] for name, values in columns.items()}, epochs=budget.epochs)
    lanes = trials.make_lanes(numbers, seed=options.seed + fold, split=fold, trial=trial)
    objective = denoising(model, corruptions.gaussian)
    name = f"{STUDY}/{options.study}"
    runs = running.train(
        name, setting, [engine.Group(options.study, objective, Plan(budget.batch_size), lanes)], splits
    )
    if not running.is_writer():
        return None

    params, (run,) = runs[0].params, runs
    test_key, sheet_key = jax.random.split(common.study_key(options))
    test = evaluation.score(objective, params, lanes.hparams, test_key, common.test_data(dataset))["loss"]
    test = running.unless_diverged(test, run.status)
    clean = common.unit_images(dataset.test_images[:SHOWN])
    level = np.asarray(lanes.hparams.noise)[::folds]
    inputs = [corruptions.gaussian(sheet_key, clean, sigma) for sigma in level]
    first = [
        jax.tree.map(lambda leaf, lane=lane: leaf[lane : lane + 1], params) for lane in range(0, len(trial), folds)
    ]
    outputs = [evaluation.reconstruct(model, p, x)[0] for p, x in zip(first, inputs, strict=True)]
    by_trial = len(settings), folds
    arrays = {
        "settings": np.array(list(settings)),
        "noise": level,
        "validation_mse": run.score.reshape(by_trial),
        "test_mse": np.asarray(test).reshape(by_trial),
        "train_loss": run.train_loss.reshape(*by_trial, -1),
        "validation_loss": run.validation_loss.reshape(*by_trial, -1),
        "status": run.status.reshape(by_trial),
        "images": np.asarray(clean),
        "inputs": np.array(inputs),
        "outputs": np.array(outputs),
    }
    rows = [
        Row(f"{options.study} {what} MSE, {label}", figure if index == 0 else None, arrays[f"{what}_mse"][index])
        for index, label in enumerate(settings)
        for what, figure in zip(("validation", "test"), reported, strict=True)
    ]
    npz = running.save(name, setting, runs, arrays, rows, study=options.study, settings=settings, folds=folds)
    return running.finish(setting, npz, draw(npz), name)


def draw(npz: Path) -> list[Path]:
    """Learning curves and a sheet of noisy inputs and outputs, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    stem, caption = npz.with_suffix("").name, meta["caption"]
    series = [
        plotting.Series(str(label), 1 + np.arange(curves.shape[1]), curves, marker="")
        for label, curves in zip(arrays["settings"], arrays["validation_loss"], strict=True)
    ]
    paths = plotting.line_plot(
        npz.with_name(f"{stem}_curves"), series, xlabel="epoch", ylabel="validation MSE per pixel, clean target",
        title="Denoising: learning curves", caption=caption,
    )  # fmt: skip
    rows, labels = [arrays["images"]], ["clean"]
    for label, inputs, outputs in zip(arrays["settings"], arrays["inputs"], arrays["outputs"], strict=True):
        rows += [inputs, outputs]
        labels += [f"input, {label}", "output"]
    title = "Test images, with noise, and denoised"
    return paths + plotting.image_sheet(npz.with_name(f"{stem}_sheet"), rows, labels, title=title, caption=caption)


if __name__ == "__main__":
    common.main(Options, study)
