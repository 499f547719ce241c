"""Variational autoencoders (report B, section 3.4; C, 3.4; D, sections 5 and 6; protocols B7, C5, D3, D4).

    python -m experiments.variational --study B7 --dataset mnist --budget full

B7: d = 3, Gaussian likelihood of variance c = 1, loss ||x - x_hat||^2 / (2c) + KL (reported: training 19.383,
validation 19.473, test 19.521; the normaliser, 784/2 log(2 pi c) = 720.4 nats, is left out there and part of our
ELBO). C5: a latent plane, two convolutions, Bernoulli likelihood. D3: dense layers of 500 ELU units, d = 5; D4:
C5's network with d = 5 and d = 20. Pixels are grey by default, on which a Bernoulli likelihood is a pseudo-
likelihood; ``--binarize`` draws binary ones. Draws reconstructions, samples of the prior, the manifold of digits (d
= 2), codes by PCA and t-SNE beside a plain autoencoder's, traversals of each latent and walks between digits.
Runtime on two CPU cores: digits quick a minute, MNIST full about 10 minutes each.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np
from scipy.stats import norm

from ae_jax import distributions, engine, evaluation, latent, plotting, posterior, results, trials, variational
from ae_jax.data import holdout
from ae_jax.distributions import Likelihood
from ae_jax.lanes import DIVERGED
from ae_jax.models import Autoencoder, conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.training import Data
from ae_jax.types import Plan, PyTree, UsageError, hparams
from ae_jax.vae import VAE, conv_vae, dense_vae
from experiments import common, running
from experiments.latent_space import WALKS
from experiments.report import Row

STUDY = "variational"
SHOWN = 12
MANIFOLD_STEPS = 20
BINARIZE = {
    "none": distributions.grey,
    "static": distributions.binarize_static,
    "dynamic": distributions.binarize_dynamic,
}


class Study(NamedTuple):
    """Models by name, the first of which is drawn; the plain autoencoder beside it; what the report gives."""

    models: dict[str, VAE]
    plain: Autoencoder
    variance: float | None = None  # of a Gaussian likelihood; None is Bernoulli
    reported: tuple[float, float, float] | None = None  # training, validation and test loss


TWO_STAGES = (32, 64), None  # channels, and no hidden layer: report C, section 2.4
STUDIES = {
    "B7": Study({"d = 3": conv_vae(3)}, conv_autoencoder(3), variance=1.0, reported=(19.383, 19.473, 19.521)),
    "C5": Study({"d = 2": conv_vae(2, *TWO_STAGES)}, conv_autoencoder(2, *TWO_STAGES)),
    "D3": Study({"d = 5": dense_vae(5)}, dense_autoencoder(5, activation=jax.nn.elu)),
    "D4": Study(
        {"d = 5": conv_vae(5, *TWO_STAGES), "d = 20": conv_vae(20, *TWO_STAGES)}, conv_autoencoder(5, *TWO_STAGES)
    ),
}
QUICK = {
    "digits": common.Budget(epochs=60, batch_size=64),
    "mnist": common.Budget(epochs=3, batch_size=128, limit=10_000),
}
FULL = dict.fromkeys(STUDIES, common.Budget(epochs=40, batch_size=128))
FULL["D3"] = common.Budget(epochs=105, batch_size=100)  # 50,400 steps: report D's other networks take 50,000
BUDGETS = {study: {"quick": QUICK, "full": dict.fromkeys(("digits", "mnist"), full)} for study, full in FULL.items()}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Variational autoencoder of one of the reports."""

    study: Literal["B7", "C5", "D3", "D4"] = "B7"
    """Whose: report B's (Gaussian likelihood), C's (a plane), D's (dense) or D's empty section (convolutional)."""
    binarize: Literal["none", "static", "dynamic"] = "none"
    """Pixels of a Bernoulli likelihood: grey, drawn once, or drawn afresh at every step."""
    samples: int = 100
    """Importance samples for the likelihood of a test image."""


