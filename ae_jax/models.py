"""Encoders, decoders and what is composed of them. Images ``[batch, *image]`` and codes ``[batch, latent]``.

``image`` is height, width and channels, a static of every encoder and decoder, by default that of the reports. Flat
features are images ``(features, 1, 1)``, for dense networks. The last axis of ``codes`` is the latent space; the
batch-last layout inside is a matter of ``layers``. Dropout follows every hidden activation; its rate is a traced
number, or None, and it acts only when ``train`` is true.

A convolution has kernel 3 and stride 2. Along an axis of even length it pads one pixel, and so does its mirror image at
the output; along an odd one, none: lengths are halved, rounded down, and come back exactly, 28 -> 14 -> 7 -> 3 -> 1.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
from jax import Array

from ae_jax import layers
from ae_jax.activations import Activation, linear
from ae_jax.convolutions import Implementation, require_implementation
from ae_jax.recipes import part
from ae_jax.shapes import MNIST_SHAPE, check_images, check_shape, map_sizes, padding
from ae_jax.types import ImageShape, PyTree, UsageError, a, function, whole, wholes


def shared_image(encoder: nn.Module, decoder: nn.Module) -> ImageShape:
    """Of the images that both are for. Raises UsageError if they are for different ones."""
    if encoder.image != decoder.image:
        raise UsageError(f"an encoder for images {encoder.image} and a decoder for {decoder.image} are not one model")
    return encoder.image


def _check_convolutions(network: ConvEncoder | ConvDecoder) -> None:
    """Its fields as they should be. Raises UsageError for what they cannot be."""
    network.channels = wholes("channels", network.channels)
    network.hidden = None if network.hidden is None else whole("hidden", network.hidden)
    function("activation", network.activation)
    require_implementation(network.implementation)
    map_sizes(network.image, network.channels)


def _check_dense(network: DenseEncoder | DenseDecoder) -> None:
    """Its fields as they should be. Raises UsageError for what they cannot be."""
    network.widths = wholes("widths", network.widths)
    function("activation", network.activation)
    check_shape(network.image)


@part
class ConvEncoder(nn.Module):
    """Stride-2 convolutions, a hidden dense layer unless None, a code, linear by default (reports A, B, C).

    Raises UsageError for no channels, and for more than the image can be halved.
    """

    latent: int
    channels: tuple[int, ...] = (8, 16, 32)
    hidden: int | None = 64
    activation: Activation = nn.relu
    implementation: Implementation = "auto"
    image: ImageShape = MNIST_SHAPE
    code_activation: Activation = linear

    def __post_init__(self):
        self.latent = whole("latent", self.latent)
        function("code_activation", self.code_activation)
        _check_convolutions(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, *image] -> [batch, latent]``. Raises UsageError for images of another shape."""
        check_images(images, self.image)
        x = layers.batch_last(images)
        for features, size in zip(self.channels, map_sizes(self.image, self.channels)[:-1], strict=True):
            x = layers.Conv(features, padding=padding(size), implementation=self.implementation)(x)
            x = layers.Dropout()(self.activation(x), dropout, train)
        x = x.reshape(-1, images.shape[0])
        if self.hidden is not None:
            x = layers.Dropout()(self.activation(layers.Dense(self.hidden)(x)), dropout, train)
        return self.code_activation(layers.Dense(self.latent)(x)).T

    def code(self, images: Array) -> Array:
        """The code again, as every model with one has it: ``[batch, *image] -> [batch, latent]``."""
        return self(images)


@part
class ConvDecoder(nn.Module):
    """The mirror of :class:`ConvEncoder`: its dense layers, then transposed convolutions to the image's channels."""

    channels: tuple[int, ...] = (8, 16, 32)
    hidden: int | None = 64
    activation: Activation = nn.relu
    implementation: Implementation = "auto"
    image: ImageShape = MNIST_SHAPE

    def __post_init__(self):
        _check_convolutions(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, *image]``, before the output activation."""
        *outer, innermost = map_sizes(self.image, self.channels)
        x = codes.T
        for features in (*([] if self.hidden is None else [self.hidden]), self.channels[-1] * math.prod(innermost)):
            x = self.activation(layers.Dense(features)(x))
            x = layers.Dropout()(x, dropout, train)
        x = x.reshape(self.channels[-1], *innermost, codes.shape[0])
        for features, size in zip(self.channels[-2::-1], outer[:0:-1], strict=True):
            x = layers.Dropout()(self.activation(self._up(features, size)(x)), dropout, train)
        return layers.batch_first(self._up(self.image[2], outer[0])(x))

    def _up(self, features: int, size: tuple[int, int]) -> layers.ConvTranspose:
        """A transposed convolution to maps of ``size``."""
        around = padding(size)
        return layers.ConvTranspose(features, padding=around, output_padding=around, implementation=self.implementation)


@part
class DenseEncoder(nn.Module):
    """Dense hidden layers of ``widths``, then a code (reports D, E)."""

    latent: int
    widths: tuple[int, ...] = (500, 500)
    activation: Activation = nn.relu
    code_activation: Activation = linear
    image: ImageShape = MNIST_SHAPE

    def __post_init__(self):
        self.latent = whole("latent", self.latent)
        function("code_activation", self.code_activation)
        _check_dense(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, *image] -> [batch, latent]``. Raises UsageError for images of another shape."""
        check_images(images, self.image)
        x = images.reshape(images.shape[0], -1).T
        for width in self.widths:
            x = self.activation(layers.Dense(width)(x))
            x = layers.Dropout()(x, dropout, train)
        return self.code_activation(layers.Dense(self.latent)(x)).T

    def code(self, images: Array) -> Array:
        """The code again, as every model with one has it: ``[batch, *image] -> [batch, latent]``."""
        return self(images)


