"""What a variational model has learned: its likelihood on unseen images, and what its codes are used for.

Parameters come with a leading lane axis; every lane draws from the same ``key``, which is consumed. Images are float
``[n, 28, 28, 1]`` in [0, 1]; the likelihood observes (binarises) them. Rate, distortion and ELBO are the metrics of
``evaluation.score``: with beta as lanes they are the points of a rate-distortion curve.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax import distributions
from ae_jax.distributions import Likelihood
from ae_jax.training import evaluation_batches, lane_map
from ae_jax.types import PyTree, UsageError
from ae_jax.vae import VAE, VQVAE

SAMPLES_AT_ONCE = 2  # codes of an image that are decoded together; with 4 a CPU decodes a quarter fewer a second


def by_batches(function: Callable[[Array, Array], PyTree], n: int) -> PyTree:
    """``function(batch number, rows [size])`` on batches of ``range(n)``, put together: leaves ``[n, ...]``."""
    batches = evaluation_batches(jnp.arange(n))
    results = jax.lax.map(lambda inputs: function(*inputs), (jnp.arange(len(batches)), batches))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:n], results)


def _of_images(function: Callable[[PyTree, Array, Array], PyTree], params: PyTree, key: Array, images: Array) -> PyTree:
    """``function(lane, key, images [size, ...]) -> [size, ...]`` for all lanes and images: ``[lanes, n, ...]``."""

    def of_lane(lane: PyTree) -> PyTree:
        return by_batches(lambda i, rows: function(lane, jax.random.fold_in(key, i), images[rows]), len(images))

    return lane_map(of_lane, params)


def importance_nll(
    vae: VAE, likelihood: Likelihood, params: PyTree, key: Array, images: Array, samples: int = 5000
) -> np.ndarray:
    """Negative log-likelihood of each image in nats by importance sampling: ``[lanes, n]``.

    ``-log 1/k sum_k p(x | z_k) p(z_k) / q(z_k | x)`` with ``z_k`` from the encoder's posterior and k = ``samples``
    (Burda et al. 2016, section 5): in the mean an upper bound, tight as k grows. Memory does not depend on k or n.

    Raises UsageError for fewer than one sample.
    """
    if samples < 1:
        raise UsageError(f"{samples} samples are not allowed: give 1 or more")
    return np.asarray(_importance_nll(vae, likelihood, params, key, images, samples))


@functools.partial(jax.jit, static_argnames=("vae", "likelihood", "samples"))
def _importance_nll(vae: VAE, likelihood: Likelihood, params: PyTree, key: Array, images: Array, samples: int) -> Array:
    def of_batch(lane: PyTree, key: Array, images: Array) -> Array:
        observe_key, noise_key = jax.random.split(key)
        images = likelihood.observe(observe_key, images)
        mean, log_variance = vae.apply(lane, images, method="encode")

        def add(total: Array, first: Array) -> tuple[Array, None]:
            """The log of the sum of weights, with those of samples ``first``, ``first + 1``, ... added."""
            codes = distributions.sample(jax.random.fold_in(noise_key, first), mean, log_variance, SAMPLES_AT_ONCE)
            logits = vae.apply(lane, codes.reshape(-1, codes.shape[-1]), method="logits")
            logits = logits.reshape(*codes.shape[:2], *logits.shape[1:])
            log_weights = jax.vmap(lambda logits: likelihood.log_prob(lane, logits, images))(logits)
            log_weights += distributions.log_prior(codes) - distributions.log_density(codes, mean, log_variance)
            counted = first + jnp.arange(SAMPLES_AT_ONCE) < samples
            log_weights = jnp.where(counted[:, None], log_weights, -jnp.inf)
            return jnp.logaddexp(total, jax.nn.logsumexp(log_weights, axis=0)), None

        nothing = jnp.full(images.shape[0], -jnp.inf)
        total, _ = jax.lax.scan(add, nothing, jnp.arange(0, samples, SAMPLES_AT_ONCE))
        return math.log(samples) - total

    return _of_images(of_batch, params, key, images)


class Codes(NamedTuple):
    """Gaussian posteriors of images: arrays ``[lanes, n, latent]``."""

    mean: Array
    log_variance: Array


@functools.partial(jax.jit, static_argnames=("vae", "likelihood"))
def encode(vae: VAE, likelihood: Likelihood, params: PyTree, key: Array, images: Array) -> Codes:
    """The posterior of every image under every lane."""

    def of_batch(lane: PyTree, key: Array, images: Array) -> Codes:
        return Codes(*vae.apply(lane, likelihood.observe(key, images), method="encode"))

    return _of_images(of_batch, params, key, images)


def active_units(codes: Codes, threshold: float = 0.01) -> np.ndarray:
    """Latents with ``Var_x E[z | x] > threshold``, which tell images apart (Burda et al. 2016): ``[lanes, latent]``."""
    return np.var(np.asarray(codes.mean, np.float64), axis=1) > threshold


def latent_rates(codes: Codes) -> np.ndarray:
    """Mean KL from the prior of each latent, in nats: ``[lanes, latent]``; a collapsed one is near zero."""
    return np.asarray(distributions.kl_divergence(*codes).mean(1))


@jax.jit
def aggregate_mmd(codes: Codes) -> Array:
    """Squared MMD of the aggregated posterior, the mixture of all images' posteriors, from the prior: ``[lanes]``."""
    return lane_map(lambda lane: distributions.mmd(*lane).mean(), codes)


@functools.partial(jax.jit, static_argnames=("model", "likelihood"))
def code_counts(model: VQVAE, likelihood: Likelihood, params: PyTree, key: Array, images: Array) -> Array:
    """How often each code of the book is used for ``images``: int32 ``[lanes, codes]``."""

    def of_batch(lane: PyTree, key: Array, images: Array) -> Array:
        vectors = model.apply(lane, likelihood.observe(key, images), method="encode")
        return model.apply(lane, vectors, method="quantise")[1]

    indices = _of_images(of_batch, params, key, images)
    return jax.vmap(lambda lane: jnp.bincount(lane.ravel(), length=model.quantiser.codes))(indices)


def perplexity(counts: np.ndarray) -> np.ndarray:
    """Exponential of the entropy of counts, the number of codes in effective use: ``[..., codes] -> [...]``."""
    shares = np.asarray(counts, np.float64)
    shares = shares / shares.sum(-1, keepdims=True)
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    return np.exp(-(shares * logs).sum(-1))
