"""Corruptions ``(key, images, level) -> images``: float images ``[batch, height, width, 1]``, a traced level.

The key is consumed. Nothing is clipped: report A adds its noise outside [0, 1] and so do we.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

Corruption = Callable[[Array, Array, Array], Array]


def gaussian(key: Array, images: Array, sigma: Array) -> Array:
    """Adds normal noise of standard deviation ``sigma`` (pixel units) to every pixel."""
    return images + sigma * jax.random.normal(key, images.shape, images.dtype)


def occlusion(key: Array, images: Array, area: Array) -> Array:
    """Covers a square of ``area`` (fraction of the image, in [0, 1]) with a grey value, drawn for each image.

    The side is ``sqrt(area)`` of the image's, rounded to pixels; position and grey value are uniform (report A,
    section III).
    """
    return _occlude(key, images, area, shared_grey=False)


def occlusion_shared_grey(key: Array, images: Array, area: Array) -> Array:
    """Report A's own form of :func:`occlusion`: one grey value for all images of the call."""
    return _occlude(key, images, area, shared_grey=True)


def _occlude(key: Array, images: Array, area: Array, shared_grey: bool) -> Array:
    batch, height, width, _ = images.shape
    row_key, column_key, grey_key = jax.random.split(key, 3)

    def covered(key: Array, size: int) -> Array:
        """Which positions of one axis the square covers: bool ``[batch, size]``."""
        side = jnp.round(jnp.sqrt(area) * size)
        start = jnp.floor(jax.random.uniform(key, (batch, 1)) * (size - side + 1.0))
        position = jnp.arange(size)
        return (position >= start) & (position < start + side)

    square = covered(row_key, height)[:, :, None, None] & covered(column_key, width)[:, None, :, None]
    grey = jax.random.uniform(grey_key, (1 if shared_grey else batch, 1, 1, 1), images.dtype)
    return jnp.where(square, grey, images)
