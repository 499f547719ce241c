"""The reports' random searches: what each of them varies, between which bounds, and what it found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ae_jax.models import conv_autoencoder
from ae_jax.objectives import Objective, autoencoder
from ae_jax.optimizers import OPTIMIZERS
from ae_jax.random_search import choice, integer_uniform, log_uniform, uniform
from ae_jax.types import Plan, UsageError
from experiments.common import Budget, budgets
from experiments.comparison import NOTEBOOK, REPORT


def build(latent=4, conv1=8, conv2=16, conv3=32, hidden=64, batch_size=512, optimizer="adam") -> tuple[Objective, Plan]:
    """What the statics of a trial select. Its parameters are the static names a table of trials may hold."""
    channels = {"conv1": conv1, "conv2": conv2, "conv3": conv3}
    sizes = {"latent": latent, **channels, "hidden": hidden, "batch_size": batch_size}
    for name, size in sizes.items():
        if not (isinstance(size, int) and size >= 1):
            raise UsageError(f"{name} {size} is not allowed: give a whole number of at least 1")
    if optimizer not in OPTIMIZERS:
        raise UsageError(f"optimizer {optimizer!r} is not allowed: choose one of {', '.join(OPTIMIZERS)}")
    model = conv_autoencoder(latent, tuple(channels.values()), hidden)
    return autoencoder(model), Plan(batch_size, optimizer)


class Protocol(NamedTuple):
    """A search of a report: its priors, given the number of epochs that stands for the report's most."""

    space: Callable[[int, int], dict[str, Any]]  # (epochs, batch size) -> priors and plain values
    folds: int = 1
    patience: int | None = None
    reported: float | None = None  # best validation MSE
    reported_test: float | None = None
    reported_spearman: float | None = None  # of the L2 penalty
    reported_best: str = ""
    source: str = REPORT  # of the numbers


def space_a1(epochs: int, batch_size: int) -> dict[str, Any]:
    """Report A, section II; epochs are 10 to 50 in the full budget."""
    tenths = [max(1, round(epochs * share)) for share in (0.2, 0.4, 0.6, 0.8, 1.0)]
    return {
        "learning_rate": log_uniform(1e-3, 1e-1),
        "l2": log_uniform(1e-4, 1e-2),
        "dropout": uniform(0.0, 0.25),
        "epochs": choice(tenths, p=[0.25, 0.25, 0.20, 0.20, 0.10]),
        "latent": 4,
        "batch_size": batch_size,
        "optimizer": "adamax",
    }


def space_b3(epochs: int, batch_size: int) -> dict[str, Any]:
    """Report B, section 3.1; the priors are ours. ``batch_size`` is the largest of four."""
    return {
        "learning_rate": log_uniform(1e-4, 1e-2),
        "dropout": uniform(0.0, 0.5),
        "latent": integer_uniform(2, 64),
        "batch_size": choice([max(1, batch_size // share) for share in (8, 4, 2, 1)]),
        "l2": 5e-5,
        "epochs": epochs,
    }


def space_c1(epochs: int, batch_size: int) -> dict[str, Any]:
    """Report C, section 2.1; the batch size is ours."""
    return {
        "conv1": choice([8, 16, 32, 64]),
        "conv2": choice([16, 32, 64]),
        "conv3": choice([32, 64]),
        "hidden": choice([32, 64]),
        "learning_rate": choice([1e-5, 1e-4, 1e-3]),
        "l2": choice([1e-5, 1e-4, 1e-3]),
        "dropout": uniform(0.1, 0.5),
        "epochs": epochs,
        "latent": 2,
        "batch_size": batch_size,
    }


PROTOCOLS = {
    "A1": Protocol(
        space_a1, reported=0.0320, reported_spearman=0.979,
        reported_best="lr 0.0136, L2 1.08e-4, dropout 0.0216, 40 epochs", source=NOTEBOOK,
    ),
    "B3": Protocol(
        space_b3, folds=5, reported=0.0187, reported_test=0.0187,
        reported_best="batch 128, lr 0.006, d 48, dropout 0.0775",
    ),
    "C1": Protocol(
        space_c1, patience=5, reported=0.04, reported_test=0.04,
        reported_best="8/16/64/64, lr 1e-3, L2 1e-5, dropout 0.1",
    ),
}  # fmt: skip
FULL_TRIALS = {"A1": 174, "B3": 5, "C1": 50}
QUICK_TRIALS = {"A1": 12, "B3": 2, "C1": 3}
QUICK = Budget(epochs=10, batch_size=64), Budget(epochs=5, batch_size=128, limit=10_000)  # digits and MNIST
BUDGETS = {
    "A1": budgets(*QUICK, Budget(epochs=50, batch_size=512)),
    "B3": budgets(*QUICK, Budget(epochs=40, batch_size=512)),
    "C1": budgets(*QUICK, Budget(epochs=50, batch_size=128)),
}
