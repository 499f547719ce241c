"""Variational autoencoders from any encoder and decoder: Gaussian codes (VAE) or codes from a book (VQVAE)."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ae_jax import distributions, layers
from ae_jax.activations import Activation
from ae_jax.convolutions import Implementation
from ae_jax.models import conv_autoencoder, dense_autoencoder, shared_image
from ae_jax.recipes import part
from ae_jax.shapes import MNIST_SHAPE
from ae_jax.types import ImageShape, UsageError, whole


@part
class VAE(nn.Module):
    """An encoder of ``2 * latent`` units, half mean and half log-variance, and a decoder of ``latent`` units.

    The model draws nothing: codes are drawn with an explicit key by ``distributions.sample``.
    """

    encoder: nn.Module
    decoder: nn.Module

    @property
    def image(self) -> ImageShape:
        """Height, width and channels of an image."""
        return shared_image(self.encoder, self.decoder)

    def encode(self, images: Array, dropout: Array | None = None, train: bool = False) -> tuple[Array, Array]:
        """Mean and log-variance of q(z | x): ``[batch, *image] -> [batch, latent], [batch, latent]``.

        The log-variance is kept in the range of ``distributions.limit``. Raises UsageError for an odd encoder.
        """
        units = self.encoder(images, dropout, train)
        if units.shape[-1] % 2:
            raise UsageError(f"an encoder of {units.shape[-1]} units is not allowed: give latent=2*d of them")
        mean, log_variance = jnp.split(units, 2, axis=-1)
        return mean, distributions.limit(log_variance)

    def code(self, images: Array) -> Array:
        """The mean code: ``[batch, *image] -> [batch, latent]``."""
        return self.encode(images)[0]

    def logits(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, *image]``: output pixels before their activation."""
        return self.decoder(codes, dropout, train)

    def decode(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """Pixel means in [0, 1], of the Bernoulli and of the Gaussian: ``[batch, latent] -> [batch, *image]``."""
        return nn.sigmoid(self.logits(codes, dropout, train))

    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """The reconstruction from the mean code, same shape as ``images``."""
        mean, _ = self.encode(images, dropout, train)
        return self.decode(mean, dropout, train)


def conv_vae(
    latent: int,
    channels: tuple[int, ...] = (8, 16, 32),
    hidden: int | None = 64,
    implementation: Implementation = "auto",
    image: ImageShape = MNIST_SHAPE,
) -> VAE:
    """The networks of ``conv_autoencoder`` as a VAE; two channels and no hidden layer give report C's (2.4).

    >>> import ae_jax
    >>> objective = ae_jax.elbo(ae_jax.conv_vae(8), ae_jax.gaussian_learned())
    """
    networks = conv_autoencoder(2 * whole("latent", latent), channels, hidden, implementation, image)
    return VAE(networks.encoder, networks.decoder)


def dense_vae(
    latent: int,
    widths: tuple[int, ...] = (500, 500),
    activation: Activation = nn.elu,
    image: ImageShape = MNIST_SHAPE,
) -> VAE:
    """The networks of ``dense_autoencoder`` as a VAE; by default report D's (section 5).

    >>> import ae_jax
    >>> ae_jax.dense_vae(2, widths=(64,), image=(20, 1, 1)).image
    (20, 1, 1)
    """
    networks = dense_autoencoder(2 * whole("latent", latent), widths, activation, image=image)
    return VAE(networks.encoder, networks.decoder)


@part
class VectorQuantiser(nn.Module):
    """A learned book of vectors; each given vector is replaced by the nearest (van den Oord et al. 2017, eq. 1-2)."""

    codes: int
    code_size: int

    def __post_init__(self):
        self.codes, self.code_size = whole("codes", self.codes), whole("code_size", self.code_size)
        super().__post_init__()

    @nn.compact
    def __call__(self, vectors: Array) -> tuple[Array, Array]:
        """``[..., code_size]`` -> nearest vectors of the book, same shape, and their numbers ``[...]`` int32.

        The gradient reaches the book only; how the encoder learns is the objective's business.
        """
        init = layers.uniform_fan_in(self.codes**2)  # U(-1 / codes, 1 / codes), as the paper's code has it
        book = self.param("book", init, (self.codes, self.code_size))
        distance = jnp.square(book).sum(-1) - 2.0 * vectors @ book.T  # squared, up to what all codes share
        indices = jnp.argmin(distance, axis=-1)
        return book[indices], indices


@part
class VQVAE(nn.Module):
    """An encoder of ``positions * code_size`` units, a quantiser, and a decoder of as many units.

    The paper's positions are the pixels of a feature map; here any encoder will do, so a dense layer emits them.
    """

    encoder: nn.Module
    quantiser: VectorQuantiser
    decoder: nn.Module

    @property
    def image(self) -> ImageShape:
        """Height, width and channels of an image."""
        return shared_image(self.encoder, self.decoder)

    def encode(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """Vectors before quantisation: ``[batch, *image] -> [batch, positions, code_size]``.

        Raises UsageError if the encoder's units are not a multiple of ``code_size``.
        """
        units = self.encoder(images, dropout, train)
        size = self.quantiser.code_size
        if units.shape[-1] % size:
            raise UsageError(f"an encoder of {units.shape[-1]} units is not allowed: give a multiple of {size}")
        return units.reshape(images.shape[0], -1, size)

    def code(self, images: Array) -> Array:
        """Vectors of the book: ``[batch, *image] -> [batch, positions, code_size]``."""
        return self.quantise(self.encode(images))[0]

    def quantise(self, vectors: Array) -> tuple[Array, Array]:
        """``[batch, positions, code_size]`` -> vectors of the book, same shape, and their numbers."""
        return self.quantiser(vectors)

    def logits(self, vectors: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, positions, code_size] -> [batch, *image]``: output pixels before their activation."""
        return self.decoder(vectors.reshape(vectors.shape[0], -1), dropout, train)

    def decode(self, vectors: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """Pixel means in [0, 1]: ``[batch, positions, code_size] -> [batch, *image]``."""
        return nn.sigmoid(self.logits(vectors, dropout, train))

    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """The reconstruction from quantised vectors, same shape as ``images``."""
        vectors, _ = self.quantise(self.encode(images, dropout, train))
        return self.decode(vectors, dropout, train)


def conv_vqvae(
    codes: int,
    code_size: int,
    positions: int = 8,
    channels: tuple[int, ...] = (8, 16, 32),
    hidden: int | None = 64,
    image: ImageShape = MNIST_SHAPE,
) -> VQVAE:
    """The networks of ``conv_autoencoder`` around a quantiser: an image is ``positions`` choices among ``codes``.

    >>> import ae_jax
    >>> model = ae_jax.conv_vqvae(codes=64, code_size=4)
    >>> objective = ae_jax.vector_quantised(model, ae_jax.gaussian_learned())
    """
    units = whole("positions", positions) * whole("code_size", code_size)
    networks = conv_autoencoder(units, channels, hidden, image=image)
    return VQVAE(networks.encoder, VectorQuantiser(codes, code_size), networks.decoder)


def straight_through(vectors: Array, quantised: Array) -> Array:
    """The value of ``quantised`` with the gradient of ``vectors`` (van den Oord et al. 2017, section 3.2)."""
    return vectors + jax.lax.stop_gradient(quantised - vectors)
