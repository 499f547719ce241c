"""Objectives of variational models: bounds on ``log p(x)`` in nats, one function for each.

The distortion sums over pixels, the rate over latents; the training loop means over images, and nothing else is
averaged. ``hparams.penalty`` weighs the second term (beta; 1 is the bound itself) in the loss alone: metrics do not
see it. They are, for each image:

- ``distortion``: ``-log p(x | z)``, normalised; ``energy``: the same without the normaliser (report B's loss is
  ``energy + rate``);
- ``rate``: ``KL(q(z | x) || p(z))`` in closed form; ``elbo``: ``-(distortion + rate)``;
- ``clipped``: share of the log-variances held at a limit, and so without gradient.

Evaluation draws codes, and dynamic binarisation draws images, as training does.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ae_jax import distributions
from ae_jax.distributions import Likelihood
from ae_jax.models import apply
from ae_jax.objectives import Objective, init_of
from ae_jax.recipes import recipe
from ae_jax.types import FROM_0, Batch, HParams, PyTree, number, whole
from ae_jax.vae import VAE, VQVAE, straight_through


class Posterior(NamedTuple):
    """Images, and what the encoder and the sampler make of them."""

    images: Array  # [batch, *image], as the likelihood observes them
    mean: Array  # [batch, latent]
    log_variance: Array  # [batch, latent]
    codes: Array  # [samples, batch, latent]
    decoder_key: Array  # for the decoder's dropout; not consumed yet

    @property
    def divergence(self) -> Array:
        """KL from the prior, latent by latent: ``[batch, latent]``."""
        return distributions.kl_divergence(self.mean, self.log_variance)


def infer(
    model: VAE, likelihood: Likelihood, params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool,
    samples: int = 1,
) -> Posterior:  # fmt: skip
    """Observe the images, encode them, draw ``samples`` codes for each. Consumes ``key``."""
    observe_key, encoder_key, noise_key, decoder_key = jax.random.split(key, 4)
    images = likelihood.observe(observe_key, batch.images)
    rngs = {"dropout": encoder_key}
    mean, log_variance = apply(model, params, images, hparams.dropout, train, method="encode", rngs=rngs)
    codes = distributions.sample(noise_key, mean, log_variance, samples)
    return Posterior(images, mean, log_variance, codes, decoder_key)


def energies(
    model: VAE, likelihood: Likelihood, params: PyTree, posterior: Posterior, hparams: HParams, train: bool
) -> Array:
    """``-log p(x | z)`` of every code, without the normaliser: ``[samples, batch]``. Consumes its decoder key."""
    samples, batch, latent = posterior.codes.shape
    rngs = {"dropout": posterior.decoder_key}
    codes = posterior.codes.reshape(-1, latent)
    logits = apply(model, params, codes, hparams.dropout, train, method="logits", rngs=rngs)
    logits = logits.reshape(samples, batch, *logits.shape[1:])
    return jax.vmap(lambda logits: likelihood.energy(params, logits, posterior.images))(logits)


def _metrics(likelihood: Likelihood, params: PyTree, posterior: Posterior, energy: Array) -> dict[str, Array]:
    """The metrics at the top of this page, from the energies of all codes ``[samples, batch]``."""
    energy, rate = energy.mean(0), posterior.divergence.sum(-1)
    distortion = energy + likelihood.log_normaliser(params, math.prod(posterior.images.shape[1:]))
    clipped = distributions.limited(posterior.log_variance)
    return {"distortion": distortion, "energy": energy, "rate": rate, "elbo": -distortion - rate, "clipped": clipped}


@functools.cache
def _init(model: VAE | VQVAE, likelihood: Likelihood) -> Callable[[Array], PyTree]:
    """Parameters of the model, those of the likelihood beside them."""
    return lambda key: {"params": init_of(model)(key)["params"] | likelihood.init()}


def _penalised(
    model: VAE, likelihood: Likelihood, cost: Callable[[Posterior], Array], separable: bool = True
) -> Objective:
    """Distortion plus ``hparams.penalty`` times a cost of each image's posterior, ``[batch]``; one code an image."""

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        posterior = infer(model, likelihood, params, key, batch, hparams, train)
        energy = energies(model, likelihood, params, posterior, hparams, train)
        metrics = _metrics(likelihood, params, posterior, energy)
        return metrics["distortion"] + hparams.penalty * cost(posterior), metrics

    return Objective(_init(model, likelihood), loss, separable)


