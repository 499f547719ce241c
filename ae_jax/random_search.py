"""Random search: priors, sampling, and sorting what was drawn into groups of lanes.

A search space maps a hyper-parameter to its prior. Hyper-parameters that are numbers (the fields of ``HParams``)
become lanes of one program; all others are shapes or kinds, and trials that differ there form separate groups.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax import Array

from ae_jax.lanes import HALVED, Group, make_lanes
from ae_jax.objectives import Objective
from ae_jax.recipes import spelled
from ae_jax.runs import Run
from ae_jax.trials import programs
from ae_jax.types import LARGEST, HParams, Plan, UsageError, hparams, reason, whole

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
LARGEST_FLOAT = float(np.finfo(np.float32).max)
Prior = Callable[[Array, int], np.ndarray]  # (key, n) -> n draws; consumes the key
Trials = dict[str, np.ndarray]  # hyper-parameter -> [trials]


def uniform(low: float, high: float) -> Prior:
    """Uniform in [low, high).

    >>> import ae_jax, jax
    >>> ae_jax.uniform(0.0, 0.25)(jax.random.key(0), 3).shape
    (3,)
    """
    real = _all_of(numbers.Real, low, high) and -LARGEST_FLOAT <= low < high <= LARGEST_FLOAT
    _require(real, f"uniform({low!r}, {high!r})", "finite numbers with low < high")
    return lambda key, n: np.asarray(jax.random.uniform(key, (n,), minval=low, maxval=high), np.float64)


def log_uniform(low: float, high: float) -> Prior:
    """Uniform in the logarithm between two positive bounds.

    >>> import ae_jax, jax
    >>> ae_jax.log_uniform(1e-4, 1e-2)(jax.random.key(0), 3).shape
    (3,)
    """
    real = _all_of(numbers.Real, low, high) and 0 < low < high <= LARGEST_FLOAT
    _require(real, f"log_uniform({low!r}, {high!r})", "finite numbers with 0 < low < high")
    exponent = uniform(np.log(float(low)), np.log(float(high)))
    return lambda key, n: np.exp(exponent(key, n)).clip(low, high)


def integer_uniform(low: int, high: int) -> Prior:
    """Uniform over the integers low, ..., high, both included.

    >>> import ae_jax, jax
    >>> ae_jax.integer_uniform(2, 16)(jax.random.key(0), 3).shape
    (3,)
    """
    whole = _all_of(numbers.Integral, low, high) and -LARGEST <= low <= high < LARGEST
    _require(whole, f"integer_uniform({low!r}, {high!r})", "whole numbers of 32 bits with low <= high")
    return lambda key, n: np.asarray(jax.random.randint(key, (n,), low, high + 1), np.int64)


def choice(values: Sequence[Any], p: Sequence[float] | None = None) -> Prior:
    """One of ``values``, with probabilities ``p`` (all equal if None).

    >>> import ae_jax, jax
    >>> ae_jax.choice(["adam"])(jax.random.key(0), 2).tolist()
    ['adam', 'adam']
    """
    name = f"choice({values!r}, p={p!r})"
    _require(isinstance(values, list | tuple | range | np.ndarray) and len(values) > 0, name, "a list of at least one")
    weights = np.full(len(values), 1 / len(values)) if p is None else np.asarray(p)
    proper = weights.shape == (len(values),) and weights.dtype.kind in "iuf"
    proper = proper and bool((weights >= 0).all() and np.isclose(weights.sum(), 1))
    _require(proper, name, "a probability for each value, none negative, with sum 1")
    table = column(values)
    return lambda key, n: table[np.asarray(jax.random.choice(key, len(values), (n,), p=weights))]


def constant(value: Any) -> Prior:
    """Always ``value``."""
    return lambda key, n: np.repeat(column([value]), n)


def column(values: Sequence[Any]) -> np.ndarray:
    """``values`` as ``[len(values)]``: numbers or strings as NumPy keeps them, all else as the objects they are.

    Objects are tuples, of lists too, whose lengths may differ, and what NumPy would turn into a string beside one.
    """
    values = [tuple(value) if isinstance(value, list) else value for value in values]
    try:
        table = np.asarray(values)
    except ValueError:  # tuples of several lengths
        return np.fromiter(values, object)
    spelled = table.dtype.kind in "US" and not all(isinstance(value, str) for value in values)
    return np.fromiter(values, object) if table.ndim != 1 or spelled else table


def sample(key: Array, space: Mapping[str, Prior | Any], n: int) -> Trials:
    """``n`` independent draws from every prior; a plain value in ``space`` stands for :func:`constant`.

    Consumes ``key``; the order of ``space`` does not matter.

    Raises UsageError for fewer than one trial.
    """
    _require(n >= 1, f"{n} trials", "at least one")
    for name, prior in space.items():
        if isinstance(prior, list | set | dict | np.ndarray):
            raise UsageError(f"{name} {prior!r} is not allowed in a search space: give a prior, such as choice([1, 2])")
    keys = dict(zip(sorted(space), jax.random.split(key, len(space)), strict=True))
    plain = {name for name, of in space.items() if isinstance(of, nn.Module) or not callable(of)}
    priors = {name: constant(of) if name in plain else of for name, of in space.items()}
    return {name: _drawn(name, prior, keys[name], n) for name, prior in priors.items()}


def _drawn(name: str, prior: Prior, key: Array, n: int) -> np.ndarray:
    """``prior(key, n)``. Raises UsageError for a function that is no prior: it may be meant as a value."""
    try:
        drawn = np.asarray(prior(key, n))
    except TypeError as error:
        raise UsageError(
            f"{name}: {getattr(prior, '__name__', prior)} is no prior ({reason(error)}); a function is a value in a "
            f"choice of one, choice([{getattr(prior, '__name__', 'function')}])"
        ) from error
    _require(drawn.shape[:1] == (n,), f"{name}: what its prior draws, of shape {list(drawn.shape)},", f"{n} draws")
    return drawn


def count(trials: Trials) -> int:
    """How many trials a table holds."""
    return len(next(iter(trials.values())))


class Planned(NamedTuple):
    """Trials and the groups of lanes they were sorted into; a lane's ``split`` is its fold."""

    trials: Trials
    groups: list[Group]
    folds: int

    def __str__(self) -> str:
        """What the user is told before it starts."""
        folds = f" x {self.folds} folds" if self.folds > 1 else ""
        number = len(programs(self.groups))
        return f"{count(self.trials)} trials{folds} in {number} program{'' if number == 1 else 's'}"


