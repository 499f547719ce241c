"""A trained run as one ``safetensors`` file: weights that PyTorch and JavaScript read too, and how to build the model.

Its tensors lead with the shape of the run, ``[*run.shape, ...]``: the parameters ``params.encoder.Conv_0.kernel`` ...
in our layout (``export`` has PyTorch's), ``lanes.seed``, ``lanes.hparams.l2`` ..., ``status``, ``epochs``, ``loss``,
``curves.train_loss`` ... Its metadata say the rest in JSON, and hold a digest of all. No code is stored and none is
run: a model is built again by ``recipes``, from the table of its parts.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from ae_jax import recipes, results
from ae_jax.lanes import Lanes
from ae_jax.objectives import Objective, parameter_shapes
from ae_jax.runs import Cost, Curves, Run, of_params
from ae_jax.types import NUMBERS, HParams, Plan, PyTree, UsageError, as_path, reason

SUFFIX = ".safetensors"
FORMAT = "ae_jax model"
VERSION = 1
_DESCRIBED = ("name", "recipe", "plan", "shape", "image", "cost", "provenance")  # in JSON

_flat = functools.partial(flatten_dict, sep=".")  # a tensor's name is its place in the tree of a run


def save(run: Run, path: str | Path, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write all lanes of ``run``, diverged ones too, to ``path``, whole or not at all; missing folders are made.

    Args:
        run: or a part of it: ``run.best``, ``run[2]``.
        path: ends in ``.safetensors``.
        provenance: plain JSON values to stand beside the versions, device, commit and time of :func:`results.origin`,
            as the digest of the training images.

    Raises:
        UsageError: another ending, a path that cannot be written, a model with parts that only this process knows,
            or parameters that are not those of the objective's model. Nothing is written.
    """
    path = as_path(path)
    if path.suffix != SUFFIX:
        raise UsageError(f"{path}: a model's file ends in {SUFFIX}; give {path.name}{SUFFIX}")
    recipe = recipes.portable(run.objective)
    tensors = {name: np.array(leaf, order="C") for name, leaf in _flat(_tree(run)).items()}
    _check(tensors, run.objective, run.shape)
    described = {
        "name": run.name,
        "recipe": recipe,
        "plan": dataclasses.asdict(run.plan),
        "shape": run.shape,
        "image": run.model.image,
        "cost": run.cost._asdict(),
        "provenance": {**results.origin(), **(provenance or {})},
    }
    metadata = {"format": FORMAT, "format_version": str(VERSION)}
    metadata |= {name: json.dumps(value) for name, value in described.items()}
    content = safetensors.numpy.save(tensors, metadata | {"sha256": results.digest(metadata, tensors)})
    return results.write(path, content)


def load(path: str | Path) -> Run:
    """The run that :func:`save` wrote to ``path``, bit for bit.

    On the machine that trained it its outputs are then the same, bit for bit. Another backend, number of lanes at
    once or implementation of the convolutions sums in another order: outputs agree to 1e-5 of their scale as long as
    products are float32 (on an accelerator: ``jax_default_matmul_precision`` "highest").

    Raises:
        UsageError: no such file, damaged, not one of ours, of a newer version, or of a recipe that does not fit.
    """
    path = as_path(path)
    described, tensors = _read(path)
    try:
        return _run(described, tensors)
    except Exception as error:  # a recipe may ask for anything; what it is built with raises errors of any kind
        raise UsageError(f"{path}: its model cannot be built ({reason(error)}); save it again") from error


def info(path: str | Path) -> dict[str, Any]:
    """What ``path`` says of itself: name, recipe, plan, shape, image, cost, provenance. Raises as :func:`load` does."""
    return _read(as_path(path))[0]


def _tree(run: Run) -> PyTree:
    """What a file holds of a run as tensors."""
    lanes = run.lanes._asdict() | {"hparams": run.lanes.hparams._asdict()}
    of_lanes = {"lanes": lanes, "status": run.status, "epochs": run.epochs, "loss": run.loss}
    return run.params | of_lanes | {"curves": run.curves._asdict()}


def _lane(objective: Objective) -> PyTree:
    """:func:`_tree` of a lane alone, as shapes and dtypes; it takes no memory, whatever the recipe asks for."""
    return _tree(of_params("", objective, {})) | parameter_shapes(objective)


def _check(tensors: Mapping[str, np.ndarray], objective: Objective, shape: tuple[int, ...]) -> None:
    """UsageError that names the first tensor which is not that of lanes of this shape. Curves are of any length."""
    expected = {name: (leaf.dtype.name, (*shape, *leaf.shape)) for name, leaf in _flat(_lane(objective)).items()}
    found = {name: (values.dtype.name, values.shape) for name, values in tensors.items()}
    for name in (f"curves.{name}" for name in Curves._fields):
        _, length = found.get("curves.train_loss", expected[name])
        expected[name] = (expected[name][0], (*shape, *length[len(shape) :][:1]))
    for name in sorted(expected.keys() | found.keys()):
        wanted, given = ("missing" if name not in of else "{} {}".format(*of[name]) for of in (expected, found))
        if wanted != given:
            raise UsageError(f"{name} is {given}, its model expects {wanted}")


def _run(described: dict[str, Any], tensors: dict[str, np.ndarray]) -> Run:
    """The run of a file. Raises errors of any kind where its parts do not fit."""
    objective = recipes.build(described["recipe"])
    if not isinstance(objective, Objective):
        raise UsageError("not the recipe of an objective")
    shape = tuple(described["shape"])
    for name, number in NUMBERS.items():  # a hyper-parameter younger than the file has its default
        default: np.ndarray = np.broadcast_to(np.asarray(number.default, number.dtype), shape)
        tensors.setdefault(f"lanes.hparams.{name}", default)
    _check(tensors, objective, shape)
    tree = unflatten_dict({key: tensors[".".join(key)] for key in flatten_dict(_lane(objective))})
    lanes, curves = tree.pop("lanes"), tree.pop("curves")
    return Run(
        described["name"], objective, Plan(**{name: recipes.build(value) for name, value in described["plan"].items()}),
        Lanes(**lanes | {"hparams": HParams(**lanes["hparams"])}), tree.pop("status"), tree.pop("epochs"),
        Curves(**curves), tree.pop("loss"), params=tree, cost=Cost(**described["cost"]),
    )  # fmt: skip


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the metadata describe, and the tensors, both as they were saved: the digest is checked."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give a {SUFFIX} that ae_jax saved")
    try:
        with safetensors.safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            _check_format(metadata)
            tensors = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        if metadata.pop("sha256", None) != results.digest(metadata, tensors):
            raise ValueError("damaged: its digest is another")
        return {name: json.loads(metadata[name]) for name in _DESCRIBED}, tensors
    except Exception as error:  # safetensors, JSON, NumPy: foreign content raises errors of any kind
        raise UsageError(f"{path}: not a model's file ({reason(error)}); give a {SUFFIX} that ae_jax saved") from error


def _check_format(metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"safetensors of another program, whose format is not {FORMAT!r}")
    if (version := metadata.get("format_version")) != str(VERSION):
        raise ValueError(f"format {version} of a newer ae_jax, this one reads {VERSION}: update it")
