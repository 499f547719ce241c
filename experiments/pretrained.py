"""Trained autoencoders inside an npz: written by the studies of the latent space, read by those that go on with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ae_jax import results
from ae_jax.models import IMAGE_SIZE, Autoencoder, conv_autoencoder
from ae_jax.types import PyTree, UsageError

PREFIX = "params/"


def arrays(params: PyTree) -> dict[str, np.ndarray]:
    """The parameters of one lane as arrays of an npz; its meta must say ``model``, see :func:`read`."""
    return {f"{PREFIX}{path}": np.asarray(leaf) for path, leaf in flatten_dict(params["params"], sep="/").items()}


def read(path: Path) -> tuple[Autoencoder, PyTree, dict[str, Any]]:
    """The convolutional autoencoder in an npz, its parameters, and the meta.

    Raises UsageError for a file without a model, or with parameters of other shapes than its model's.
    """
    saved, meta = results.load(path)
    sizes = meta["config"].get("model")
    leaves = {name.removeprefix(PREFIX): values for name, values in saved.items() if name.startswith(PREFIX)}
    if not sizes or not any(name.startswith("encoder/") for name in leaves):
        raise UsageError(
            f"{path}: results of the study {meta['study']!r}, which keep no encoder; "
            "give an npz of experiments.latent_space"
        )
    try:
        model = conv_autoencoder(sizes["latent"], tuple(sizes["channels"]), sizes["hidden"])
        expected = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, IMAGE_SIZE, IMAGE_SIZE, 1)))["params"]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: no model is of the sizes {sizes!r}; run the study that wrote it again") from error
    wanted = {name: leaf.shape for name, leaf in flatten_dict(expected, sep="/").items()}
    found = {name: leaf.shape for name, leaf in leaves.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise UsageError(
                f"{path}: parameter {name} has shape {found.get(name)}, its model expects {wanted.get(name)}; "
                "run the study that wrote it again"
            )
    data = meta.get("dataset")
    if not isinstance(data, dict) or "sha256" not in data or "caption" not in meta:
        raise UsageError(f"{path}: it does not say on which data it was trained; run the study that wrote it again")
    return model, {"params": unflatten_dict(leaves, sep="/")}, meta
