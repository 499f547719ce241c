"""What maps of codes tell: the latent plane itself, PCA and t-SNE (reports B, 3.1, and C, 3.1.1; protocols B4 and C2).

A map is ``[n, 2]`` with labels ``[n]``. Neighbours are the ten nearest points on it, the point itself left out, fewer
where there are no more. Everything is NaN for codes that are NaN, as those of a diverged lane.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import ConvexHull, Delaunay, KDTree

from ae_jax import evaluation, latent
from ae_jax.runs import Run
from experiments import comparison, study
from experiments.study import Row, Setup

MAPS = ("plane", "PCA", "t-SNE")
NEIGHBOURS = 10
CHOSEN = 10  # points of each digit that are decoded
WAYS = ("t-SNE, neighbours' codes", "PCA, inverted", "t-SNE, place as code", "PCA, place as code")


def of_lane(
    setup: Setup, lane: Run, sample: np.ndarray, codes: np.ndarray, pca: np.ndarray, tsne: np.ndarray
) -> dict[str, np.ndarray]:
    """What a latent plane and its maps tell; ``tsne`` is of the ``sample`` of the test images, the others of all."""
    images, labels = np.asarray(setup.test_images[sample]), setup.dataset.test_labels
    centroids, places = latent.centroids(codes, labels), chosen_codes(codes[sample], labels[sample], pca[sample], tsne)
    decoded = latent.decode(lane, places.reshape(-1, 2)).reshape(*places.shape[:-1], *lane.model.image)
    train, shown = np.asarray(setup.train_images[: study.FITTED]), setup.dataset.train_labels[: study.FITTED]
    right = latent.nearest(codes, centroids) == labels
    return {
        "centroids": centroids,
        "accuracy": np.nan if lane.diverged else right.mean(),
        "wrong": share_wrong(decoded, train, shown),
        "sharpness": sharpness(evaluation.reconstruct(lane, images)) / sharpness(images),
    } | measures([codes[sample], pca[sample], tsne], labels[sample])


def rows(name: str, arrays: dict[str, np.ndarray]) -> list[Row]:
    """Of a study's table: what :func:`of_lane` tells by seed, ``seed_...``, as far as no report gives a number."""
    counts = arrays["seed_confusion"]
    right = counts.trace(axis1=-2, axis2=-1) / counts.sum((-2, -1))
    return [
        Row(f"{name} accuracy of the nearest centroid, d = 2", None, arrays["seed_accuracy"], True),
        *comparison.rows(f"{name} accuracy of ten neighbours, {{}}", MAPS, right.T, higher_is_better=True),
        *comparison.rows(f"{name} silhouette of the digits, {{}}", MAPS, arrays["seed_silhouette"].T, None, True),
        *comparison.rows(f"{name} share of the map that is empty, {{}}", MAPS, arrays["seed_gaps"].T),
        *comparison.rows(f"{name} share decoded wrongly: {{}}", WAYS, arrays["seed_wrong"].T),
        Row(f"{name} sharpness of reconstructions over the images'", None, arrays["seed_sharpness"], True),
    ]


def of_planes(codes: Sequence[np.ndarray], labels: np.ndarray, sample: np.ndarray) -> dict[str, np.ndarray]:
    """How empty each model's planes of codes ``[seeds, n, 2]`` are, and how they part the digits: ``[models, seeds]``.

    They are parted as far as the silhouette of the ``sample`` says.
    """
    return {
        "gaps": np.array([[gaps(of_seed) for of_seed in of_model] for of_model in codes]),
        "separation": np.array(
            [[silhouette(of_seed[sample], labels[sample]) for of_seed in of_model] for of_model in codes]
        ),
    }


def measures(maps: list[np.ndarray], labels: np.ndarray) -> dict[str, np.ndarray]:
    """How well each of ``maps`` separates the digits, and how much of it is empty: ``[maps, ...]`` each."""
    of_each = {"confusion": confusion, "silhouette": silhouette, "gaps": lambda points, _: gaps(points)}
    return {name: np.array([measure(points, labels) for points in maps]) for name, measure in of_each.items()}


def neighbours(points: np.ndarray) -> np.ndarray:
    """Indices of each point's nearest, itself first: ``[n, 2] -> [n, 1 + k]``."""
    return KDTree(points).query(points, np.arange(1, 2 + min(NEIGHBOURS, len(points) - 1)))[1]


