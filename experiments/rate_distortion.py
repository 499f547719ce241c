"""Variational objectives compared: rate against distortion, use of the latents, and the digits they generate.

    python -m experiments.rate_distortion --dataset mnist --budget full

Beyond the reports. Convolutional VAEs with d = 10 on dynamically binarised images: the ELBO with beta from 0.1 to 8
as lanes of one program, and with beta = 1 after a warm-up; free bits; WAE-MMD; a vector-quantised autoencoder of 8
positions. Measured on the test set: rate, distortion, ELBO, active units, distance of the aggregated posterior from
the prior (MMD), and samples of the prior and of a Gaussian mixture fitted to the codes, judged by a digit
classifier trained here: share recognised with confidence 0.9, balance of the classes, Frechet distance of its
logits from those of test images (not an FID). Runtime on two CPU cores: digits quick two minutes, MNIST full 15
minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from ae_jax import distributions, engine, evaluation, generation, plotting, posterior, results, trials, variational
from ae_jax.data import holdout
from ae_jax.engine import Lanes
from ae_jax.models import ConvEncoder
from ae_jax.objectives import Objective, classifier
from ae_jax.types import Plan, PyTree, hparams
from ae_jax.vae import conv_vae, conv_vqvae
from experiments import common, running
from experiments.report import Row

STUDY = "rate_distortion"
BETAS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
LATENT = 10
MODEL, QUANTISED, JUDGE = conv_vae(LATENT), conv_vqvae(codes=32, code_size=4), ConvEncoder(latent=10)
LIKELIHOOD = distributions.bernoulli(distributions.binarize_dynamic)
FREE_NATS, MMD_WEIGHT, COMMITMENT = 0.5, 1000.0, 0.25
DRAWN, SHOWN, COMPONENTS = 1000, 12, 10  # samples for the judge, samples on the sheet, of the mixture

BUDGETS = {
    "quick": {
        "digits": common.Budget(epochs=40, batch_size=64),
        "mnist": common.Budget(epochs=2, batch_size=128, limit=5_000),
    },
    "full": dict.fromkeys(("digits", "mnist"), common.Budget(epochs=20, batch_size=128)),
}


class Options(common.Options):
    """Beta sweep and its relatives, measured by rate, distortion and generated digits."""


def study(options: Options) -> Path | None:
    """Train all objectives and the judge, measure, save, draw."""
    setting = common.prepare(options, BUDGETS)
    _, budget, dataset, _ = setting
    steps = budget.epochs * (len(holdout(len(dataset.train_images))[0]) // budget.batch_size)
    warm = {"penalty": [*BETAS, 1.0], "warmup": [0.0] * len(BETAS) + [steps / 4]}
    kinds: dict[str, tuple[Objective, Lanes]] = {
        "ELBO": (variational.elbo(MODEL, LIKELIHOOD), _lanes(setting, **warm)),
        "free bits": (variational.free_bits(MODEL, LIKELIHOOD, FREE_NATS), _lanes(setting)),
        "WAE-MMD": (variational.wae_mmd(MODEL, LIKELIHOOD), _lanes(setting, penalty=MMD_WEIGHT)),
        "VQ-VAE": (variational.vector_quantised(QUANTISED, LIKELIHOOD), _lanes(setting, penalty=COMMITMENT)),
        "judge": (classifier(JUDGE), _lanes(setting)),
    }
    plan = Plan(budget.batch_size)
    runs = running.train(
        STUDY, setting, [engine.Group(name, *(objective, plan, lanes)) for name, (objective, lanes) in kinds.items()]
    )
    if not running.is_writer():
        return None

    judge = runs[-1].params
    names = [f"beta {beta:g}" for beta in BETAS] + ["beta 1, warm-up", "free bits", "WAE-MMD"]
    table: dict[str, list[np.ndarray]] = {}
    for (objective, lanes), run in zip(list(kinds.values())[:3], runs, strict=False):
        for measure, values in _measure(objective, run.params, lanes, judge, setting).items():
            table.setdefault(measure, []).append(np.asarray(values))
    arrays = {measure: np.concatenate(values) for measure, values in table.items()} | {"names": np.array(names)}
    arrays["status"] = status = np.concatenate([run.status for run in runs[:3]])
    key = common.study_key(options)
    quantised = evaluation.score(
        kinds["VQ-VAE"][0], runs[3].params, kinds["VQ-VAE"][1].hparams, key, common.test_data(dataset)
    )
    images = common.unit_images(dataset.test_images)
    used = posterior.perplexity(posterior.code_counts(QUANTISED, LIKELIHOOD, runs[3].params, key, images))
    rows = [
        Row(f"{name}: {label}", None, [running.unless_diverged(arrays[measure][index], status[index])])
        for index, name in enumerate(names)
        for measure, label in _LABELS.items()
    ] + [
        Row("VQ-VAE: distortion, nats", None, np.asarray(quantised["distortion"])),
        Row("VQ-VAE: codes in use of 32 (perplexity)", None, used),
    ]
    npz = running.save(STUDY, setting, runs, arrays, rows, betas=BETAS, free_nats=FREE_NATS, mmd_weight=MMD_WEIGHT)
    return running.finish(setting, npz, draw(npz), STUDY)


_LABELS = {
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


def _lanes(setting: common.Setting, **numbers: Any) -> Lanes:
    return trials.make_lanes(
        hparams(learning_rate=1e-3, epochs=setting.budget.epochs, **numbers), seed=setting.options.seed
    )


def _measure(
    objective: Objective, params: PyTree, lanes: Lanes, judge: PyTree, setting: common.Setting
) -> dict[str, np.ndarray]:
    """Every measure of every lane of one objective on the test set: ``[lanes, ...]``."""
    score_key, code_key, prior_key, mixture_key = jax.random.split(common.study_key(setting.options), 4)
    examples = common.test_data(setting.dataset)
    images = common.unit_images(setting.dataset.test_images)
    score = evaluation.score(objective, params, lanes.hparams, score_key, examples)
    codes = posterior.encode(MODEL, LIKELIHOOD, params, code_key, images)
    count = len(lanes.seed)
    prior = generation.decode(MODEL, params, generation.prior_codes(prior_key, count, DRAWN, LATENT))
    fitted = generation.mixture_codes(mixture_key, np.asarray(codes.mean), DRAWN, COMPONENTS)
    mixture = generation.decode(MODEL, params, fitted)
    measures = {name: np.asarray(score[name]) for name in ("rate", "distortion", "elbo", "clipped")}
    measures |= {
        "active": posterior.active_units(codes).sum(1),
        "latent_rates": posterior.latent_rates(codes),
        "mmd": np.asarray(posterior.aggregate_mmd(codes)),
        "prior_images": np.asarray(prior[:, :SHOWN]),
        "mixture_images": np.asarray(mixture[:, :SHOWN]),
    }
    real = _logits(judge, images)
    for kind, drawn in (("prior", prior), ("mixture", mixture)):
        logits = [_logits(judge, lane) for lane in drawn]
        judged = [generation.recognition(np.asarray(jax.nn.softmax(lane))) for lane in logits]
        measures[f"{kind}_share"] = np.array([verdict.share for verdict in judged])
        measures[f"{kind}_balance"] = np.array([verdict.balance for verdict in judged])
        measures[f"{kind}_frechet"] = np.array([generation.frechet_distance(lane, real) for lane in logits])
    return measures


def _logits(judge: PyTree, images: jax.Array) -> np.ndarray:
    """Class logits of the judge's only lane: ``[n, 28, 28, 1] -> [n, 10]``."""
    lane = jax.tree.map(lambda leaf: leaf[0], judge)
    return np.concatenate([JUDGE.apply(lane, images[start : start + 1000]) for start in range(0, len(images), 1000)])


def draw(npz: Path) -> list[Path]:
    """The rate-distortion curve and sheets of samples, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    caption, names = meta["caption"], [str(name) for name in arrays["names"]]
    sweep = len(BETAS)
    series = [plotting.Series("ELBO, beta 0.1 to 8", arrays["rate"][:sweep], arrays["distortion"][:sweep])]
    series += [
        plotting.Series(name, arrays["rate"][[i]], arrays["distortion"][[i]], "s")
        for i, name in enumerate(names[sweep:], start=sweep)
    ]
    paths = plotting.line_plot(
        npz.with_name(f"{STUDY}_curve"), series, xlabel="rate (nats)", ylabel="distortion (nats)",
        title="Rate and distortion on the test set", caption=caption,
    )  # fmt: skip
    for kind, title in (
        ("prior", "Samples of the prior"),
        ("mixture", "Samples of a Gaussian mixture fitted to the codes"),
    ):
        sheet = npz.with_name(f"{STUDY}_{kind}")
        paths += plotting.image_sheet(sheet, arrays[f"{kind}_images"], names, title=title, caption=caption)
    return paths


if __name__ == "__main__":
    common.main(Options, study)
