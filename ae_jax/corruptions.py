"""Corruptions ``(key, images, level) -> images``: float images ``[batch, height, width, channels]``, a traced level.

The key is consumed. Nothing is clipped: report A adds its noise outside [0, 1] and so do we. An occlusion covers all
channels of its pixels with one grey; the others draw for each value, a pixel in a channel, by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from ae_jax.recipes import part

Corruption = Callable[[Array, Array, Array], Array]
SMALLEST_AREA = 0.05  # of occlusion_up_to


@part
def gaussian(key: Array, images: Array, sigma: Array) -> Array:
    """Adds normal noise of standard deviation ``sigma`` (pixel units) to every value."""
    return images + sigma * jax.random.normal(key, images.shape, images.dtype)


@part
def occlusion(key: Array, images: Array, area: Array) -> Array:
    """Covers ``area`` (fraction of the image, in [0, 1]) with a grey value, drawn for each image.

    What is covered has the image's proportions, a square of a square: its sides are ``sqrt(area)`` of the image's,
    rounded to pixels. Position and grey value are uniform (report A, section III).
    """
    return _occlude(key, images, area, shared_grey=False)


@part
def occlusion_shared_grey(key: Array, images: Array, area: Array) -> Array:
    """Report A's own form of :func:`occlusion`: one grey value for all images of the call."""
    return _occlude(key, images, area, shared_grey=True)


@part
def occlusion_up_to(key: Array, images: Array, largest: Array) -> Array:
    """:func:`occlusion` whose area is drawn for each image, uniformly between ``SMALLEST_AREA`` and ``largest``.

    A ``largest`` below that is the area of all.
    """
    area_key, key = jax.random.split(key)
    smallest = jnp.minimum(SMALLEST_AREA, largest)
    area = jax.random.uniform(area_key, (images.shape[0], 1), minval=smallest, maxval=largest)
    return _occlude(key, images, area, shared_grey=False)


@part
def masking(key: Array, images: Array, fraction: Array) -> Array:
    """Sets each value to black, 0, with probability ``fraction`` (Vincent et al. 2010, section 3.3)."""
    return jnp.where(jax.random.bernoulli(key, fraction, images.shape), 0.0, images)


@part
def salt_and_pepper(key: Array, images: Array, fraction: Array) -> Array:
    """Sets each value with probability ``fraction`` to 0 or 1, by the toss of a coin (ibid.)."""
    where_key, value_key = jax.random.split(key)
    extremes = jax.random.bernoulli(value_key, 0.5, images.shape).astype(images.dtype)
    return jnp.where(jax.random.bernoulli(where_key, fraction, images.shape), extremes, images)


def _occlude(key: Array, images: Array, area: Array, shared_grey: bool) -> Array:
    """``area`` is one number, or one for each image: ``[batch, 1]``."""
    batch, height, width, _ = images.shape
    row_key, column_key, grey_key = jax.random.split(key, 3)

    def covered(key: Array, size: int) -> Array:
        """Which positions of one axis are covered: bool ``[batch, size]``."""
        side = jnp.round(jnp.sqrt(area) * size)
        start = jnp.floor(jax.random.uniform(key, (batch, 1)) * (size - side + 1.0))
        position = jnp.arange(size)
        return (position >= start) & (position < start + side)

    inside = covered(row_key, height)[:, :, None, None] & covered(column_key, width)[:, None, :, None]
    grey = jax.random.uniform(grey_key, (1 if shared_grey else batch, 1, 1, 1), images.dtype)
    return jnp.where(inside, grey, images)
