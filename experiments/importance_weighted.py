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

import flax.linen as nn
import jax
import numpy as np

from ae_jax import distributions, evaluation, posterior, variational
from ae_jax.objectives import Objective
from ae_jax.types import UsageError
from ae_jax.vae import dense_vae
from experiments import common, plotting, study
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

MODEL = dense_vae(50, (200, 200), nn.tanh)
LIKELIHOOD = distributions.bernoulli(distributions.binarize_dynamic)
OBJECTIVES: dict[str, tuple[Objective, float | None]] = {  # and the published -log p(x)
    "VAE": (variational.elbo(MODEL, LIKELIHOOD), 86.76),
    "IWAE-5": (variational.iwae(MODEL, LIKELIHOOD, 5), 85.54),
    "IWAE-50": (variational.iwae(MODEL, LIKELIHOOD, 50), 84.78),
    "IWAE-50, doubly reparameterised": (variational.iwae_doubly_reparameterised(MODEL, LIKELIHOOD, 50), None),
}
BUDGETS = common.budgets(
    digits=Budget(epochs=20, batch_size=100),
    mnist=Budget(epochs=2, batch_size=100, limit=5_000),
    full=Budget(epochs=3280, batch_size=100),
)
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


def plan(setup: Setup) -> Training:
    """A group for each objective, a lane for each seed; all images train."""
    chosen = setup.options.objectives
    for name in chosen:
        if name not in OBJECTIVES:
            raise UsageError(f"no objective {name!r}: choose among {', '.join(OBJECTIVES)}")
    objectives = {name: OBJECTIVES[name][0] for name in chosen}
    return Training(setup.groups(objectives, learning_rate=1e-3), setup.everything)


def measure(setup: Setup, runs: Runs) -> Measured:
    """Likelihood, ELBO and latents in use on the test set, of each objective: ``[seeds]``."""
    samples, images = MEASURES[setup.options.budget]
    samples, images = setup.options.samples or samples, setup.options.test_images or images
    unseen = setup.test_images[:images]
    # The objectives share a measure's key on purpose: all are judged on the same binarised images.
    bound_key, nll_key, codes_key = jax.random.split(setup.key, 3)
    elbo, _ = OBJECTIVES["VAE"]
    arrays, rows = {"objectives": np.array(list(runs))}, []
    for name, run in runs.items():
        print(f"{name}: -log p(x) of {len(unseen):,} images by {samples:,} samples ...", flush=True)
        nll = posterior.importance_nll(run, nll_key, unseen, samples).mean(-1)
        active = posterior.active_units(posterior.encode(run, codes_key, unseen))
        bound = evaluation.score(run, bound_key, setup.test, elbo)["elbo"]
        found = {"train_loss": run.curves.train_loss, "nll": nll, "active": active, "elbo": bound}
        arrays |= {f"{_slug(name)}_{measure}": values for measure, values in found.items()}
        rows += [
            Row(f"{name}: test -log p(x), nats", OBJECTIVES[name][1], nll),
            Row(f"{name}: test -ELBO, nats", None, -bound),
            Row(f"{name}: active units of 50", None, active),
        ]
    budget = setup.budget
    numbers = f"{budget.epochs} epochs, batch {budget.batch_size}, {samples:,} samples on {len(unseen):,} test images"
    return Measured(arrays, rows, common.describe(setup, numbers), {"samples": samples})


def _slug(objective: str) -> str:
    return objective.replace(" ", "_")


def draw(saved: Saved) -> Paths:
    """Each objective's own bound on the training images, epoch by epoch."""
    names = saved.arrays["objectives"].tolist()
    curves = plotting.series(names, [saved.arrays[f"{_slug(name)}_train_loss"] for name in names])
    yield from saved.draw(
        plotting.line_plot, "curves", curves, xlabel="epoch", ylabel="bound on -log p(x), training, nats",
        title="Importance-weighted bounds",
    )  # fmt: skip


STUDY = Study("importance_weighted", Options, BUDGETS, plan, measure, draw, deviations=("samples", "test_images"))

if __name__ == "__main__":
    study.main(STUDY)
