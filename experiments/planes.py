"""What a latent plane decodes to, in numbers: the slant of the digits along it, the steps between them and of a map.

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


def of_manifolds(
    manifolds: np.ndarray, plane: np.ndarray, images: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """What report C says of manifolds ``[..., k, k, *image]`` decoded from ``plane [k, k, 2]``: ``[...]`` by name.

    Their largest step is told in units of the :func:`spread_of_digits` of ``images [n, *image]``.
    """
    return {
        "slant_correlation": slant_correlations(manifolds, plane),
        "largest_step": largest_step(manifolds) / spread_of_digits(images, labels),
    }


def spread_of_digits(images: np.ndarray, labels: np.ndarray) -> float:
    """Root-mean-square difference between two images of one digit, drawn at random: ``[n, *image], [n] -> scalar``."""
    flat = np.asarray(images).reshape(len(images), -1)
    return float(np.sqrt(2.0 * np.square(flat - latent.centroids(flat, labels)[labels]).mean()))


def height_steps(
    points: np.ndarray, heights: np.ndarray, nearest: np.ndarray, centroids: np.ndarray
) -> dict[str, np.ndarray]:
    """Differences of a map's heights between neighbours of its grid ``[k, k]`` along both axes, scalars by name.

    ``step_within`` and ``step_across``: the largest between points that have one nearest centroid, and two;
    ``step_central``: around the centroids, which are at most half as far as the second nearest; ``ridge``: the median
    across over the larger height.
    """
    apart = np.sort(np.linalg.norm(points[..., None, :] - centroids, axis=-1), axis=-1)
    central = apart[..., 0] <= 0.5 * apart[..., 1]

    def pairs(values: np.ndarray) -> np.ndarray:
        along = (values[:, :-1], values[:, 1:]), (values[:-1], values[1:])
        return np.concatenate([np.stack([first.ravel(), second.ravel()]) for first, second in along], axis=1)

    sides = pairs(heights)
    step, border = np.abs(sides[0] - sides[1]), np.not_equal(*pairs(nearest))
    where = {"within": ~border, "across": border, "central": pairs(central).all(0) & ~border}
    largest = {f"step_{name}": step[chosen].max(initial=0.0) for name, chosen in where.items()}
    ridge = np.median(step[border] / sides.max(0)[border]) if border.any() else np.nan
    return {name: np.asarray(value) for name, value in (largest | {"ridge": ridge}).items()}
