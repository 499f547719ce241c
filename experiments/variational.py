"""Variational autoencoders (report B, section 3.4; C, 3.4; D, sections 5 and 6; protocols B7, C5, D3, D4).

    python -m experiments.variational --study B7 --dataset mnist --budget full

B7: d = 3, Gaussian likelihood of variance c = 1, loss ||x - x_hat||^2 / (2c) + KL (reported: training 19.383,
validation 19.473, test 19.521; the normaliser, 784/2 log(2 pi c) = 720.4 nats, is left out there and part of our
ELBO). The text takes "fixed hyper-parameters from the convolutional encoder" and names no L2: without it and with
that autoencoder's, as lanes of one program. C5: a latent plane, two convolutions, Bernoulli likelihood; "as activation
the sigmoid function is used" may mean the hidden layers or the pixels alone: with sigmoid and with ReLU. D3: dense
layers of 500 ELU units, d = 5; D4: C5's ReLU network with d = 5 and d = 20. Each has a plain autoencoder beside it.
Pixels are grey by default, on which a Bernoulli likelihood is a pseudo-likelihood; ``--binarize`` draws binary ones.
Draws reconstructions; samples of the prior, as means and as draws of the likelihood; the manifold of digits (d = 2);
codes by PCA and t-SNE; traversals of each latent and walks between digits, of the first model. The models of the
first seed go to ``.safetensors`` files beside the npz, for the page and ``ae_jax.load``. Runtime on two CPU cores:
digits quick a minute, MNIST full about 12 minutes each, C5 15.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from ae_jax import evaluation, latent, posterior, variational
from ae_jax.batching import Data
from ae_jax.data import holdout
from ae_jax.objectives import autoencoder
from ae_jax.runs import Run
from experiments import common, comparison, explorer, maps, planes, prior_figures, study, vaes
from experiments.prior_figures import PLAIN
from experiments.study import Budget, Measured, Row, Runs, Saved, Setup, Study, Training
from experiments.vaes import PROTOCOLS

UNSEEN = 1000  # test images whose likelihood is measured
QUICK = Budget(epochs=60, batch_size=64), Budget(epochs=3, batch_size=128, limit=10_000)  # digits and MNIST
FULL = dict.fromkeys(PROTOCOLS, Budget(epochs=40, batch_size=128))
FULL["D3"] = Budget(epochs=105, batch_size=100)  # 50,400 steps: report D's other networks take 50,000
BUDGETS = {name: common.budgets(*QUICK, full) for name, full in FULL.items()}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Variational autoencoder of one of the reports."""

    study: Literal["B7", "C5", "D3", "D4"] = "B7"
    """Whose: report B's (Gaussian likelihood), C's (a plane), D's (dense) or D's empty section (convolutional)."""
    binarize: Literal["none", "static", "dynamic"] = "none"
    """Pixels of a Bernoulli likelihood: grey, drawn once, or drawn afresh at every step."""
    samples: int = 100
    """Importance samples for the likelihood of a test image."""


def plan(setup: Setup) -> Training:
    """A group for each VAE, lanes ``[l2, seeds]``, and one for the plain autoencoder, ``[seeds]``."""
    protocol, of_pixels = PROTOCOLS[setup.options.study], vaes.likelihood(setup.options)
    objectives = {name: variational.elbo(model, of_pixels) for name, model in protocol.models.items()}
    groups = setup.groups(objectives, learning_rate=1e-3, l2=list(protocol.l2))
    return Training([*groups, *setup.groups({PLAIN: autoencoder(protocol.plain)}, learning_rate=1e-3)])


