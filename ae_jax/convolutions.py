"""The convolution of a feature map, one linear map in three implementations that agree to float32 rounding.

``convolve(kernel [k, k, C, O], x [C, H, W, N], stride, padding) -> [O, H', W', N]``, the batch last; the padding is
that of height and width. Each is linear in ``x`` and is transposed and differentiated as it stands, so that a
transposed convolution needs no code.

``patches``: one matrix product with all windows, whose long axis is contiguous. Under vmap a batched one.
``banded``: one matrix product for a whole row of windows, with the kernel laid out as a banded matrix. It multiplies
by many zeros (four times the products of our encoder) but copies no windows along the rows, and its matrices are
large: the shape that matrix units like.
``lax``: XLA's own convolution. Under vmap it becomes a grouped one; in a loop on a CPU its gradient is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array

from ae_jax.types import UsageError

Implementation = Literal["auto", "patches", "banded", "lax"]
Padding = tuple[int, int]  # pixels at either end of the height, and at either end of the width


def convolve(kernel: Array, x: Array, stride: int, padding: Padding, implementation: Implementation = "auto") -> Array:
    """``kernel [k, k, C, O]`` over ``x [C, H, W, N]``: ``[O, H', W', N]``, sizes by :func:`output_size`.

    ``auto`` is the fastest measured (``benchmarks.step --implementations``). Raises UsageError for an unknown one.
    """
    if implementation == "auto":
        implementation = FASTEST.get(jax.default_backend(), "patches")
    require_implementation(implementation)
    return IMPLEMENTATIONS[implementation](kernel, x, stride, padding)


def require_implementation(name: Any) -> None:
    """Raises UsageError unless ``name`` is that of an implementation."""
    if name not in get_args(Implementation):
        raise UsageError(f"no implementation {name!r}: choose among {', '.join(get_args(Implementation))}")


def by_patches(kernel: Array, x: Array, stride: int, padding: Padding) -> Array:
    """One matrix product over all windows."""
    windows = patches(x, kernel.shape[0], stride, padding)
    y = _columns_first(kernel).reshape(-1, kernel.shape[-1]).T @ windows.reshape(windows.shape[0], -1)
    return y.reshape(-1, *windows.shape[1:])


def by_bands(kernel: Array, x: Array, stride: int, padding: Padding) -> Array:
    """One matrix product over all rows of windows."""
    k, _, channels, features = kernel.shape
    _, _, width, batch = x.shape
    rows, columns = (output_size(n, k, stride, p) for n, p in zip(x.shape[1:3], padding, strict=True))
    tap = jnp.arange(width) + padding[1] - stride * jnp.arange(columns)[:, None]  # that column i lays on pixel w
    laid = kernel.transpose(3, 0, 2, 1).reshape(-1, k) @ jax.nn.one_hot(tap.ravel(), k, axis=0)  # [O * k * C, W' * W]
    matrix = laid.reshape(features, k * channels, columns, width).swapaxes(1, 2).reshape(features * columns, -1)
    bands = jnp.concatenate(_taps(x, 1, k, stride, padding[0], rows))  # [k * C, H', W, N]
    y = matrix @ bands.swapaxes(1, 2).reshape(-1, rows * batch)
    return y.reshape(features, columns, rows, batch).swapaxes(1, 2)


def by_lax(kernel: Array, x: Array, stride: int, padding: Padding) -> Array:
    """XLA's convolution."""
    window = (stride, stride), [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, *window, dimension_numbers=("CHWN", "HWIO", "CHWN"))


IMPLEMENTATIONS: dict[str, Callable[[Array, Array, int, Padding], Array]] = {
    "patches": by_patches,
    "banded": by_bands,
    "lax": by_lax,
}
FASTEST: dict[str, Implementation] = {"cpu": "patches"}  # by backend; where nothing was measured, patches


def _taps(x: Array, axis: int, kernel: int, stride: int, padding: int, size: int) -> list[Array]:
    """The ``kernel`` shifted, strided views of one axis: tap ``a`` holds ``x[stride * i + a - padding]``.

    The axis is split into (position, phase), so that a tap is a contiguous slice of one phase. The transpose
    of a strided slice is a zero-inserting pad, which is slow; the transpose of this adds and interleaves.
    """
    windows = size + (kernel - 1) // stride  # positions needed in each phase
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (padding, windows * stride - x.shape[axis] - padding, 0)
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), pads)  # a negative high pad crops
    x = x.reshape(*x.shape[:axis], windows, stride, *x.shape[axis + 1 :])
    phases = [phase.squeeze(axis + 1) for phase in jax.lax.split(x, [1] * stride, axis + 1)]
    return [jax.lax.slice_in_dim(phases[a % stride], a // stride, a // stride + size, axis=axis) for a in range(kernel)]


def patches(x: Array, kernel: int, stride: int, padding: Padding) -> Array:
    """All windows of a feature map: ``[C, H, W, N]`` -> ``[kernel (columns), kernel (rows), C, H', W', N]``, flattened.

    Returns ``[kernel * kernel * C, H', W', N]`` with ``H' = (H + 2 * padding[0] - kernel) // stride + 1``.
    Rows and columns are taken one after the other, which keeps every array at rank 5 or less.
    """
    channels, height, width, batch = x.shape
    rows, columns = (output_size(n, kernel, stride, p) for n, p in zip((height, width), padding, strict=True))
    x = jnp.concatenate(_taps(x.reshape(channels, height, width * batch), 1, kernel, stride, padding[0], rows))
    x = x.reshape(kernel * channels, rows, width, batch)
    return jnp.concatenate(_taps(x, 2, kernel, stride, padding[1], columns))


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Length of a convolved axis."""
    return (size + 2 * padding - kernel) // stride + 1


def transposed_output_size(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> int:
    """Length of an axis after a transposed convolution."""
    return (size - 1) * stride - 2 * padding + kernel + output_padding


def _columns_first(kernel: Array) -> Array:
    """``[rows, columns, in, out]`` in the window order of :func:`patches`: columns outermost."""
    return kernel.swapaxes(0, 1)
