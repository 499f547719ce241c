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
    Figure("A, Fig. 6", "D(z) from the front", "smoothness", "fig6_front.pdf"),
    Figure("A, Fig. 7", "D(z) seen from above", "smoothness", "maps.pdf"),
    Figure("A, section V.A", "samples of the centroids' box, decoded", "latent_space_A5", "box_images.pdf"),
    Figure("A, section V.B", "D(z) on the way from the centroid of 1 to that of 7", "smoothness", "profile.pdf"),
)


def compression(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section III; errors are ``[latent, seeds, ...]``."""
    falls = np.diff(arrays["test_mse"], axis=0).max(0)
    yield Finding(
        "A2", "the error falls monotonically with the dimension", "largest step of the curve, d to 2 d", falls, high=0
    )


def latent_space(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section V.B; the centroids of the plane are ``[seeds, digits, 2]``."""
    apart = np.linalg.norm(arrays["seed_centroids"][:, :, None] - arrays["seed_centroids"][:, None], axis=-1)
    rank = np.where(np.isnan(apart), np.nan, (apart[..., None, :] < apart[..., None]).sum(-1))  # of j as seen from i
    for digits, words, most in (((4, 9), "4 and 9", 2), ((3, 5, 8), "3, 5 and 8", 3)):
        within = rank[:, digits][..., digits].max((1, 2))
        measure = "the largest rank of one of these centroids among another's nine neighbours"
        yield Finding("A5", f"the centroids of {words} are adjacent", measure, within, high=most)


def smoothness(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section V.B: steps of D on the grid, and D on the line from the centroid of 1 to that of 7."""
    central, within, across = (arrays[f"step_{where}"] for where in ("central", "within", "across"))
    yield Finding(
        "A6", "the space is smooth around the centroids",
        "largest step of D where a centroid is at most half as far as the second nearest, over the largest D",
        [central / arrays["distance"].max()], high=0.1,
    )  # fmt: skip
    yield Finding(
        "A6", "sharp transitions where the basin of attraction changes",
        "largest step of D across a border over that within a basin", [across / within], low=2,
    )  # fmt: skip
    yield Finding(
        "A6", "the space is not homogeneous: on its ridges D to both centroids differs",
        "median step of D across a border over the larger D", [arrays["ridge"]], low=0.2,
    )  # fmt: skip
    profile = arrays["profile"]
    yield Finding(
        "A6", "from centroid 1 to 7, D is largest half-way",
        "where on the line D is largest, 0 at 1 and 1 at 7", [np.argmax(profile) / (len(profile) - 1)], 0.4, 0.6,
    )  # fmt: skip
    leaves = np.argmax(arrays["profile_nearest"] != 1)  # before the border
    yield Finding(
        "A6", "from centroid 1 towards 7, D rises up to the border", "share of the steps on which D rises",
        [(np.diff(profile[:leaves]) > 0).mean() if leaves > 1 else np.nan], low=0.95,
    )  # fmt: skip


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {
    "compression": compression,
    "latent_space_A5": latent_space,
    "smoothness": smoothness,
}
