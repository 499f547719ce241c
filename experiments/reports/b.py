"""Report B: Homework 2, Unsupervised Learning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import Finding, Numbers
from experiments.reports.figures import Figure

# Section 3.1: the best of its cross-validated search, batch 128, d = 48.
BEST = {"learning_rate": 0.006, "l2": 5e-5, "dropout": 0.0775}

BASELINE_MSE = {"training": 0.0382, "validation": 0.0381}  # section 3.1
DENOISING_MSE = {"validation": 0.0307, "test": 0.0303}  # section 3.2
CLASSIFIER_LOSS = Numbers({"fine-tuned, d = 2": 0.115, "fine-tuned, d = 10": 0.064})  # section 3.3, test
CLASSIFIER_ACCURACY = Numbers({"fine-tuned, d = 2": 0.9646, "fine-tuned, d = 10": 0.9804, "from scratch": 0.9904})
VAE_LOSS = Numbers({"training": 19.383, "validation": 19.473, "test": 19.521})  # section 3.4

FIGURES: tuple[Figure, ...] = (
    Figure("B, section 3.1, images", "input images and their reconstructions", "baseline", "reconstructions.pdf"),
    Figure("B, section 3.2, images", "noisy, original and denoised images", "denoising_B5", "sheet.pdf"),
)


def baseline(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1; scores ``[seeds]`` and curves ``[seeds, epochs]`` of each optimizer."""
    adam, curves = arrays["adam_score"], arrays["adam_validation_loss"]
    over_training = adam / arrays["adam_train_mse"]
    yield Finding("B1", "the model does not overfit", "validation over training MSE", over_training, high=1.05)
    if (last := curves.shape[1] // 4) > 0:
        end = curves[:, -last - 1 :]  # the last quarter of the epochs, and where it starts
        steps = np.diff(end)
        falling = np.where(np.isfinite(steps).all(1), (steps < 0).mean(1), np.nan)
        what = "the validation loss keeps falling every epoch"
        yield Finding("B1", what, "share of the last quarter of the epochs in which it fell", falling, low=1)
        slope = _slope(end) / end[:, -1]
        what = "at the end the validation loss still falls"
        yield Finding("B1", what, "slope of the last quarter, share of the loss an epoch", slope, high=-5e-4)
    others = [arrays[f"{name}_score"] for name in ("adadelta", "rmsprop")]
    same_seeds = adam[np.isin(arrays["adam_seed"], arrays["adadelta_seed"])]
    over_adam = np.minimum(*others) / same_seeds
    what = "the best optimizer is Adam"
    yield Finding("B2", what, "lower validation MSE of Adadelta and RMSProp over Adam's, same seed", over_adam, low=1)


def _slope(curves: np.ndarray) -> np.ndarray:
    """Of the least-squares line through each curve: ``[seeds, epochs] -> [seeds]``."""
    epochs = np.arange(curves.shape[1]) - (curves.shape[1] - 1) / 2
    return curves @ epochs / (epochs @ epochs)


def denoising(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.2; ``[variants, folds]``, the first at the report's hyper-parameters. Its own errors are 1.64 apart."""
    over_plain = arrays["validation_mse"][0] / arrays["validation_mse"][arrays["noise"] == 0][0]
    what = "it performs slightly worse than the conventional autoencoder"
    yield Finding("B5", what, "validation MSE over that without noise, same folds", over_plain, low=1, high=2)
    what, measure = "it still achieves good results", "share of denoised digits that a nearest neighbour recognises"
    yield Finding("B5", what, measure, arrays["recognised"][0], low=0.9)


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {
    "baseline": baseline,
    "denoising_B5": denoising,
}
