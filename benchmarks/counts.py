"""How many programs the studies train by: ``python -m benchmarks.counts``, which trains none of them.

Every study is planned at its full budget. Embedded digits stand for MNIST, as no plan depends on what the images show,
and untrained lanes for what is trained before a plan is made, as the autoencoders of ``transfer``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jax
import numpy as np

from ae_jax import data, trials
from ae_jax.lanes import DONE, Group
from ae_jax.objectives import parameter_shapes
from ae_jax.runs import Curves, Run
from ae_jax.types import Dataset, UsageError
from benchmarks import report
from experiments import common, registry, running
from experiments.comparison import print_table
from experiments.running import Training
from experiments.study import Setup


@dataclasses.dataclass(frozen=True)
class Options:
    """Count what the studies train at their full budget."""

    studies: tuple[str, ...] = tuple(registry.STUDIES)
    """Studies of run_all; by default all of them."""


class Count(NamedTuple):
    """What a study trains, all stages."""

    study: str
    groups: int
    lanes: int
    programs: int


def count(name: str, dataset: Dataset) -> Count:
    """What a study trains at its full budget on MNIST; ``dataset`` stands for it."""
    of, own = registry.STUDIES[name]
    given = own | ({"model": Path("given")} if name == "smoothness" else {})  # or it would run another study
    options = of.options(dataset="mnist", budget="full", **given)
    budgets = of.budgets(options) if callable(of.budgets) else of.budgets
    setup = common.Setup(options, common.choose(options, budgets), dataset, of.label(options), 0.0)
    trainings: list[Training] = []

    def pretend(setup: Setup, training: Training, stage: str) -> None:
        trainings.append(training)
        setup.earlier.update({f"{stage} {group.name}": untrained(group) for group in training.groups})

    with mock.patch.object(running, "train", pretend):
        trainings.append(of.plan(setup))
    groups = [group for training in trainings for group in training.groups]
    programs = sum(len(trials.programs(training.groups)) for training in trainings)
    return Count(name, len(groups), sum(group.lanes.seed.size for group in groups), programs)


def untrained(group: Group) -> Run:
    """A group's lanes with zeros for parameters."""
    shape = group.lanes.shape
    params = jax.tree.map(lambda leaf: np.zeros((*shape, *leaf.shape), leaf.dtype), parameter_shapes(group.objective))
    status, none = np.full(shape, DONE), np.empty((*shape, 0))
    return Run(*group[:4], status, status, Curves(none, none), np.zeros(shape), params)


def run(options: Options) -> None:
    """Count, and print the table."""
    if unknown := [name for name in options.studies if name not in registry.STUDIES]:
        raise UsageError(f"no study {unknown[0]!r}: choose among {', '.join(registry.STUDIES)}")
    dataset = data.load("digits")
    rows = [tuple(map(str, count(name, dataset))) for name in options.studies]
    print_table("What the studies train", Count._fields, rows, "MNIST's full budget, all stages")


if __name__ == "__main__":
    report.guard(Options, run)
