"""Lanes at rest on the host: pytrees of NumPy arrays ``[lanes, ...]``, one lane after another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from ae_jax.types import PyTree, UsageError


def to_host(tree: PyTree) -> PyTree:
    """Writable NumPy copies; typed keys become their key data."""

    def copy(leaf) -> np.ndarray:
        is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(leaf) if is_key else leaf)

    return jax.tree.map(copy, tree)


def take(tree: PyTree, ids: Any) -> PyTree:
    """The lanes ``ids``: whatever NumPy takes as an index; without the lane axis for a single number."""
    return jax.tree.map(lambda leaf: leaf[ids], tree)


def put(store: PyTree, ids: np.ndarray, lanes: PyTree) -> None:
    """Write the first ``len(ids)`` of ``lanes`` to the places ``ids`` of the store."""

    def write(kept: np.ndarray, new: np.ndarray) -> None:
        kept[ids] = new[: len(ids)]

    jax.tree.map(write, store, lanes)


def reshape(tree: PyTree, old: int, shape: tuple[int, ...]) -> PyTree:
    """Leaves with their first ``old`` axes reshaped to ``shape``."""
    return jax.tree.map(lambda leaf: leaf.reshape((*shape, *leaf.shape[old:])), tree)


def concatenate(trees: Iterable[PyTree]) -> PyTree:
    """The lanes of all ``trees``, in order."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)


def stack(lanes: Iterable[PyTree]) -> PyTree:
    """Lanes alone, along an axis of their own."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *lanes)


def overwrite(params: dict, pretrained: dict, path: str = "") -> None:
    """Copy the leaves of ``pretrained`` to their places in ``params``; a UsageError where they do not fit."""
    for name, value in pretrained.items():
        here = f"{path}/{name}"
        if name not in params:
            raise UsageError(f"pretrained parameters {here}: the model has no such module, only {', '.join(params)}")
        if isinstance(value, dict):
            overwrite(params[name], value, here)
        elif params[name].shape != value.shape:
            raise UsageError(f"pretrained parameters {here}: shape {value.shape}, the model has {params[name].shape}")
        else:
            params[name][...] = value
