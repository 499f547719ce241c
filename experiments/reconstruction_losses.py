"""Output activations and losses of a dense autoencoder (report E, section 3; protocols E1 to E4).

    python -m experiments.reconstruction_losses --dataset mnist --budget full

Trains 784-128-64-128-784, ReLU hidden layers and a sigmoid at the bottleneck, with a sigmoid output and squared
error (E1), a ReLU output and squared error (E2), a sigmoid output and binary cross-entropy (E3), and E3 with 8 and
4 units (E4), on all training images. A ReLU output whose input is negative for every image has no gradient and
stays black: those of E2 are counted. Expected on MNIST in full: E1's train MSE 0.00900; E1 to E3 alike to the eye,
E4 blurred. E4 is bistable: some seeds stay at the constant mean image (MSE 0.067) for all 20 epochs, others leave
it, so that four seeds are run. Runtime on two CPU cores: digits quick half a minute, MNIST full 2 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import numpy as np

from ae_jax import data, engine, evaluation, plotting, results, trials
from ae_jax.models import Autoencoder, dense_autoencoder
from ae_jax.objectives import Objective, autoencoder, cross_entropy_autoencoder
from ae_jax.types import Plan, hparams
from experiments import common, running
from experiments.report import Row

STUDY = "reconstruction_losses"
REPORTED_TRAIN_MSE = {"E1": 0.00900}  # from the authors' notebook, after 20 epochs
SHOWN = 10  # images on the sheet

BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=60, batch_size=64),
        "mnist": common.Budget(epochs=5, batch_size=64, limit=10_000),
    },
    "full": {
        "digits": common.Budget(epochs=400, batch_size=64),
        "mnist": common.Budget(epochs=20, batch_size=64, seeds=4),
    },
}


class Variant(NamedTuple):
    """A network of the report and what it is trained for."""

    label: str
    model: Autoencoder
    objective: Objective


def variants() -> dict[str, Variant]:
    """Report E's four networks, by protocol."""

    def network(widths: tuple[int, ...], latent: int, output=nn.sigmoid) -> Autoencoder:
        return dense_autoencoder(latent, widths, nn.relu, nn.sigmoid, output)

    wide, rectified, narrow = network((128,), 64), network((128,), 64, nn.relu), network((8,), 4)
    return {
        "E1": Variant("sigmoid, MSE", wide, autoencoder(wide)),
        "E2": Variant("ReLU, MSE", rectified, autoencoder(rectified)),
        "E3": Variant("sigmoid, BCE", wide, cross_entropy_autoencoder(wide)),
        "E4": Variant("sigmoid, BCE, 8 and 4 units", narrow, cross_entropy_autoencoder(narrow)),
    }


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Sigmoid or ReLU output, squared error or cross-entropy, wide or narrow."""


def study(options: Options) -> Path | None:
    """Train, test, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    chosen = variants()
    lanes = trials.make_lanes(hparams(epochs=budget.epochs), seed=common.seeds(setting))
    plan = Plan(budget.batch_size)
    groups = [engine.Group(f"{name} {v.label}", v.objective, plan, lanes) for name, v in chosen.items()]
    splits = trials.stack_splits([data.no_holdout(len(dataset.train_images))])
    runs = running.train(STUDY, setting, groups, splits)
    if not running.is_writer():
        return None

    train, test = (common.unit_images(part) for part in (dataset.train_images, dataset.test_images))

    networks = {name: (v.model, run.params) for (name, v), run in zip(chosen.items(), runs, strict=True)}
    status = np.array([run.status for run in runs])

    def errors(images) -> np.ndarray:
        of_networks = [evaluation.reconstruction_error(*network, images, images) for network in networks.values()]
        return running.unless_diverged(of_networks, status)

    train_mse = errors(train)
    best = np.nan_to_num(train_mse, nan=np.inf).argmin(1)  # of the seeds: it is shown on the sheet
    arrays = {
        "protocol": np.array(list(chosen)),
        "label": np.array([variant.label for variant in chosen.values()]),
        "seed": lanes.seed,
        "train_loss": np.array([run.train_loss for run in runs]),
        "train_mse": train_mse,
        "test_mse": errors(test),
        "images": test[:SHOWN],
        "reconstructions": np.array(
            [evaluation.reconstruct(*n, test[:SHOWN])[i] for n, i in zip(networks.values(), best, strict=True)]
        ),
        "lost_pixels": lost_pixels(evaluation.reconstruct(*networks["E2"], test), test),
    }
    rows = [
        Row(f"{name} {part} MSE, {variant.label}", reported.get(name), of_lanes)
        for part, reported in (("train", REPORTED_TRAIN_MSE), ("test", {}))
        for (name, variant), of_lanes in zip(chosen.items(), arrays[f"{part}_mse"], strict=True)
    ]
    rows.append(Row("E2 inked pixels that are always black", None, arrays["lost_pixels"]))
    npz = running.save(STUDY, setting, runs, arrays, rows)
    return running.finish(setting, npz, draw(npz), STUDY)


def lost_pixels(outputs: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The share of the pixels with ink on some image that an output leaves black on all: ``[lanes]``.

    ``outputs [lanes, n, 28, 28, 1]`` are reconstructions of ``images [n, 28, 28, 1]``.
    """
    inked = np.asarray(images).any(0)
    black = (np.asarray(outputs) == 0).all(1)
    return (black & inked).sum((1, 2, 3)) / inked.sum()


def draw(npz: Path) -> list[Path]:
    """The report's Figs. 3 to 6 on one sheet, and the errors side by side, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    names = [f"{name} {label}" for name, label in zip(arrays["protocol"], arrays["label"], strict=True)]
    paths = plotting.image_sheet(
        npz.with_name(f"{STUDY}_fig3_to_6"), [arrays["images"], *arrays["reconstructions"]], ["input", *names],
        title="Figs. 3 to 6  Reconstructions by output and loss, each by its best seed", caption=meta["caption"],
    )  # fmt: skip
    panels = {f"{part} MSE per pixel": arrays[f"{part}_mse"] for part in ("train", "test")}
    return paths + plotting.bar_panels(
        npz.with_name(f"{STUDY}_errors"), names, panels, title="Error by output and loss", caption=meta["caption"]
    )


if __name__ == "__main__":
    common.main(Options, study)
