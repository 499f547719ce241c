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

FIGURES = (
    Figure("B, section 3.1, t-SNE", "codes of the plane by t-SNE", "latent_space_B4", "projections_2.pdf"),
    Figure("B, section 3.1, new digits", "places chosen on the maps, decoded", "latent_space_B4", "chosen.pdf"),
    Figure("B, appendix, Fig. 1", "codes of the optimized autoencoder by PCA", "latent_space_B4", "projections_48.pdf"),
)
TSNE = 2  # the maps of latent_space are the plane, PCA and t-SNE
FOUR_NINE = 4, 9


def latent_space(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1: confusion by neighbours ``[seeds, maps, true, voted]``, decoded wrongly ``[seeds, ways]``."""
    counts = arrays["seed_confusion"][:, TSNE]
    yield Finding(
        "B4", "on the t-SNE map the digits can mostly be distinguished",
        "share of the codes whose ten neighbours are mostly of their digit",
        counts.trace(axis1=1, axis2=2) / counts.sum((1, 2)), low=0.8,
    )  # fmt: skip
    size = counts.sum(-1)
    pairs = np.array([(i, j) for j in range(10) for i in range(j)])
    i, j = pairs.T
    mixed = (counts[:, i, j] + counts[:, j, i]) / np.maximum(size[:, i] + size[:, j], 1)
    chosen = np.flatnonzero((pairs == FOUR_NINE).all(1))
    lost = np.isnan(mixed).any(1)
    more = np.where(lost, np.nan, (mixed > mixed[:, chosen]).sum(1))
    yield Finding(
        "B4", "4 and 9 overlap", "pairs of digits that their neighbours on the t-SNE map confuse more", more, high=0
    )
    others = np.where(lost, np.nan, (mixed >= 0.5 * mixed[:, chosen]).sum(1) - 1)
    yield Finding("B4", "only 4 and 9 overlap strongly", "other pairs confused at least half as much", others, high=0)
    tsne, pca, *_ = arrays["seed_wrong"].T
    measure = "share of the images decoded at the map's surest places that show another digit"
    yield Finding("B4", "digits chosen on the t-SNE map decode to others", f"{measure}, t-SNE", tsne, low=0.25)
    yield Finding("B4", "PCA instead of t-SNE does not improve this", f"{measure}, PCA less t-SNE", pca - tsne, low=0)


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {"latent_space_B4": latent_space}
