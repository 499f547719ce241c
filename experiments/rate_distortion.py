"""Variational objectives compared: rate against distortion, use of the latents, and the digits they generate.

    python -m experiments.rate_distortion --dataset mnist --budget full

Beyond the reports. Convolutional VAEs with d = 10 on dynamically binarised images: the ELBO with beta from 0.1 to 8
as lanes of one program, and with beta = 1 after a warm-up; free bits; WAE-MMD; a vector-quantised autoencoder of 8
positions. Measured on the test set: rate, distortion, ELBO, active units, distance of the aggregated posterior from
the prior (MMD), and samples of the prior and of a Gaussian mixture fitted to codes of training images, judged by a
digit classifier trained here: share recognised with confidence 0.9, balance of the classes, Frechet distance of its
logits from those of test images (not an FID). All models but the vector-quantised one go to ``.safetensors`` files
beside the npz, for the page, where beta is a switch, and ``ae_jax.load``. Runtime on two CPU cores: digits quick two
minutes, MNIST full 8 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ae_jax import distributions, evaluation, generation, latent, posterior, variational
from ae_jax.data import holdout
from ae_jax.lanes import Group, make_lanes
from ae_jax.models import ConvEncoder
from ae_jax.objectives import classifier
from ae_jax.runs import Run
from ae_jax.types import Plan, hparams
from ae_jax.vae import conv_vae, conv_vqvae
from experiments import command_line, common, comparison, explorer, plotting, sheets, study
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training

BETAS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
LATENT = 10
FREE_NATS, MMD_WEIGHT, COMMITMENT = 0.5, 1000.0, 0.25
SHOWN, COMPONENTS = 12, 10  # samples on the sheet, of the mixture

MODEL, LIKELIHOOD = conv_vae(LATENT), distributions.bernoulli(distributions.binarize_dynamic)
OBJECTIVES = {
    "ELBO": variational.elbo(MODEL, LIKELIHOOD),
    "free bits": variational.free_bits(MODEL, LIKELIHOOD, FREE_NATS),
    "WAE-MMD": variational.wae_mmd(MODEL, LIKELIHOOD),
    "VQ-VAE": variational.vector_quantised(conv_vqvae(codes=32, code_size=4), LIKELIHOOD),
    "judge": classifier(ConvEncoder(latent=10)),
}
LANES = {  # of the objectives with Gaussian codes, in the order in which everything shows them
    "ELBO": [*(f"beta {beta:g}" for beta in BETAS), "beta 1, warm-up"],
    "free bits": ["free bits"],
    "WAE-MMD": ["WAE-MMD"],
}
LABELS = {
    "rate": "rate, nats",
    "distortion": "distortion, nats",
    "active": f"active units of {LATENT}",
    "mmd": "squared MMD from the prior",
    "prior_share": "prior samples recognised",
    "prior_balance": "prior samples, balance of the classes",
    "prior_frechet": "prior samples, Frechet distance",
    "mixture_share": "mixture samples recognised",
    "mixture_balance": "mixture samples, balance of the classes",
    "mixture_frechet": "mixture samples, Frechet distance",
}
BUDGETS = common.budgets(
    digits=Budget(epochs=40, batch_size=64),
    mnist=Budget(epochs=2, batch_size=128, limit=5_000),
    full=Budget(epochs=20, batch_size=128),
)


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """Beta sweep and its relatives, measured by rate, distortion and generated digits."""

    samples: int = 1000
    """Samples that are judged, of each model from the prior and from the mixture."""


def plan(setup: Setup) -> Training:
    """A group for each objective, lanes ``[weights]`` of its second term, and one for the judge."""
    command_line.require_count("--samples", setup.options.samples, least=2)  # they are to have a covariance
    budget = setup.budget
    steps = budget.epochs * (len(holdout(len(setup.dataset.train_images))[0]) // budget.batch_size)
    weights: dict[str, dict[str, Any]] = {
        "ELBO": {"penalty": [*BETAS, 1.0], "warmup": [0.0] * len(BETAS) + [steps / 4]},
        "free bits": {"penalty": [1.0]},
        "WAE-MMD": {"penalty": [MMD_WEIGHT]},
        "VQ-VAE": {"penalty": [COMMITMENT]},
        "judge": {},
    }
    lanes = {
        name: make_lanes(hparams(learning_rate=1e-3, epochs=budget.epochs, **numbers), seed=setup.options.seed)
        for name, numbers in weights.items()
    }
    protocol = Plan(budget.batch_size)
    return Training([Group(name, objective, protocol, lanes[name]) for name, objective in OBJECTIVES.items()])


def measure(setup: Setup, runs: Runs) -> Measured:
    """Every measure of every lane on the test set, ``[lanes, ...]``, and codes for the page."""
    *keys, quantised_keys = jax.random.split(setup.key, (len(LANES) + 1, 4))
    judge, quantised = runs["judge"], runs["VQ-VAE"]
    of_runs = [_measure(runs[name], judge, setup, key) for name, key in zip(LANES, keys, strict=True)]
    arrays = study.together(of_runs, np.concatenate)
    arrays["names"] = names = np.array(sum(LANES.values(), []))
    arrays |= explorer.arrays(setup.dataset, dict(zip(names.tolist(), arrays.pop("codes"), strict=True)))
    score = evaluation.score(quantised, quantised_keys[0], setup.test)
    counts = posterior.code_counts(quantised, quantised_keys[1], setup.test_images)
    rows = [
        *comparison.measures("{}: {}", names, LABELS, arrays),
        Row("VQ-VAE: distortion, nats", None, score["distortion"]),
        Row("VQ-VAE: codes in use of 32 (perplexity)", None, posterior.perplexity(counts)),
    ]
    return Measured(arrays, rows, config={"betas": BETAS, "free_nats": FREE_NATS, "mmd_weight": MMD_WEIGHT})


def _measure(run: Run, judge: Run, setup: Setup, keys: jax.Array) -> dict[str, np.ndarray]:
    """Those of the lanes of one objective. Consumes ``keys [4]``."""
    score_key, code_key, prior_key, mixture_key = keys
    count = setup.options.samples
    score = evaluation.score(run, score_key, setup.test)
    codes = posterior.encode(run, code_key, setup.test_images)
    fit_key, mixture_key = jax.random.split(mixture_key)
    learned = posterior.encode(run, fit_key, setup.train_images[: study.FITTED])
    fitted = generation.mixture_codes(mixture_key, learned.mean, count, COMPONENTS)
    drawn = {
        "prior": latent.decode(run, generation.prior_codes(prior_key, run.shape, count, LATENT)),
        "mixture": latent.decode(run, fitted),
    }
    measures = {name: score[name] for name in ("rate", "distortion", "elbo", "clipped")} | {
        "status": run.status,
        "codes": codes.mean,
        "active": posterior.active_units(codes),
        "latent_rates": posterior.latent_rates(codes),
        "mmd": posterior.aggregate_mmd(codes),
    }
    real = evaluation.class_logits(judge, setup.test_images)
    for kind, images in drawn.items():
        measures[f"{kind}_images"] = images[:, :SHOWN]
        judged = generation.judgement(judge, images, real)
        measures |= {f"{kind}_{name}": values for name, values in judged.items()}
    return measures


def draw(saved: Saved) -> Paths:
    """The rate-distortion curve and sheets of samples."""
    names, rate, distortion = (saved.arrays[name] for name in ("names", "rate", "distortion"))
    sweep = len(BETAS)
    points = [plotting.Series("ELBO, beta 0.1 (right) to 8", rate[:sweep], distortion[:sweep])]
    for name, *point in zip(names[sweep:], rate[sweep:, None], distortion[sweep:, None], strict=True):
        points.append(plotting.Series(str(name), *point, "s"))
    yield from saved.draw(
        plotting.line_plot, "curve", points, xlabel="rate (nats)", ylabel="distortion (nats)",
        title="Rate and distortion on the test set",
    )  # fmt: skip
    for kind, title in (
        ("prior", "Samples of the prior"),
        ("mixture", "Samples of a Gaussian mixture fitted to the codes"),
    ):
        yield from saved.draw(sheets.image_sheet, kind, saved.arrays[f"{kind}_images"], names, title=title)


def export(setup: Setup, runs: Runs, saved: Saved) -> list[Path]:
    """Every lane with Gaussian codes."""
    return explorer.export(saved, {lane: runs[name][i] for name in LANES for i, lane in enumerate(LANES[name])})


STUDY = Study("rate_distortion", Options, BUDGETS, plan, measure, draw, export=export)

if __name__ == "__main__":
    study.main(STUDY)
