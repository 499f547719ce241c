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
TEST_MSE = Numbers({48: 0.0187})  # section 3.1, by code size
CLASSIFIER_LOSS = Numbers({"fine-tuned, d = 2": 0.115, "fine-tuned, d = 10": 0.064})  # section 3.3, test
CLASSIFIER_ACCURACY = Numbers({"fine-tuned, d = 2": 0.9646, "fine-tuned, d = 10": 0.9804, "from scratch": 0.9904})
VAE_LOSS = Numbers({"training": 19.383, "validation": 19.473, "test": 19.521})  # section 3.4

FIGURES: tuple[Figure, ...] = ()
FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {}
