"""Diagonal Gaussians on the latent space, and likelihoods of images given the decoder's output.

Sums run over latents and pixels; the mean over images is taken by the caller, and nothing else is averaged. The
prior is N(0, I). A diagonal Gaussian is a pair ``mean, log_variance`` of equal shape ``[..., latent]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ae_jax import layers, losses
from ae_jax.recipes import Recipe, part, recipe
from ae_jax.types import ABOVE_0, PyTree, number

LOG_2PI = math.log(2.0 * math.pi)
LOG_VARIANCE_LIMIT = 20.0  # a standard deviation between 5e-5 and 2e4; exp overflows float32 at 88
MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # Tolstikhin et al. 2018 (their published code)


def limit(log_variance: Array) -> Array:
    """Log-variances within ``LOG_VARIANCE_LIMIT`` of zero; those beyond get no gradient: watch :func:`limited`."""
    return jnp.clip(log_variance, -LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)


def limited(log_variance: Array) -> Array:
    """Share of the latents that :func:`limit` holds at a bound: ``[..., latent] -> [...]``."""
    return (jnp.abs(log_variance) >= LOG_VARIANCE_LIMIT).astype(jnp.float32).mean(-1)


def kl_divergence(mean: Array, log_variance: Array) -> Array:
    """KL of ``N(mean, diag(exp(log_variance)))`` from the prior, latent by latent: ``[..., latent]`` in nats.

    Its sum over latents is report B's ``0.5 [mu'mu + tr S - k - log|S|]`` for diagonal S.
    """
    return 0.5 * (jnp.square(mean) + jnp.expm1(log_variance) - log_variance)


def log_density(codes: Array, mean: Array, log_variance: Array) -> Array:
    """``log N(codes; mean, diag(exp(log_variance)))``, sum over latents: ``[..., latent] -> [...]``."""
    standard = jnp.square((codes - mean) * jnp.exp(-0.5 * log_variance))
    return -0.5 * (standard + log_variance + LOG_2PI).sum(-1)


def log_prior(codes: Array) -> Array:
    """``log N(codes; 0, I)``: ``[..., latent] -> [...]``."""
    return -0.5 * (jnp.square(codes) + LOG_2PI).sum(-1)


def sample(key: Array, mean: Array, log_variance: Array, *draws: int) -> Array:
    """Reparameterised draws ``mean + sigma * noise``: ``[*draws, ..., latent]``. Consumes ``key``."""
    return mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, (*draws, *mean.shape))


def mmd(mean: Array, log_variance: Array) -> Array:
    """What each Gaussian adds to the squared MMD between their mixture and the prior: ``[n, latent] -> [n]``.

    The mean of the result is the squared maximum mean discrepancy (Gretton et al. 2012) of the equal mixture of
    the n Gaussians from N(0, I), exact and without a draw: for RBF kernels of squared width ``latent * scale``,
    averaged over ``MMD_SCALES``, the expected kernel of two Gaussians is itself Gaussian. A mixture of RBF kernels
    has the heavy tails for which Tolstikhin et al. (2018) take the inverse multiquadric.
    """
    variance = jnp.exp(log_variance)
    zeros, ones = jnp.zeros(mean.shape[-1]), jnp.ones(mean.shape[-1])

    def row(gaussian: tuple[Array, Array]) -> Array:
        among = _expected_kernel(*gaussian, mean, variance).mean()
        return among - 2.0 * _expected_kernel(*gaussian, zeros, ones)

    return jax.lax.map(row, (mean, variance), batch_size=128) + _expected_kernel(zeros, ones, zeros, ones)


def _expected_kernel(mean: Array, variance: Array, other_mean: Array, other_variance: Array) -> Array:
    """``E k(z, z')`` for independent ``z, z'`` of two diagonal Gaussians: ``[..., latent] -> [...]``."""

    def rbf(width: float) -> Array:
        spread = width + variance + other_variance
        log_factor = jnp.log(width / spread) - jnp.square(mean - other_mean) / spread
        return jnp.exp(0.5 * log_factor.sum(-1))

    return jnp.asarray(sum(rbf(scale * mean.shape[-1]) for scale in MMD_SCALES)) / len(MMD_SCALES)


class Likelihood(NamedTuple):
    """``p(x | z)`` from the decoder's output before its activation ("logits"), built by a function for each kind.

    init: ``() -> parameters`` of its own, to stand beside the model's; empty if there are none.
    observe: ``(key, images) -> images`` of the kind it is a density of; consumes the key.
    energy: ``(params, logits, images) -> [batch]``: ``-log p(x | z)`` without its normaliser, summed over pixels.
    log_normaliser: ``(params, pixels) -> scalar``, the rest of ``-log p(x | z)``, equal for all images.
    recipe: how it was built, set by the builder's decorator.
    """

    init: Callable[[], PyTree]
    observe: Callable[[Array, Array], Array]
    energy: Callable[[PyTree, Array, Array], Array]
    log_normaliser: Callable[[PyTree, int], Array | float]
    recipe: Recipe | None = None

    def log_prob(self, params: PyTree, logits: Array, images: Array) -> Array:
        """``log p(x | z)`` in nats, normalised: images ``[batch, ...] -> [batch]``."""
        return -self.energy(params, logits, images) - self.log_normaliser(params, _pixels(images))


def _pixels(images: Array) -> int:
    return math.prod(images.shape[1:])


@part
def grey(key: Array, images: Array) -> Array:
    """The images as they are; ``key`` is left alone.

    >>> import ae_jax, jax, jax.numpy as jnp
    >>> float(ae_jax.grey(jax.random.key(0), jnp.full((1, 2, 2, 1), 0.25))[0, 0, 0, 0])
    0.25
    """
    return images


@part
def binarize_dynamic(key: Array, images: Array) -> Array:
    """Bernoulli draws with the pixels as probabilities, afresh at every call (Burda et al. 2016). Consumes ``key``.

    >>> import ae_jax, jax, jax.numpy as jnp
    >>> ae_jax.binarize_dynamic(jax.random.key(0), jnp.ones((1, 1, 2, 1))).ravel().tolist()
    [1.0, 1.0]
    """
    return jax.random.bernoulli(key, images).astype(images.dtype)


@part
def binarize_static(key: Array, images: Array) -> Array:
    """One Bernoulli draw for each image, once and for all (as Larochelle & Murray 2011); ``key`` is left alone.

    The draw is keyed by a hash of the image's bytes, so it is the same at every step, in every batch and run.

    >>> import ae_jax, jax, jax.numpy as jnp
    >>> ae_jax.binarize_static(jax.random.key(0), jnp.ones((1, 1, 2, 1))).ravel().tolist()
    [1.0, 1.0]
    """
    fixed, weights_key = jax.random.split(jax.random.key(0))
    weights = layers.dropout_bits(weights_key, (_pixels(images),))
    levels = jnp.round(images * 255.0).astype(jnp.uint32).reshape(images.shape[0], -1)
    hashes = (levels * weights).sum(1, dtype=jnp.uint32)
    keys = jax.vmap(lambda number: jax.random.fold_in(fixed, number))(hashes)
    return jax.vmap(jax.random.bernoulli)(keys, images).astype(images.dtype)


@recipe
def bernoulli(observe: Callable[[Array, Array], Array]) -> Likelihood:
    """Pixels that are on or off, from logits (report C, section 2.4; report E, eq. 5).

    ``observe`` says what is modelled: :func:`binarize_dynamic`, :func:`binarize_static` or :func:`grey`. Likelihoods
    of the three differ by nats: never compare them. On grey pixels it is a pseudo-likelihood, the cross-entropy: it is
    no normalised density there, though fine as a loss.

    >>> import ae_jax
    >>> ae_jax.elbo(ae_jax.dense_vae(2), ae_jax.bernoulli(ae_jax.binarize_dynamic)).recipe.builder
    'variational.elbo'
    """

    def energy(params: PyTree, logits: Array, images: Array) -> Array:
        return _pixels(images) * losses.binary_cross_entropy(logits, images)

    return Likelihood(dict, observe, energy, lambda params, pixels: 0.0)


@recipe
def gaussian(variance: float) -> Likelihood:
    """Grey pixels ``N(sigmoid(logits), variance)``: report B's VAE with ``c = variance`` (section 3.4).

    Report B leaves the normaliser out: its loss is energy plus KL. Raises UsageError unless ``variance > 0``.

    >>> import ae_jax
    >>> ae_jax.elbo(ae_jax.dense_vae(2), ae_jax.gaussian(0.1)).recipe.builder
    'variational.elbo'
    """
    number("variance", variance, ABOVE_0)
    return _gaussian(dict, lambda params: math.log(variance))


@recipe
def gaussian_learned() -> Likelihood:
    """Grey pixels ``N(sigmoid(logits), c)`` with one learned number, ``log c``, for all pixels; it starts at c = 1.

    >>> import ae_jax
    >>> ae_jax.elbo(ae_jax.dense_vae(2), ae_jax.gaussian_learned()).recipe.builder
    'variational.elbo'
    """
    return _gaussian(
        lambda: {"likelihood": {"log_variance": jnp.zeros(())}},
        lambda params: params["params"]["likelihood"]["log_variance"],
    )


def _gaussian(init: Callable[[], PyTree], log_variance: Callable[[PyTree], Array | float]) -> Likelihood:
    def energy(params: PyTree, logits: Array, images: Array) -> Array:
        squares = _pixels(images) * losses.mean_squared_error(nn.sigmoid(logits), images)
        return 0.5 * squares * jnp.exp(-log_variance(params))

    def log_normaliser(params: PyTree, pixels: int) -> Array | float:
        return 0.5 * pixels * (LOG_2PI + log_variance(params))

    return Likelihood(init, grey, energy, log_normaliser)