def study(options: Options) -> Path | None:
    """Train the VAEs and the plain autoencoder, measure, save, draw."""
    chosen = STUDIES[options.study]
    if chosen.variance is not None and options.binarize != "none":
        raise UsageError(
            f"--binarize {options.binarize}: study {options.study} has a Gaussian likelihood of grey pixels"
        )
    setting = common.prepare(options, BUDGETS[options.study])
    _, budget, dataset, _ = setting
    likelihood = (
        distributions.bernoulli(BINARIZE[options.binarize])
        if chosen.variance is None
        else distributions.gaussian(chosen.variance)
    )
    objectives = {name: variational.elbo(model, likelihood) for name, model in chosen.models.items()}
    lanes = trials.make_lanes(hparams(learning_rate=1e-3, epochs=budget.epochs), seed=common.seeds(setting))
    plan = Plan(budget.batch_size)
    groups = [engine.Group(name, objective, plan, lanes) for name, objective in objectives.items()]
    groups.append(engine.Group("plain autoencoder", autoencoder(chosen.plain), plan, lanes))
    name = f"{STUDY}/{options.study}"
    runs = running.train(name, setting, groups)
    if not running.is_writer():
        return None
    if any((run.status == DIVERGED).any() for run in runs):
        raise UsageError("a run diverged: try another --seed")

    scores_key, nll_key, figures_key = jax.random.split(common.study_key(options), 3)
    arrays, rows = {}, []
    parts = _parts(setting)
    for (label, objective), run in zip(objectives.items(), runs, strict=False):
        scores = {
            part: evaluation.score(objective, run.params, lanes.hparams, scores_key, examples)
            for part, examples in parts.items()
        }
        model = chosen.models[label]
        unseen = common.unit_images(dataset.test_images[:1000])
        nll = posterior.importance_nll(model, likelihood, run.params, nll_key, unseen, options.samples).mean(1)
        rates = posterior.latent_rates(posterior.encode(model, likelihood, run.params, nll_key, unseen))
        rows += _rows(f"{options.study} {label}", chosen, scores, nll, rates, options.samples)
        slug = label.replace(" = ", "")
        arrays |= {f"{slug}_{part}_{m}": np.asarray(v) for part, score in scores.items() for m, v in score.items()}
        arrays |= {f"{slug}_latent_rates": rates, f"{slug}_nll": nll}
        arrays |= {f"{slug}_train_loss": run.train_loss, f"{slug}_validation_loss": run.validation_loss}
    first = jax.tree.map(lambda leaf: leaf[0], runs[0].params)
    plain = jax.tree.map(lambda leaf: leaf[0], runs[-1].params)
    model = next(iter(chosen.models.values()))
    arrays |= _figures(model, likelihood, first, chosen.plain, plain, setting, figures_key)
    npz = running.save(
        name,
        setting,
        runs,
        arrays,
        rows,
        study=options.study,
        deviations=() if options.binarize == "none" else ("binarize",),
    )
    return running.finish(setting, npz, draw(npz), name)


def _parts(setting: common.Setting) -> dict[str, Data]:
    """Training, validation and test examples."""
    train, validation = holdout(len(setting.dataset.train_images))
    everything = common.training_data(setting.dataset)
    return {
        "training": jax.tree.map(lambda leaf: leaf[train], everything),
        "validation": jax.tree.map(lambda leaf: leaf[validation], everything),
        "test": common.test_data(setting.dataset),
    }


def _rows(
    title: str, chosen: Study, scores: dict[str, dict], nll: np.ndarray, rates: np.ndarray, samples: int
) -> list[Row]:
    """The report's loss is energy plus rate; for a Bernoulli likelihood that is the negative ELBO."""
    reported = chosen.reported or (None, None, None)
    losses = {part: np.asarray(score["energy"] + score["rate"]) for part, score in scores.items()}
    test = scores["test"]
    return [
        *(Row(f"{title} {part} loss", figure, losses[part]) for part, figure in zip(scores, reported, strict=True)),
        Row(f"{title} test rate, nats", None, np.asarray(test["rate"])),
        Row(f"{title} test distortion, nats, normalised", None, np.asarray(test["distortion"])),
        Row(f"{title} test -log p(x), {samples} samples, 1,000 images", None, nll),
        Row(f"{title} latents in use (rate above 0.01 nats)", None, (rates > 0.01).sum(1)),
        Row(f"{title} log-variances at their limit", None, np.asarray(test["clipped"])),
    ]


