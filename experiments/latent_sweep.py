"""Test error against latent dimension for PCA, dense and convolutional autoencoders (report D; protocol D5).

    python -m experiments.latent_sweep --dataset mnist --budget full

Report D's hypothesis is that a fitting latent size lies between 10 and 100. Here d runs over powers of two from 1 to
128, for four kinds of networks: report D's 784-500-500-d-500-500-784 with ReLU, a sigmoid output and as many epochs as
the convolutional network of reports A to C, whose last hidden layer of 64 units bounds what it can use; the same dense
network as report D trains it (D2: a linear output, 50,000 steps of 100 images); and the convolutional one without that
layer. A size fits from which on no doubling lowers the error by a tenth of the curve's range. Expected PCA test MSE
on MNIST: d = 2 0.05567, 4 0.04790, 8 0.03744, 16 0.02686, 32 0.01683; all networks below it for small d. Sizes
close to each other share a program. Runtime on two CPU cores: digits quick two minutes; MNIST full an hour, most of it
for the 50,000 steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ae_jax import evaluation, pca
from ae_jax.activations import linear
from ae_jax.models import Autoencoder, conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import UsageError
from experiments import common, comparison, linear_pca, plotting, reports, study
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training

LATENT = {"quick": (2, 8, 32), "full": (1, 2, 4, 8, 16, 32, 64, 128)}


class Kind(NamedTuple):
    """Networks by the size of their code, and the budgets they are trained by; the study's unless given."""

    network: Callable[[int], Autoencoder]
    budgets: common.Budgets | None = None


KINDS = {
    "dense": Kind(dense_autoencoder),
    "conv": Kind(conv_autoencoder),
    "dense of D2": Kind(lambda d: dense_autoencoder(d, output=linear), linear_pca.BUDGETS),
    "conv, no hidden layer": Kind(lambda d: conv_autoencoder(d, hidden=None)),
}
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
    groups = []
    for name, kind in KINDS.items():
        of_kind = dataclasses.replace(setup, budget=_budget(setup, kind))
        groups += of_kind.groups({f"{name} d={d}": autoencoder(kind.network(d)) for d in sizes})
    return Training(groups, setup.everything)


def _budget(setup: Setup, kind: Kind) -> Budget:
    return common.choose(setup.options, kind.budgets) if kind.budgets else setup.budget


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
    }
    for kind, of_kind in zip(KINDS, networks, strict=True):
        arrays[f"{kind}_train_loss"] = np.array([run.curves.train_loss for run in of_kind])
    rows = comparison.rows("D5 PCA test MSE, d = {}", sizes, arrays["pca_test_mse"], reports.d.PCA_MSE)
    for kind, of_kind in zip(KINDS, arrays["test_mse"], strict=True):
        rows += comparison.rows(f"D5 {kind} test MSE, d = {{}}", sizes, of_kind)
    numbers = {name: _budget(setup, kind) for name, kind in KINDS.items()}
    words = "; ".join(f"{name}: {of.epochs} epochs, batch {of.batch_size}" for name, of in numbers.items())
    return Measured(arrays, rows, common.describe(setup, words))


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


STUDY = Study("latent_sweep", Options, BUDGETS, plan, measure, draw, deviations=("latent",))

if __name__ == "__main__":
    study.main(STUDY)
