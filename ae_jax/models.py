"""Encoders, decoders and what is composed of them. Images ``[batch, 28, 28, 1]`` and codes ``[batch, latent]``.

The last axis of ``codes`` is the latent space; the batch-last layout inside is a matter of ``layers``. Dropout
follows every hidden activation; its rate is a traced number, or None, and it acts only when ``train`` is true.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import flax.linen as nn
from jax import Array

from ae_jax import layers
from ae_jax.convolutions import Implementation, output_size
from ae_jax.recipes import part
from ae_jax.types import UsageError

IMAGE_SIZE = 28
Activation = Callable[[Array], Array]


def linear(x: Array) -> Array:
    """The identity, as an activation."""
    return x


ACTIVATIONS: dict[str, Activation] = {
    "linear": linear,
    "sigmoid": nn.sigmoid,
    "relu": nn.relu,
    "elu": nn.elu,
    "tanh": nn.tanh,
}
for _name, _activation in ACTIVATIONS.items():
    part(_activation, _name)

# (padding, output_padding) of the stride-2, kernel-3 stages 28 -> 14 -> 7 -> 3 and back.
_STAGES = ((1, 1), (1, 1), (0, 0))


def _stages(channels: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The stages of a network with ``channels``. Raises UsageError unless there are one to three."""
    if not 1 <= len(channels) <= len(_STAGES):
        raise UsageError(f"channels {channels} are not allowed: give one to {len(_STAGES)} numbers")
    return _STAGES[: len(channels)]


def _feature_size(channels: tuple[int, ...]) -> int:
    size = IMAGE_SIZE
    for padding, _ in _stages(channels):
        size = output_size(size, 3, 2, padding)
    return size


@part
class ConvEncoder(nn.Module):
    """One to three stride-2 convolutions, a hidden dense layer unless None, a linear code (reports A, B, C).

    Raises UsageError for another number of channels.
    """

    latent: int
    channels: tuple[int, ...] = (8, 16, 32)
    hidden: int | None = 64
    activation: Activation = nn.relu
    implementation: Implementation = "auto"

    def __post_init__(self):
        _stages(self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, 28, 28, 1] -> [batch, latent]``."""
        x = layers.batch_last(images)
        for features, (padding, _) in zip(self.channels, _stages(self.channels), strict=True):
            x = self.activation(layers.Conv(features, padding=padding, implementation=self.implementation)(x))
            x = layers.Dropout()(x, dropout, train)
        x = x.reshape(-1, images.shape[0])
        if self.hidden is not None:
            x = layers.Dropout()(self.activation(layers.Dense(self.hidden)(x)), dropout, train)
        return layers.Dense(self.latent)(x).T


@part
class ConvDecoder(nn.Module):
    """The mirror of :class:`ConvEncoder`: its dense layers, then transposed convolutions to one channel."""

    channels: tuple[int, ...] = (8, 16, 32)
    hidden: int | None = 64
    activation: Activation = nn.relu
    implementation: Implementation = "auto"

    def __post_init__(self):
        _stages(self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, 28, 28, 1]``, before the output activation."""
        size = _feature_size(self.channels)
        x = codes.T
        for features in (*([] if self.hidden is None else [self.hidden]), self.channels[-1] * size * size):
            x = self.activation(layers.Dense(features)(x))
            x = layers.Dropout()(x, dropout, train)
        x = x.reshape(self.channels[-1], size, size, codes.shape[0])
        stages = _stages(self.channels)[::-1]
        transposed = functools.partial(layers.ConvTranspose, implementation=self.implementation)
        for features, (padding, output_padding) in zip(self.channels[-2::-1], stages[:-1], strict=True):
            x = transposed(features, padding=padding, output_padding=output_padding)(x)
            x = layers.Dropout()(self.activation(x), dropout, train)
        padding, output_padding = stages[-1]
        x = transposed(1, padding=padding, output_padding=output_padding)(x)
        return layers.batch_first(x)


@part
class DenseEncoder(nn.Module):
    """Dense hidden layers of ``widths``, then a code (reports D, E)."""

    latent: int
    widths: tuple[int, ...] = (500, 500)
    activation: Activation = nn.relu
    code_activation: Activation = linear

    @nn.compact
    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, 28, 28, 1] -> [batch, latent]``."""
        x = images.reshape(images.shape[0], -1).T
        for width in self.widths:
            x = self.activation(layers.Dense(width)(x))
            x = layers.Dropout()(x, dropout, train)
        return self.code_activation(layers.Dense(self.latent)(x)).T


@part
class DenseDecoder(nn.Module):
    """Dense hidden layers of ``widths``, then one unit for each pixel."""

    widths: tuple[int, ...] = (500, 500)
    activation: Activation = nn.relu

    @nn.compact
    def __call__(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, 28, 28, 1]``, before the output activation."""
        x = codes.T
        for width in self.widths:
            x = self.activation(layers.Dense(width)(x))
            x = layers.Dropout()(x, dropout, train)
        shape = (IMAGE_SIZE, IMAGE_SIZE, 1)
        return layers.Dense(math.prod(shape))(x).T.reshape(-1, *shape)


@part
class Autoencoder(nn.Module):
    """An encoder, a decoder, and the activation of the output pixels."""

    encoder: nn.Module
    decoder: nn.Module
    output: Activation = nn.sigmoid

    def encode(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, 28, 28, 1] -> [batch, latent]``."""
        return self.encoder(images, dropout, train)

    def logits(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, 28, 28, 1]``: output pixels before their activation."""
        return self.decoder(codes, dropout, train)

    def decode(self, codes: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, latent] -> [batch, 28, 28, 1]``: output pixels."""
        return self.output(self.logits(codes, dropout, train))

    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """The reconstruction of ``images``, same shape."""
        return self.decode(self.encode(images, dropout, train), dropout, train)


@part
class Classifier(nn.Module):
    """Class logits from the code of an encoder, by one dense layer on top (report C, section 2.2)."""

    encoder: nn.Module
    classes: int = 10

    @nn.compact
    def __call__(self, images: Array, dropout: Array | None = None, train: bool = False) -> Array:
        """``[batch, 28, 28, 1] -> [batch, classes]``."""
        codes = self.encoder(images, dropout, train)
        return layers.Dense(self.classes, name="head")(codes.T).T


def conv_autoencoder(
    latent: int,
    channels: tuple[int, ...] = (8, 16, 32),
    hidden: int | None = 64,
    implementation: Implementation = "auto",
) -> Autoencoder:
    """The convolutional autoencoder of reports A, B and C, with one to three convolutions; ``hidden`` may be None.

    Raises UsageError for another number of channels.
    """
    encoder = ConvEncoder(latent, channels, hidden, implementation=implementation)
    return Autoencoder(encoder, ConvDecoder(channels, hidden, implementation=implementation))


def dense_autoencoder(
    latent: int,
    widths: tuple[int, ...] = (500, 500),
    activation: Activation = nn.relu,
    code_activation: Activation = linear,
    output: Activation = nn.sigmoid,
) -> Autoencoder:
    """The dense autoencoder of reports D and E: ``widths`` from the image inwards, mirrored outwards."""
    encoder = DenseEncoder(latent, widths, activation, code_activation)
    return Autoencoder(encoder, DenseDecoder(widths[::-1], activation), output)
