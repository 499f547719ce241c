"""What a latent plane decodes to, in numbers: the slant of the digits along it, the steps between them.

Numbers of a diverged lane, whose codes and images are NaN, are NaN.
"""

from __future__ import annotations

import numpy as np

from ae_jax import latent


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
