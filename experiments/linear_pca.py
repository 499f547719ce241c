"""Linear and non-linear dense autoencoders against PCA (report D, sections 3 and 4; protocols D1 and D2).

    python -m experiments.linear_pca --dataset mnist --budget full

Trains the network 784-500-500-5-500-500-784 for 50,000 steps of 100 images, its hidden layers linear, sigmoid, ReLU
and ELU, and fits the PCA with 5 components, the optimum of the linear one. Draws the report's Fig. 2 (linear
reconstructions after 1/5, 3/5 and all of the steps) and Fig. 3 (all side by side) and the training curves. Expected
on MNIST in full: the linear network's train MSE above PCA's by 2 % at most, the largest principal angle between the
two subspaces a few degrees, the non-linear ones far better (report D gives pictures, no figures). Adam at rate 0.001
throws the linear network far off every 15,000 steps or so, from which it recovers within an epoch or two: so
parameters are those of the epoch with the lowest training loss. Runtime on two CPU cores: digits quick a minute, MNIST
full 20 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from scipy.linalg import subspace_angles

from ae_jax import data, engine, evaluation, pca, plotting, results, trials
from ae_jax.models import ACTIVATIONS, dense_autoencoder, linear
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, hparams
from experiments import common, running
from experiments.report import Row

STUDY = "linear_pca"
LATENT = 5
HIDDEN = ("linear", "sigmoid", "relu", "elu")
STAGES = (0.2, 0.6, 1.0)  # of the epochs: steps 10,000, 30,000 and 50,000 of the report
SHOWN = 10  # images on a sheet

# 84 epochs of 600 steps are 50,400; on digits an epoch has 14.
BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=60, batch_size=100),
        "mnist": common.Budget(epochs=10, batch_size=100, limit=10_000),
    },
    "full": {
        "digits": common.Budget(epochs=1000, batch_size=100),
        "mnist": common.Budget(epochs=84, batch_size=100),
    },
}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Dense autoencoders with linear, sigmoid, ReLU and ELU hidden layers against PCA."""


def study(options: Options) -> Path | None:
    """Train, fit PCA, test, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    seeds = common.seeds(setting)
    # A run is a function of its seed alone, so a lane that ends early shows where a longer one has been: the linear
    # network, whose stages the report draws, has lanes for all of them, the longest last. They cost it 1.8 runs.
    stages = np.array([max(1, round(share * budget.epochs)) for share in STAGES])
    models = {name: dense_autoencoder(LATENT, activation=ACTIVATIONS[name], output=linear) for name in HIDDEN}
    groups = []
    for name, model in models.items():
        epochs = stages if name == "linear" else stages[-1:]
        lanes = trials.make_lanes(hparams(epochs=np.repeat(epochs, len(seeds))), seed=np.tile(seeds, len(epochs)))
        groups.append(engine.Group(name, autoencoder(model), Plan(budget.batch_size), lanes))
    splits = trials.stack_splits([data.no_holdout(len(dataset.train_images))])
    runs = running.train(STUDY, setting, groups, splits, patience=budget.epochs)  # keeps each lane's best epoch
    if not running.is_writer():
        return None

    images = [common.unit_images(part) for part in (dataset.train_images, dataset.test_images)]
    shown, last = images[1][:SHOWN], slice(-len(seeds), None)
    mean, axes = pca.fit(images[0], LATENT)
    principal, principal_params = pca.as_autoencoder(mean, axes)
    arrays = {
        "hidden": np.array(HIDDEN),
        "seed": seeds,
        "stage_steps": stages * (len(dataset.train_images) // budget.batch_size),
        "train_loss": np.array([run.train_loss[last] for run in runs]),
        "stage_train_loss": runs[0].train_loss,
        "images": shown,
        "stage_reconstructions": evaluation.reconstruct(models["linear"], runs[0].params, shown)[:: len(seeds)],
        "reconstructions": np.array(
            [
                evaluation.reconstruct(model, run.params, shown)[-len(seeds)]
                for model, run in zip(models.values(), runs, strict=True)
            ]
        ),
        "pca_reconstructions": evaluation.reconstruct(principal, principal_params, shown)[0],
    }
    for part, inputs in zip(("train", "test"), images, strict=True):
        arrays[f"pca_{part}_mse"] = evaluation.reconstruction_error(principal, principal_params, inputs, inputs)
        errors = [
            running.unless_diverged(evaluation.reconstruction_error(model, run.params, inputs, inputs), run.status)
            for model, run in zip(models.values(), runs, strict=True)
        ]
        arrays[f"{part}_mse"] = np.array([of_lanes[last] for of_lanes in errors])
        arrays[f"stage_{part}_mse"] = errors[0].reshape(len(STAGES), len(seeds))
    spans = pca.decoder_span(models["linear"], runs[0].params)[last]
    arrays["angles"] = np.degrees([subspace_angles(axes.T, span) for span in spans])
    npz = running.save(STUDY, setting, runs, arrays, _rows(arrays), latent=LATENT)
    return running.finish(setting, npz, draw(npz), STUDY)


def _rows(arrays: dict[str, np.ndarray]) -> list[Row]:
    rows = [Row(f"D1 PCA, {part} MSE", None, arrays[f"pca_{part}_mse"]) for part in ("train", "test")]
    rows += [
        Row(f"{'D1' if name == 'linear' else 'D2'} {name}, {part} MSE", None, errors)
        for index, name in enumerate(HIDDEN)
        for part in ("train", "test")
        for errors in [arrays[f"{part}_mse"][index]]
    ]
    over = arrays["train_mse"][0] / arrays["pca_train_mse"]
    return [
        *rows,
        Row("D1 train MSE, linear over PCA", None, over),
        Row("D1 largest principal angle, degrees", None, arrays["angles"].max(1)),
    ]


def draw(npz: Path) -> list[Path]:
    """Figs. 2 and 3 of the report and the training curves, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    caption, hidden, steps = meta["caption"], arrays["hidden"].tolist(), arrays["stage_steps"]
    paths = plotting.image_sheet(
        npz.with_name(f"{STUDY}_fig2_stages"), [*arrays["stage_reconstructions"], arrays["images"]],
        [*(f"{count:,} steps" for count in steps), "input"],
        title="Fig. 2  Linear reconstructions during training", caption=caption,
    )  # fmt: skip
    paths += plotting.image_sheet(
        npz.with_name(f"{STUDY}_fig3_activations"),
        [arrays["images"], arrays["pca_reconstructions"], *arrays["reconstructions"]], ["input", "PCA", *hidden],
        title=f"Fig. 3  Reconstructions from {meta['config']['latent']} numbers", caption=caption,
    )  # fmt: skip
    epochs = arrays["train_loss"].shape[-1]
    step = np.linspace(steps[-1] / epochs, steps[-1], epochs)
    series = [plotting.Series(name, step, loss, "") for name, loss in zip(hidden, arrays["train_loss"], strict=True)]
    series.append(plotting.Series("PCA", step[[0, -1]], np.repeat(arrays["pca_train_mse"], 2), "", dashed=True))
    return paths + plotting.line_plot(
        npz.with_name(f"{STUDY}_training"), series, xlabel="training step", ylabel="train MSE per pixel",
        title="Training error by hidden activation", caption=caption,
    )  # fmt: skip


if __name__ == "__main__":
    common.main(Options, study)
