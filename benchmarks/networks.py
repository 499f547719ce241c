"""The networks of the benchmarks: ours, the same in Linen's own layers, and their sizes, counted by hand.

A further network (a variational one, say) is a further entry of ``NETWORKS`` and, for PyTorch, of
``torch_peers.NETWORKS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax

from ae_jax import models
from ae_jax.objectives import Objective, autoencoder
from ae_jax.types import UsageError

LATENT = {"conv": 4, "dense": 5}


class Network(NamedTuple):
    """An objective, its peer, and the sizes that decide what a step must compute and move."""

    ours: Callable[[], Objective]
    linen: Callable[[float], Objective]  # of a dropout rate: Linen's Dropout takes a Python number, not a traced one
    products: int  # multiplications in an image's forward pass, in matrix products and convolutions
    hidden: tuple[int, ...]  # units of an image in each activation that has dropout
    other: int  # units of an image in all other activations
    parameters: int


class LinenConv(nn.Module):
    """The convolutional autoencoder in Linen's layers."""

    rate: float

    @nn.compact
    def __call__(self, images: jax.Array, _: jax.Array | float = 0.0, train: bool = False) -> jax.Array:
        """``[batch, 28, 28, 1]``, reconstructed."""

        def hidden(x: jax.Array) -> jax.Array:
            return nn.Dropout(self.rate, deterministic=not train)(nn.relu(x))

        x = images
        for features, padding in ((8, 1), (16, 1), (32, 0)):
            x = hidden(nn.Conv(features, (3, 3), 2, padding)(x))
        x = hidden(nn.Dense(64)(x.reshape(len(x), -1)))
        x = nn.Dense(LATENT["conv"])(x)
        for features in (64, 288):
            x = hidden(nn.Dense(features)(x))
        x = x.reshape(-1, 3, 3, 32)
        x = hidden(nn.ConvTranspose(16, (3, 3), (2, 2), ((2, 2), (2, 2)))(x))
        x = hidden(nn.ConvTranspose(8, (3, 3), (2, 2), ((1, 2), (1, 2)))(x))
        return nn.sigmoid(nn.ConvTranspose(1, (3, 3), (2, 2), ((1, 2), (1, 2)))(x))


class LinenDense(nn.Module):
    """The dense autoencoder 784-500-500-5 in Linen's layers."""

    rate: float

    @nn.compact
    def __call__(self, images: jax.Array, _: jax.Array | float = 0.0, train: bool = False) -> jax.Array:
        """``[batch, 28, 28, 1]``, reconstructed."""

        def hidden(x: jax.Array, features: int) -> jax.Array:
            return nn.Dropout(self.rate, deterministic=not train)(nn.relu(nn.Dense(features)(x)))

        x = hidden(hidden(images.reshape(len(images), -1), 500), 500)
        x = nn.Dense(LATENT["dense"])(x)
        x = hidden(hidden(x, 500), 500)
        return nn.sigmoid(nn.Dense(784)(x)).reshape(images.shape)


# The decoders mirror the encoders, product for product.
NETWORKS = {
    "conv": Network(
        ours=lambda: autoencoder(models.conv_autoencoder(LATENT["conv"])),
        linen=lambda rate: autoencoder(LinenConv(rate)),
        products=2 * (14 * 14 * 9 * 8 + 7 * 7 * 9 * 8 * 16 + 3 * 3 * 9 * 16 * 32 + 288 * 64 + 64 * 4),
        hidden=(8 * 14 * 14, 16 * 7 * 7, 32 * 3 * 3, 64, 64, 288, 16 * 7 * 7, 8 * 14 * 14),
        other=4 + 784,
        parameters=2 * (9 * 8 + 9 * 8 * 16 + 9 * 16 * 32 + 288 * 64 + 64 * 4)
        + (8 + 16 + 32 + 64 + 4)
        + (64 + 288 + 16 + 8 + 1),
    ),
    "dense": Network(
        ours=lambda: autoencoder(models.dense_autoencoder(LATENT["dense"])),
        linen=lambda rate: autoencoder(LinenDense(rate)),
        products=2 * (784 * 500 + 500 * 500 + 500 * 5),
        hidden=(500,) * 4,
        other=5 + 784,
        parameters=2 * (784 * 500 + 500 * 500 + 500 * 5) + (500 + 500 + 5) + (500 + 500 + 784),
    ),
}


def check(names: tuple[str, ...]) -> None:
    """Refuse a network that is not in ``NETWORKS``."""
    if unknown := set(names) - NETWORKS.keys():
        raise UsageError(f"--networks {' '.join(sorted(unknown))} is not allowed: choose among {', '.join(NETWORKS)}")