@recipe
def elbo(model: VAE, likelihood: Likelihood) -> Objective:
    """The negative evidence lower bound, ``distortion + beta * KL`` (Kingma & Welling 2014; Higgins et al. 2017).

    >>> import ae_jax
    >>> objective = ae_jax.elbo(ae_jax.dense_vae(2), ae_jax.bernoulli(ae_jax.grey))  # beta: fit(..., penalty=4)
    """
    return _penalised(model, likelihood, lambda posterior: posterior.divergence.sum(-1))


@recipe
def free_bits(model: VAE, likelihood: Likelihood, nats: float) -> Objective:
    """:func:`elbo` in which no latent's KL counts for less than ``nats`` (Kingma et al. 2016, eq. 15).

    The paper takes the maximum of the batch's mean KL; here it is each image's own, so that an image's loss does not
    depend on its batch. Raises UsageError for negative ``nats``.

    >>> import ae_jax
    >>> ae_jax.free_bits(ae_jax.dense_vae(2), ae_jax.gaussian_learned(), 0.5).image
    (28, 28, 1)
    """
    number("nats", nats, FROM_0)
    return _penalised(model, likelihood, lambda posterior: jnp.maximum(nats, posterior.divergence).sum(-1))


@recipe
def wae_mmd(model: VAE, likelihood: Likelihood) -> Objective:
    """Distortion plus ``penalty`` times the squared MMD of the batch's codes from the prior (Tolstikhin et al. 2018).

    The codes are Gaussian, so the MMD is that of their mixture in closed form (``distributions.mmd``), in place of the
    paper's estimate from draws. It belongs to the batch: duplicating a batch changes nothing, but padded batches
    count as they are. ``posterior.aggregate_mmd`` is exact for a whole set.

    >>> import ae_jax
    >>> ae_jax.wae_mmd(ae_jax.dense_vae(2), ae_jax.gaussian_learned()).separable
    False
    """

    def cost(posterior: Posterior) -> Array:
        return distributions.mmd(posterior.mean, posterior.log_variance)

    return _penalised(model, likelihood, cost, separable=False)


def _log_weights(
    model: VAE, likelihood: Likelihood, params: PyTree, posterior: Posterior, hparams: HParams, train: bool
) -> tuple[Array, Array]:
    """``log p(x | z) + beta * (log p(z) - log q(z | x))`` of every code ``[samples, batch]``, and the energies."""
    energy = energies(model, likelihood, params, posterior, hparams, train)
    prior = distributions.log_prior(posterior.codes)
    proposal = distributions.log_density(posterior.codes, posterior.mean, posterior.log_variance)
    normaliser = likelihood.log_normaliser(params, math.prod(posterior.images.shape[1:]))
    return hparams.penalty * (prior - proposal) - energy - normaliser, energy


def _log_mean_exp(values: Array) -> Array:
    """``[samples, batch] -> [batch]``."""
    return jax.nn.logsumexp(values, axis=0) - math.log(values.shape[0])


@recipe
def iwae(model: VAE, likelihood: Likelihood, samples: int) -> Objective:
    """The importance-weighted bound ``-log 1/k sum_k p(x, z_k) / q(z_k | x)`` (Burda et al. 2016, eq. 8).

    With one sample it is the ELBO with its KL estimated from the code. Raises UsageError for fewer.

    >>> import ae_jax
    >>> ae_jax.iwae(ae_jax.dense_vae(2), ae_jax.bernoulli(ae_jax.grey), samples=5).recipe.samples
    5
    """
    whole("samples", samples)

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        posterior = infer(model, likelihood, params, key, batch, hparams, train, samples)
        log_weights, energy = _log_weights(model, likelihood, params, posterior, hparams, train)
        return -_log_mean_exp(log_weights), _metrics(likelihood, params, posterior, energy)

    return Objective(_init(model, likelihood), loss, separable=True)


