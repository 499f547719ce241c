"""The latent space: codes, centroids, samples, grids, and the map of how smoothly the decoder fills it.

Codes are ``[n, latent]``; those of a run lead with its shape, as everywhere (``runs``). Functions of codes alone give
NaN for codes that are NaN, as those of a diverged lane.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax.batching import unit
from ae_jax.models import apply
from ae_jax.objectives import Objective
from ae_jax.runs import Run, by_batches
from ae_jax.types import PyTree, UsageError


def encode(run: Run, images: Array) -> np.ndarray:
    """What :func:`decode` takes, of images by every lane: ``[n, *image] -> [*run.shape, n, latent]``.

    A VAE's are its means; ``posterior.encode`` has the variances too. A VQ-VAE's are vectors of its book.
    """
    return run.map(_encode, jnp.asarray(images))


def decode(run: Run, codes: Array | np.ndarray) -> np.ndarray:
    """Images of each lane's codes: ``[*run.shape, n, latent] -> [*run.shape, n, *image]``."""
    return run.map(_decode, each=(np.asarray(codes, np.float32),))


def _encode(objective: Objective, params: PyTree, images: Array) -> Array:
    return by_batches(objective, lambda batch: apply(objective.model, params, unit(batch), method="code"), images)


def _decode(objective: Objective, params: PyTree, codes: Array) -> Array:
    return by_batches(objective, lambda batch: apply(objective.model, params, batch, method="decode"), codes)


def centroids(codes: np.ndarray, labels: np.ndarray, classes: int = 10) -> np.ndarray:
    """Mean code of each class: ``[n, latent], [n] -> [classes, latent]``; NaN for a class without examples."""
    counts = np.bincount(labels, minlength=classes)
    sums = np.zeros((classes, codes.shape[1]))
    np.add.at(sums, labels, codes)
    with np.errstate(invalid="ignore"):
        return sums / counts[:, None]


