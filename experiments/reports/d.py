"""Report D: J. E. Mathews, An exploration of auto encoders on MNIST."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import ELSEWHERE, Finding, Numbers
from experiments.reports.figures import Figure

# By code size: the PCA of MNIST's 60,000 images, tested on the other 10,000. The report gives no number.
PCA_MSE = Numbers({2: 0.05567, 4: 0.04790, 8: 0.03744, 16: 0.02686, 32: 0.01683}, ELSEWHERE)

FIGURES: tuple[Figure, ...] = (
    Figure("D, Fig. 5", "the VAE's reconstruction beside the input", "variational_D3", "reconstructions.pdf"),
)
FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {}
