"""The nouns of the house: what a lane is made of, and what a group of lanes shares.

Two rules decide where a quantity lives. *What is a number is an array*: the leaves of
:class:`HParams` differ between lanes of one compiled program. *What is a shape is a static*:
a :class:`Plan` (and the attributes of a Linen module) selects the program itself.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import signal
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_type_hints

import numpy as np

if TYPE_CHECKING:  # JAX takes its time: a command line that is not understood does without it
    from jax import Array

PyTree = Any
AnyArray = Any  # a jax.Array inside a program, NumPy's at rest on the host
ImageShape = tuple[int, int, int]  # height, width, channels
LARGEST = 2**31 - 1  # of a count or a seed


class UsageError(ValueError):
    """Wrong input from the user: says what was given, what is allowed and what to do next.

    Experiment scripts print it as one line and exit with code 2.
    """


class Interrupted(KeyboardInterrupt):
    """A signal has ended the run: in training, between two calls, and its checkpoints, if any, are written.

    signum: which; Ctrl-C's SIGINT, or SIGTERM, which SLURM sends some time before it kills.
    """

    def __init__(self, message: str, signum: int = signal.SIGINT):
        super().__init__(message)
        self.signum = signum


def reason(error: Exception) -> str:
    """What ``error`` says, for a UsageError's message: one line of bounded length, its kind where it says nothing."""
    return textwrap.shorten(str(error), 300, placeholder=" ...") or type(error).__name__


def a(noun: str) -> str:
    """``noun`` with its article, for a message."""
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


def whole(name: str, value: Any, least: int = 1) -> int:
    """``value`` as an int. Raises UsageError unless it is a whole number, NumPy's too, of at least ``least``."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or not least <= int(value) <= LARGEST:
        raise UsageError(f"{name} {value!r} is not allowed: give a whole number from {least} to {LARGEST}")
    return int(value)


def number(name: str, value: Any, allowed: Range) -> float:
    """``value`` itself. Raises UsageError unless it is a finite number, NumPy's too, that is ``allowed``."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (real and -math.inf < value < math.inf and allowed.holds(value)):
        raise UsageError(f"{name} {value!r} is not allowed: give a finite number {allowed.words}")
    return value


def flag(name: str, value: Any) -> bool:
    """``value`` as a bool. Raises UsageError unless it is one, or NumPy's."""
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} {value!r} is not allowed: give True or False")
    return bool(value)


def function(name: str, value: Any) -> Callable:
    """``value`` itself. Raises UsageError unless it can be called."""
    if not callable(value):
        raise UsageError(f"{name} {value!r} is not allowed: give a function, such as flax.linen.relu")
    return value


def as_path(value: Any) -> Path:
    """``value`` as a path. Raises UsageError unless it is a str or a path."""
    if not isinstance(value, str | os.PathLike) or value == "":
        raise UsageError(f"{value!r} is not allowed as a path: give a str or a pathlib.Path")
    return Path(value)


def wholes(name: str, values: Any) -> tuple[int, ...]:
    """``values`` as a tuple. Raises UsageError unless it is a list or tuple of whole numbers of at least 1."""
    if not isinstance(values, list | tuple):
        raise UsageError(f"{name} {values!r} is not allowed: give a tuple of whole numbers, such as (64,)")
    return tuple(whole(name, value) for value in values)


class Range(NamedTuple):
    """Which values are allowed, in words and as a test."""

    words: str
    holds: Callable[[np.ndarray], np.ndarray]


class Number(NamedTuple):
    """A hyper-parameter's entry in the table that :class:`HParams` is."""

    default: float
    allowed: Range
    meaning: str
    dtype: type = np.float32


ABOVE_0 = Range("greater than 0", lambda x: x > 0)
FROM_0 = Range("at least 0", lambda x: x >= 0)
_FROM_0_BELOW_1 = Range("at least 0 and less than 1", lambda x: (x >= 0) & (x < 1))
_FROM_1 = Range("at least 1", lambda x: x >= 1)


class HParams(NamedTuple):
    """The numbers of a lane: scalars for one lane, ``[*lanes]`` for many. Build it with :func:`hparams`.

    This is the table of all hyper-parameters: a further number is a further line. Constructor, checks, search spaces
    and the help of options follow from it. A dropout of None draws no masks at all.
    """

    learning_rate: Annotated[Array, Number(1e-3, ABOVE_0, "Step size of the optimizer.")]
    l2: Annotated[Array, Number(0.0, FROM_0, "Coupled L2 penalty, PyTorch's weight_decay.")]
    dropout: Annotated[Array | None, Number(0.0, _FROM_0_BELOW_1, "Share of hidden units zeroed in training.")]
    momentum: Annotated[Array, Number(0.0, _FROM_0_BELOW_1, "Momentum of SGD; other optimizers have PyTorch's.")]
    noise: Annotated[Array, Number(0.0, FROM_0, "Level of a denoising objective's corruption, in its own unit.")]
    penalty: Annotated[Array, Number(1.0, FROM_0, "Weight of the second term: sparsity, contraction, KL (beta).")]
    warmup: Annotated[Array, Number(0.0, FROM_0, "Steps over which the penalty grows linearly from 0.")]
    epochs: Annotated[Array, Number(1, _FROM_1, "Epochs that a lane trains for.", np.int32)]


