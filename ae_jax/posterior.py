"""What a variational model has learned: its likelihood on unseen images, and what its codes are used for.

Takes runs of objectives with a likelihood, see ``runs``; every lane draws from the same ``key``, which is consumed.
Images are float ``[n, *image]`` in [0, 1]; the likelihood observes (binarises) them. Rate, distortion and ELBO are
the metrics of ``evaluation.score``: with beta as lanes they are the points of a rate-distortion curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax import distributions, sharing
from ae_jax.models import apply
from ae_jax.objectives import Objective
from ae_jax.runs import Run, by_numbered_batches
from ae_jax.types import AnyArray, PyTree, UsageError

SAMPLES_AT_ONCE = 2  # codes of an image that are decoded together; with 4 a CPU decodes a quarter fewer a second


def importance_nll(run: Run, key: Array, images: Array, samples: int = 5000) -> np.ndarray:
    """Negative log-likelihood of each image in nats by importance sampling: ``[*run.shape, n]``.

    ``-log 1/k sum_k p(x | z_k) p(z_k) / q(z_k | x)`` with ``z_k`` from the encoder's posterior and k = ``samples``
    (Burda et al. 2016, section 5): in the mean an upper bound, tight as k grows. Memory does not depend on k or n.

    Raises UsageError for fewer than one sample.
    """
    if samples < 1:
        raise UsageError(f"{samples} samples are not allowed: give 1 or more")
    return run.map(_importance_nll, key, images, static=(samples,))


def _importance_nll(objective: Objective, params: PyTree, key: Array, images: Array, samples: int) -> Array:
    model, likelihood = objective.model, objective.made.likelihood

    def of_batch(key: Array, images: Array) -> Array:
        observe_key, noise_key = jax.random.split(key)
        images = likelihood.observe(observe_key, images)
        mean, log_variance = apply(model, params, images, method="encode")

        def add(total: Array, first: Array) -> tuple[Array, None]:
            """The log of the sum of weights, with those of samples ``first``, ``first + 1``, ... added."""
            codes = distributions.sample(jax.random.fold_in(noise_key, first), mean, log_variance, SAMPLES_AT_ONCE)
            logits = apply(model, params, codes.reshape(-1, codes.shape[-1]), method="logits")
            logits = logits.reshape(*codes.shape[:2], *logits.shape[1:])
            log_weights = jax.vmap(lambda logits: likelihood.log_prob(params, logits, images))(logits)
            log_weights += distributions.log_prior(codes) - distributions.log_density(codes, mean, log_variance)
            counted = first + jnp.arange(SAMPLES_AT_ONCE) < samples
            log_weights = jnp.where(counted[:, None], log_weights, -jnp.inf)
            return jnp.logaddexp(total, jax.nn.logsumexp(log_weights, axis=0)), None

        nothing = jnp.full(images.shape[0], -jnp.inf)
        total, _ = jax.lax.scan(add, nothing, jnp.arange(0, samples, SAMPLES_AT_ONCE))
        return math.log(samples) - total

    return _of_images(objective, of_batch, key, images)


def _of_images(objective: Objective, function: Callable[[Array, Array], PyTree], key: Array, images: Array) -> PyTree:
    """``function(key, images [size, ...]) -> [size, ...]`` for all images, a key for each batch: ``[n, ...]``."""
    return by_numbered_batches(objective, lambda i, batch: function(jax.random.fold_in(key, i), batch), images)


class Codes(NamedTuple):
    """Gaussian posteriors of images: arrays ``[*run.shape, n, latent]``."""

    mean: AnyArray
    log_variance: AnyArray


def encode(run: Run, key: Array, images: Array) -> Codes:
    """The posterior of every image under every lane."""
    return run.map(_encode, key, images)


def _encode(objective: Objective, params: PyTree, key: Array, images: Array) -> Codes:
    def of_batch(key: Array, images: Array) -> Codes:
        return Codes(*apply(objective.model, params, objective.made.likelihood.observe(key, images), method="encode"))

    return _of_images(objective, of_batch, key, images)


def active_units(codes: Codes, threshold: float = 0.01) -> np.ndarray:
    """Number of latents with ``Var_x E[z | x] > threshold``, which tell images apart: ``[...]`` (Burda et al. 2016).

    NaN for the codes of a diverged lane.
    """
    variance = np.var(np.asarray(codes.mean, np.float64), axis=-2)
    return np.where(np.isnan(variance), np.nan, variance > threshold).sum(-1)


def latent_rates(codes: Codes) -> np.ndarray:
    """Mean KL from the prior of each latent, in nats: ``[..., latent]``; a collapsed one is near zero."""
    return np.asarray(distributions.kl_divergence(*codes).mean(-2))


def aggregate_mmd(codes: Codes) -> np.ndarray:
    """Squared MMD of the aggregated posterior, the mixture of all images' posteriors, from the prior: ``[...]``."""
    shape = codes.mean.shape[:-2]
    flat = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[len(shape) :])), codes)
    return np.reshape(_aggregate_mmd(flat), shape)


@jax.jit
def _aggregate_mmd(codes: Codes) -> Array:
    return sharing.lane_map(lambda lane: distributions.mmd(*lane).mean(), codes)


def code_counts(run: Run, key: Array, images: Array) -> np.ndarray:
    """How often each code of the book is used for ``images``: int32 ``[*run.shape, codes]``."""
    return run.map(_code_counts, key, images)


def _code_counts(objective: Objective, params: PyTree, key: Array, images: Array) -> Array:
    model, likelihood = objective.model, objective.made.likelihood

    def of_batch(key: Array, images: Array) -> Array:
        vectors = apply(model, params, likelihood.observe(key, images), method="encode")
        return apply(model, params, vectors, method="quantise")[1]

    return jnp.bincount(_of_images(objective, of_batch, key, images).ravel(), length=model.quantiser.codes)


def perplexity(counts: np.ndarray) -> np.ndarray:
    """Exponential of the entropy of counts, the number of codes in effective use: ``[..., codes] -> [...]``.

    NaN for the counts of a diverged lane, -1.
    """
    shares = np.where(np.min(counts, -1, keepdims=True) < 0, np.nan, np.asarray(counts, np.float64))
    shares = shares / shares.sum(-1, keepdims=True)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return np.exp(-(shares * logs).sum(-1))
