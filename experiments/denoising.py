"""Removing strong Gaussian noise (report B, section 2.2; report C, section 2.3; protocols B5 and C4).

    python -m experiments.denoising --study B5 --dataset mnist --budget full

B5: noise of deviation 1, five folds, the best hyper-parameters of the report's search (reported validation MSE
0.0307, test 0.0303), beside them the same without noise, the plain autoencoder, and learning rate 0.001 without L2 and
dropout, as lanes of the same program. C4: report C's best architecture at noise 0.4, 0.5 and 1. Its losses of 0.2 and
0.199 are above those of black images; 0.4 is the noise at which they may be the error against the *noisy* image, the
noise's 0.16 and the model's 0.04. Validation and test images carry the same noise as the training's; the target is
clean. ``--noise`` takes another. What is denoised is labelled by its nearest training image. Runtime on two CPU
cores: digits quick half a minute, MNIST full: B5 22 minutes, C4 8.
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
from experiments import common, comparison, denoised, plotting, reports, sheets, study
from experiments.comparison import Numbers
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

SHOWN = 10  # images on the sheet


class Protocol(NamedTuple):
    """What a report trains: a model, hyper-parameters by name, and how noisy the images are.

    settings: their name has a place for the noise where there are several levels.
    plain: the same without noise.
    reported: validation and test MSE of the first setting.
    """

    model: Autoencoder
    settings: dict[str, dict[str, float]]
    noise: tuple[float, ...]
    plain: dict[str, dict[str, float]] = {}
    folds: int = 1
    reported: dict[str, float] = {}


PROTOCOLS = {
    "B5": Protocol(
        conv_autoencoder(latent=48),
        {"B3's best": reports.b.BEST, "lr 0.001 alone": {"learning_rate": 0.001}},
        noise=(1.0,),
        plain={"B3's best, no noise": {**reports.b.BEST, "noise": 0.0}},
        folds=5,
        reported=reports.b.DENOISING_MSE,
    ),
    "C4": Protocol(
        conv_autoencoder(latent=2, channels=reports.c.CHANNELS), {"noise {}": reports.c.BEST}, noise=(0.4, 0.5, 1.0)
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
    """Whose: report B's (deviation 1, cross-validated) or report C's (deviations 0.4, 0.5 and 1)."""
    noise: common.hyper_parameter("noise", "The default is the study's.") = None


def variants(options: Options) -> dict[str, dict[str, float]]:
    """Hyper-parameters by name: every setting at every level of noise, and without noise."""
    protocol = PROTOCOLS[options.study]
    levels = protocol.noise if options.noise is None else (options.noise,)
    noisy = {
        name.format(level): {**numbers, "noise": level}
        for name, numbers in protocol.settings.items()
        for level in levels
    }
    return noisy | protocol.plain


def plan(setup: Setup) -> Training:
    """One group of lanes ``[variants, folds]``: a variant is a trial."""
    options, folds, chosen = setup.options, PROTOCOLS[setup.options.study].folds, variants(setup.options)
    fold, trial = np.arange(folds), np.arange(len(chosen))[:, None]
    columns = {
        name: np.array([numbers.get(name, 0.0) for numbers in chosen.values()])[:, None]
        for name in ("learning_rate", "dropout", "l2", "noise")
    }
    numbers = hparams(**columns, epochs=setup.budget.epochs)
    lanes = make_lanes(numbers, seed=options.seed + fold, split=fold, trial=trial)
    objective = denoising(PROTOCOLS[options.study].model, corruptions.gaussian)
    group = Group(options.study, objective, Plan(setup.budget.batch_size), lanes)
    count = len(setup.dataset.train_images)
    return Training([group], stack_splits(data.kfold(count, folds, options.seed)) if folds > 1 else None)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Errors under the noise of the training: ``[variants, folds]``."""
    protocol, run, chosen = setup.options.study, runs[setup.options.study], variants(setup.options)
    test_key, sheet_key = jax.random.split(setup.key)
    clean, noise = setup.test_images[:SHOWN], run.lanes.hparams.noise[:, 0]
    inputs = [corruptions.gaussian(jax.random.clone(sheet_key), clean, level) for level in noise]  # one draw, scaled
    arrays = {
        "settings": np.array(list(chosen)),
        "noise": noise,
        "validation_mse": run.loss,
        "test_mse": evaluation.score(run, test_key, setup.test)["loss"],
        **study.history(run),
        "images": clean,
        "inputs": np.array(inputs),
        "outputs": np.array([evaluation.reconstruct(run[i, 0], images) for i, images in enumerate(inputs)]),
        "recognised": denoised.recognised_shares(setup, run),
    }
    reported = PROTOCOLS[protocol].reported
    rows = [
        Row(f"{protocol} {part} MSE, {variant}", None if index else reported.get(part), arrays[f"{part}_mse"][index])
        for index, variant in enumerate(chosen)
        for part in ("validation", "test")
    ]
    rows += comparison.rows(f"{protocol} digits recognised, {{}}", chosen, arrays["recognised"], None, True)
    rows.append(Row(f"{protocol} test MSE of black images", None, [float(np.square(setup.test_images).mean())]))
    if protocol == "C4":
        arrays |= denoised.errors_to_noisy_images(setup, run)
        for part, loss in reports.c.DENOISING_LOSS.items():
            what = f"C4 {part} error against the noisy image, {{}}"
            said = Numbers({"noise 0.4": loss})  # a level that is ours, see reports.c
            rows += comparison.rows(what, chosen, arrays[f"{part}_noisy_mse"], said, higher_is_better=None)
    return Measured(arrays, rows, config={"settings": chosen, "folds": PROTOCOLS[protocol].folds})


def draw(saved: Saved) -> Paths:
    """Learning curves, training and validation, and a sheet of noisy inputs and outputs."""
    arrays = saved.arrays
    panels = plotting.learning_curves(arrays["settings"], arrays["train_loss"], arrays["validation_loss"])
    yield from saved.draw(
        plotting.line_panels, "curves", panels, xlabel="epoch", ylabel="MSE per pixel, clean target",
        title="Denoising: learning curves",
    )  # fmt: skip
    rows, labels = [arrays["images"]], ["clean"]
    for variant, inputs, outputs in zip(arrays["settings"], arrays["inputs"], arrays["outputs"], strict=True):
        rows += [inputs, outputs]
        labels += [f"input, {variant}", "output"]
    yield from saved.draw(sheets.image_sheet, "sheet", rows, labels, title="Test images, with noise, and denoised")


STUDY = Study("denoising", Options, BUDGETS, plan, measure, draw, deviations=("noise",))

if __name__ == "__main__":
    study.main(STUDY)
