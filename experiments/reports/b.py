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

FIGURES: tuple[Figure, ...] = ()


def search(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1; a score by trial, ``fold_score [trials, folds]``, the same of what was trained beside."""
    best = arrays["ranking"][0]
    yield Finding(
        "B3", "by cross-validation and random search the performance improves considerably",
        "best validation error over the baseline's 0.0381", [arrays["score"][best] / BASELINE_MSE["validation"]],
        high=0.5,
    )  # fmt: skip
    yield Finding(
        "B3", "the test loss equals the average validation loss", "test error over validation error, of the best trial",
        arrays["best_test_loss"] / arrays["score"][best], 0.95, 1.05,
    )  # fmt: skip
    if "beside_l2" in arrays:
        other = arrays["beside_l2"] != BEST["l2"]
        learns = arrays["beside_fold_score"][other] < 0.95 * arrays["constant_mse"]  # no diverged lane does
        yield Finding(
            "B3", "with another weight decay the network often does not learn at all",
            "share of other L2 with 95 % of the mean image's error or more, by fold", 1 - learns.mean(0), low=0.5,
        )  # fmt: skip


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {"random_search_B3": search}
