"""New images from a latent space, and how good they are by the judgement of a classifier.

Codes are decoded by ``latent.decode``, by every model that has one. What a diverged lane made is NaN, and so is what
is said of it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from ae_jax import evaluation
from ae_jax.runs import Run
from ae_jax.types import UsageError


def prior_codes(key: Array, shape: tuple[int, ...], n: int, latent: int) -> np.ndarray:
    """Draws from N(0, I), the same for every lane of a run of ``shape``: ``[*shape, n, latent]``. Consumes ``key``."""
    return np.broadcast_to(jax.random.normal(key, (n, latent)), (*shape, n, latent))


def mixture_codes(key: Array, codes: np.ndarray, n: int, components: int) -> np.ndarray:
    """Draws from a Gaussian mixture fitted to each lane's codes: ``[..., m, latent] -> [..., n, latent]``.

    The prior of a plain autoencoder, which has none (report C's draws are normal). Consumes ``key``. Raises
    UsageError for a single code, and for more components than codes.
    """
    from sklearn.mixture import GaussianMixture

    *shape, count, latent = codes.shape
    if count < 2:
        raise UsageError("a mixture like the code of one image is not allowed: give two images or more")
    if not 1 <= components <= count:
        raise UsageError(f"{components} components are not allowed: give 1 to {count}, the number of codes")

    def draw(seed: int, lane: np.ndarray) -> np.ndarray:
        if not np.isfinite(lane).all():
            return np.full((n, latent), np.nan)
        mixture = GaussianMixture(components, random_state=seed).fit(np.asarray(lane, np.float64))
        sorted_by_component, _ = mixture.sample(n)
        return np.random.default_rng(seed).permutation(sorted_by_component)

    flat = codes.reshape(-1, count, latent)
    seeds = np.asarray(jax.random.randint(key, (len(flat),), 0, 2**31 - 1)).tolist()
    return np.asarray(list(map(draw, seeds, flat)), np.float32).reshape(*shape, n, latent)


class Recognition(NamedTuple):
    """A classifier's judgement of images."""

    share: float  # of the images whose class it is sure about
    classes: np.ndarray  # [classes]: share of each class among those; zeros if there are none
    balance: float  # entropy of ``classes`` over that of equal shares: 1 if all classes are equally frequent


def recognition(probabilities: np.ndarray, confidence: float = 0.9) -> Recognition:
    """From class probabilities ``[n, classes]`` of generated images; sure means at least ``confidence``."""
    probabilities = np.asarray(probabilities, np.float64)
    if not np.isfinite(probabilities).all():
        return Recognition(np.nan, np.full(probabilities.shape[1], np.nan), np.nan)
    sure = probabilities.max(1) >= confidence
    counts = np.bincount(probabilities[sure].argmax(1), minlength=probabilities.shape[1])
    classes = counts / max(counts.sum(), 1)
    present = classes[classes > 0]
    entropy = -(present * np.log(present)).sum()
    return Recognition(float(sure.mean()), classes, float(entropy / np.log(len(classes))))


def judgement(judge: Run, images: np.ndarray, real: np.ndarray) -> dict[str, np.ndarray]:
    """What a classifier, a lane alone, says of each lane's ``images [lanes, n, *image]``: ``[lanes]`` each.

    ``share`` and ``balance`` as in :class:`Recognition`; ``frechet``: the :func:`frechet_distance` of its logits from
    those of real images, ``real [m, classes]``.
    """
    logits = [evaluation.class_logits(judge, of_lane) for of_lane in images]
    verdicts = [recognition(np.asarray(jax.nn.softmax(of_lane))) for of_lane in logits]
    return {
        "share": np.array([verdict.share for verdict in verdicts]),
        "balance": np.array([verdict.balance for verdict in verdicts]),
        "frechet": np.array([frechet_distance(of_lane, real) for of_lane in logits]),
    }


def frechet_distance(features: np.ndarray, other: np.ndarray) -> float:
    """Squared Frechet distance between Gaussians fitted to two sets of features: ``[n, f], [m, f]``.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Dowson & Landau 1982), in float64. With a digit classifier's
    features it ranks generators of digits; it is no "FID", which is of Inception features. Raises UsageError for
    fewer than two images.
    """
    if min(len(features), len(other)) < 2:
        raise UsageError(f"{len(features)} and {len(other)} images are not allowed: give at least 2 of each")
    first, second = (np.asarray(values, np.float64) for values in (features, other))
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return np.nan
    # tr (S1 S2)^(1/2) is the sum of the singular values of S1^(1/2) S2^(1/2), also where S1 or S2 is singular.
    cross = np.linalg.svd(_root(np.cov(first, rowvar=False)) @ _root(np.cov(second, rowvar=False)), compute_uv=False)
    shift = first.mean(0) - second.mean(0)
    return float(shift @ shift + first.var(0, ddof=1).sum() + second.var(0, ddof=1).sum() - 2.0 * cross.sum())


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance matrix; rounding below zero counts as zero."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    return (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
