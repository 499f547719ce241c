"""Output activations and losses of a dense autoencoder (report E, section 3; protocols E1 to E4).

    python -m experiments.reconstruction_losses --dataset mnist --budget full

Trains 784-128-64-128-784, ReLU hidden layers and a sigmoid at the bottleneck, with a sigmoid output and squared
error (E1), a ReLU output and squared error (E2), a sigmoid output and binary cross-entropy (E3), and with 8 and 4
units (E4) by cross-entropy, as the caption of the report's Fig. 6 says, and by squared error, as its text does; all on
all training images. A ReLU output whose input is negative for every image has no gradient and stays black: those of
E2 are counted. Expected on MNIST in full: E1's train MSE 0.00900; E1 to E3 alike to the eye, E4 blurred. E4 is
bistable: some seeds stay at the constant mean image (MSE 0.067) for all 20 epochs, others leave it, so that four seeds
are run. Runtime on two CPU cores: digits quick half a minute, MNIST full 2 minutes.
"""

from __future__ import annotations

import flax.linen as nn
import numpy as np

from ae_jax import evaluation
from ae_jax.models import Autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder, cross_entropy_autoencoder
from experiments import common, comparison, plotting, reports, sheets, study
from experiments.comparison import Numbers
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

SHOWN = 10  # images on the sheet
BUDGETS = common.budgets(
    digits=Budget(epochs=60, batch_size=64),
    mnist=Budget(epochs=5, batch_size=64, limit=10_000),
    full=Budget(epochs=20, batch_size=64, seeds=4),
    full_digits=Budget(epochs=400, batch_size=64),
)


def _network(widths: tuple[int, ...], latent: int, output=nn.sigmoid) -> Autoencoder:
    return dense_autoencoder(latent, widths, nn.relu, nn.sigmoid, output)


# Report E's networks by protocol: what they are called, and what they are trained for.
NETWORKS = {
    "E1": ("sigmoid, MSE", autoencoder(_network((128,), 64))),
    "E2": ("ReLU, MSE", autoencoder(_network((128,), 64, nn.relu))),
    "E3": ("sigmoid, BCE", cross_entropy_autoencoder(_network((128,), 64))),
    "E4": ("sigmoid, BCE, 8 and 4 units", cross_entropy_autoencoder(_network((8,), 4))),  # the caption
    "E4 text": ("sigmoid, MSE, 8 and 4 units", autoencoder(_network((8,), 4))),
}


class Options(common.SeededOptions):
    """Sigmoid or ReLU output, squared error or cross-entropy, wide or narrow."""


def plan(setup: Setup) -> Training:
    """A group for each network, a lane for each seed, on all training images."""
    objectives = {name: objective for name, (_, objective) in NETWORKS.items()}
    return Training(setup.groups(objectives), setup.everything)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Errors ``[networks, seeds]`` on training and test images, how sharp images come out, and E2's dead pixels."""
    train, test, trained = setup.train_images, setup.test_images, list(runs.values())
    train_mse = np.array(evaluation.reconstruction_error(trained, train, train))
    best = np.where(np.isnan(train_mse), np.inf, train_mse).argmin(1)  # of the seeds: it is shown on the sheet
    shown = [run[lane] for run, lane in zip(trained, best, strict=True)]
    labels = [label for label, _ in NETWORKS.values()]
    outputs = dict(zip(NETWORKS, evaluation.reconstruct(trained, test), strict=True))
    arrays = {
        "protocol": np.array(list(NETWORKS)),
        "label": np.array(labels),
        "seed": setup.seeds,
        "train_loss": np.array([run.curves.train_loss for run in trained]),
        "train_mse": train_mse,
        "test_mse": np.array(evaluation.reconstruction_error(trained, test, test)),
        "mean_image_test_mse": np.square(test - train.mean(0)).mean()[None],
        "sharpness": np.array([*map(_contrast, outputs.values())]) / _contrast(test),
        "images": test[:SHOWN],
        "reconstructions": np.array(evaluation.reconstruct(shown, test[:SHOWN])),
        "lost_pixels": evaluation.lost_pixels(outputs["E2"], test),
        "lost_mse": _always_black(outputs["E2"], test),
    }
    rows = []
    for part, (figures, source) in (("train", reports.e.TRAIN_MSE), ("test", Numbers({}))):
        of = zip(NETWORKS, labels, arrays[f"{part}_mse"], strict=True)
        rows += [Row(f"{name} {part} MSE, {label}", figures.get(name), ours, source=source) for name, label, ours in of]
    rows += comparison.rows("{} contrast of neighbouring pixels, over the images'", NETWORKS, arrays["sharpness"])
    rows += [
        Row("E2 inked pixels that are always black", None, arrays["lost_pixels"]),
        Row("E2 test MSE that is owed to them", None, arrays["lost_mse"]),
    ]
    return Measured(arrays, rows)


def _always_black(outputs: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The part of the error in pixels that no output inks: ``[lanes, n, *image], [n, *image] -> [lanes]``."""
    black = np.where(np.isnan(outputs).any(1), np.nan, (outputs == 0).all(1))
    return (black * np.square(images).mean(0)).mean((1, 2, 3))


def _contrast(images: np.ndarray) -> np.ndarray:
    """Mean squared difference of neighbouring pixels, what a blur takes: ``[..., n, H, W, C] -> [...]``."""
    return sum(np.square(np.diff(images, axis=axis)).mean((-4, -3, -2, -1)) for axis in (-3, -2))


def draw(saved: Saved) -> Paths:
    """The report's Fig. 2, its Figs. 3 to 6 on one sheet, and the errors side by side."""
    arrays = saved.arrays
    yield from saved.draw(
        sheets.image_sheet, "fig2_originals", [arrays["images"]], ["original"], title="Fig. 2  Original images"
    )
    names = [f"{name} {label}" for name, label in zip(arrays["protocol"], arrays["label"], strict=True)]
    yield from saved.draw(
        sheets.image_sheet, "fig3_to_6", [arrays["images"], *arrays["reconstructions"]], ["input", *names],
        title="Figs. 3 to 6  Reconstructions by output and loss, each by its best seed",
    )  # fmt: skip
    panels = {f"{part} MSE per pixel": arrays[f"{part}_mse"] for part in ("train", "test")}
    yield from saved.draw(plotting.bar_panels, "errors", names, panels, title="Error by output and loss")


STUDY = Study("reconstruction_losses", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
