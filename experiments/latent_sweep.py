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
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ae_jax import data, engine, evaluation, pca, plotting, results, trials, widening
from ae_jax.models import Autoencoder, conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, PyTree, UsageError, hparams
from experiments import common, running
from experiments.report import Row

STUDY = "latent_sweep"
LATENT = {"quick": (2, 8, 32), "full": (1, 2, 4, 8, 16, 32, 64, 128)}
KINDS = {"dense": dense_autoencoder, "conv": conv_autoencoder}
MEASURED_PCA = {2: 0.05567, 4: 0.04790, 8: 0.03744, 16: 0.02686, 32: 0.01683}  # of MNIST's 60,000, by others
BAND = (10, 100)  # where report D looks for the best size

BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=40, batch_size=64),
        "mnist": common.Budget(epochs=3, batch_size=128, limit=10_000),
    },
    "full": {
        "digits": common.Budget(epochs=200, batch_size=64),
        "mnist": common.Budget(epochs=20, batch_size=128),
    },
}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Test error against latent dimension: PCA, dense, convolutional."""

    latent: tuple[int, ...] | None = None
    """Latent dimensions; by default 1 to 128 in powers of two, or three of them with the quick budget."""


def study(options: Options) -> Path | None:
    """Train every kind at every size, fit PCA once, test, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    sizes = options.latent or LATENT[options.budget]
    if min(sizes) < 1:
        raise UsageError(f"--latent {min(sizes)} is not allowed: give whole numbers of at least 1")
    train, test = (common.unit_images(part) for part in (dataset.train_images, dataset.test_images))
    mean, axes = pca.fit(train, max(sizes))  # first: it refuses sizes beyond the data's
    lanes = trials.make_lanes(hparams(epochs=budget.epochs), seed=common.seeds(setting))
    models = {kind: [build(d) for d in sizes] for kind, build in KINDS.items()}
    groups = [
        engine.Group(f"{kind} d={d}", autoencoder(model), Plan(budget.batch_size), lanes)
        for kind, of_kind in models.items()
        for d, model in zip(sizes, of_kind, strict=True)
    ]
    runs = running.train(STUDY, setting, groups, trials.stack_splits([data.no_holdout(len(train))]))
    if not running.is_writer():
        return None

    def errors(models: Sequence[Autoencoder], params: Sequence[PyTree]) -> np.ndarray:
        """Of models of one kind: ``[sizes, seeds]``."""
        return evaluation.reconstruction_error(*widening.as_one(models, params), test, test).reshape(len(sizes), -1)

    trained = (run.params for run in runs)
    networks = [errors(of_kind, [next(trained) for _ in sizes]) for of_kind in models.values()]
    status = np.reshape([run.status for run in runs], np.shape(networks))
    projections = [pca.as_autoencoder(mean, axes[:d]) for d in sizes]
    arrays = {
        "latent": np.array(sizes),
        "seed": lanes.seed,
        "kind": np.array(list(KINDS)),
        "pca_test_mse": errors(*zip(*projections, strict=True))[:, 0],
        "test_mse": running.unless_diverged(networks, status),
        "train_loss": np.reshape([run.train_loss for run in runs], (len(KINDS), len(sizes), -1, budget.epochs)),
    }
    rows = [
        Row(f"D5 PCA test MSE, d = {d}", MEASURED_PCA.get(d), [mse])
        for d, mse in zip(sizes, arrays["pca_test_mse"], strict=True)
    ]
    rows += [
        Row(f"D5 {kind} test MSE, d = {d}", None, errors)
        for kind, of_kind in zip(KINDS, arrays["test_mse"], strict=True)
        for d, errors in zip(sizes, of_kind, strict=True)
    ]
    npz = running.save(STUDY, setting, runs, arrays, rows)
    return running.finish(setting, npz, draw(npz), STUDY)


def draw(npz: Path) -> list[Path]:
    """Error against latent dimension, report D's band marked, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    order = np.argsort(arrays["latent"])
    latent = arrays["latent"][order]
    series = [plotting.Series("PCA", latent, arrays["pca_test_mse"][order], "s", dashed=True)]
    series += [
        plotting.Series(kind, latent, errors[order].T)
        for kind, errors in zip(arrays["kind"].tolist(), arrays["test_mse"], strict=True)
    ]
    return plotting.line_plot(
        npz.with_name(STUDY), series, log_x=True, x_ticks=latent, from_zero=True, band=BAND,
        xlabel="latent dimension d (shaded: the report's 10 to 100)", ylabel="test MSE per pixel",
        title="Error against latent dimension", caption=meta["caption"],
    )  # fmt: skip


if __name__ == "__main__":
    common.main(Options, study)
