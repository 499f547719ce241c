"""Linear and non-linear dense autoencoders against PCA (report D, sections 3 and 4; protocols D1 and D2).

    python -m experiments.linear_pca --dataset mnist --budget full

Trains the network 784-500-500-5-500-500-784 for 50,000 steps of 100 images, its hidden layers linear, sigmoid, ReLU
and ELU, and fits the PCA with 5 components, the optimum of the linear one. Errors are those after the report's 50,000
steps (84 epochs, 50,400) and, beside them, those of the epoch with the lowest training loss: Adam at rate 0.001 throws
the linear network far off every 15,000 steps or so, from which it recovers within an epoch or two. Draws the
report's Fig. 2 (linear reconstructions after 1/5, 3/5 and all of the steps) and Fig. 3 (all side by side), the
training curves, and the variance along each axis of the linear code beside PCA's: it is neither ranked nor orthonormal.
Expected on MNIST in full, at the best epoch: the linear network's train MSE above PCA's by 2 % at most, the largest
principal angle between the two subspaces a few degrees, the non-linear ones far better (report D gives pictures, no
figures). Runtime on two CPU cores: digits quick a minute, MNIST full 20 minutes.
"""

from __future__ import annotations

import numpy as np

from ae_jax import evaluation, latent, pca
from ae_jax.activations import ACTIVATIONS, linear
from ae_jax.lanes import Group, lane_grid
from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan
from experiments import common, comparison, plotting, reports, sheets, study
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

LATENT = 5
HIDDEN = ("linear", "sigmoid", "relu", "elu")
STAGES = (0.2, 0.6, 1.0)  # of the epochs: steps 10,000, 30,000 and 50,000 of the report
SHOWN = 10  # images on a sheet
# 84 epochs of 600 steps are 50,400; on digits an epoch has 14.
BUDGETS = common.budgets(
    digits=Budget(epochs=60, batch_size=100),
    mnist=Budget(epochs=10, batch_size=100, limit=10_000),
    full=Budget(epochs=84, batch_size=100),
    full_digits=Budget(epochs=1000, batch_size=100),
)


class Options(common.SeededOptions):
    """Dense autoencoders with linear, sigmoid, ReLU and ELU hidden layers against PCA."""


def stages(setup: Setup) -> np.ndarray:
    """The epochs after which the report draws the linear network."""
    return np.array([max(1, round(share * setup.budget.epochs)) for share in STAGES])