def measure(setup: Setup, runs: Runs) -> Measured:
    """Losses of all three parts, likelihood and rates, ``[variants, seeds, ...]``; what the figures show."""
    # The models share a measure's key on purpose: it is the same noise that they are compared by.
    train_key, nll_key, figures_key, validation_key, test_key, codes_key = jax.random.split(setup.key, 6)
    halves = holdout(len(setup.dataset.train_images))
    train, validation = (jax.tree.map(lambda leaf, half=half: leaf[half], setup.training) for half in halves)
    parts = {
        "training": (train_key, train),
        "validation": (validation_key, validation),
        "test": (test_key, setup.test),
    }
    protocol, plain, images = PROTOCOLS[setup.options.study], runs[PLAIN], setup.test_images
    variants = _variants(setup.options, runs)
    codes = {name: posterior.encode(run, codes_key, images) for name, run in variants.items()}
    arrays = study.together(_measures(setup, run, codes[name], parts, nll_key) for name, run in variants.items())
    means = [*(of_variant.mean for of_variant in codes.values()), latent.encode(plain, images)]
    arrays |= {
        "variants": np.array(list(variants)),
        "plain_mse": evaluation.reconstruction_error(plain, images, images),
    }
    arrays |= prior_figures.shown(setup, variants, plain, means, protocol.variance, figures_key)
    firsts = [of_model[0] for of_model in means]
    arrays |= explorer.arrays(setup.dataset, dict(zip([*variants, PLAIN], firsts, strict=True)))
    if "manifolds" in arrays:
        manifolds, labels = arrays.pop("manifolds"), setup.dataset.test_labels
        arrays |= planes.of_manifolds(manifolds, prior_figures.manifold(), images, labels)
        arrays |= maps.of_planes(means, labels, arrays["sample"])
    return Measured(arrays, _rows(setup.options, min(UNSEEN, len(images)), arrays))


def _variants(options: Options, runs: Runs) -> Runs:
    """The lanes of each VAE and each L2: ``[seeds]``."""
    return {name: runs[model][j] for name, (model, j) in PROTOCOLS[options.study].variants.items()}


def _measures(
    setup: Setup, run: Run, codes: posterior.Codes, parts: dict[str, tuple[jax.Array, Data]], nll_key: jax.Array
) -> dict[str, np.ndarray]:
    """Of one variant, ``[seeds, ...]``. The report's loss is energy plus rate: for Bernoulli, the negative ELBO."""
    widest = max(model.encoder.latent // 2 for model in PROTOCOLS[setup.options.study].models.values())
    rates = posterior.latent_rates(jax.tree.map(lambda leaf: leaf[:, :UNSEEN], codes))
    measures = {
        "nll": posterior.importance_nll(run, nll_key, setup.test_images[:UNSEEN], setup.options.samples).mean(-1),
        "mse": evaluation.reconstruction_error(run, setup.test_images, setup.test_images),
        "latent_rates": np.pad(rates, ((0, 0), (0, widest - rates.shape[1])), constant_values=np.nan),
        "active": np.where(np.isnan(rates).any(-1), np.nan, (rates > 0.01).sum(-1)),
        "status": run.status,
        "train_curve": run.curves.train_loss,
        "validation_curve": run.curves.validation_loss,
    }
    for part, (key, examples) in parts.items():
        score = evaluation.score(run, key, examples)
        measures |= {f"{part}_{metric}": values for metric, values in score.items()}
        measures[f"{part}_loss"] = score["energy"] + score["rate"]
    return measures


def _rows(options: Options, unseen: int, arrays: dict[str, np.ndarray]) -> list[Row]:
    """The report's figures beside each variant; the error of the mean's reconstruction beside the autoencoder's."""
    further = {
        "test rate, nats": "test_rate",
        "test distortion, nats, normalised": "test_distortion",
        f"test -log p(x), {options.samples} samples, {unseen:,} images": "nll",
        "test MSE of the mean's reconstruction": "mse",
        "latents in use (rate above 0.01 nats)": "active",
        "log-variances at their limit": "test_clipped",
    }
    parts, rows = ("training", "validation", "test"), []
    for index, variant in enumerate(arrays["variants"]):
        losses = [arrays[f"{part}_loss"][index] for part in parts]
        title = f"{options.study} {variant}"
        rows += comparison.rows(f"{title} {{}} loss", parts, losses, PROTOCOLS[options.study].reported)
        rows += comparison.rows(f"{title} {{}}", further, [arrays[name][index] for name in further.values()])
    d = PROTOCOLS[options.study].plain.encoder.latent
    return [*rows, Row(f"{options.study} {PLAIN} test MSE, d = {d}", None, arrays["plain_mse"])]


def export(setup: Setup, runs: Runs, saved: Saved) -> list[Path]:
    """The first seed of each VAE and of the plain autoencoder."""
    lanes = _variants(setup.options, runs) | {PLAIN: runs[PLAIN]}
    return explorer.export(saved, {name: run[0] for name, run in lanes.items()})


STUDY = Study(
    "variational", Options, lambda options: BUDGETS[options.study], plan, measure, prior_figures.draw, export=export,
    deviations=lambda options: () if options.binarize == "none" else ("binarize",),
)  # fmt: skip

if __name__ == "__main__":
    study.main(STUDY)
