"""What every study shares: its options and budget, its data, its closing table. Training is in ``running``."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import joblib
import numpy as np
import tyro

from ae_jax import data, downloads
from ae_jax.lanes import Splits, stack_splits
from ae_jax.runs import Run
from ae_jax.training import Data
from ae_jax.types import NUMBERS, Dataset, UsageError

LARGEST_COUNT = 100_000
# In JAX's words, of which "bfloat16" alone would mean the device's default.
PRECISIONS = {"default": None, "float32": "highest", "tf32": "TF32_TF32_F32", "bfloat16": "BF16_BF16_F32"}
LARGEST_SEED = 2**31 - 1 - 10**6  # leaves room to count on from it


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
    earlier: runs of stages before the study's own training, by name.
    """

    options: Any  # the study's own kind of Options
    budget: Budget
    dataset: Dataset
    label: str
    started: float
    earlier: dict[str, Run] = dataclasses.field(default_factory=dict)

    @property
    def seeds(self) -> np.ndarray:
        """The seeds of the repeated runs: ``[seeds]``."""
        return self.options.seed + np.arange(self.budget.seeds)

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
        return Data(jnp.asarray(self.dataset.train_images), jnp.asarray(self.dataset.train_labels, jnp.int32))

    @functools.cached_property
    def test(self) -> Data:
        """The test examples, likewise."""
        return Data(jnp.asarray(self.dataset.test_images), jnp.asarray(self.dataset.test_labels, jnp.int32))

    @functools.cached_property
    def train_images(self) -> jax.Array:
        """Training images, float32 in [0, 1]."""
        return unit_images(self.dataset.train_images)

    @functools.cached_property
    def test_images(self) -> jax.Array:
        """Test images, likewise."""
        return unit_images(self.dataset.test_images)


O = TypeVar("O", bound=Options)


def main(options_type: type[O], study: Callable[[O], Any]) -> None:
    """Parse the command line, run ``study``; bad input ends in one line on stderr and exit code 2.

    On a CPU every core is a device, unless ``JAX_NUM_CPU_DEVICES`` says otherwise: lanes then train side by side.
    Compiled programs that took a while are kept in the user's cache folder, or where ``JAX_COMPILATION_CACHE_DIR``
    says; an empty value keeps none.
    """
    options = parse(options_type)
    use_all_cores()
    if options.out is None:
        options = dataclasses.replace(options, out=Path("results") / f"{options.dataset}-{options.budget}")
    programs = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(downloads.cache_dir() / "programs"))
    jax.config.update("jax_compilation_cache_dir", programs or None)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    try:
        _check(options)
        _join(options)
        _set_precision(options.precision)
        study(options)
    except UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("interrupted; go on from the last checkpoint with --resume", file=sys.stderr)
        sys.exit(130)


def use_all_cores() -> None:
    """Make every core a CPU device, unless the environment gives a number or JAX is in use already."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ and "device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", joblib.cpu_count(only_physical_cores=True))


def parse(options_type: type[O]) -> O:
    """tyro's parser, with its error box folded to one line."""
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            return tyro.cli(options_type)
    except SystemExit as end:
        if end.code:
            words = message.getvalue().translate(dict.fromkeys(map(ord, "│╭╮╰╯─"), " ")).split()
            fail(" ".join(words))
        raise


def fail(message: str) -> None:
    """End with one line on stderr and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _join(options: Options) -> None:
    """Join a distributed run, if this is one."""
    how = options.coordinator, options.num_processes, options.process_id
    if options.distributed or any(value is not None for value in how):
        try:
            jax.distributed.initialize(*how)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"cannot join a distributed run ({reason}): start it by SLURM or Open MPI, or give all of "
                "--coordinator HOST:PORT --num-processes N --process-id I"
            ) from error


def _set_precision(precision: str) -> None:
    """Raises UsageError for what a CPU cannot do."""
    if precision in ("tf32", "bfloat16") and jax.default_backend() == "cpu":
        raise UsageError(f"--precision {precision} is not allowed on a CPU, which multiplies in float32: leave it out")
    jax.config.update("jax_default_matmul_precision", PRECISIONS[precision])


def _check(options: Options) -> None:
    counts = (
        "seeds", "trials", "top", "epochs", "batch_size", "limit", "segment", "lanes_per_call", "num_processes",
        "samples", "test_images", "tsne_sample",
    )  # fmt: skip
    for name, value in given(options, *counts).items():
        require_count(f"--{name.replace('_', '-')}", value)
    if not 0 <= options.seed <= LARGEST_SEED:
        raise UsageError(f"--seed {options.seed} is not allowed: give a whole number from 0 to {LARGEST_SEED}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as error:
        raise UsageError(
            f"--out {options.out}: cannot write there ({error.strerror}); name a folder that can be written to"
        ) from error


def require_count(name: str, value: float) -> None:
    """Raises UsageError, which calls it ``name``, unless ``value`` is in the range of a count."""
    if not 1 <= value <= LARGEST_COUNT:
        raise UsageError(f"{name} {value} is not allowed: give a whole number from 1 to {LARGEST_COUNT}")


def prepare(options: Options, label: str, budgets: Mapping[str, Mapping[str, Budget]]) -> Setup:
    """The budget of the chosen dataset with the overrides of the command line in place, and the data cut to it."""
    started = time.perf_counter()
    overrides = given(options, *(field.name for field in dataclasses.fields(Budget)))
    size = "digits" if options.dataset == "digits" else "mnist"  # of the others all have MNIST's
    budget = dataclasses.replace(budgets[options.budget][size], **overrides)
    dataset = data.load(options.dataset, options.data_dir)
    if budget.limit is not None:
        dataset = data.limit(dataset, budget.limit)
    return Setup(options, budget, dataset, label, started)


def given(options: Options, *names: str) -> dict[str, Any]:
    """Those of the named options that the command line gave; a study need not have them all."""
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def unit_images(images: np.ndarray) -> jax.Array:
    """uint8 images as float32 in [0, 1], on the device."""
    return jnp.asarray(images).astype(jnp.float32) / 255.0


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
