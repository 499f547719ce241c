"""Report C: D. Iriarte, Application of unsupervised deep learning techniques in the MNIST digit dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import Finding, Numbers
from experiments.reports.figures import Figure

# Section 3.1: the best architecture; the batch size is ours.
BEST = {"learning_rate": 1e-3, "l2": 1e-5, "dropout": 0.1}
CHANNELS = (8, 16, 64)

CLASSIFIER_ACCURACY = Numbers({"frozen, d = 2": 0.95})  # section 3.2, test

DENOISING_LOSS = {"training": 0.2, "validation": 0.199, "test": 0.199}  # section 3.3, on a scale that it does not name

FIGURES: tuple[Figure, ...] = (
    Figure("C, Fig. 4a", "training and validation losses of the denoiser", "denoising_C4", "curves.pdf"),
    Figure("C, Fig. 4b", "noisy images and their reconstructions", "denoising_C4", "sheet.pdf"),
)


def denoising(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.3; ``[variants, folds]``. The noise is not told: 0.4 is where 0.199 is its variance and 0.04 more."""
    at = np.abs(arrays["noise"] - 0.4).argmin()
    where = f"noise {arrays['noise'][at]:g}"
    what = "a test loss of 0.199, read as the error against the noisy image"
    yield Finding("C4", what, f"that error, {where}", arrays["test_noisy_mse"][at], low=0.189, high=0.209)
    what = "it reproduces the correct label even though the image is noisy, but not always"
    measure = f"share of denoised digits that a nearest neighbour recognises, {where}"
    yield Finding("C4", what, measure, arrays["recognised"][at], low=2 / 3, high=0.99)


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {"denoising_C4": denoising}
