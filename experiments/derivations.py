"""The gradients of report E's losses as it derives them by hand, equations (2) to (7), and how they are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax import losses

DIRECTIONS = 8  # random ones, along which central differences are taken
STEP = 1e-5


class Case(NamedTuple):
    """A loss ``(x, output) -> number`` of a batch, and its gradient by the output as derived by hand."""

    loss: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    of_logits: bool = False  # the output is the pixel before its sigmoid


def squared_error(x: Array, y: Array) -> Array:
    """Equation (2): ``1/M sum_i ||x_i - y_i||^2`` over the ``M`` images of the batch."""
    return jnp.square(x - y).sum() / len(x)


def cross_entropy(x: Array, y: Array) -> Array:
    """Equation (5): ``-1/M sum_i sum_j x log y + (1 - x) log(1 - y)`` over images ``i`` and pixels ``j``."""
    return -(x * jnp.log(y) + (1 - x) * jnp.log(1 - y)).sum() / len(x)


def squared_error_gradient(x: Array, y: Array) -> Array:
    """Equation (4): ``-2/M (x - y)``."""
    return -2 / len(x) * (x - y)


def cross_entropy_gradient(x: Array, y: Array) -> Array:
    """Equation (7): ``-1/M (x - y) / (y - y^2)``."""
    return -(x - y) / (y - jnp.square(y)) / len(x)


def squared_error_slope(x: Array, logits: Array) -> Array:
    """(4) behind a sigmoid: ``-2/M (x - y) y (1 - y)`` with ``y = sigmoid(logits)``, zero where it saturates."""
    y = jax.nn.sigmoid(logits)
    return squared_error_gradient(x, y) * y * (1 - y)


def cross_entropy_slope(x: Array, logits: Array) -> Array:
    """(7) behind a sigmoid: ``-1/M (x - y)``, bounded and zero only at the target."""
    return -(x - jax.nn.sigmoid(logits)) / len(x)


def trained_cross_entropy(x: Array, logits: Array) -> Array:
    """The loss that E3 and E4 train, a mean over pixels and stable at any logit, as the sum of equation (5)."""
    return losses.binary_cross_entropy(logits, x).mean() * x[0].size


def behind_sigmoid(loss: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """A loss of logits from a loss of pixels."""
    return lambda x, logits: loss(x, jax.nn.sigmoid(logits))


CASES = {
    "(4) squared error": Case(squared_error, squared_error_gradient),
    "(7) cross-entropy": Case(cross_entropy, cross_entropy_gradient),
    "squared error behind a sigmoid": Case(behind_sigmoid(squared_error), squared_error_slope, of_logits=True),
    "cross-entropy behind a sigmoid": Case(behind_sigmoid(cross_entropy), cross_entropy_slope, of_logits=True),
    "cross-entropy as it is trained": Case(trained_cross_entropy, cross_entropy_slope, of_logits=True),
}


class Check(NamedTuple):
    """Largest differences relative to the largest gradient; what (3) and (6) say of ``y = x``."""

    autodiff: float  # of the gradient by hand from jax.grad
    numeric: float  # of its product with random directions from central differences
    at_target: float  # the largest gradient at y = x, which should vanish
    curvature: float  # the smallest second derivative at y = x, times the batch: positive


def check(case: Case, key: Array, images: np.ndarray) -> Check:
    """A case against its two oracles on float64 ``images [batch, ...]`` in [0, 1]. Consumes ``key``."""
    with jax.enable_x64(True):
        output_key, direction_key = jax.random.split(key)
        x = jnp.asarray(images, jnp.float64)
        y = jax.random.uniform(output_key, x.shape, jnp.float64, 0.05, 0.95)
        target = x.clip(0.01, 0.99)  # inside (0, 1), where (6) and logits are defined
        if case.of_logits:
            y, at_target = jax.scipy.special.logit(y), jax.scipy.special.logit(target)
        else:
            at_target = target
        by_hand = case.gradient(x, y)
        scale = jnp.abs(by_hand).max()
        by_jax = jax.grad(case.loss, argnums=1)(x, y)
        directions = jax.random.normal(direction_key, (DIRECTIONS, *x.shape), jnp.float64)
        central = [(case.loss(x, y + STEP * v) - case.loss(x, y - STEP * v)) / (2 * STEP) for v in directions]
        products = jnp.stack([(by_hand * v).sum() for v in directions])
        # A pixel's derivative depends on that pixel alone: the gradient of their sum has the second derivatives.
        second = jax.grad(lambda y: jax.grad(case.loss, argnums=1)(target, y).sum())(at_target)
        return Check(
            autodiff=float(jnp.abs(by_hand - by_jax).max() / scale),
            numeric=float(jnp.abs(products - jnp.stack(central)).max() / jnp.abs(products).max()),
            at_target=float(jnp.abs(case.gradient(target, at_target)).max() / scale),
            curvature=float(second.min() * len(x)),
        )
