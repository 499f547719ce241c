"""A trained model inside an npz: its recipe as JSON and its parameters as arrays; no code is stored, none is run."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ae_jax import recipes
from ae_jax.objectives import Objective
from ae_jax.runs import Run, of_params
from ae_jax.types import UsageError
from ae_jax.widening import parameter_shapes


def to_arrays(run: Run) -> dict[str, np.ndarray]:
    """A lane alone as arrays of an npz: ``recipe`` and ``params/...``. Raises UsageError for a diverged one."""
    if run.shape or run.diverged:
        raise UsageError(f"{run.name}: lanes {run.shape}{', diverged' * bool(np.any(run.diverged))}: give run.best")
    return {"recipe": np.array(json.dumps(recipes.describe(run.objective)))} | flatten_dict(run.params, sep="/")


def from_arrays(arrays: Mapping[str, np.ndarray], source: str) -> Run:
    """The lane that :func:`to_arrays` stored among the arrays of ``source``, a name for messages.

    Raises UsageError where there is no model, or where recipe and parameters do not fit each other.
    """
    leaves = {name: values for name, values in arrays.items() if name.startswith("params/")}
    if "recipe" not in arrays or not leaves:
        raise UsageError(f"{source}: no model in it; give an npz of experiments.latent_space")
    try:
        objective = recipes.build(json.loads(str(arrays["recipe"])))
        if not isinstance(objective, Objective):
            raise UsageError("not the recipe of an objective")
        expected = flatten_dict(parameter_shapes(objective), sep="/")
    except ValueError as error:  # UsageErrors are ValueErrors too
        raise UsageError(f"{source}: its model cannot be built ({error}); run the study that wrote it again") from error
    for name in sorted(expected.keys() | leaves.keys()):
        wanted, found = (of[name].shape if name in of else None for of in (expected, leaves))
        if wanted != found:
            raise UsageError(
                f"{source}: parameter {name} has shape {found}, its model expects {wanted}; "
                "run the study that wrote it again"
            )
    return of_params(source, objective, unflatten_dict(leaves, sep="/"))
