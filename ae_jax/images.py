"""Users' images as arrays: the check at the front door of everything that takes them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.types import UsageError

SHAPES = "[n, height, width], [n, height, width, channels] or, for dense networks, [n, features]"
ALLOWED = f"images are NumPy or JAX arrays, uint8 or float in [0, 1] (or bool), of shape {SHAPES}"


def as_images(images: Any) -> np.ndarray | jax.Array:
    """``images`` as this package computes with them: ``[n, H, W, C]``, uint8 (scaled when used) or float32 in [0, 1].

    Args:
      images: a NumPy or JAX array, uint8, of any float type with values in [0, 1], or bool (black and white), of shape
        ``[n, H, W]`` (which gets one channel), ``[n, H, W, C]`` or ``[n, features]`` (which becomes
        ``[n, features, 1, 1]``).
    Returns:
      An array of the same library; no copy is made where shape and type were right.
    Raises:
      UsageError: anything else.
    """
    if not isinstance(images, np.ndarray | jax.Array) or isinstance(images, np.ma.MaskedArray):
        raise UsageError(f"these images are a {type(images).__name__}, but {ALLOWED}; of a list make one array")
    given = f"these images are {images.dtype} of shape {list(images.shape)}"
    if not 2 <= images.ndim <= 4 or images.size == 0:
        raise UsageError(f"{given}, but {ALLOWED}, none of them 0; for a single image, give images[None]")
    numpy = np if isinstance(images, np.ndarray) else jnp
    if images.dtype == np.bool_:
        images = numpy.where(images, numpy.uint8(255), numpy.uint8(0))
    elif jnp.issubdtype(images.dtype, jnp.floating):
        _require_unit_range(images, given)
        images = images.astype(np.float32, copy=False)
    elif images.dtype != np.uint8:
        hint = "if their values are whole numbers from 0 to 255, give images.astype(np.uint8)"
        raise UsageError(f"{given}, but {ALLOWED}; {hint}")
    return images.reshape(images.shape + (1,) * (4 - images.ndim))


def _require_unit_range(images: np.ndarray | jax.Array, given: str) -> None:
    """Raises UsageError unless all values are finite and in [0, 1]."""
    low, high = float(images.min()), float(images.max())
    if np.isnan(low):
        raise UsageError(f"{given} with NaN among the values, but {ALLOWED}; leave those images out")
    if not 0 <= low <= high <= 1:
        hint = "divide by 255 if that is their white, clip what overshoots by rounding"
        raise UsageError(f"{given} with values from {low!r} to {high!r}, but {ALLOWED}; {hint}")
