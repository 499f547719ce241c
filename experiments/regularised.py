"""Sparse, contractive and overcomplete denoising autoencoders beside the plain one (named by report E, section 4).

    python -m experiments.regularised --dataset mnist --budget full

Each is a single layer with sigmoid codes, as in the papers they come from: 784-64-784 for the plain one, the sparse
ones (L1, and Ng's KL divergence) and the contractive one of Rifai et al. (2011); 784-1024-784 for the overcomplete one
of Vincent et al. (2010), which is trained on images with masked pixels, and on clean ones to compare. The penalties'
weights are lanes of one program. Each is judged by its test MSE, the mean activation of its code, the share of units
above 0.1 in an image, the contraction ``||J||_F^2`` of its encoder, the accuracy of a linear probe on its codes, and
its error under Gaussian noise of 0.5. Expected: sparser codes and smaller Jacobians with larger weights, at a price
in test MSE; no reports' figures. Runtime on two CPU cores: digits quick minutes, MNIST full an hour, most of it the
contractive one's 64 backward passes for each step.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax import Array

from ae_jax import corruptions, data, engine, evaluation, latent, objectives, plotting, results, trials
from ae_jax.models import Autoencoder, dense_autoencoder
from ae_jax.types import Dataset, Plan, PyTree, hparams
from experiments import common, running
from experiments.report import Row, print_table

STUDY = "regularised"
NETWORK = dense_autoencoder(64, (), code_activation=nn.sigmoid)
OVERCOMPLETE = dense_autoencoder(1024, (), code_activation=nn.sigmoid)
NOISE = 0.5  # standard deviation of the test of robustness
ACTIVE = 0.1  # a code unit above this is active
PROBED = 10_000  # training images the linear probe learns from
CONTRACTED = 64  # test images whose Jacobians are taken
SHOWN = 10  # images on the sheet

# Quantities of the table, in its order, and how they are named there.
MEASURES = {
    "test_mse": "test MSE",
    "noisy_mse": "noisy MSE",
    "activation": "mean |code|",
    "active": "active share",
    "contraction": "||J||_F^2",
    "probe": "probe accuracy",
}
BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=40, batch_size=64),
        "mnist": common.Budget(epochs=2, batch_size=128, limit=5_000),
    },
    "full": {
        "digits": common.Budget(epochs=200, batch_size=64),
        "mnist": common.Budget(epochs=20, batch_size=128),
    },
}


class Family(NamedTuple):
    """Autoencoders that differ in one number, the field ``knob`` of their hyper-parameters."""

    model: Autoencoder
    objective: objectives.Objective
    knob: str = "penalty"
    values: tuple[float, ...] = (1.0,)


FAMILIES = {
    "plain": Family(NETWORK, objectives.autoencoder(NETWORK)),
    "sparse L1": Family(NETWORK, objectives.sparse_l1(NETWORK), values=(0.003, 0.03)),
    "sparse KL": Family(NETWORK, objectives.sparse_kl(NETWORK), values=(0.0001, 0.001)),
    "contractive": Family(NETWORK, objectives.contractive(NETWORK), values=(0.0003, 0.003)),
    "overcomplete masked": Family(
        OVERCOMPLETE, objectives.denoising(OVERCOMPLETE, corruptions.masking), "noise", (0.0, 0.5)
    ),
}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Sparse, contractive and overcomplete denoising autoencoders."""