NUMBERS: dict[str, Number] = {
    name: get_args(hint)[1]
    for name, hint in get_type_hints(HParams, localns={"Array": np.ndarray}, include_extras=True).items()
}


def hparams(**given: Any) -> HParams:
    """HParams from plain numbers or arrays that broadcast against each other; what is not given has its default.

    The leaves are NumPy arrays of one dtype each, so that a Python float never causes a second trace. Raises
    UsageError for an unknown name or a number out of its range.

    >>> import ae_jax
    >>> ae_jax.hparams(learning_rate=[1e-3, 1e-2], l2=1e-4).l2.shape
    (2,)
    """
    require_known(given)
    return broadcast(HParams(**{name: _leaf(name, given.get(name, entry.default)) for name, entry in NUMBERS.items()}))


def require_known(names: Iterable[str]) -> None:
    """Raises UsageError unless all are names of hyper-parameters."""
    if unknown := set(names) - NUMBERS.keys():
        raise UsageError(f"unknown hyper-parameter {', '.join(sorted(unknown))}: choose among {', '.join(NUMBERS)}")


def _leaf(name: str, values: Any) -> AnyArray:
    """``values`` of one hyper-parameter in its dtype, checked against its range."""
    if name == "dropout" and values is None:
        return None
    entry = NUMBERS[name]
    try:
        given = np.asarray(values)
        with np.errstate(invalid="ignore", over="ignore"):  # what is no number of this kind is refused below
            leaf: np.ndarray = given.astype(entry.dtype)
        integral = entry.dtype is not np.int32 or np.all(given == leaf)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name} {values!r} is not allowed: give numbers") from error
    if not given.size:
        raise UsageError(f"{name} {values!r} is not allowed: give at least one number")
    if given.dtype.kind not in "iuf" or not integral:
        raise UsageError(f"{name} {values!r} is not allowed: give {'whole ' * (entry.dtype is np.int32)}numbers")
    if not (valid := np.isfinite(leaf) & entry.allowed.holds(leaf)).all():
        wrong, words = leaf[~valid].flat[0], entry.allowed.words
        words = words if np.isfinite(wrong) else f"finite and {words}"
        raise UsageError(f"{name} {wrong:g} is not allowed: it must be {words}")
    return leaf


def broadcast(numbers: HParams) -> HParams:
    """All leaves at their common shape, so that scalars go along with arrays of many lanes; None stays None.

    Raises UsageError if they have none.
    """
    given = {name: leaf for name, leaf in numbers._asdict().items() if leaf is not None}
    try:
        leaves: tuple[AnyArray, ...] = np.broadcast_arrays(*given.values())
    except ValueError as error:
        shapes = ", ".join(f"{name} {list(leaf.shape)}" for name, leaf in given.items() if leaf.ndim)
        raise UsageError(f"arrays of shapes {shapes} are not allowed: give numbers that broadcast") from error
    return numbers._replace(**dict(zip(given, leaves, strict=True)))


def static_dropout(numbers: HParams) -> HParams:
    """``numbers`` for a program without masks where no lane drops anything, unchanged where one does. On the host."""
    drops = numbers.dropout is not None and np.any(numbers.dropout)
    return numbers if drops else numbers._replace(dropout=None)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The statics of a group of lanes: one plan (and one objective) is one compiled program.

    batch_size: examples of a step.
    optimizer: a name in ``optimizers.OPTIMIZERS``.
    trainable: names of the modules that learn, wherever they stand in the parameter tree; the others stay as
        they are, bit for bit. None trains everything.

    Raises UsageError for a batch size below 1, and for an optimizer or trainable modules that are no names.
    """

    batch_size: int = 128
    optimizer: str = "adam"
    trainable: tuple[str, ...] | None = None

    def __post_init__(self):
        object.__setattr__(self, "batch_size", whole("batch_size", self.batch_size))
        if not isinstance(self.optimizer, str):
            raise UsageError(f"optimizer {self.optimizer!r} is not allowed: give the name of one, such as 'adam'")
        if self.trainable is not None:
            if not isinstance(self.trainable, list | tuple) or not all(isinstance(of, str) for of in self.trainable):
                raise UsageError(f"trainable {self.trainable!r} is not allowed: give names of modules, or None")
            object.__setattr__(self, "trainable", tuple(self.trainable))


class TrainState(NamedTuple):
    """Everything a run carries from step to step; a pytree of arrays, nothing hidden."""

    params: PyTree
    opt_state: PyTree
    step: Array  # int32 scalar: optimizer steps taken
    key: Array  # typed PRNG key of the lane, never consumed itself: see training.stream_key


class Batch(NamedTuple):
    """What a loss sees: images ``[batch, H, W, C]`` float32 in [0, 1] and labels ``[batch]`` int32."""

    images: Array
    labels: Array


class Dataset(NamedTuple):
    """Images on the host: uint8 ``[n, H, W, C]``, labels uint8 ``[n]``; digest names the exact content."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    digest: str


def tree_size(tree: PyTree) -> int:
    """Bytes held by the arrays of a pytree."""
    import jax

    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
