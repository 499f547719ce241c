"""New digits from a latent space, and how good they are by the judgement of a classifier.

Works with every model that has ``decode``. Parameters come with a leading lane axis.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax import Array

from ae_jax.posterior import by_batches
from ae_jax.training import lane_map
from ae_jax.types import PyTree, UsageError


@functools.partial(jax.jit, static_argnames="model")
def decode(model: nn.Module, params: PyTree, codes: Array) -> Array:
    """Pixel means of every lane's codes: ``[lanes, n, latent] -> [lanes, n, 28, 28, 1]``."""

    def of_lane(lane: PyTree, codes: Array) -> Array:
        return by_batches(lambda _, rows: model.apply(lane, codes[rows], method="decode"), len(codes))

    return lane_map(of_lane, params, codes)


def prior_codes(key: Array, lanes: int, n: int, latent: int) -> Array:
    """Draws from N(0, I), the same for every lane: ``[lanes, n, latent]``. Consumes ``key``."""
    return jax.numpy.broadcast_to(jax.random.normal(key, (n, latent)), (lanes, n, latent))


def mixture_codes(key: Array, codes: np.ndarray, n: int, components: int) -> np.ndarray:
    """Draws from a Gaussian mixture fitted to each lane's codes: ``[lanes, m, latent] -> [lanes, n, latent]``.

    The prior of a plain autoencoder, which has none (report C's draws are normal). Consumes ``key``. Raises
    UsageError for more components than codes.
    """
    from sklearn.mixture import GaussianMixture

    if not 1 <= components <= codes.shape[1]:
        raise UsageError(f"{components} components are not allowed: give 1 to {codes.shape[1]}, the number of codes")
    drawn = []
    for seed, lane in zip(np.asarray(jax.random.randint(key, (len(codes),), 0, 2**31 - 1)), codes, strict=True):
        mixture = GaussianMixture(components, random_state=int(seed)).fit(np.asarray(lane, np.float64))
        sorted_by_component, _ = mixture.sample(n)
        drawn.append(np.random.default_rng(seed).permutation(sorted_by_component))
    return np.asarray(drawn, np.float32)


class Recognition(NamedTuple):
    """A classifier's judgement of images."""

    share: float  # of the images whose class it is sure about
    classes: np.ndarray  # [classes]: share of each class among those; zeros if there are none
    balance: float  # entropy of ``classes`` over that of equal shares: 1 if all classes are equally frequent


def recognition(probabilities: np.ndarray, confidence: float = 0.9) -> Recognition:
    """From class probabilities ``[n, classes]`` of generated images; sure means at least ``confidence``."""
    probabilities = np.asarray(probabilities, np.float64)
    sure = probabilities.max(1) >= confidence
    counts = np.bincount(probabilities[sure].argmax(1), minlength=probabilities.shape[1])
    classes = counts / max(counts.sum(), 1)
    present = classes[classes > 0]
    entropy = -(present * np.log(present)).sum()
    return Recognition(float(sure.mean()), classes, float(entropy / np.log(len(classes))))


def frechet_distance(features: np.ndarray, other: np.ndarray) -> float:
    """Squared Frechet distance between Gaussians fitted to two sets of features: ``[n, f], [m, f]``.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` (Dowson & Landau 1982), in float64. With a digit classifier's
    features it ranks generators of digits; it is no "FID", which is of Inception features. Raises UsageError for
    fewer than two images.
    """
    if min(len(features), len(other)) < 2:
        raise UsageError(f"{len(features)} and {len(other)} images are not allowed: give at least 2 of each")
    first, second = (np.asarray(values, np.float64) for values in (features, other))
    # tr (S1 S2)^(1/2) is the sum of the singular values of S1^(1/2) S2^(1/2), also where S1 or S2 is singular.
    cross = np.linalg.svd(_root(np.cov(first, rowvar=False)) @ _root(np.cov(second, rowvar=False)), compute_uv=False)
    shift = first.mean(0) - second.mean(0)
    return float(shift @ shift + first.var(0, ddof=1).sum() + second.var(0, ddof=1).sum() - 2.0 * cross.sum())


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance matrix; rounding below zero counts as zero."""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    return (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
