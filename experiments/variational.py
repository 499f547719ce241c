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
from typing import Literal, NamedTuple

import jax
import numpy as np

from ae_jax import distributions, evaluation, posterior, variational
from ae_jax.data import holdout
from ae_jax.distributions import Likelihood
from ae_jax.models import Autoencoder, conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import UsageError
from ae_jax.vae import VAE, conv_vae, dense_vae
from experiments import common, comparison, latent_figures, plotting, reports, study
from experiments.comparison import Numbers
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

UNSEEN = 1000  # test images whose likelihood is measured
PLAIN = "plain autoencoder"
BINARIZE = {
    "none": distributions.grey,
    "static": distributions.binarize_static,
    "dynamic": distributions.binarize_dynamic,
}


class Protocol(NamedTuple):
    """Models by name, the first of which is drawn; the plain autoencoder beside it; what the report gives."""

    models: dict[str, VAE]
    plain: Autoencoder
    variance: float | None = None  # of a Gaussian likelihood; None is Bernoulli
    figures: Numbers | None = None  # training, validation and test loss


TWO_STAGES = (32, 64), None  # channels, and no hidden layer: report C, section 2.4
PROTOCOLS = {
    "B7": Protocol({"d = 3": conv_vae(3)}, conv_autoencoder(3), variance=1.0, figures=reports.b.VAE_LOSS),
    "C5": Protocol({"d = 2": conv_vae(2, *TWO_STAGES)}, conv_autoencoder(2, *TWO_STAGES)),
    "D3": Protocol({"d = 5": dense_vae(5)}, dense_autoencoder(5, activation=jax.nn.elu)),
    "D4": Protocol(
        {"d = 5": conv_vae(5, *TWO_STAGES), "d = 20": conv_vae(20, *TWO_STAGES)}, conv_autoencoder(5, *TWO_STAGES)
    ),
}
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


def likelihood(options: Options) -> Likelihood:
    """The report's, of the pixels that the options choose. UsageError for binary pixels of a Gaussian one."""
    variance = PROTOCOLS[options.study].variance
    if variance is None:
        return distributions.bernoulli(BINARIZE[options.binarize])
    if options.binarize != "none":
        raise UsageError(
            f"--binarize {options.binarize}: study {options.study} has a Gaussian likelihood of grey pixels"
        )
    return distributions.gaussian(variance)


def plan(setup: Setup) -> Training:
    """A group for each VAE and one for the plain autoencoder, a lane for each seed."""
    protocol, of_pixels = PROTOCOLS[setup.options.study], likelihood(setup.options)
    objectives = {name: variational.elbo(model, of_pixels) for name, model in protocol.models.items()}
    objectives[PLAIN] = autoencoder(protocol.plain)
    return Training(setup.groups(objectives, learning_rate=1e-3))


def measure(setup: Setup, runs: Runs) -> Measured:
    """Losses of all three parts, likelihood and rate of each latent, ``[seeds, ...]``; what the figures show."""
    # The models share a measure's key on purpose: it is the same noise that they are compared by.
    train_key, nll_key, figures_key, validation_key, test_key, codes_key = jax.random.split(setup.key, 6)
    halves = holdout(len(setup.dataset.train_images))
    train, validation = (jax.tree.map(lambda leaf, half=half: leaf[half], setup.training) for half in halves)
    parts = {
        "training": (train_key, train),
        "validation": (validation_key, validation),
        "test": (test_key, setup.test),
    }
    unseen, arrays, rows = setup.test_images[:UNSEEN], {}, []
    for name in PROTOCOLS[setup.options.study].models:
        run, slug = runs[name], name.replace(" = ", "")
        scores = {part: evaluation.score(run, *given) for part, given in parts.items()}
        nll = posterior.importance_nll(run, nll_key, unseen, setup.options.samples).mean(-1)
        rates = posterior.latent_rates(posterior.encode(run, codes_key, unseen))
        rows += _rows(setup.options, name, scores, nll, rates)
        arrays |= {f"{slug}_{part}_{metric}": v for part, score in scores.items() for metric, v in score.items()}
        arrays |= {f"{slug}_latent_rates": rates, f"{slug}_nll": nll}
        arrays |= {f"{slug}_{curve}": losses for curve, losses in run.curves._asdict().items()}
    first = next(iter(runs.values()))
    return Measured(arrays | latent_figures.of_prior(setup, first[0], runs[PLAIN][0], figures_key), rows)


def _rows(
    options: Options, name: str, scores: dict[str, dict[str, np.ndarray]], nll: np.ndarray, rates: np.ndarray
) -> list[Row]:
    """The report's loss is energy plus rate; for a Bernoulli likelihood that is the negative ELBO."""
    title, test = f"{options.study} {name}", scores["test"]
    losses = [score["energy"] + score["rate"] for score in scores.values()]
    further = {
        "test rate, nats": test["rate"],
        "test distortion, nats, normalised": test["distortion"],
        f"test -log p(x), {options.samples} samples, 1,000 images": nll,
        "latents in use (rate above 0.01 nats)": np.where(np.isnan(rates).any(-1), np.nan, (rates > 0.01).sum(-1)),
        "log-variances at their limit": test["clipped"],
    }
    return [
        *comparison.rows(f"{title} {{}} loss", scores, losses, PROTOCOLS[options.study].figures),
        *comparison.rows(f"{title} {{}}", further, further.values()),
    ]


def draw(saved: Saved) -> Paths:
    """Sheets of images, and the codes beside the plain autoencoder's."""
    arrays, labels, sample = saved.arrays, saved.arrays["labels"], saved.arrays["sample"]
    latents = [f"z{i + 1}" for i in range(len(arrays["traversal_images"]))]
    shown = [arrays["images"], arrays["reconstructions"]]
    title = "One latent from the 5th to the 95th percentile of the prior, the others at 0"
    sheets = {
        "reconstructions": (shown, ["input", "output"], "Test images and the decoded means of their codes"),
        "prior": (arrays["prior_images"], None, "Draws of the prior, decoded"),
        "traversals": (arrays["traversal_images"], latents, title),
    }
    if "manifold_images" in arrays:
        title = "The manifold of digits: a grid of the prior's quantiles, decoded"
        sheets["manifold"] = arrays["manifold_images"], None, title
        codes, title = {"": (arrays["codes"], labels)}, "Means of the codes of the test set"
        yield from saved.draw(plotting.digit_scatter, "codes", codes, title=title)
    for name, (rows, names, title) in sheets.items():
        yield from saved.draw(plotting.image_sheet, name, rows, names, title=title)
    yield from latent_figures.draw_walks(saved)
    panels = {
        f"{kind}, {name}": (arrays[f"{kind.lower().replace('-', '')}_{key}"], chosen)
        for kind, chosen in (("PCA", labels), ("t-SNE", labels[sample]))
        for name, key in (("variational", "vae"), ("plain", "plain"))
    }
    title = "Codes of the test set beside those of a plain autoencoder"
    yield from saved.draw(plotting.digit_scatter, "projections", panels, title=title)


STUDY = Study(
    "variational", Options, lambda options: BUDGETS[options.study], plan, measure, draw,
    deviations=lambda options: () if options.binarize == "none" else ("binarize",),
)  # fmt: skip

if __name__ == "__main__":
    study.main(STUDY)
