"""What is said of a latent plane, in numbers: gaps and groups of its codes, slant and steps of what it decodes to.

Numbers of a diverged lane, whose codes and images are NaN, are NaN.
"""

from __future__ import annotations

import numpy as np

from ae_jax import latent

PER_CELL = 25  # codes in a cell, were they spread evenly


def gaps(codes: np.ndarray) -> float:
    """Share of the cells of the codes' box in which no code lies: ``[n, 2] -> scalar``.

    The box lies along the principal axes and holds the 1st to the 99th percentile of each, so that neither rotation
    nor scale matters; its square grid has a cell for every ``PER_CELL`` codes.
    """
    if not np.isfinite(codes).all():
        return np.nan
    points = latent.pca(codes)
    steps = max(2, int(np.sqrt(len(points) / PER_CELL)))
    box = np.percentile(points, (1, 99), axis=0).T
    counts, *_ = np.histogram2d(*points.T, bins=steps, range=box)
    return float((counts == 0).mean())


def separation(codes: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette (Rousseeuw 1987) of the digits' groups of codes, -1 to 1: ``[n, latent], [n] -> scalar``.

    Takes n^2 distances: give it a sample.
    """
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(codes, labels)) if np.isfinite(codes).all() else np.nan


def slant(images: np.ndarray) -> np.ndarray:
    """How far the ink shifts to the right for each pixel upwards, by second moments: ``[..., H, W, C] -> [...]``."""
    ink = np.asarray(images, np.float64).mean(-1)
    ink = ink / ink.sum((-2, -1), keepdims=True)
    height, width = ink.shape[-2:]
    right, up = np.arange(width), -np.arange(height)[:, None]
    x, y = (np.sum(ink * axis, (-2, -1), keepdims=True) for axis in (right, up))
    return np.sum(ink * (right - x) * (up - y), (-2, -1)) / np.sum(ink * np.square(up - y), (-2, -1))


def slant_correlations(images: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Correlation of the slant with either coordinate: ``[..., k, k, *image]`` decoded from ``[k, k, 2] -> [..., 2]``.

    Over a square grid the coordinates do not correlate, so that the sum of the squares is the share of the slant's
    variance along the best direction of the plane, whichever the axes are.
    """
    values = slant(images)
    values = values - values.mean((-2, -1), keepdims=True)
    points = plane - plane.mean((0, 1))
    spread = np.sqrt(np.square(values).sum((-2, -1))[..., None] * np.square(points).sum((0, 1)))
    return np.einsum("...ij,ijd->...d", values, points) / spread


def largest_step(images: np.ndarray) -> np.ndarray:
    """Largest root-mean-square difference between neighbours of a grid: ``[..., k, k, *image] -> [...]``."""
    along = [np.square(np.diff(images, axis=axis)).mean((-3, -2, -1)).max((-2, -1)) for axis in (-5, -4)]
    return np.sqrt(np.maximum(*along))


def spread_of_digits(images: np.ndarray, labels: np.ndarray) -> float:
    """Root-mean-square difference between two images of one digit, drawn at random: ``[n, *image], [n] -> scalar``."""
    flat = np.asarray(images).reshape(len(images), -1)
    return float(np.sqrt(2.0 * np.square(flat - latent.centroids(flat, labels)[labels]).mean()))
