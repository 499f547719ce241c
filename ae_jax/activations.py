"""Activations by the names that recipes, options and files know them by."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
from jax import Array

from ae_jax.recipes import part

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
