"""Linen layers that stay fast inside a scan, under vmap and on a CPU.

Inside a network the batch is the *last* axis: feature vectors are ``[features, batch]``, feature maps
``[channels, height, width, batch]``. A dense layer is one matrix product whose long axis is contiguous, a
convolution one of ``convolutions``, and a transposed convolution the linear transpose of that.
Parameters have the shapes of ``flax.linen`` (kernels ``[*window, in, out]``) and PyTorch's initialisation.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from ae_jax import convolutions
from ae_jax.convolutions import Implementation, Padding


def batch_last(images: Array) -> Array:
    """``[batch, height, width, channels]`` -> ``[channels, height, width, batch]``."""
    return images.transpose(3, 1, 2, 0)


def batch_first(maps: Array) -> Array:
    """``[channels, height, width, batch]`` -> ``[batch, height, width, channels]``."""
    return maps.transpose(3, 1, 2, 0)


def uniform_fan_in(fan_in: int):
    """PyTorch's default initialiser, ``U(-1/sqrt(fan_in), 1/sqrt(fan_in))``, for weights and biases alike."""

    def init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -1.0, 1.0) / jnp.sqrt(jnp.asarray(fan_in, dtype))

    return init


def dropout_bits(key: Array, shape: tuple[int, ...]) -> Array:
    """Uniform uint32 of ``shape``: a counter, mixed and keyed twice with words drawn from ``key`` (consumed).

    Threefry spends 20 rounds on every word and took half of a CPU training step. A mask needs far less: the
    two-multiply mixer below (C. Wellons, "Prospecting for Hash Functions", 2018, ``lowbias32``) passes the
    uniformity and independence tests in ``tests/test_layers.py`` and fuses into the layer's arithmetic.
    """
    seed = jax.random.bits(key, (2,), jnp.uint32)
    size = 1
    for n in shape:
        size *= n
    x = jax.lax.iota(jnp.uint32, size).reshape(shape) ^ seed[0]
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) + seed[1]
    x = x * jnp.uint32(0x846CA68B)
    x = (x ^ (x >> 16)) * jnp.uint32(0x9E3779B1)
    return x ^ (x >> 15)


class Dropout(nn.Module):
    """Zeroes a unit with probability ``rate`` (a traced number) and scales the rest by ``1 / (1 - rate)``."""

    @nn.compact
    def __call__(self, x: Array, rate: Array | None, train: bool) -> Array:
        """Same shape as ``x``; the identity unless ``train``, which needs the ``dropout`` rng, or without a rate."""
        if not train or rate is None:
            return x
        bits = dropout_bits(self.make_rng("dropout"), x.shape)
        keep = bits >= jnp.asarray(rate * 2.0**32, jnp.uint32)
        return jnp.where(keep, x / (1.0 - rate), 0.0)


class Dense(nn.Module):
    """``[in, batch] -> [features, batch]``; kernel ``[in, features]``, bias ``[features]``."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """One matrix product."""
        init = uniform_fan_in(x.shape[0])
        kernel = self.param("kernel", init, (x.shape[0], self.features))
        bias = self.param("bias", init, (self.features,))
        return kernel.T @ x + bias[:, None]


class Conv(nn.Module):
    """``[C, H, W, N] -> [features, H', W', N]``; kernel ``[k, k, C, features]``, bias ``[features]``."""

    features: int
    kernel_size: int = 3
    stride: int = 2
    padding: Padding = (1, 1)
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """One of ``convolutions.IMPLEMENTATIONS``, the same numbers by each."""
        k, channels = self.kernel_size, x.shape[0]
        init = uniform_fan_in(k * k * channels)
        kernel = self.param("kernel", init, (k, k, channels, self.features))
        bias = self.param("bias", init, (self.features,))
        y = convolutions.convolve(kernel, x, self.stride, self.padding, self.implementation)
        return y + bias[:, None, None, None]


class ConvTranspose(nn.Module):
    """PyTorch's ConvTranspose2d: the transpose of :class:`Conv`'s linear map, for the same window.

    ``[C, H, W, N] -> [features, H', W', N]``; kernel ``[k, k, C, features]``, bias ``[features]``:
    input pixel ``i`` adds ``kernel[a]`` to output pixel ``stride * i + a - padding``, along each axis.
    """

    features: int
    kernel_size: int = 3
    stride: int = 2
    padding: Padding = (1, 1)
    output_padding: Padding = (1, 1)
    implementation: Implementation = "auto"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The transpose of whatever the implementation does for a convolution."""
        k, s = self.kernel_size, self.stride
        channels, *size, batch = x.shape
        init = uniform_fan_in(k * k * self.features)  # PyTorch counts the outputs here
        kernel = self.param("kernel", init, (k, k, channels, self.features))
        bias = self.param("bias", init, (self.features,))
        paddings = zip(size, self.padding, self.output_padding, strict=True)
        size = [convolutions.transposed_output_size(n, k, s, *padding) for n, *padding in paddings]
        image = jax.ShapeDtypeStruct((self.features, *size, batch), x.dtype)
        backwards = kernel.swapaxes(2, 3)
        convolve = functools.partial(
            convolutions.convolve, backwards, stride=s, padding=self.padding, implementation=self.implementation
        )
        (y,) = jax.linear_transpose(convolve, image)(x)
        return y + bias[:, None, None, None]
