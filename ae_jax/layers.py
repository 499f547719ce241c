"""Linen layers that stay fast inside a scan, under vmap and on a CPU: everything is one matrix product.

Inside a network the batch is the *last* axis: feature vectors are ``[features, batch]``, feature maps
``[channels, height, width, batch]``. A convolution is then ``kernel @ patches(x)``, one matrix product whose
long axis is contiguous, and a transposed convolution is the linear transpose of the very same ``patches``.
Under vmap these become batched matrix products, where ``lax`` convolutions would become grouped ones.
Parameters have the shapes of ``flax.linen`` (kernels ``[*window, in, out]``) and PyTorch's initialisation.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


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


def _taps(x: Array, axis: int, kernel: int, stride: int, padding: int, size: int) -> list[Array]:
    """The ``kernel`` shifted, strided views of one axis: tap ``a`` holds ``x[stride * i + a - padding]``.

    The axis is split into (position, phase), so that a tap is a contiguous slice of one phase. The transpose
    of a strided slice is a zero-inserting pad, which is slow; the transpose of this is plain addition.
    """
    windows = size + (kernel - 1) // stride  # positions needed in each phase
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (padding, windows * stride - x.shape[axis] - padding, 0)
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), pads)  # a negative high pad crops
    x = x.reshape(*x.shape[:axis], windows, stride, *x.shape[axis + 1 :])
    phases = [jax.lax.index_in_dim(x, p, axis + 1, keepdims=False) for p in range(stride)]
    return [jax.lax.slice_in_dim(phases[a % stride], a // stride, a // stride + size, axis=axis) for a in range(kernel)]


def patches(x: Array, kernel: int, stride: int, padding: int) -> Array:
    """All windows of a feature map: ``[C, H, W, N]`` -> ``[kernel (columns), kernel (rows), C, H', W', N]``, flattened.

    Returns ``[kernel * kernel * C, H', W', N]`` with ``H' = (H + 2 * padding - kernel) // stride + 1``.
    Rows and columns are taken one after the other, which keeps every array at rank 5 or less.
    """
    channels, height, width, batch = x.shape
    rows, columns = (output_size(n, kernel, stride, padding) for n in (height, width))
    x = jnp.concatenate(_taps(x.reshape(channels, height, width * batch), 1, kernel, stride, padding, rows))
    x = x.reshape(kernel * channels, rows, width, batch)
    return jnp.concatenate(_taps(x, 2, kernel, stride, padding, columns))


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Length of a convolved axis."""
    return (size + 2 * padding - kernel) // stride + 1


def transposed_output_size(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> int:
    """Length of an axis after a transposed convolution."""
    return (size - 1) * stride - 2 * padding + kernel + output_padding


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
    def __call__(self, x: Array, rate: Array, train: bool) -> Array:
        """Same shape as ``x``; the identity unless ``train``, which needs the ``dropout`` rng."""
        if not train:
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
    padding: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """One matrix product over all windows."""
        k, channels = self.kernel_size, x.shape[0]
        init = uniform_fan_in(k * k * channels)
        kernel = self.param("kernel", init, (k, k, channels, self.features))
        bias = self.param("bias", init, (self.features,))
        windows = patches(x, k, self.stride, self.padding)
        y = _columns_first(kernel).reshape(-1, self.features).T @ windows.reshape(windows.shape[0], -1)
        return y.reshape(self.features, *windows.shape[1:]) + bias[:, None, None, None]


class ConvTranspose(nn.Module):
    """PyTorch's ConvTranspose2d: the transpose of :class:`Conv`'s linear map, for the same window.

    ``[C, H, W, N] -> [features, H', W', N]``; kernel ``[k, k, C, features]``, bias ``[features]``:
    input pixel ``i`` adds ``kernel[a]`` to output pixel ``stride * i + a - padding``.
    """

    features: int
    kernel_size: int = 3
    stride: int = 2
    padding: int = 1
    output_padding: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """One matrix product for all taps, which the transpose of ``patches`` then adds up."""
        k, s, p = self.kernel_size, self.stride, self.padding
        channels, *size, batch = x.shape
        init = uniform_fan_in(k * k * self.features)  # PyTorch counts the outputs here
        kernel = self.param("kernel", init, (k, k, channels, self.features))
        bias = self.param("bias", init, (self.features,))
        taps = _columns_first(kernel).swapaxes(2, 3).reshape(-1, channels) @ x.reshape(channels, -1)
        size = [transposed_output_size(n, k, s, p, self.output_padding) for n in size]
        image = jax.ShapeDtypeStruct((self.features, *size, batch), x.dtype)
        (y,) = jax.linear_transpose(lambda image: patches(image, k, s, p), image)(taps.reshape(-1, *x.shape[1:]))
        return y + bias[:, None, None, None]


def _columns_first(kernel: Array) -> Array:
    """``[rows, columns, in, out]`` in the window order of :func:`patches`: columns outermost."""
    return kernel.swapaxes(0, 1)
