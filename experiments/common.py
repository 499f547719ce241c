"""What every study shares: its options, its budget, its data, its caption. Training is in ``running``."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from ae_jax import data, results
from ae_jax.batching import Data, unit
from ae_jax.lanes import Group, Splits, lane_grid, stack_splits
from ae_jax.objectives import Objective
from ae_jax.runs import Run
from ae_jax.types import NUMBERS, Dataset, Plan, hparams


@dataclasses.dataclass(frozen=True)
class Options:
    """Options that every study takes."""

    dataset: Literal["mnist", "digits", "fashion_mnist", "kmnist"] = "mnist"
    """mnist; digits: scikit-learn's embedded 8x8 digits, enlarged, which need no network; or fashion_mnist or kmnist,
    which are treated as mnist is, but to which no report's figures compare."""
    data_dir: Path | None = None
    """Folder with the four IDX files of the dataset; AE_JAX_DATA says the same."""
    budget: Literal["quick", "full"] = "quick"
    """quick: mostly a minute on two cores; full: the report's protocol."""
    out: Path | None = None
    """Folder for the npz, the figures and, while it runs, the checkpoints; by default results/DATASET-BUDGET."""
    seed: int = 0
    """Seed of the first lane; further lanes count on from it."""
    epochs: int | None = None
    """Override the budget's number of epochs."""
    batch_size: int | None = None
    """Override the budget's batch size."""
    limit: int | None = None
    """Use at most this many training and test examples."""
    resume: bool = False
    """Go on with an unfinished run of the same options."""
    redraw: bool = False
    """Train nothing: draw the figures of a finished study again, from its npz alone."""
    segment: int = 5
    """Epochs between two returns to the host, where progress is shown and checkpoints are written."""
    lanes_per_call: int | None = None
    """Lanes trained in one call; the default is one per CPU device, or as many as fit an accelerator."""
    precision: Literal["default", "float32", "tf32", "bfloat16"] = "default"
    """What matrix products round their factors to; they add in float32. The default is the device's: tf32 on recent
    GPUs, bfloat16 on TPUs, float32 on CPUs, which know no other."""
    distributed: bool = False
    """Join the other processes of this run; the environment (SLURM, Open MPI) says how, or the next three do."""
    coordinator: str | None = None
    """HOST:PORT of process 0."""
    num_processes: int | None = None
    """How many processes take part."""
    process_id: int | None = None
    """Which of them this is, from 0; process 0 writes the results."""


def hyper_parameter(name: str, default: str) -> Any:
    """The type of an option for a hyper-parameter, which its line in ``types.HParams`` explains."""
    entry = NUMBERS[name]
    words = f"{entry.meaning} It must be {entry.allowed.words}. {default}"
    return Annotated[float | None, tyro.conf.arg(help=words)]


@dataclasses.dataclass(frozen=True)
class Budget:
    """The numbers that make a run quick or full."""

    epochs: int
    batch_size: int
    seeds: int = 1
    limit: int | None = None


Budgets = Mapping[str, Mapping[str, Budget]]  # by quick or full, and by dataset


def budgets(digits: Budget, mnist: Budget, full: Budget, full_digits: Budget | None = None) -> Budgets:
    """Quick ones for both datasets and the full one, the report's protocol, of which the digits may have their own."""
    return {"quick": {"digits": digits, "mnist": mnist}, "full": {"digits": full_digits or full, "mnist": full}}


