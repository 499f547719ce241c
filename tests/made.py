"""Runs made by hand: models with given parameters as lanes, nothing trained; and compiled forms of what tests call.

Operation by operation, each would be a program to compile for every shape.
"""

import dataclasses
import functools

import jax
import numpy as np

from ae_jax import batching, training
from ae_jax.lanes import DONE, lane_grid
from ae_jax.objectives import Objective, init_of
from ae_jax.recipes import Recipe
from ae_jax.runs import Curves, Run, of_params

take = jax.jit(batching.take)
init_state = jax.jit(training.init_state, static_argnames=("objective", "plan"))
train_step = jax.jit(training.train_step, static_argnames=("objective", "plan"))
train_epoch = jax.jit(training.train_epoch, static_argnames=("objective", "plan", "steps"))


@functools.partial(jax.jit, static_argnames="module")
def init(module, *inputs):
    """Fresh parameters of a module, always the same."""
    return module.init(jax.random.key(0), *inputs)


@functools.partial(jax.jit, static_argnames=("module", "method"))
def apply(module, params, *inputs, method=None):
    """What the method of a module makes of ``inputs``."""
    return module.apply(params, *inputs, method=method)


@functools.partial(jax.jit, static_argnames=("objective", "train"))
def loss(objective, params, key, batch, numbers, train=True):
    """``(loss [batch], metrics)`` of an objective."""
    return objective.loss(params, key, batch, numbers, train)


def run_of(model, params, likelihood=None, status=DONE) -> Run:
    """Lanes of ``model``, one for each entry of the leaves of ``params [lanes, ...]``."""
    recipe = Recipe("made", (("model", model), ("likelihood", likelihood)))
    run = of_params("made", Objective(init_of(model), None, separable=True, recipe=recipe), params)
    lanes = lane_grid(seed=np.arange(len(jax.tree.leaves(run.params)[0])))
    zeros, none = np.zeros(lanes.shape, np.float32), np.empty((*lanes.shape, 0), np.float32)
    statuses = np.broadcast_to(np.int32(status), lanes.shape).copy()
    fields = {"status": statuses, "epochs": zeros.astype(np.int32), "loss": zeros, "curves": Curves(none, none)}
    return dataclasses.replace(run, lanes=lanes, **fields)


def alone(model, params, likelihood=None) -> Run:
    """``model`` with the parameters of one lane."""
    return run_of(model, jax.tree.map(lambda leaf: np.asarray(leaf)[None], params), likelihood)[0]