@recipe
def iwae_doubly_reparameterised(model: VAE, likelihood: Likelihood, samples: int) -> Objective:
    """:func:`iwae` with the encoder's gradient of Tucker et al. (2019, eq. 8): equal in the mean, of less variance.

    With ``w_k`` the normalised weights, the decoder learns from ``sum_k w_k d log p(x, z_k)`` as before, the encoder
    through its codes only, from ``sum_k w_k^2 (d log weight_k / dz_k) dz_k``; for another beta than 1 the same
    derivation gives ``(1 - beta) w_k + beta w_k^2``. The loss is the bound plus a term of value zero that carries the
    encoder's gradient. Raises UsageError for fewer than one sample.

    >>> import ae_jax
    >>> ae_jax.iwae_doubly_reparameterised(ae_jax.dense_vae(2), ae_jax.bernoulli(ae_jax.grey), samples=5).recipe.samples
    5
    """
    whole("samples", samples)

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        posterior = infer(model, likelihood, params, key, batch, hparams, train, samples)
        fixed = jax.lax.stop_gradient(posterior)
        of_decoder, energy = _log_weights(model, likelihood, params, fixed, hparams, train)
        moving = fixed._replace(codes=posterior.codes)  # the same key: the decoder drops the same units twice
        of_codes, _ = _log_weights(model, likelihood, jax.lax.stop_gradient(params), moving, hparams, train)
        weights = jax.nn.softmax(jax.lax.stop_gradient(of_decoder), axis=0)
        weights = (1.0 - hparams.penalty) * weights + hparams.penalty * jnp.square(weights)
        encoder_term = (weights * (of_codes - jax.lax.stop_gradient(of_codes))).sum(0)
        return -_log_mean_exp(of_decoder) - encoder_term, _metrics(likelihood, params, posterior, energy)

    return Objective(_init(model, likelihood), loss, separable=True)


@recipe
def vector_quantised(model: VQVAE, likelihood: Likelihood) -> Objective:
    """VQ-VAE (van den Oord et al. 2017, eq. 3): distortion, codebook loss, ``penalty`` (theirs 0.25) x commitment.

    Squared distances are summed over positions. Under the uniform prior the rate is ``positions * log(codes)`` for
    every image. Metric ``perplexity`` is of the codes in use in this batch, the same number for all of its images;
    ``posterior.perplexity`` is exact for a whole set.

    >>> import ae_jax
    >>> ae_jax.vector_quantised(ae_jax.conv_vqvae(codes=16, code_size=2), ae_jax.bernoulli(ae_jax.grey)).image
    (28, 28, 1)
    """

    def loss(params: PyTree, key: Array, batch: Batch, hparams: HParams, train: bool):
        observe_key, encoder_key, decoder_key = jax.random.split(key, 3)
        images = likelihood.observe(observe_key, batch.images)
        rngs = {"dropout": encoder_key}
        vectors = apply(model, params, images, hparams.dropout, train, method="encode", rngs=rngs)
        quantised, indices = apply(model, params, vectors, method="quantise")
        through, rngs = straight_through(vectors, quantised), {"dropout": decoder_key}
        logits = apply(model, params, through, hparams.dropout, train, method="logits", rngs=rngs)
        distortion = -likelihood.log_prob(params, logits, images)
        codebook = jnp.square(jax.lax.stop_gradient(vectors) - quantised).sum((1, 2))
        commitment = jnp.square(vectors - jax.lax.stop_gradient(quantised)).sum((1, 2))
        rate = jnp.full_like(distortion, indices.shape[1] * math.log(model.quantiser.codes))
        shares = jnp.bincount(indices.ravel(), length=model.quantiser.codes) / indices.size
        metrics = {
            "distortion": distortion,
            "rate": rate,
            "elbo": -distortion - rate,
            "commitment": commitment,
            "perplexity": jnp.full_like(distortion, jnp.exp(jax.scipy.special.entr(shares).sum())),
        }
        return distortion + codebook + hparams.penalty * commitment, metrics

    return Objective(_init(model, likelihood), loss, separable=True)
