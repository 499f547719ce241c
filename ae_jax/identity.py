"""What decides the numbers of a search: kept with its checkpoints, so that those of another are told apart."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

import ae_jax
from ae_jax import recipes
from ae_jax.batching import PADDING, Data
from ae_jax.checkpoints import DETAILS
from ae_jax.lanes import Group, Splits
from ae_jax.objectives import parameter_shapes
from ae_jax.types import PyTree

_SHOWN = 5  # values of one number, at most


def identity(groups: Sequence[Group], data: Data, splits: Splits, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the numbers of a search, as plain JSON values; the long ones as digests, with ``DETAILS``."""
    return {
        "lanes": _digest([(group.lanes, group.pretrained) for group in groups]),
        **{f"objective of {index}, {group.name}": _objective(group) for index, group in enumerate(groups)},
        "plans": [str(group.plan) for group in groups],
        "splits": _digest(splits),
        "data": _digest(data),
        **settings,
        "processes": jax.process_count(),
        "devices (JAX_NUM_CPU_DEVICES)": f"{jax.local_device_count()} {jax.local_devices()[0].device_kind}",
        "precision of matrix products": str(jax.config.values["jax_default_matmul_precision"]),
        "random numbers (JAX_DEFAULT_PRNG_IMPL)": jax.config.values["jax_default_prng_impl"],
        "JAX_THREEFRY_PARTITIONABLE": jax.config.values["jax_threefry_partitionable"],
        "ae_jax": ae_jax.__version__,
        "jax": f"{jax.__version__}, jaxlib {importlib.metadata.version('jaxlib')}",
        DETAILS: _details(groups, data, splits),
    }


def _details(groups: Sequence[Group], data: Data, splits: Splits) -> dict[str, Any]:
    """What the entries of these names say, for people."""
    lanes: dict[str, str] = {}
    plans: dict[str, Any] = {}
    objectives: dict[str, Any] = {}
    for index, group in enumerate(groups):
        of = f" of {index}, {group.name}" if len(groups) > 1 else ""
        numbers = group.lanes.hparams._asdict() | {"seed": group.lanes.seed}
        lanes |= {name + of: _values(values) for name, values in numbers.items()}
        plans |= {name + of: value for name, value in dataclasses.asdict(group.plan).items()}
        objectives[f"objective of {index}, {group.name}"] = _described(group)
    images = f"{len(data.images)} of {' x '.join(map(str, data.images.shape[1:]))}, {data.images.dtype}"
    counts = {f"{part} images": _values((of != PADDING).sum(1)) for part, of in splits._asdict().items()}
    return {"lanes": lanes, "plans": plans, "splits": counts, "data": {"images": images}, **objectives}


def _values(values: Any) -> str:
    """Those that occur, the first few of many."""
    words = list(dict.fromkeys(f"{value:.6g}" for value in np.ravel(values).tolist()))
    return ", ".join(words) if len(words) <= _SHOWN else f"{len(words)} values, {', '.join(words[:_SHOWN])}, ..."


def _described(group: Group) -> Any:
    return recipes.describe(group.objective.recipe or group.objective.loss)


def _objective(group: Group) -> str:
    return f"{json.dumps(_described(group))}, parameters {parameter_shapes(group.objective)}"


def _digest(*trees: PyTree) -> str:
    content = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        content.update(f"{leaf.shape} {leaf.dtype}".encode())
        content.update(np.ascontiguousarray(leaf).data)
    return content.hexdigest()[:16]
