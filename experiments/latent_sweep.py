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

import numpy as np

from ae_jax import evaluation, pca
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import UsageError
from experiments import common, comparison, plotting, reports, study
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training

LATENT = {"quick": (2, 8, 32), "full": (1, 2, 4, 8, 16, 32, 64, 128)}
KINDS = {"dense": dense_autoencoder, "conv": conv_autoencoder}
BAND = (10, 100)  # where report D looks for the best size
BUDGETS = common.budgets(
    digits=Budget(epochs=40, batch_size=64),
    mnist=Budget(epochs=3, batch_size=128, limit=10_000),
    full=Budget(epochs=20, batch_size=128),
    full_digits=Budget(epochs=200, batch_size=64),
)


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
    sizes = latent(setup.options)
    if min(sizes) < 1:
        raise UsageError(f"--latent {min(sizes)} is not allowed: give whole numbers of at least 1")
    mean, axes = pca.fit(setup.train_images, max(sizes))
    setup.earlier.update({f"PCA d={d}": pca.as_run(mean, axes[:d]) for d in sizes})
    objectives = {f"{kind} d={d}": autoencoder(network(d)) for kind, network in KINDS.items() for d in sizes}
    return Training(setup.groups(objectives), setup.everything)


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
    rows = comparison.rows("D5 PCA test MSE, d = {}", sizes, arrays["pca_test_mse"], reports.d.PCA_MSE)
    for kind, of_kind in zip(KINDS, arrays["test_mse"], strict=True):
        rows += comparison.rows(f"D5 {kind} test MSE, d = {{}}", sizes, of_kind)
    return Measured(arrays, rows)


def draw(saved: Saved) -> Paths:
    """Error against latent dimension, report D's band marked."""
    arrays, order = saved.arrays, np.argsort(saved.arrays["latent"])
    sizes, errors = arrays["latent"][order], arrays["test_mse"][:, order].swapaxes(1, 2)
    principal = plotting.Series("PCA", sizes, arrays["pca_test_mse"][order], "s", dashed=True)
    yield from saved.draw(
        plotting.line_plot, "", [principal, *plotting.series(arrays["kind"], errors, sizes, "o")],
        log_x=True, x_ticks=sizes, from_zero=True, band=BAND, ylabel="test MSE per pixel",
        xlabel="latent dimension d (shaded: the report's 10 to 100)", title="Error against latent dimension",
    )  # fmt: skip


STUDY = Study("latent_sweep", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