def confusion(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts ``[10, 10]`` of points by their digit and by that of most of their neighbours."""
    if not np.isfinite(points).all():
        return np.full((10, 10), np.nan)
    votes = (labels[neighbours(points)[:, 1:], None] == np.arange(10)).sum(1)
    counts = np.zeros((10, 10))
    np.add.at(counts, (labels, votes.argmax(1)), 1)
    return counts


def silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette of the digits, by scikit-learn."""
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(points, labels)) if np.isfinite(points).all() else np.nan


def gaps(points: np.ndarray, draws: int = 20_000) -> float:
    """The share of the map, within the hull of the inner nine tenths of its points, that is farther from every point
    than three times the mean distance of neighbours among as many that are spread evenly.

    The inner ones are those nearest to the mean, by the covariance. Evenly spread points leave 0.001, normal ones 0.02;
    on a line there is no area, and the share is NaN.
    """
    centred = points - points.mean(0)
    if not np.isfinite(points).all() or np.linalg.matrix_rank(centred) < 2:
        return np.nan
    white = centred @ np.linalg.pinv(np.linalg.cholesky(np.cov(centred.T) + 1e-12 * np.eye(2))).T
    radius = np.square(white).sum(1)
    inner = white[radius <= np.quantile(radius, 0.9)]
    spacing = 0.5 * np.sqrt(ConvexHull(inner).volume / len(inner))
    places = np.random.default_rng(0).uniform(inner.min(0), inner.max(0), (draws, 2))
    inside = places[Delaunay(inner).find_simplex(places) >= 0]
    return float((KDTree(white).query(inside)[0] > 3 * spacing).mean())


def choose(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The neighbourhoods where a map is the surest of each digit, itself first: indices ``[10, CHOSEN, 1 + k]``.

    The surest have the most neighbours of the digit. A digit with fewer points repeats them; one with none takes
    point 0.
    """
    near = neighbours(points)
    sure = (labels[near] == labels[:, None]).sum(1)
    places = []
    for digit in range(10):
        of_digit = np.flatnonzero(labels == digit)
        ranked = of_digit[np.argsort(-sure[of_digit], kind="stable")] if len(of_digit) else np.array([0])
        places.append(np.resize(ranked[:CHOSEN], CHOSEN))
    return near[np.array(places)]


def chosen_codes(codes: np.ndarray, labels: np.ndarray, pca: np.ndarray, tsne: np.ndarray) -> np.ndarray:
    """Codes of places that were chosen for a digit on a map, by each of ``WAYS``: ``[ways, 10, CHOSEN, d]``.

    A place is the middle of a neighbourhood of :func:`choose`. PCA is inverted exactly for a plane; t-SNE has no
    inverse: its codes are the means of the neighbours'. Taken for a code, a place is decoded as it lies on the map.
    """
    if not (np.isfinite(codes).all() and np.isfinite(tsne).all()):
        return np.full((len(WAYS), 10, CHOSEN, codes.shape[1]), np.nan)
    on_tsne, on_pca = choose(tsne, labels), choose(pca, labels)
    centred = codes - codes.mean(0)
    axes = np.linalg.lstsq(pca - pca.mean(0), centred, rcond=None)[0]  # of the components, which explain the codes
    inverted = codes.mean(0) + (pca[on_pca].mean(2) - pca.mean(0)) @ axes
    return np.stack([codes[on_tsne].mean(2), inverted, tsne[on_tsne].mean(2), pca[on_pca].mean(2)])


def share_wrong(images: np.ndarray, train: np.ndarray, train_labels: np.ndarray) -> np.ndarray:
    """The share of images ``[ways, 10, n, ...]`` that do not show their digit, the second axis: ``[ways]``.

    Five nearest neighbours among the pixels of ``train`` tell what an image shows, by scikit-learn.
    """
    from sklearn.neighbors import KNeighborsClassifier

    judge = KNeighborsClassifier(min(5, len(train))).fit(train.reshape(len(train), -1), train_labels)
    ways, digits, n = images.shape[:3]
    if not np.isfinite(images).all():
        return np.full(ways, np.nan)
    shown = judge.predict(images.reshape(ways * digits * n, -1)).reshape(ways, digits, n)
    return (shown != np.arange(digits)[:, None]).mean((1, 2))


def sharpness(images: np.ndarray) -> np.ndarray:
    """Squared differences between neighbouring pixels over the image's variance, mean over images ``[n, h, w, c]``."""
    steps = sum(np.square(np.diff(images, axis=axis)).mean((1, 2, 3)) for axis in (1, 2))
    return (steps / np.maximum(images.var((1, 2, 3)), 1e-12)).mean()