def plan_search(
    trials: Trials, build: Callable[..., tuple[Objective, Plan]], *, seed: int = 0, folds: int = 1
) -> Planned:
    """Sort trials into groups of lanes, a lane for each (trial, fold).

    Args:
        trials: hyper-parameters by name, ``[trials]`` each.
        build: ``(**statics) -> (objective, plan)`` for those that are not numbers; its parameters are the names
            that a search space may use besides the fields of ``HParams``.
        seed: a lane's seed is ``seed + trial * folds + fold``.
        folds: number of splits every trial is trained on.

    Raises UsageError for a name that is neither, or a number out of its range.
    """
    parameters = inspect.signature(build).parameters.values()
    known = {*HParams._fields, *(of.name for of in parameters if of.kind in _NAMED)}
    if reserved := [name for name in _needed(build) if name in HParams._fields]:
        raise UsageError(
            f"build takes {', '.join(reserved)}, a number that a lane is trained with and no part of an objective: "
            "leave it out of build; the space may have it all the same"
        )
    if (unknown := trials.keys() - known) and all(of.kind is not of.VAR_KEYWORD for of in parameters):
        raise UsageError(
            f"unknown hyper-parameter {', '.join(sorted(unknown))}: choose among {', '.join(sorted(known))}"
        )
    if missing := [name for name in _needed(build) if name not in trials]:
        raise UsageError(f"build takes {', '.join(missing)}, which the space lacks: give each a prior or a value")
    statics = [name for name in trials if name not in HParams._fields]
    per_lane = {name: values for name, values in trials.items() if name in HParams._fields}
    kinds: dict[tuple, list[int]] = {}
    for trial in range(count(trials)):
        kinds.setdefault(tuple(trials[name].tolist()[trial] for name in statics), []).append(trial)
    groups = []
    for kind, members in kinds.items():
        rows, fold = np.array(members)[:, None], np.arange(folds)
        numbers = hparams(**{name: values[rows] for name, values in per_lane.items()})
        lanes = make_lanes(numbers, seed + rows * folds + fold, fold, rows)
        chosen = dict(zip(statics, kind, strict=True))
        varying = [static for static in statics if len(set(trials[static].tolist())) > 1]
        name = ", ".join(f"{static}={spelled(chosen[static])}" for static in varying) or "all trials"
        groups.append(Group(name, *build(**chosen), lanes))
    return Planned(trials, groups, folds)