def plan(setup: Setup) -> Training:
    """A group for each activation of lanes ``[stages, seeds]``; all but the linear one have the last stage alone.

    A run is a function of its seed alone, so a lane that ends early shows where a longer one has been. These lanes
    cost the linear network 1.8 runs.
    """
    groups = []
    for name in HIDDEN:
        objective = autoencoder(dense_autoencoder(LATENT, activation=ACTIVATIONS[name], output=linear))
        lanes = lane_grid(epochs=stages(setup) if name == "linear" else stages(setup)[-1:], seed=setup.seeds)
        groups.append(Group(name, objective, Plan(setup.budget.batch_size), lanes))
    return Training(groups, setup.everything, best_too=True)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Errors ``[hidden, seeds]``, those of the linear network's stages ``[stages, seeds]``, and of PCA; its axes."""
    images = {"train": setup.train_images, "test": setup.test_images}
    linear, shown = runs["linear"], setup.test_images[:SHOWN]
    last, best = ([runs[f"{name}{when}"][-1] for name in HIDDEN] for when in ("", ", best epoch"))
    mean, axes = pca.fit(setup.train_images, LATENT)
    principal, span = pca.as_run(mean, axes), pca.decoder_span(best[0])
    arrays = {
        "hidden": np.array(HIDDEN),
        "seed": setup.seeds,
        "stage_steps": stages(setup) * (len(setup.train_images) // setup.budget.batch_size),
        "train_loss": np.array([run.curves.train_loss for run in last]),
        "stage_train_loss": np.concatenate(linear.curves.train_loss),
        "images": shown,
        "stage_reconstructions": evaluation.reconstruct(linear[:, 0], shown),
        "reconstructions": np.array(evaluation.reconstruct([run[0] for run in last], shown)),
        "pca_reconstructions": evaluation.reconstruct(principal, shown),
        "angles": pca.principal_angles(axes, pca.decoder_span(linear[-1])),
        "best_angles": pca.principal_angles(axes, span),
        "mean_image_test_mse": np.square(setup.test_images - mean.reshape(1, *shown.shape[1:])).mean()[None],
        "pca_variance": latent.encode(principal, setup.train_images).var(0),
        "code_variance": latent.encode(best[0], setup.train_images).var(1),
        "decoder_gram": span.swapaxes(1, 2) @ span,
    }
    for part, inputs in images.items():
        arrays[f"pca_{part}_mse"] = evaluation.reconstruction_error(principal, inputs, inputs)[None]
        errors = np.array(evaluation.reconstruction_error([*last, *best], inputs, inputs))
        arrays[f"{part}_mse"], arrays[f"best_{part}_mse"] = np.split(errors, 2)
        arrays[f"stage_{part}_mse"] = evaluation.reconstruction_error(linear, inputs, inputs)
    return Measured(arrays, _rows(arrays), config={"latent": LATENT})


def _rows(arrays: dict[str, np.ndarray]) -> list[Row]:
    """PCA, then each network after the last step and at its best epoch."""
    rows = [Row(f"D1 PCA, {part} MSE", None, arrays[f"pca_{part}_mse"]) for part in ("train", "test")]
    for prefix, when in (("", "last step"), ("best_", "best epoch")):
        train, test = arrays[f"{prefix}train_mse"], arrays[f"{prefix}test_mse"]
        for name, *errors in zip(HIDDEN, train, test, strict=True):
            protocol = "D1" if name == "linear" else "D2"
            rows += comparison.rows(f"{protocol} {name}, {{}} MSE, {when}", ("train", "test"), errors)
        rows += [
            Row(f"D1 train MSE, linear over PCA, {when}", None, train[0] / arrays["pca_train_mse"]),
            Row(f"D1 largest principal angle, degrees, {when}", None, arrays[f"{prefix}angles"].max(1)),
        ]
    return rows


def draw(saved: Saved) -> Paths:
    """Figs. 2 and 3 of the report, the training curves, and the axes of the linear code."""
    arrays, hidden, steps = saved.arrays, saved.arrays["hidden"].tolist(), saved.arrays["stage_steps"]
    yield from saved.draw(
        sheets.image_sheet, "fig2_stages", [*arrays["stage_reconstructions"], arrays["images"]],
        [*(f"{count:,} steps" for count in steps), "input"], title="Fig. 2  Linear reconstructions during training",
    )  # fmt: skip
    yield from saved.draw(
        sheets.image_sheet, "fig3_activations",
        [arrays["images"], arrays["pca_reconstructions"], *arrays["reconstructions"]], ["input", "PCA", *hidden],
        title=f"Fig. 3  Reconstructions from {saved.meta['config']['latent']} numbers",
    )  # fmt: skip
    epochs = arrays["train_loss"].shape[-1]
    step = np.linspace(steps[-1] / epochs, steps[-1], epochs)
    best = plotting.Series("PCA", step[[0, -1]], np.repeat(arrays["pca_train_mse"], 2), "", dashed=True)
    yield from saved.draw(
        plotting.line_plot, "training", [*plotting.series(hidden, arrays["train_loss"], step), best],
        log_y=True, xlabel="training step", ylabel="train MSE per pixel", title="Training error by hidden activation",
    )  # fmt: skip
    ours, axes = reports.d.drawn_variance(arrays), 1 + np.arange(len(arrays["pca_variance"]))
    principal = plotting.Series("PCA", axes, arrays["pca_variance"], "s", dashed=True)
    yield from saved.draw(
        plotting.line_plot, "axes", [*plotting.series(["linear"], [ours], axes, "o"), principal], log_y=True,
        x_ticks=axes, xlabel="axis of the code", ylabel="variance drawn by the axis alone",
        title="Variance along each axis of the code",
    )  # fmt: skip


STUDY = Study("linear_pca", Options, BUDGETS, plan, measure, draw)

if __name__ == "__main__":
    study.main(STUDY)
