"""Importance-weighted autoencoders against the literature (Burda, Grosse & Salakhutdinov 2016, table 1).

    python -m experiments.importance_weighted --dataset mnist --budget full

One stochastic layer of 50, two dense tanh layers of 200 on each side, MNIST binarised afresh at every step; VAE,
IWAE with 5 and with 50 samples, and the latter with the doubly reparameterised gradient. Measured: -log p(x) of the
test set by 5,000 importance samples. Published: VAE 86.76, IWAE-5 85.54, IWAE-50 84.78 nats after 3,280 epochs at
falling learning rates. All 60,000 images train, as there; the rate is constant here, Adam 1e-3, batch 100. The full
budget needs an accelerator; on a CPU give ``--epochs``, and read the trend off the learning curves. Fixed
binarisation differs by about 2 nats: never mix. Runtime on two CPU cores: digits quick a minute; MNIST with
``--epochs 10 --test-images 500`` 20 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np

from ae_jax import distributions, engine, evaluation, plotting, posterior, results, trials, variational
from ae_jax.data import no_holdout
from ae_jax.objectives import Objective
from ae_jax.types import Plan, UsageError, hparams
from ae_jax.vae import dense_vae
from experiments import common, running
from experiments.report import Row

STUDY = "importance_weighted"
MODEL = dense_vae(50, (200, 200), nn.tanh)
LIKELIHOOD = distributions.bernoulli(distributions.binarize_dynamic)
OBJECTIVES: dict[str, tuple[Objective, float | None]] = {  # and the published -log p(x)
    "VAE": (variational.elbo(MODEL, LIKELIHOOD), 86.76),
    "IWAE-5": (variational.iwae(MODEL, LIKELIHOOD, 5), 85.54),
    "IWAE-50": (variational.iwae(MODEL, LIKELIHOOD, 50), 84.78),
    "IWAE-50, doubly reparameterised": (variational.iwae_doubly_reparameterised(MODEL, LIKELIHOOD, 50), None),
}

BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=20, batch_size=100),
        "mnist": common.Budget(epochs=2, batch_size=100, limit=5_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), common.Budget(epochs=3280, batch_size=100)),
}
MEASURES = {"quick": (100, 200), "full": (5000, 10_000)}  # importance samples and test images


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Likelihood of importance-weighted autoencoders."""

    samples: int | None = None
    """Importance samples for the likelihood of an image."""
    test_images: int | None = None
    """Test images whose likelihood is measured, at most."""
    objectives: tuple[str, ...] = tuple(OBJECTIVES)
    """Which of them to train."""


def study(options: Options) -> Path | None:
    """Train, measure the likelihood, save, draw, compare."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    for name in options.objectives:
        if name not in OBJECTIVES:
            raise UsageError(f"no objective {name!r}: choose among {', '.join(OBJECTIVES)}")
    lanes = trials.make_lanes(hparams(learning_rate=1e-3, epochs=budget.epochs), seed=common.seeds(setting))
    plan = Plan(budget.batch_size)
    groups = [engine.Group(name, OBJECTIVES[name][0], plan, lanes) for name in options.objectives]
    splits = trials.stack_splits([no_holdout(len(dataset.train_images))])
    runs = running.train(STUDY, setting, groups, splits)
    if not running.is_writer():
        return None

    samples, images = MEASURES[options.budget]
    samples, images = options.samples or samples, options.test_images or images
    unseen = common.unit_images(dataset.test_images[:images])
    bound_key, nll_key = jax.random.split(common.study_key(options))
    elbo = OBJECTIVES["VAE"][0]
    arrays = {"objectives": np.array(options.objectives)}
    rows = []
    for name, run in zip(options.objectives, runs, strict=True):
        print(f"{name}: -log p(x) of {len(unseen):,} images by {samples:,} samples ...", flush=True)
        nll = posterior.importance_nll(MODEL, LIKELIHOOD, run.params, nll_key, unseen, samples).mean(1)
        codes = posterior.encode(MODEL, LIKELIHOOD, run.params, nll_key, unseen)
        active = posterior.active_units(codes).sum(1)
        score = evaluation.score(elbo, run.params, lanes.hparams, bound_key, common.test_data(dataset))
        nll, elbo_score = (running.unless_diverged(values, run.status) for values in (nll, score["elbo"]))
        slug = name.replace(" ", "_")
        arrays[f"{slug}_train_loss"] = run.train_loss
        arrays |= {f"{slug}_nll": nll, f"{slug}_active": active, f"{slug}_elbo": elbo_score}
        rows += [
            Row(f"{name}: test -log p(x), nats", OBJECTIVES[name][1], nll),
            Row(f"{name}: test -ELBO, nats", None, -elbo_score),
            Row(f"{name}: active units of 50", None, active),
        ]
    numbers = f"{budget.epochs} epochs, batch {budget.batch_size}, {samples:,} samples on {len(unseen):,} test images"
    caption = common.describe(setting, numbers)
    deviations = ("samples", "test_images")
    npz = running.save(STUDY, setting, runs, arrays, rows, caption=caption, deviations=deviations, samples=samples)
    return running.finish(setting, npz, draw(npz), STUDY)


def draw(npz: Path) -> list[Path]:
    """Each objective's own bound on the training images, epoch by epoch; from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    series = []
    for name in map(str, arrays["objectives"]):
        curves = arrays[f"{name.replace(' ', '_')}_train_loss"]
        series.append(plotting.Series(name, 1 + np.arange(curves.shape[1]), curves, marker=""))
    return plotting.line_plot(
        npz.with_name(f"{STUDY}_curves"), series, xlabel="epoch", ylabel="bound on -log p(x), training, nats",
        title="Importance-weighted bounds", caption=meta["caption"],
    )  # fmt: skip


if __name__ == "__main__":
    common.main(Options, study)
