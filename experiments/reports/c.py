"""Report C: D. Iriarte, Application of unsupervised deep learning techniques in the MNIST digit dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import Finding, Numbers
from experiments.reports.figures import Figure

# Section 3.1: the best architecture; the batch size is ours.
BEST = {"learning_rate": 1e-3, "l2": 1e-5, "dropout": 0.1}
CHANNELS = (8, 16, 64)

TEST_MSE = Numbers({2: 0.04})  # section 3.1, by code size
CLASSIFIER_ACCURACY = Numbers({"frozen, d = 2": 0.95})  # section 3.2, test

FIGURES: tuple[Figure, ...] = ()
FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {}
