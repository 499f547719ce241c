"""Test error against latent dimension for PCA, dense and convolutional autoencoders (report D; protocol D5).

    python -m experiments.latent_sweep --dataset mnist --budget full

Report D's hypothesis is that a fitting latent size lies between 10 and 100. Here d runs over powers of two from 1 to
128, the dense network is report D's 784-500-500-d-500-500-784 with ReLU, the convolutional one that of reports A to
C, whose last hidden layer of 64 units bounds what it can use. Expected PCA test MSE on MNIST: d = 2 0.05567, 4
0.04790, 8 0.03744, 16 0.02686, 32 0.01683; both networks below it for small d. Sizes close to each other
share a program. Runtime on two CPU cores: digits quick half a minute; MNIST full 15 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ae_jax import evaluation, pca, plotting
from ae_jax.lanes import Group, lane_grid
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, UsageError, hparams
from experiments import common, reported, study
from experiments.common import Budget, Setup
from experiments.report import Row
from experiments.running import Training
from experiments.study import Measured, Runs, Saved, Study

LATENT = {"quick": (2, 8, 32), "full": (1, 2, 4, 8, 16, 32, 64, 128)}
KINDS = {"dense": dense_autoencoder, "conv": conv_autoencoder}
BAND = (10, 100)  # where report D looks for the best size

BUDGETS = {
    "quick": {
        "digits": Budget(epochs=40, batch_size=64),
        "mnist": Budget(epochs=3, batch_size=128, limit=10_000),
    },
    "full": {
        "digits": Budget(epochs=200, batch_size=64),
        "mnist": Budget(epochs=20, batch_size=128),
    },
}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Test error against latent dimension: PCA, dense, convolutional."""

    latent: tuple[int, ...] | None = None
    """Latent dimensions; by default 1 to 128 in powers of two, or three of them with the quick budget."""


def latent(options: Options) -> tuple[int, ...]:
    """The latent dimensions, in the order asked for."""
    return options.latent or LATENT[options.budget]


def plan(setup: Setup) -> Training:
    """A group for each kind and size, a lane for each seed. PCA is fitted first: it refuses sizes beyond the data's."""
    sizes, budget = latent(setup.options), setup.budget
    if min(sizes) < 1:
        raise UsageError(f"--latent {min(sizes)} is not allowed: give whole numbers of at least 1")
    mean, axes = pca.fit(setup.train_images, max(sizes))
    setup.earlier.update({f"PCA d={d}": pca.as_run(mean, axes[:d]) for d in sizes})
    lanes = lane_grid(hparams(epochs=budget.epochs), seed=setup.seeds)
    groups = [
        Group(f"{kind} d={d}", autoencoder(network(d)), Plan(budget.batch_size), lanes)
        for kind, network in KINDS.items()
        for d in sizes
    ]
    return Training(groups, setup.everything)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Test errors ``[kinds, sizes, seeds]``, those of PCA ``[sizes]``."""
    sizes, test = latent(setup.options), setup.test_images
    principal = [setup.earlier[f"PCA d={d}"] for d in sizes]
    networks = [[runs[f"{kind} d={d}"] for d in sizes] for kind in KINDS]
    arrays = {
        "latent": np.array(sizes),
        "seed": setup.seeds,
        "kind": np.array(list(KINDS)),
        "pca_test_mse": np.array(evaluation.reconstruction_error(principal, test, test)),
        "test_mse": np.array([evaluation.reconstruction_error(of_kind, test, test) for of_kind in networks]),
        "train_loss": np.array([[run.curves.train_loss for run in of_kind] for of_kind in networks]),
    }
    rows = [
        Row(f"D5 PCA test MSE, d = {d}", reported.PCA_MSE.get(d), [mse])
        for d, mse in zip(sizes, arrays["pca_test_mse"], strict=True)
    ]
    rows += [
        Row(f"D5 {kind} test MSE, d = {d}", None, errors)
        for kind, of_kind in zip(KINDS, arrays["test_mse"], strict=True)
        for d, errors in zip(sizes, of_kind, strict=True)
    ]
    return Measured(arrays, rows)


def draw(saved: Saved) -> list[Path]:
    """Error against latent dimension, report D's band marked."""
    arrays, order = saved.arrays, np.argsort(saved.arrays["latent"])
    sizes = arrays["latent"][order]
    series = [plotting.Series("PCA", sizes, arrays["pca_test_mse"][order], "s", dashed=True)]
    series += [
        plotting.Series(kind, sizes, errors[order].T)
        for kind, errors in zip(arrays["kind"].tolist(), arrays["test_mse"], strict=True)
    ]
    return plotting.line_plot(
        saved.place(), series, log_x=True, x_ticks=sizes, from_zero=True, band=BAND,
        xlabel="latent dimension d (shaded: the report's 10 to 100)", ylabel="test MSE per pixel",
        title="Error against latent dimension", caption=saved.caption,
    )  # fmt: skip


STUDY = Study("latent_sweep", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