def _figures(
    model: VAE, likelihood: Likelihood, params: PyTree, plain: Autoencoder, plain_params: PyTree,
    setting: common.Setting, key: jax.Array,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What the figures show, by the first seed: images, codes, samples. Consumes ``key``."""
    prior_key, code_key = jax.random.split(key)
    images, labels = common.unit_images(setting.dataset.test_images), setting.dataset.test_labels
    codes = np.asarray(posterior.encode(model, likelihood, _lane(params), code_key, images).mean[0])
    plain_codes = latent.encode(plain, plain_params, images)
    d = codes.shape[1]
    deviations = norm.ppf(np.linspace(0.05, 0.95, SHOWN))
    middle = np.zeros((d, SHOWN, d))
    middle[np.arange(d), :, np.arange(d)] = deviations
    ends = {digit: codes[int(np.argmax(labels == digit))] for pair in WALKS for digit in pair}
    walks = np.concatenate([latent.interpolate(ends[a], ends[b], SHOWN) for a, b in WALKS])
    sample = np.sort(np.random.default_rng(setting.options.seed).permutation(len(images))[:2000])

    def decode(points: np.ndarray) -> np.ndarray:
        return latent.decode(model, params, points.reshape(-1, d)).reshape(-1, SHOWN, 28, 28, 1)

    arrays = {
        "images": np.asarray(images[:SHOWN]),
        "reconstructions": decode(codes[:SHOWN])[0],
        "prior_images": decode(np.asarray(jax.random.normal(prior_key, (5 * SHOWN, d)))),
        "traversal_images": decode(middle),
        "walk_images": decode(walks),
        "labels": labels,
        "sample": sample,
        "pca_vae": latent.pca(codes),
        "pca_plain": latent.pca(plain_codes),
        "tsne_vae": latent.tsne(codes[sample], setting.options.seed),
        "tsne_plain": latent.tsne(plain_codes[sample], setting.options.seed),
    }
    if d == 2:
        quantiles = norm.ppf(np.linspace(0.02, 0.98, MANIFOLD_STEPS))
        plane = np.stack(np.meshgrid(quantiles, quantiles[::-1]), -1)
        shape = (MANIFOLD_STEPS, MANIFOLD_STEPS, 28, 28, 1)
        arrays |= {"codes": codes, "manifold_images": latent.decode(model, params, plane.reshape(-1, 2)).reshape(shape)}
    return arrays


def _lane(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[None], params)


def draw(npz: Path) -> list[Path]:
    """Every figure, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    stem, caption = npz.with_suffix("").name, f"{meta['config']['study']}. {meta['caption']}"
    labels, sample = arrays["labels"], arrays["sample"]

    def sheet(name: str, rows: np.ndarray, labels: list[str], title: str) -> list[Path]:
        return plotting.image_sheet(npz.with_name(f"{stem}_{name}"), rows, labels, title=title, caption=caption)

    rows = [arrays["images"], arrays["reconstructions"]]
    paths = sheet("reconstructions", rows, ["input", "output"], "Test images and the decoded means of their codes")
    paths += sheet("prior", arrays["prior_images"], [""] * len(arrays["prior_images"]), "Draws of the prior, decoded")
    names = [f"z{i + 1}" for i in range(len(arrays["traversal_images"]))]
    title = "One latent from the 5th to the 95th percentile of the prior, the others at 0"
    paths += sheet("traversals", arrays["traversal_images"], names, title)
    title = "On straight lines between the codes of two digits"
    paths += sheet("walks", arrays["walk_images"], [f"{a} to {b}" for a, b in WALKS], title)
    panels = {
        f"{kind}, {name}": (arrays[f"{kind.lower().replace('-', '')}_{key}"], chosen)
        for kind, chosen in (("PCA", labels), ("t-SNE", labels[sample]))
        for name, key in (("variational", "vae"), ("plain", "plain"))
    }
    title = "Codes of the test set beside those of a plain autoencoder"
    paths += plotting.digit_scatter(npz.with_name(f"{stem}_projections"), panels, title=title, caption=caption)
    if "manifold_images" in arrays:
        title = "The manifold of digits: a grid of the prior's quantiles, decoded"
        paths += sheet("manifold", arrays["manifold_images"], [""] * MANIFOLD_STEPS, title)
        panels = {"": (arrays["codes"], labels)}
        title = "Means of the codes of the test set"
        paths += plotting.digit_scatter(npz.with_name(f"{stem}_codes"), panels, title=title, caption=caption)
    return paths


if __name__ == "__main__":
    common.main(Options, study)