def study(options: Options) -> Path | None:
    """Train, measure, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    seeds = common.seeds(setting)
    groups = []
    for name, (_, objective, knob, values) in FAMILIES.items():
        numbers = hparams(**{knob: np.repeat(values, len(seeds))}, epochs=budget.epochs)
        lanes = trials.make_lanes(numbers, seed=np.tile(seeds, len(values)))
        groups.append(engine.Group(name, objective, Plan(budget.batch_size), lanes))
    splits = trials.stack_splits([data.no_holdout(len(dataset.train_images))])
    runs = running.train(STUDY, setting, groups, splits)
    if not running.is_writer():
        return None

    clean = common.unit_images(dataset.test_images)
    noisy = corruptions.gaussian(common.study_key(options), clean, NOISE)
    measured = [
        running.unless_diverged(measure(family.model, run.params, dataset, clean, noisy), run.status)
        for family, run in zip(FAMILIES.values(), runs, strict=True)
    ]
    names = [
        f"{name}, {value:g}" if len(family.values) > 1 else name
        for name, family in FAMILIES.items()
        for value in family.values
    ]
    table = np.concatenate(measured, axis=1).reshape(len(MEASURES), len(names), len(seeds))
    arrays = {"model": np.array(names), "seed": seeds, **dict(zip(MEASURES, table, strict=True))}
    arrays["images"] = np.array([clean[:SHOWN], noisy[:SHOWN]])
    arrays["reconstructions"] = np.concatenate(
        [
            evaluation.reconstruct(family.model, run.params, noisy[:SHOWN])[:: len(seeds)]
            for family, run in zip(FAMILIES.values(), runs, strict=True)
        ]
    )
    rows = [Row(f"{name}: test MSE", None, of_seeds) for name, of_seeds in zip(names, arrays["test_mse"], strict=True)]
    npz = running.save(STUDY, setting, runs, arrays, rows, noise=NOISE, active=ACTIVE)
    print_measures(npz)
    return running.finish(setting, npz, draw(npz), STUDY)


def measure(model: Autoencoder, params: PyTree, dataset: Dataset, clean: Array, noisy: Array) -> np.ndarray:
    """The quantities of ``MEASURES`` for every lane: ``[measures, lanes]``; noisy is ``clean`` corrupted."""
    train = common.unit_images(dataset.train_images[:PROBED])
    reconstructing = [evaluation.reconstruction_error(model, params, inputs, clean) for inputs in (clean, noisy)]
    contraction = np.asarray(evaluation.contraction(model, params, clean[:CONTRACTED]))

    def of_codes(lane: int) -> tuple[float, ...]:
        one = jax.tree.map(lambda leaf: leaf[lane], params)
        codes, train_codes = (latent.encode(model, one, images) for images in (clean, train))
        probe = evaluation.linear_probe(train_codes, dataset.train_labels[:PROBED], codes, dataset.test_labels)
        return np.abs(codes).mean(), (np.abs(codes) > ACTIVE).mean(), probe

    activation, active, probe = zip(*(of_codes(lane) for lane in range(len(contraction))), strict=True)
    return np.array([*reconstructing, activation, active, contraction, probe])


def print_measures(npz: Path) -> None:
    """The table of all quantities, means over the seeds, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    means = (np.nanmean(arrays[name], axis=1) for name in MEASURES)
    cells = [[name, *(f"{v:.4f}" for v in values)] for name, *values in zip(arrays["model"], *means, strict=True)]
    caption = f"noisy: Gaussian {meta['config']['noise']}; active: above {meta['config']['active']}"
    print_table("Regularised autoencoders", ("model, weight or masked share", *MEASURES.values()), cells, caption)


def draw(npz: Path) -> list[Path]:
    """The quantities side by side and reconstructions of noisy images, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    names, caption = arrays["model"].tolist(), meta["caption"]
    paths = plotting.bar_panels(
        npz.with_name(f"{STUDY}_measures"), names, {label: arrays[name] for name, label in MEASURES.items()},
        title="Regularised autoencoders: weight of the penalty, or share masked", caption=caption,
    )  # fmt: skip
    return paths + plotting.image_sheet(
        npz.with_name(f"{STUDY}_noisy"), [*arrays["images"].clip(0, 1), *arrays["reconstructions"]],
        ["clean", "noisy input", *names], title=f"Reconstructions under Gaussian noise {meta['config']['noise']}",
        caption=caption,
    )  # fmt: skip


if __name__ == "__main__":
    common.main(Options, study)
