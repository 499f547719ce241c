"""Report A: N. Dainese, Compressing MNIST dataset with autoencoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import NOTEBOOK, Finding, Numbers
from experiments.reports.figures import Figure

# Section II: the best of its random search, by Adamax, 40 epochs, batch 512.
BEST = {"learning_rate": 0.0136, "l2": 1.08e-4, "dropout": 0.0216}
OPTIMIZER = "adamax"
LATENT = (1, 2, 4, 8, 16)

# By code size, read in its notebook; the report draws them.
TEST_MSE = Numbers(dict(zip(LATENT, (0.0525, 0.0436, 0.0317, 0.0228, 0.0184), strict=True)), NOTEBOOK)  # Fig. 2
NOISY = Numbers(dict(zip(LATENT, (0.0558, 0.0460, 0.0431, 0.0325, 0.0404), strict=True)), NOTEBOOK)  # Fig. 3, 0.5
OCCLUDED = Numbers(dict(zip(LATENT, (0.0709, 0.0688, 0.0974, 0.1635, 0.0829), strict=True)), NOTEBOOK)  # Fig. 4, 0.5

FIGURES = (
    Figure("A, Fig. 1", "validation error against the L2 penalty", "random_search_A1", "fig1_l2.pdf"),
    Figure("A, Fig. 2", "test error against the latent dimension", "compression", "fig2_latent.pdf"),
    Figure("A, Fig. 3", "error against the noise", "compression", "fig3_noisy.pdf"),
    Figure("A, Fig. 4", "error against the occlusion", "compression", "fig4_occluded.pdf"),
    Figure("A, Fig. 5", "samples of the latent plane and the centroids", "latent_space_A5", "fig5_samples.pdf"),
    Figure("A, Fig. 7", "D(z) seen from above", "smoothness", "maps.pdf"),
)


def compression(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section III; errors are ``[latent, seeds, ...]``."""
    falls = np.diff(arrays["test_mse"], axis=0).max(0)
    yield Finding(
        "A2", "the error falls monotonically with the dimension", "largest step of the curve, d to 2 d", falls, high=0
    )


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {"compression": compression}