def typical(codes: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The example of each class whose code is the nearest to its centre: ``[n, latent], [n], [k, latent] -> [k]``.

    Any example for a class that has none.
    """
    squared = np.square(codes[:, None] - np.nan_to_num(centres)).sum(-1)
    of_class = labels[:, None] == np.arange(len(centres))
    return np.argmin(np.where(of_class, squared, np.inf), axis=0)


def bounding_box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest corner of ``points [n, latent]``, NaN rows left out: ``([latent], [latent])``."""
    return np.nanmin(points, axis=0), np.nanmax(points, axis=0)


def sample_box(key: Array, low: np.ndarray, high: np.ndarray, n: int) -> np.ndarray:
    """``n`` uniform draws from a box: ``[n, latent]`` (report A, section V, Fig. 5). Consumes ``key``."""
    return np.asarray(jax.random.uniform(key, (n, len(low)), minval=low, maxval=high))


def sample_normal(key: Array, codes: np.ndarray, n: int) -> np.ndarray:
    """``n`` draws from the normal distribution with the mean and covariance of ``codes``: ``[n, latent]``.

    Consumes ``key`` (report C, section 3.1.1).
    """
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    return np.asarray(jax.random.multivariate_normal(key, codes.mean(0), covariance, (n,), method="eigh"))


def grid(low: np.ndarray, high: np.ndarray, steps: int) -> np.ndarray:
    """A regular grid over a plane's box: ``[steps, steps, 2]``, the first axis along the second coordinate.

    Raises UsageError unless the latent space is a plane.
    """
    if len(low) != 2:
        raise UsageError(f"a grid of a latent space with {len(low)} dimensions cannot be drawn: take a model with 2")
    x, y = (np.linspace(a, b, steps) for a, b in zip(low, high, strict=True))
    return np.stack(np.meshgrid(x, y), axis=-1)


def nearest(codes: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest centre of each code, Euclidean: ``[n, latent], [k, latent] -> [n]``.

    Never that of a NaN centre; -1 for a NaN code.
    """
    squared = np.square(codes[:, None] - centres).sum(-1)
    index = np.argmin(np.where(np.isnan(squared), np.inf, squared), axis=1)
    return np.where(np.isnan(squared).all(1), -1, index)


def distance_map(run: Run, points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Report A's D(z): ``||decode(z) - decode(c)||^2`` with ``c`` the centre nearest to ``z``, summed over pixels.

    Args:
        run: a lane alone.
        points: codes ``[n, latent]``.
        centres: the centroids of the classes ``[classes, latent]``.

    Returns:
        D ``[n]`` and the index of the nearest centre ``[n]`` (section V).
    """
    centre = nearest(points, centres)
    images, of_centres = decode(run, points), decode(run, np.nan_to_num(centres))
    return np.square(images - of_centres[centre]).sum((1, 2, 3)), centre


def basins(run: Run, points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The centre each point is drawn to *in image space*: index of the centroid whose decoding is the nearest, ``[n]``.

    Where it differs from :func:`nearest`, the decoder's homogeneous regions are not those of the code's distance.
    """
    images = decode(run, points).reshape(len(points), -1)
    of_centres = decode(run, np.nan_to_num(centres)).reshape(len(centres), -1)
    of_centres = np.where(np.isnan(centres).any(1, keepdims=True), np.nan, of_centres)
    return nearest_in_blocks(images, of_centres)


def nearest_in_blocks(points: np.ndarray, centres: np.ndarray, block: int = 1024) -> np.ndarray:
    """:func:`nearest`, a block of points at a time, so that memory stays small for long ones."""
    blocks = [nearest(points[start : start + block], centres) for start in range(0, len(points), block)]
    return np.concatenate(blocks)


def interpolate(start: np.ndarray, stop: np.ndarray, steps: int) -> np.ndarray:
    """Codes on the line between two codes ``[latent]``, both included: ``[steps, latent]``."""
    weight = np.linspace(0.0, 1.0, steps)[:, None]
    return (1.0 - weight) * start + weight * stop


def walks(ends: np.ndarray, pairs: Sequence[tuple[int, int]], steps: int) -> np.ndarray:
    """Lines between ``pairs`` of the codes ``ends [k, latent]``, one after another: ``[pairs * steps, latent]``."""
    return np.concatenate([interpolate(ends[a], ends[b], steps) for a, b in pairs])


def traversals(values: np.ndarray, latent: int) -> np.ndarray:
    """Codes in which one latent takes ``values [steps]`` and the others are 0: ``[latent, steps, latent]``."""
    codes = np.zeros((latent, len(values), latent))
    codes[np.arange(latent), :, np.arange(latent)] = values
    return codes


def subsample(n: int, at_most: int, seed: int) -> np.ndarray:
    """Which of ``n`` codes to show where all are too many: sorted indices, ``[at_most]`` of them or all."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:at_most])


def pca(codes: np.ndarray, dimensions: int = 2) -> np.ndarray:
    """The first principal components of codes, by scikit-learn: ``[n, latent] -> [n, dimensions]``.

    A latent space with fewer dimensions is padded with zeros.
    """
    from sklearn.decomposition import PCA

    if not np.isfinite(codes).all():
        return np.full((len(codes), dimensions), np.nan)
    kept = min(dimensions, codes.shape[1])
    projected = PCA(kept, svd_solver="full").fit_transform(codes)
    return np.pad(projected, ((0, 0), (0, dimensions - kept)))


def tsne(codes: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE (van der Maaten & Hinton 2008) by scikit-learn, started from PCA: ``[n, latent] -> [n, 2]``.

    Takes about 15 s for 2,500 codes on two cores and grows faster than ``n``: give it a sample.
    """
    from sklearn.manifold import TSNE

    if not np.isfinite(codes).all():
        return np.full((len(codes), 2), np.nan)
    perplexity = min(30.0, max(1.0, (len(codes) - 1) / 3))
    init = "pca" if codes.shape[1] >= 2 else "random"
    return TSNE(2, perplexity=perplexity, init=init, random_state=seed).fit_transform(codes)
