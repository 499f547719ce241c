"""What a random search trains: trials drawn from a report's priors, which options may change, or read from a table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ae_jax import random_search
from ae_jax.objectives import Objective
from ae_jax.types import Plan, UsageError
from experiments import common, tables
from experiments.common import Options, Setup
from experiments.spaces import FULL_TRIALS, PROTOCOLS, QUICK_TRIALS, under_noise


class Planned(NamedTuple):
    """The search, and what is trained beside it, whose trials are the last of the table."""

    search: random_search.Planned
    beside: tuple[str, ...]

    @property
    def drawn(self) -> int:
        """How many trials are the search's own."""
        return random_search.count(self.search.trials) - len(self.beside)

    def __str__(self) -> str:
        return f"{self.search}{f', {len(self.beside)} of them beside the search' if self.beside else ''}"


@functools.lru_cache(maxsize=1)
def planned(setup: Setup) -> Planned:
    """The trials, drawn or read, and those beside them, sorted into groups of lanes."""
    options, budget, protocol = setup.options, setup.budget, PROTOCOLS[setup.options.study]
    space = protocol.space(budget.epochs, budget.batch_size)
    given = common.given(options, "latent", "dropout")
    if unknown := given.keys() - space.keys():
        raise UsageError(f"--{min(unknown)}: study {options.study} has none; choose another --study")
    build = _build(options)
    trials = _trials(setup, space | {name: random_search.choice(values) for name, values in given.items()}, build)
    alone = options.trials_from is not None or options.halving is not None
    beside = {} if alone else protocol.beside(budget.epochs, budget.batch_size)
    rows = [_fixed(space) | own for own in beside.values()]
    table = {name: np.concatenate([v, np.array([row[name] for row in rows], v.dtype)]) for name, v in trials.items()}
    if options.noise is not None:
        table["noise"] = np.full(random_search.count(table), options.noise)
    return Planned(random_search.plan_search(table, build, seed=options.seed, folds=protocol.folds), tuple(beside))


def _build(options: Options) -> Callable[..., tuple[Objective, Plan]]:
    """What the statics of a trial select. UsageError for noise where there is no denoiser."""
    build = PROTOCOLS[options.study].build
    if options.noise is None:
        return build
    if options.study == "B7":
        raise UsageError(f"--noise {options.noise}: study B7 has no denoiser; choose A1, B3 or C1")
    return under_noise(build)


def _trials(setup: Setup, space: Mapping[str, Any], build: Callable) -> random_search.Trials:
    """The table of trials: drawn from the priors, or read from a file that may leave out the plain values."""
    options = setup.options
    if options.trials_from is None:
        count = options.trials or (FULL_TRIALS if options.budget == "full" else QUICK_TRIALS)[options.study]
        return random_search.sample(setup.key, space, count)
    given = common.given(options, "epochs", "batch_size")
    fixed = _fixed(space) | given
    return tables.read_trials(options.trials_from, build, fixed, required=space, limit=options.trials, refuse=given)


def _fixed(space: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values among the priors."""
    return {name: value for name, value in space.items() if not callable(value)}


def title(options: Options) -> str:
    """The study and what its priors were changed to, in words."""
    given = {name: getattr(options, name) for name in ("latent", "dropout", "noise")}
    words = [
        f"{name} {'' if name == 'noise' else 'among '}{', '.join(map(str, np.atleast_1d(value)))}"
        for name, value in given.items()
        if value is not None
    ]
    return ", ".join([options.study, *words])


def deviations(options: Options) -> tuple[str, ...]:
    """The options that part a run from the report's protocol, if given: among them fewer trials, but not more.

    Report C's dropout may be the list or the interval.
    """
    fewer = options.trials is not None and options.trials < FULL_TRIALS[options.study]
    listed = options.study == "C1" and options.dropout == (0.1, 0.5)
    return ("trials_from", "halving", "latent", "noise", *(["trials"] * fewer), *(["dropout"] * (not listed)))