@part
class DenseDecoder(nn.Module):
    """Dense hidden layers of ``widths``, then one unit for each pixel."""

    widths: tuple[int, ...] = (500, 500)
    activation: Activation = nn.relu
    image: ImageShape = MNIST_SHAPE

    def __post_init__(self):
        _check_dense(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, *image]``, before the output activation."""
        x = codes.T
        for width in self.widths:
            x = self.activation(layers.Dense(width)(x))
            x = layers.Dropout()(x, dropout, train)
        return layers.Dense(math.prod(self.image))(x).T.reshape(-1, *self.image)


@part
class Autoencoder(nn.Module):
    """An encoder, a decoder, and the activation of the output pixels."""

    encoder: nn.Module
    decoder: nn.Module
    output: Activation = nn.sigmoid

    def __post_init__(self):
        function("output", self.output)
        super().__post_init__()

    @property
    def image(self) -> ImageShape:
        """Height, width and channels of an image."""
        return shared_image(self.encoder, self.decoder)

    def encode(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, *image] -> [batch, latent]``."""
        return self.encoder(images, dropout, train)

    def code(self, images: Array) -> Array:
        """What :meth:`decode` takes: ``[batch, *image] -> [batch, latent]``."""
        return self.encode(images)

    def logits(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, *image]``: output pixels before their activation."""
        return self.decoder(codes, dropout, train)

    def decode(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, *image]``: output pixels."""
        return self.output(self.logits(codes, dropout, train))

    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """The reconstruction of ``images``, same shape."""
        return self.decode(self.encode(images, dropout, train), dropout, train)


@part
class Classifier(nn.Module):
    """Class logits from the code of an encoder, by one dense layer on top (report C, section 2.2)."""

    encoder: nn.Module
    classes: int = 10

    def __post_init__(self):
        self.classes = whole("classes", self.classes)
        if not isinstance(self.encoder, nn.Module):
            raise UsageError(f"{a(type(self.encoder).__name__)} is not allowed as an encoder: give a network")
        super().__post_init__()

    @property
    def image(self) -> ImageShape:
        """Height, width and channels of an image."""
        return self.encoder.image

    @nn.compact
    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, *image] -> [batch, classes]``."""
        codes = self.encoder(images, dropout, train)
        return layers.Dense(self.classes, name="head")(codes.T).T

    def code(self, images: Array) -> Array:
        """The code that the classes are told by: ``[batch, *image] -> [batch, latent]``."""
        return self.encoder(images)


def apply(model: nn.Module, params: PyTree, *inputs: Any, **how: Any) -> Any:
    """What ``model``, or its ``method``, makes of ``inputs``.

    Flax's ``apply``, whose type speaks of variables that change too: no model here has any.
    """
    return model.apply(params, *inputs, **how)


def conv_autoencoder(
    latent: int,
    channels: tuple[int, ...] = (8, 16, 32),
    hidden: int | None = 64,
    implementation: Implementation = "auto",
    image: ImageShape = MNIST_SHAPE,
) -> Autoencoder:
    """The convolutional autoencoder of reports A, B and C, a convolution for each of ``channels``.

    ``hidden`` may be None. Raises UsageError for no channels, and for more than the image can be halved.

    >>> import ae_jax
    >>> ae_jax.conv_autoencoder(8, channels=(8, 16), image=(32, 32, 3)).image
    (32, 32, 3)
    """
    common: dict[str, Any] = {"implementation": implementation, "image": image}
    return Autoencoder(ConvEncoder(latent, channels, hidden, **common), ConvDecoder(channels, hidden, **common))


def dense_autoencoder(
    latent: int,
    widths: tuple[int, ...] = (500, 500),
    activation: Activation = nn.relu,
    code_activation: Activation = linear,
    output: Activation = nn.sigmoid,
    image: ImageShape = MNIST_SHAPE,
) -> Autoencoder:
    """The dense autoencoder of reports D and E: ``widths`` from the image inwards, mirrored outwards.

    >>> import ae_jax
    >>> ae_jax.dense_autoencoder(2, widths=(64,), image=(20, 1, 1)).image
    (20, 1, 1)
    """
    encoder = DenseEncoder(latent, widths, activation, code_activation, image)
    return Autoencoder(encoder, DenseDecoder(encoder.widths[::-1], activation, image), output)
