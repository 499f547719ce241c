"""The networks of the benchmarks: ours, the same in Linen's own layers, and their sizes, counted by hand.

A further network is a further entry of ``NETWORKS`` and, for PyTorch, of ``torch_networks.NETWORKS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax

from ae_jax import distributions, models, shapes
from ae_jax.convolutions import Implementation
from ae_jax.objectives import Objective, autoencoder
from ae_jax.types import ImageShape, UsageError
from ae_jax.vae import VAE, conv_vae
from ae_jax.variational import elbo

LATENT = {"conv": 4, "dense": 5, "conv_vae": 2}
CHANNELS = {"conv": (8, 16, 32), "conv_vae": (32, 64)}
PADDING = (1, 1, 0)  # of the convolutions, one after another, and output padding of their mirror images
SIDES = (28, 14, 7, 3)  # of the feature maps, from the image inwards

CONV_VAE = conv_vae(LATENT["conv_vae"], CHANNELS["conv_vae"])  # report C's (section 2.4) with a hidden layer
LIKELIHOOD = distributions.bernoulli(distributions.grey)


class Network(NamedTuple):
    """An objective, its peer, and the sizes that decide what a step must compute and move."""

    ours: Callable[[Implementation], Objective]
    linen: Callable[[float], Objective]  # of a dropout rate: Linen's Dropout takes a Python number, not a traced one
    products: int  # multiplications in an image's forward pass, in matrix products and convolutions
    hidden: tuple[int, ...]  # units of an image in each activation that has dropout
    other: int  # units of an image in all other activations
    parameters: int


def _hidden(x: jax.Array, rate: float, train: bool) -> jax.Array:
    """What follows every hidden layer."""
    return nn.Dropout(rate, deterministic=not train)(nn.relu(x))


class LinenEncoder(nn.Module):
    """The convolutional encoder in Linen's layers."""

    units: int
    channels: tuple[int, ...]
    rate: float
    image: ImageShape = shapes.MNIST_SHAPE

    @nn.compact
    def __call__(self, images: jax.Array, _: jax.Array | float = 0.0, train: bool = False) -> jax.Array:
        """``[batch, 28, 28, 1] -> [batch, units]``."""
        x = images
        for features, padding in zip(self.channels, PADDING, strict=False):
            x = _hidden(nn.Conv(features, (3, 3), 2, padding)(x), self.rate, train)
        x = _hidden(nn.Dense(64)(x.reshape(len(x), -1)), self.rate, train)
        return nn.Dense(self.units)(x)


class LinenDecoder(nn.Module):
    """The mirror of :class:`LinenEncoder`."""

    channels: tuple[int, ...]
    rate: float
    image: ImageShape = shapes.MNIST_SHAPE

    @nn.compact
    def __call__(self, codes: jax.Array, _: jax.Array | float = 0.0, train: bool = False) -> jax.Array:
        """``[batch, latent] -> [batch, 28, 28, 1]``, before the output activation."""
        side = SIDES[len(self.channels)]
        shape = (side, side, self.channels[-1])
        x = codes
        for features in (64, math.prod(shape)):
            x = _hidden(nn.Dense(features)(x), self.rate, train)
        x = x.reshape(-1, *shape)
        outermost, *stages = zip((1, *self.channels[:-1]), PADDING, strict=False)
        for features, padding in reversed(stages):
            x = _hidden(_mirror(features, padding)(x), self.rate, train)
        return _mirror(*outermost)(x)


def _mirror(features: int, padding: int) -> nn.ConvTranspose:
    """The transpose of a stride-2 convolution; Linen pads what it convolves, PyTorch what comes out."""
    return nn.ConvTranspose(features, (3, 3), (2, 2), ((2 - padding, 2),) * 2)


class LinenDense(nn.Module):
    """The dense autoencoder 784-500-500-5 in Linen's layers."""

    rate: float
    image: ImageShape = shapes.MNIST_SHAPE

    @nn.compact
    def __call__(self, images: jax.Array, _: jax.Array | float = 0.0, train: bool = False) -> jax.Array:
        """``[batch, 28, 28, 1]``, reconstructed."""
        x = images.reshape(len(images), -1)
        for _ in range(2):
            x = _hidden(nn.Dense(500)(x), self.rate, train)
        x = nn.Dense(LATENT["dense"])(x)
        for _ in range(2):
            x = _hidden(nn.Dense(500)(x), self.rate, train)
        return nn.sigmoid(nn.Dense(784)(x)).reshape(images.shape)


def _linen(name: str, units: int, rate: float) -> tuple[LinenEncoder, LinenDecoder]:
    """The halves of a convolutional network whose encoder ends in ``units``."""
    return LinenEncoder(units, CHANNELS[name], rate), LinenDecoder(CHANNELS[name], rate)


# The decoders mirror the encoders, product for product, but for the log-variances of a variational one.
NETWORKS = {
    "conv": Network(
        ours=lambda how="auto": autoencoder(
            models.conv_autoencoder(LATENT["conv"], CHANNELS["conv"], implementation=how)
        ),
        linen=lambda rate: autoencoder(models.Autoencoder(*_linen("conv", LATENT["conv"], rate))),
        products=2 * (14 * 14 * 9 * 8 + 7 * 7 * 9 * 8 * 16 + 3 * 3 * 9 * 16 * 32 + 288 * 64 + 64 * 4),
        hidden=(8 * 14 * 14, 16 * 7 * 7, 32 * 3 * 3, 64, 64, 288, 16 * 7 * 7, 8 * 14 * 14),
        other=4 + 784,
        parameters=2 * (9 * 8 + 9 * 8 * 16 + 9 * 16 * 32 + 288 * 64 + 64 * 4)
        + (8 + 16 + 32 + 64 + 4)
        + (64 + 288 + 16 + 8 + 1),
    ),
    "dense": Network(
        ours=lambda how="auto": autoencoder(models.dense_autoencoder(LATENT["dense"])),
        linen=lambda rate: autoencoder(LinenDense(rate)),
        products=2 * (784 * 500 + 500 * 500 + 500 * 5),
        hidden=(500,) * 4,
        other=5 + 784,
        parameters=2 * (784 * 500 + 500 * 500 + 500 * 5) + (500 + 500 + 5) + (500 + 500 + 784),
    ),
    "conv_vae": Network(
        ours=lambda how="auto": elbo(
            conv_vae(LATENT["conv_vae"], CHANNELS["conv_vae"], implementation=how), LIKELIHOOD
        ),
        linen=lambda rate: elbo(VAE(*_linen("conv_vae", 2 * LATENT["conv_vae"], rate)), LIKELIHOOD),
        products=2 * (14 * 14 * 9 * 32 + 7 * 7 * 9 * 32 * 64 + 3136 * 64) + 64 * 4 + 2 * 64,
        hidden=(32 * 14 * 14, 64 * 7 * 7, 64, 64, 3136, 32 * 14 * 14),
        other=4 + 2 + 784,
        parameters=2 * (9 * 32 + 9 * 32 * 64 + 3136 * 64) + 64 * 4 + 2 * 64 + (32 + 64 + 64 + 4) + (64 + 3136 + 32 + 1),
    ),
}


def check(names: tuple[str, ...]) -> None:
    """Refuse a network that is not in ``NETWORKS``."""
    if unknown := set(names) - NETWORKS.keys():
        raise UsageError(f"--networks {' '.join(sorted(unknown))} is not allowed: choose among {', '.join(NETWORKS)}")
