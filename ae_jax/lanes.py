"""The nouns of a search: lanes (a trial, seed and fold each), their grids, what they train on, how they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ae_jax.batching import PADDING
from ae_jax.objectives import Objective
from ae_jax.types import HParams, Plan, PyTree, UsageError, hparams

RUNNING, DONE, STOPPED, DIVERGED, HALVED = range(5)
STATUS_NAMES = ("running", "done", "early-stopped", "diverged", "halved")
OWN_TRIAL = -1  # of a lane that is a trial by itself: the engine numbers it


class Lanes(NamedTuple):
    """Lanes on the host, in any shape: ``[*shape]`` each. Results come back in that shape.

    seed: int32; a lane's key is ``jax.random.key(seed)``.
    split: int32, the split of :class:`Splits` that a lane trains on.
    trial: int32; the lanes of one trial (its folds, its seeds) are judged together. ``OWN_TRIAL`` is one for itself.
    """

    hparams: HParams
    seed: np.ndarray
    split: np.ndarray
    trial: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid; ``()`` for a lane alone."""
        return self.seed.shape


def make_lanes(numbers: HParams, seed: Any = 0, split: Any = 0, trial: Any = OWN_TRIAL) -> Lanes:
    """Lanes from hyper-parameters, seeds, splits and trials, which broadcast against each other to their shape."""
    given = [0.0 if leaf is None else leaf for leaf in numbers]
    *leaves, seed, split, trial = np.broadcast_arrays(*map(np.asarray, (*given, seed, split, trial)))
    return Lanes(HParams._make(leaves), *(places.astype(np.int32) for places in (seed, split, trial)))


def lane_grid(numbers: HParams | None = None, /, **axes: Any) -> Lanes:
    """Every combination of ``axes``: ``lane_grid(penalty=[0.5, 1, 2], seed=range(4), epochs=20)`` has shape (3, 4).

    Args:
        numbers: hyper-parameters of all lanes, by default ``hparams()``; if they have a shape, it comes first.
        axes: ``seed``, ``split``, ``trial`` or a hyper-parameter. A sequence is a further axis, in the order given; a
            plain value is none.
    """
    long = [name for name, values in axes.items() if _dimensions(values)]
    if nested := [name for name in long if _dimensions(axes[name]) > 1]:
        raise UsageError(f"{', '.join(nested)} is not allowed as an axis of lanes: give a value or a plain sequence")
    columns = {name: np.reshape(axes[name], (-1, *[1] * behind)) for behind, name in enumerate(reversed(long))}
    columns = {name: columns.get(name, values) for name, values in axes.items()}
    places = {name: columns.pop(name) for name in ("seed", "split", "trial") if name in columns}
    shared = (hparams() if numbers is None else numbers)._asdict()
    shared = {
        name: np.reshape(leaf, (*np.shape(leaf), *[1] * len(long))) for name, leaf in shared.items() if leaf is not None
    }
    return make_lanes(hparams(**shared | columns), **places)


def _dimensions(values: Any) -> int:
    """0 for a value, 1 for a sequence, 2 or more for nested ones, also where their lengths differ."""
    try:
        return np.ndim(values)
    except ValueError:
        return 2


class Splits(NamedTuple):
    """Index sets, one after another (a fold each), padded with ``PADDING``: ``[splits, n]`` and ``[splits, m]`` int32.

    With ``m = 0`` there is no validation and the training loss is monitored in its place.
    """

    train: np.ndarray
    validation: np.ndarray


def stack_splits(splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> Splits:
    """(train, validation) index pairs as one :class:`Splits`, the shorter ones padded."""

    def stack(indices: Sequence[np.ndarray]) -> np.ndarray:
        longest = max(map(len, indices))
        padded = [np.pad(of, (0, longest - len(of)), constant_values=PADDING) for of in indices]
        return np.asarray(padded, np.int32)

    return Splits(*map(stack, zip(*splits, strict=True)))


def steps_per_epoch(plan: Plan, splits: Splits) -> int:
    """Full batches in the smallest training split; a UsageError if there is none."""
    smallest = int((np.asarray(splits.train) != PADDING).sum(1).min())
    if not 1 <= plan.batch_size <= smallest:
        raise UsageError(
            f"batch size {plan.batch_size} does not fit a training split of {smallest} examples: "
            f"choose one from 1 to {smallest}"
        )
    return smallest // plan.batch_size


class Group(NamedTuple):
    """Lanes that share an objective and a plan, hence a program; a program may train several groups (``widening``).

    ``pretrained`` is what lanes start from in place of fresh parameters: a part of the objective's parameter tree,
    leaves ``[*lanes.shape, ...]``.
    """

    name: str
    objective: Objective
    plan: Plan
    lanes: Lanes
    pretrained: PyTree = None
