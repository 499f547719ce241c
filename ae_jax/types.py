"""The nouns of the house: what a lane is made of, and what a group of lanes shares.

Two rules decide where a quantity lives. *What is a number is an array*: the leaves of
:class:`HParams` differ between lanes of one compiled program. *What is a shape is a static*:
a :class:`Plan` (and the attributes of a Linen module) selects the program itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

PyTree = Any


class UsageError(ValueError):
    """Wrong input from the user: says what was given, what is allowed and what to do next.

    Experiment scripts print it as one line and exit with code 2.
    """


class HParams(NamedTuple):
    """The numbers of a lane: scalars for one lane, ``[lanes]`` for many. Build it with :func:`hparams`.

    learning_rate: step size of the optimizer.
    l2: coupled L2 penalty, PyTorch's ``weight_decay``: ``l2 * param`` joins every gradient.
    dropout: probability that a hidden unit is zeroed while training, in [0, 1); None draws no masks at all.
    momentum: SGD's momentum, in [0, 1); the other optimizers keep PyTorch's constants.
    noise: level of the corruption a denoising objective applies, in the corruption's own unit.
    penalty: weight of an objective's second term: sparsity, contraction, KL divergence (beta).
    warmup: optimizer steps over which ``penalty`` grows linearly from zero; 0 applies it in full at once.
    epochs: int32, how many epochs this lane trains for.
    """

    learning_rate: Array
    l2: Array
    dropout: Array | None
    momentum: Array
    noise: Array
    penalty: Array
    warmup: Array
    epochs: Array


def hparams(
    learning_rate=1e-3, l2=0.0, dropout=0.0, momentum=0.0, noise=0.0, penalty=1.0, warmup=0.0, epochs=1
) -> HParams:
    """HParams from plain numbers or equally long sequences: float32 leaves, int32 ``epochs``.

    Converting here keeps one dtype per leaf, so that a Python float never causes a second trace. Raises
    UsageError for a number of epochs that is not whole.
    """
    if np.any(np.asarray(epochs) != np.asarray(epochs, np.int32)):
        raise UsageError(f"epochs {epochs} is not allowed: give whole numbers")
    numbers = (learning_rate, l2, dropout, momentum, noise, penalty, warmup)
    floats = [jnp.asarray(np.asarray(x, np.float32)) for x in numbers]
    return broadcast(HParams(*floats, epochs=jnp.asarray(np.asarray(epochs, np.int32))))


def broadcast(numbers: HParams) -> HParams:
    """All leaves at their common shape, so that scalars go along with per-lane sequences."""
    return HParams(*jnp.broadcast_arrays(*numbers))


def static_dropout(numbers: HParams) -> HParams:
    """``numbers`` for a program without masks where no lane drops anything, unchanged where one does. On the host."""
    return numbers if np.any(numbers.dropout) else numbers._replace(dropout=None)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The statics of a group of lanes: one plan (and one objective) is one compiled program.

    batch_size: examples of a step.
    optimizer: a name in ``optimizers.OPTIMIZERS``.
    trainable: names of the modules that learn, wherever they stand in the parameter tree; the others stay as
        they are, bit for bit. None trains everything.
    """

    batch_size: int = 128
    optimizer: str = "adam"
    trainable: tuple[str, ...] | None = None


class TrainState(NamedTuple):
    """Everything a run carries from step to step; a pytree of arrays, nothing hidden."""

    params: PyTree
    opt_state: PyTree
    step: Array  # int32 scalar: optimizer steps taken
    key: Array  # typed PRNG key of the lane, never consumed itself: see training.stream_key


class Batch(NamedTuple):
    """What a loss sees: images ``[batch, 28, 28, 1]`` float32 in [0, 1] and labels ``[batch]`` int32."""

    images: Array
    labels: Array


class Dataset(NamedTuple):
    """Images on the host: uint8 ``[n, 28, 28, 1]``, labels uint8 ``[n]``; digest names the exact content."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    digest: str


def tree_size(tree: PyTree) -> int:
    """Bytes held by the arrays of a pytree."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