@dataclasses.dataclass(frozen=True)
class SeededOptions(Options):
    """Options of a study that may be repeated."""

    seeds: int | None = None
    """Number of runs with different seeds, for error bars."""


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """What a study starts from: its options, the numbers they come to, its data.

    label: the study's name with its variant's, for files.
    started: when it began, by ``time.perf_counter``.
    cpu: seconds of all cores that the process had taken by then, ``time.process_time``.
    earlier: runs of stages before the study's own training, by name.
    checkpoints: folders of all stages, which go when the study is done.
    resumed: those of them that were there before, to go on from.
    """

    options: Any  # the study's own kind of Options
    budget: Budget
    dataset: Dataset
    label: str
    started: float
    cpu: float = dataclasses.field(default_factory=time.process_time)
    earlier: dict[str, Run] = dataclasses.field(default_factory=dict)
    checkpoints: list[Path] = dataclasses.field(default_factory=list)
    resumed: list[Path] = dataclasses.field(default_factory=list)

    @property
    def seeds(self) -> np.ndarray:
        """The seeds of the repeated runs: ``[seeds]``."""
        return self.options.seed + np.arange(self.budget.seeds)

    def groups(self, objectives: Mapping[str, Objective], optimizer: str = "adam", **numbers: Any) -> list[Group]:
        """A group for each of ``objectives``, a lane for each seed, by the budget's epochs and batch size.

        ``numbers`` are further hyper-parameters, or other epochs.
        """
        lanes = lane_grid(hparams(**{"epochs": self.budget.epochs} | numbers), seed=self.seeds)
        plan = Plan(self.budget.batch_size, optimizer)
        return [Group(name, objective, plan, lanes) for name, objective in objectives.items()]

    @property
    def key(self) -> jax.Array:
        """The key of what a study draws itself; consumed by whoever uses it first."""
        return self.child(2)

    def child(self, number: int) -> jax.Array:
        """A further key. A lane splits its own key in two: the children from 2 on are free, and 2 is ``key``."""
        return jax.random.fold_in(jax.random.key(self.options.seed), number)

    @property
    def everything(self) -> Splits:
        """A split that trains on all images and validates on none."""
        return stack_splits([data.no_holdout(len(self.dataset.train_images))])

    @functools.cached_property
    def training(self) -> Data:
        """The training examples as the engine takes them, on the device."""
        return Data(jnp.asarray(self.dataset.train_images), jnp.asarray(self.dataset.train_labels.astype(np.int32)))

    @functools.cached_property
    def test(self) -> Data:
        """The test examples, likewise."""
        return Data(jnp.asarray(self.dataset.test_images), jnp.asarray(self.dataset.test_labels.astype(np.int32)))

    @functools.cached_property
    def train_images(self) -> jax.Array:
        """Training images, float32 in [0, 1]."""
        return unit(self.training.images)

    @functools.cached_property
    def test_images(self) -> jax.Array:
        """Test images, likewise."""
        return unit(self.test.images)


def prepare(options: Options, label: str, budgets: Budgets) -> Setup:
    """The chosen budget, and the data cut to it."""
    results.git_commit()  # kept from here on: what is committed while a study runs did not run
    started, budget = time.perf_counter(), choose(options, budgets)
    dataset = data.load(options.dataset, options.data_dir)
    if budget.limit is not None:
        dataset = data.limit(dataset, budget.limit)
    return Setup(options, budget, dataset, label, started)


def choose(options: Options, budgets: Budgets) -> Budget:
    """The budget of the chosen dataset, the overrides of the command line in place."""
    overrides = given(options, *(field.name for field in dataclasses.fields(Budget)))
    size = "digits" if options.dataset == "digits" else "mnist"  # of the others all have MNIST's
    return dataclasses.replace(budgets[options.budget][size], **overrides)


def given(options: Options, *names: str) -> dict[str, Any]:
    """Those of the named options that the command line gave; a study need not have them all."""
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def describe(setup: Setup, numbers: str = "") -> str:
    """The caption that every figure and table of a run carries: which data, which budget, which ``numbers``."""
    options, budget, dataset = setup.options, setup.budget, setup.dataset
    name = data.TITLES[dataset.name] + " (not MNIST)" * (dataset.name != "mnist")
    sizes = f"{len(dataset.train_images):,} training and {len(dataset.test_images):,} test images"
    runs = f", {budget.seeds} seeds (mean and one deviation)" if budget.seeds > 1 else ""
    numbers = numbers or f"{budget.epochs} epochs, batch {budget.batch_size}{runs}"
    return f"{name}, {sizes}; budget {options.budget}: {numbers}"


def comparable(setup: Setup, *protocol: str) -> bool:
    """Whether a run's figures may be set beside a report's: MNIST, all of it, by the full budget's numbers.

    ``protocol`` names further options of the study that must be at their default, None.
    """
    overridden = given(setup.options, "limit", "epochs", "batch_size", *protocol)
    return setup.dataset.name == "mnist" and setup.options.budget == "full" and not overridden


def plain(options: Options) -> dict[str, Any]:
    """Options as plain JSON values: what an npz or a checkpoint gives back."""
    return json.loads(json.dumps(dataclasses.asdict(options), default=str))
