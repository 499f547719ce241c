"""Report D: J. E. Mathews, An exploration of auto encoders on MNIST. Its Table 1 is its template's, about no digit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import ELSEWHERE, Finding, Numbers
from experiments.reports.curves import epochs_to
from experiments.reports.figures import Figure

# By code size: the PCA of MNIST's 60,000 images, tested on the other 10,000. The report gives no number.
PCA_MSE = Numbers({2: 0.05567, 4: 0.04790, 8: 0.03744, 16: 0.02686, 32: 0.01683}, ELSEWHERE)
SEEN = 10**0.05  # times the error: half a decibel of PSNR, about the least difference that an eye notices

FIGURES: tuple[Figure, ...] = (
    Figure("D, Fig. 1", "structure of the autoencoder", "architectures", "d1.pdf"),
    Figure("D, Fig. 2", "linear reconstructions during training", "linear_pca", "fig2_stages.pdf"),
    Figure("D, Fig. 3", "reconstructions by sigmoid, ReLU and ELU", "linear_pca", "fig3_activations.pdf"),
    Figure("D, Fig. 4", "structure of the VAE", "architectures", "d3.pdf"),
    Figure("D, Fig. 5", "the VAE's reconstruction beside the input", "variational_D3", "reconstructions.pdf"),
)


def drawn_variance(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """What each axis of the linear code alone draws, ``[seeds, latent]``: its variance times its column's length^2."""
    return arrays["code_variance"] * np.diagonal(arrays["decoder_gram"], axis1=1, axis2=2)


def linear_pca(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Sections 3 and 4; errors are ``[hidden, seeds]``, linear first, after the report's last step."""
    yield from _axes(arrays)
    linear, others = arrays["test_mse"][0], arrays["test_mse"][1:]
    kept = 1 - linear / arrays["mean_image_test_mse"]
    yield Finding("D1", "the linear reconstruction is quite bad", "share of the variance kept", kept, high=0.5)
    losses = arrays["train_loss"]  # [hidden, seeds, epochs]
    converged = epochs_to(1.02 * losses.min(-1, keepdims=True), losses)
    yield Finding(
        "D1", "the linear network requires a long time to converge when compared with other methods",
        "epochs to within 2 % of its lowest training error, over the median of the non-linear ones to theirs",
        converged[0] / np.median(converged[1:], axis=0), 2,
    )  # fmt: skip
    much = linear / others.max(0)
    yield Finding(
        "D2", "all of the non-linear activations yielded much better results than the linear model",
        "its test error over the worst non-linear one", much, 1.5,
    )  # fmt: skip
    apart = others.max(0) / others.min(0)
    yield Finding(
        "D2", "sigmoid, ReLU and ELU are virtually indistinguishable",
        "the worst test error of the three over the best (0.5 dB of PSNR)", apart, high=SEEN,
    )  # fmt: skip


def _axes(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """The linear code beside PCA's, at the best epoch, where the two are closest."""
    drawn, gram = drawn_variance(arrays), arrays["decoder_gram"]
    lengths = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    cosines = np.abs(gram / (lengths[:, :, None] * lengths[:, None])) - np.eye(lengths.shape[1])
    angle = arrays["best_angles"].max(1)
    yield Finding(
        "D1", "the latent space spans a similar subspace to the first eigenvectors",
        "largest principal angle, degrees", angle, high=10,
    )  # fmt: skip
    ranks = drawn.argsort(1).argsort(1).astype(float)  # the first axis of PCA has the highest
    places = np.arange(drawn.shape[1])[::-1]
    ranked = np.array([np.corrcoef(of_seed, places)[0, 1] for of_seed in ranks])
    yield Finding(
        "D1", "the basis vectors are not ranked by significance",
        "rank correlation of an axis's variance with its place; PCA 1", _finite(drawn, ranked), high=0.95,
    )  # fmt: skip
    yield Finding(
        "D1", "the basis vectors are not orthogonal", "largest |cosine| of two; PCA 0", cosines.max((1, 2)), 0.1
    )
    furthest = np.abs(lengths - 1).max(1)
    yield Finding("D1", "the basis vectors are not of unit length", "largest |length - 1|; PCA 0", furthest, 0.1)


def _finite(of: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``values [runs]``, NaN for the runs of ``of [runs, ...]`` that diverged."""
    return np.where(np.isfinite(of).all(axis=tuple(range(1, of.ndim))), values, np.nan)


def latent_sweep(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 2; test errors are ``[kinds, sizes, seeds]``."""
    for kind, errors in zip(arrays["kind"], arrays["test_mse"], strict=True):
        yield Finding(
            "D5", f"an appropriate latent space has 10 < N < 100 dimensions ({kind})",
            "size from which on no doubling lowers the error by 10 % of the curve's range",
            fitting_size(arrays["latent"], errors), 10.5, 99.5,
        )  # fmt: skip


def variational(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Sections 1 and 5: the VAE is contrasted with the other autoencoders, and Fig. 5 lays its copies by the input."""
    yield Finding(
        "D3", "the reconstruction produced by the VAE, compared with the input: to the eye as good as an autoencoder's",
        "test MSE of its mean's reconstruction over that of the autoencoder of the same networks (0.5 dB of PSNR)",
        arrays["mse"][0] / arrays["plain_mse"], high=SEEN,
    )  # fmt: skip


def fitting_size(sizes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The least size after which no doubling gains a tenth of the curve's range: ``[sizes, seeds] -> [seeds]``."""
    order = np.argsort(sizes)
    sizes, errors = np.asarray(sizes, float)[order], errors[order]
    gains = -np.diff(errors, axis=0) / np.diff(np.log2(sizes))[:, None]  # a doubling's
    worth = gains >= 0.1 * np.ptp(errors, axis=0)
    steps = 1 + np.arange(len(worth))[:, None]
    return _finite(errors.T, sizes[np.where(worth, steps, 0).max(0, initial=0)])


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {
    "linear_pca": linear_pca,
    "latent_sweep": latent_sweep,
    "variational_D3": variational,
}
