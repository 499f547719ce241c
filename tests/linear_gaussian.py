"""A VAE whose every quantity has a closed form: ``x = W z + b + noise`` with orthogonal columns of W.

``z ~ N(0, I)`` and noise of variance ``VARIANCE``, so that ``x ~ N(b, W W' + c I)`` and the exact posterior is a
diagonal Gaussian: the family of the encoder contains it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from ae_jax import distributions, layers
from ae_jax.types import Batch
from ae_jax.vae import VAE

PIXELS, LATENT, VARIANCE = 4, 2, 0.3
WEIGHTS = np.linalg.qr(np.random.default_rng(0).normal(size=(PIXELS, LATENT)))[0] * [1.5, 0.6]  # [pixels, latent]
BIAS = np.array([0.2, -0.4, 0.1, 0.7])
IMAGES = np.random.default_rng(1).normal(size=(6, PIXELS)) + BIAS
LIKELIHOOD = distributions.Likelihood(
    init=dict,
    observe=distributions.grey,
    energy=lambda params, means, images: 0.5 * jnp.square(means - images).sum((1, 2, 3)) / VARIANCE,
    log_normaliser=lambda params, pixels: 0.5 * pixels * np.log(2 * np.pi * VARIANCE),
)


class Affine(nn.Module):
    """``[batch, ...] -> [batch, *shape]``."""

    shape: tuple[int, ...]
    image: tuple[int, int, int] = (PIXELS, 1, 1)

    @nn.compact
    def __call__(self, x, dropout=0.0, train=False):
        return layers.Dense(int(np.prod(self.shape)))(x.reshape(x.shape[0], -1).T).T.reshape(-1, *self.shape)


MODEL = VAE(Affine((2 * LATENT,)), Affine((PIXELS, 1, 1)))


def posterior():
    """Variances ``[latent]`` and the linear map ``[latent, pixels]`` from ``x - b`` to the mean, in float64."""
    variances = 1 / (1 + np.square(WEIGHTS).sum(0) / VARIANCE)
    return variances, variances[:, None] * WEIGHTS.T / VARIANCE


def params(shift=0.0, log_factor=0.0):
    """The exact posterior, its means moved by ``shift`` and its log-variances by ``log_factor``."""
    variances, gain = posterior()
    kernel = np.concatenate([gain.T, np.zeros((PIXELS, LATENT))], axis=1)
    bias = np.concatenate([shift - gain @ BIAS, np.log(variances) + log_factor])
    tree = {
        "encoder": {"Dense_0": {"kernel": kernel, "bias": bias}},
        "decoder": {"Dense_0": {"kernel": WEIGHTS.T, "bias": BIAS}},
    }
    return {"params": jax.tree.map(np.float32, tree)}


def log_likelihood():
    """``log p(x)`` of the images, from the marginal Gaussian: float64 ``[6]``."""
    return stats.multivariate_normal(BIAS, WEIGHTS @ WEIGHTS.T + VARIANCE * np.eye(PIXELS)).logpdf(IMAGES)


def gap(shift, log_factor):
    """``KL(q || posterior)``, by which the ELBO of ``params(shift, log_factor)`` misses ``log p(x)``."""
    variances, _ = posterior()
    return 0.5 * (shift**2 / variances + np.exp(log_factor) - 1 - log_factor).sum()


def images():
    return np.float32(IMAGES).reshape(-1, PIXELS, 1, 1)


def batch():
    return Batch(images(), np.zeros(len(IMAGES), np.int32))