def _needed(build: Callable) -> list[str]:
    """The parameters of ``build`` that have no default."""
    parameters = inspect.signature(build).parameters.values()
    return [of.name for of in parameters if of.kind in _NAMED and of.default is of.empty]


class Outcome(NamedTuple):
    """A search by trial. Curves and losses of the folds keep their axis: ``[trials, folds, ...]``.

    A trial's loss is what it is ranked by, the mean of its folds' monitored losses.
    """

    loss: np.ndarray  # [trials]: infinite if any fold diverged
    fold_loss: np.ndarray  # [trials, folds]
    status: np.ndarray  # [trials, folds]
    epochs: np.ndarray  # [trials, folds]
    train_loss: np.ndarray  # [trials, folds, epochs]
    validation_loss: np.ndarray
    ranking: np.ndarray  # [trials]: best first; diverged and halved trials last


def collect(planned: Planned, runs: Sequence[Run]) -> Outcome:
    """The runs of :func:`~ae_jax.trials.run_groups`, back in the order of the trials.

    Only validation enters the ranking: a halved trial stopped early, so it ranks behind all that went on.
    """
    trials, epochs = count(planned.trials), max(run.curves.train_loss.shape[-1] for run in runs)

    def by_trial(values: Callable[[Run], np.ndarray], *tail: int) -> np.ndarray:
        first = values(runs[0])
        table = np.full((trials, planned.folds, *tail), np.nan if first.dtype.kind == "f" else 0, first.dtype)
        for run in runs:
            of_run = values(run)
            inner: list[Any] = [slice(n) for n in of_run.shape[len(run.shape) :]]
            table[(run.lanes.trial, run.lanes.split, *inner)] = of_run
        return table

    fold_loss, status = by_trial(lambda run: run.loss), by_trial(lambda run: run.status)
    loss = fold_loss.mean(1)
    behind = (status == HALVED).any(1)
    return Outcome(
        loss=loss,
        fold_loss=fold_loss,
        status=status,
        epochs=by_trial(lambda run: run.epochs),
        train_loss=by_trial(lambda run: run.curves.train_loss, epochs),
        validation_loss=by_trial(lambda run: run.curves.validation_loss, epochs),
        ranking=np.lexsort((loss, behind, ~np.isfinite(loss))),
    )


def trial_run(runs: Sequence[Run], trial: int) -> Run:
    """The lanes of a trial, one for each fold: a run of shape ``[folds]``."""
    trial = whole("trial", trial, 0)
    for run in runs:
        (members,) = np.nonzero((run.lanes.trial == trial).all(-1))
        if members.size:
            return run[members[0]]
    raise UsageError(f"trial {trial} is not among those of this search")


def short(value: Any) -> str:
    """What was drawn, or a loss, as people read it in a table."""
    return f"{value:.4g}" if isinstance(value, float) else spelled(value)


def _all_of(kind: type, *values: Any) -> bool:
    return all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


def _require(condition: bool, given: str, allowed: str) -> None:
    if not condition:
        raise UsageError(f"{given} is not allowed: it takes {allowed}")
