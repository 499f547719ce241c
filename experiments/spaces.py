"""The reports' random searches: what each of them varies, between which bounds, and what it found."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from ae_jax import corruptions
from ae_jax.distributions import gaussian
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import Objective, autoencoder, denoising
from ae_jax.optimizers import OPTIMIZERS
from ae_jax.random_search import choice, integer_uniform, log_uniform, uniform
from ae_jax.types import Plan, UsageError
from ae_jax.vae import conv_vae
from ae_jax.variational import elbo
from experiments import reports
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


def build_vae(latent=3, variance=1.0, batch_size=128, optimizer="adam") -> tuple[Objective, Plan]:
    """:func:`build` of report B's VAE: the size of its code and the variance c of its likelihood."""
    _, plan = build(latent, batch_size=batch_size, optimizer=optimizer)
    return elbo(conv_vae(latent), gaussian(variance)), plan


def under_noise(build: Callable[..., tuple[Objective, Plan]]) -> Callable[..., tuple[Objective, Plan]]:
    """``build`` of the same models as denoisers of Gaussian noise."""

    @functools.wraps(build)
    def build_denoiser(**statics) -> tuple[Objective, Plan]:
        objective, plan = build(**statics)
        return denoising(objective.model, corruptions.gaussian), plan

    return build_denoiser


class Protocol(NamedTuple):
    """A search of a report: its priors, given the number of epochs that stands for the report's most.

    space: ``(epochs, batch size)`` to priors and plain values.
    beside: the same to named trials of their own, which are no part of the search; first the report's best.
    loss: what the trials are ranked by.
    best: hyper-parameters of the report's best.
    reported: its validation loss; that of the training, the test, and Spearman's of the L2 penalty, likewise.
    """

    space: Callable[[int, int], dict[str, Any]]
    beside: Callable[[int, int], dict[str, dict[str, Any]]] = lambda epochs, batch_size: {}
    build: Callable[..., tuple[Objective, Plan]] = build
    loss: str = "MSE"
    folds: int = 1
    patience: int | None = None
    best: dict[str, Any] = {}
    reported: float | None = None
    reported_training: float | None = None
    reported_test: float | None = None
    reported_spearman: float | None = None
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


def space_b7(epochs: int, batch_size: int) -> dict[str, Any]:
    """Report B, section 2.4, names what can be searched: d, c, L2 and learning rate; the priors are ours."""
    return {
        "latent": choice([2, 3, 5, 10]),
        "variance": choice([0.01, 0.1, 1.0]),
        "l2": log_uniform(1e-6, 1e-4),
        "learning_rate": log_uniform(3e-4, 1e-2),
        "epochs": epochs,
        "batch_size": batch_size,
    }


def beside_b3(epochs: int, batch_size: int) -> dict[str, dict[str, Any]]:
    """The report's best; and that with other L2 penalties, a quarter as long, to see whether it learns."""
    best = BEST["B3"] | {"batch_size": max(1, batch_size // 4)}
    other = {f"L2 {l2:g}, a quarter of the epochs": best | {"l2": l2, "epochs": max(1, epochs // 4)} for l2 in OTHER_L2}
    return {"report's best": best} | other


def beside_c1(epochs: int, batch_size: int) -> dict[str, dict[str, Any]]:
    """The report's best, by the lower and the upper end of its dropout."""
    return {"report's best": BEST["C1"], "report's best, dropout 0.5": BEST["C1"] | {"dropout": 0.5}}


BEST = {  # as the reports give it
    "A1": {"dropout": 0.022, "epochs": 40, "learning_rate": 0.013, "l2": 1e-4},
    "B3": reports.b.BEST | {"batch_size": 128, "latent": 48},
    "B7": {"latent": 3, "variance": 1.0, "learning_rate": 1e-3},
    "C1": reports.c.BEST | dict(zip(("conv1", "conv2", "conv3"), reports.c.CHANNELS, strict=True)) | {"hidden": 64},
}
OTHER_L2 = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # decades about report B's 5e-5; ours
PROTOCOLS = {
    "A1": Protocol(
        space_a1, best=BEST["A1"], reported=0.0320, reported_spearman=0.979, source=NOTEBOOK
    ),
    "B3": Protocol(space_b3, beside_b3, folds=5, best=BEST["B3"], reported=0.0187, reported_test=0.0187),
    "B7": Protocol(
        space_b7, lambda epochs, batch_size: {"report's choice": BEST["B7"] | {"l2": 5e-5}}, build_vae, "loss, nats",
        best=BEST["B7"],
    ),
    "C1": Protocol(
        space_c1, beside_c1, patience=5, best=BEST["C1"], reported=0.04, reported_training=0.045, reported_test=0.04
    ),
}  # fmt: skip
FULL_TRIALS = {"A1": 174, "B3": 5, "B7": 10, "C1": 50}
QUICK_TRIALS = {"A1": 12, "B3": 2, "B7": 2, "C1": 3}
QUICK = Budget(epochs=10, batch_size=64), Budget(epochs=5, batch_size=128, limit=10_000)  # digits and MNIST
BUDGETS = {
    "A1": budgets(*QUICK, Budget(epochs=50, batch_size=512)),
    "B3": budgets(*QUICK, Budget(epochs=40, batch_size=512)),
    "B7": budgets(*QUICK, Budget(epochs=40, batch_size=128)),
    "C1": budgets(*QUICK, Budget(epochs=50, batch_size=128)),
}
