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

FIGURES = (
    Figure("C, Fig. 2a", "training and validation loss by epoch", "latent_space_C2", "curves.pdf"),
    Figure("C, Fig. 2b", "reconstructions", "latent_space_C2", "reconstructions.pdf"),
    Figure("C, Fig. 6", "draws of a normal distribution, decoded", "latent_space_C2", "normal_images.pdf"),
    Figure("C, Fig. 6, of N(0, I)", "draws of N(0, I), decoded", "latent_space_C2", "standard_images.pdf"),
    Figure("C, Fig. 8", "codes in the plane, by PCA and by t-SNE", "latent_space_C2", "projections_2.pdf"),
)


def latent_space(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1; measures are ``[seeds, maps]``, the maps the plane, PCA and t-SNE."""
    plane, _, tsne = arrays["seed_gaps"].T
    measure = "share of the map farther from every code than 3 spacings of evenly spread ones"
    yield Finding("C2", "the latent space contains gaps", f"{measure} (of normal codes 0.02)", plane, low=0.05)
    yield Finding("C2", "gaps specially for t-SNE", f"{measure}, t-SNE less plane", tsne - plane, low=0.01)
    plane, pca, tsne = arrays["seed_silhouette"].T
    measure = "silhouette of the digits, t-SNE less the better of plane and PCA"
    yield Finding("C2", "t-SNE is the best to cluster the digits", measure, tsne - np.maximum(plane, pca), low=0.01)
    counts = arrays["seed_confusion"][:, 0]
    size = counts.sum(-1)
    kept = np.divide(counts.diagonal(axis1=1, axis2=2), size, out=np.full(size.shape, np.nan), where=size > 0)
    separate = np.where(np.isnan(kept).all(1), np.nan, (kept >= 0.9).sum(1))
    yield Finding(
        "C2", "several digits are well separated",
        "digits of which nine in ten codes of the plane have mostly neighbours of their own", separate, low=3,
    )  # fmt: skip
    mixed = 1 - counts.trace(axis1=1, axis2=2) / counts.sum((1, 2))
    yield Finding(
        "C2", "there are regions where the digits are interspersed",
        "share of the codes of the plane whose ten neighbours are mostly of another digit", mixed, low=0.1,
    )  # fmt: skip
    yield Finding(
        "C2", "reconstructions are blurrier than the originals",
        "squared differences of neighbouring pixels per variance, reconstructions over images",
        arrays["seed_sharpness"], high=0.9,
    )  # fmt: skip


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {"latent_space_C2": latent_space}
