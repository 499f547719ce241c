"""Autoencoders as generators of digits: plain, denoising and variational (report C, sections 3.4 and 4).

    python -m experiments.generators --dataset mnist --budget full

Report C concludes that "the VAE is able to generate better images than the convolutional one" and shows sheets. Here
a digit classifier trained beside them judges 1,000 samples of each: share recognised with confidence 0.9, balance of
the classes, Frechet distance of its logits from those of test images (not an FID). All have a latent plane. Plain and
denoising (noise 0.5, C4) are C1's best. One VAE has section 2.4's two convolutions with sigmoid units, another, so that
the objective alone differs, the autoencoder's network, L2 and dropout. Codes are drawn from a normal distribution
fitted to those of training images, from N(0, I), a VAE's prior, and uniformly from the box of their 5th to 95th
percentiles. The models of the first seed go to ``.safetensors`` files beside the npz, for the page and
``ae_jax.load``. Runtime on two CPU cores: digits quick two minutes, MNIST full 12 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np

from ae_jax import corruptions, distributions, evaluation, generation, latent, objectives, variational
from ae_jax.lanes import Group, make_lanes
from ae_jax.models import ConvEncoder, conv_autoencoder
from ae_jax.runs import Run
from ae_jax.types import Plan, hparams
from ae_jax.vae import conv_vae
from experiments import command_line, common, comparison, explorer, plotting, reports, sheets, study
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training
from experiments.vaes import PROTOCOLS

SHOWN = 12  # samples on the sheet
NOISE = 0.5
JUDGE = "judge"

NETWORK, LIKELIHOOD = conv_autoencoder(2, reports.c.CHANNELS), distributions.bernoulli(distributions.grey)
OBJECTIVES = {  # of one network and the same numbers
    "autoencoder": objectives.autoencoder(NETWORK),
    "denoising": objectives.denoising(NETWORK, corruptions.gaussian),
    "VAE, same network": variational.elbo(conv_vae(2, reports.c.CHANNELS), LIKELIHOOD),
}
OF_REPORT, SIGMOID = "VAE of 2.4", variational.elbo(PROTOCOLS["C5"].models["sigmoid"], LIKELIHOOD)
MODELS = (*OBJECTIVES, OF_REPORT)
WAYS = ("fitted", "N(0, I)", "box")
LABELS = {
    "share": "samples recognised",
    "balance": "balance of their classes",
    "frechet": "Frechet distance",
}
BUDGETS = common.budgets(
    digits=Budget(epochs=60, batch_size=64, seeds=2),
    mnist=Budget(epochs=3, batch_size=128, limit=5_000),
    full=Budget(epochs=20, batch_size=128, seeds=3),
)


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Plain, denoising and variational autoencoders as generators of digits."""

    samples: int = 1000
    """Samples that are judged, of each model in each way."""


def plan(setup: Setup) -> Training:
    """A group for each model, a lane for each seed, and the judge, a lane alone."""
    command_line.require_count("--samples", setup.options.samples, least=2)  # they are to have a covariance
    best = reports.best(reports.c.BEST, setup.options.dataset)
    alone = make_lanes(hparams(learning_rate=1e-3, epochs=setup.budget.epochs), seed=setup.options.seed)
    judge = Group(JUDGE, objectives.classifier(ConvEncoder(latent=10)), Plan(setup.budget.batch_size), alone)
    groups = setup.groups(OBJECTIVES, **best, noise=NOISE) + setup.groups({OF_REPORT: SIGMOID}, learning_rate=1e-3)
    return Training([*groups, judge])


def measure(setup: Setup, runs: Runs) -> Measured:
    """The judge's measures of the samples, ``[models, ways, seeds]``; of the reconstructions, ``[models, seeds]``."""
    judge, labels = runs[JUDGE], setup.dataset.test_labels
    real = evaluation.class_logits(judge, setup.test_images)
    found = [_measure(runs[name], judge, setup, real) for name in MODELS]
    arrays = study.together(found)
    arrays |= explorer.arrays(setup.dataset, dict(zip(MODELS, arrays.pop("codes"), strict=True)))
    arrays |= {"models": np.array(MODELS), "ways": np.array(WAYS), "status": [runs[name].status for name in MODELS]}
    names = [f"{model}, {way}" for model in MODELS for way in WAYS]
    rows = comparison.measures("{}: {}", names, LABELS, {name: np.concatenate(arrays[name]) for name in LABELS})
    rows += comparison.rows("{}: reconstructions of the right digit", MODELS, arrays["kept"], higher_is_better=True)
    rows.append(Row("judge: test accuracy", None, [(real.argmax(-1) == labels).mean()], higher_is_better=True))
    return Measured(arrays, rows, config={"noise": NOISE})


def _measure(run: Run, judge: Run, setup: Setup, real: np.ndarray) -> dict[str, np.ndarray]:
    """Those of one model: ``[ways, seeds]`` and ``[seeds]``. All models draw from the same keys."""
    codes = latent.encode(run, setup.test_images)
    samples = new_codes(setup.key, latent.encode(run, setup.train_images[: study.FITTED]), setup.options.samples)
    ends = np.cumsum([setup.options.samples] * len(samples))
    *images, reconstructions = np.split(latent.decode(run, np.concatenate([*samples, codes], 1)), ends, axis=1)
    judged = [generation.judgement(judge, of_way, real) for of_way in images]
    right = [
        evaluation.class_logits(judge, of_lane).argmax(-1) == setup.dataset.test_labels for of_lane in reconstructions
    ]
    return study.together(judged) | {
        "codes": codes[0],
        "kept": np.where(run.diverged, np.nan, np.mean(right, -1)),
        "images": np.array([of_way[0, :SHOWN] for of_way in images]),
    }


def new_codes(key: jax.Array, codes: np.ndarray, count: int) -> list[np.ndarray]:
    """By each of ``WAYS``, from those of images ``[seeds, n, 2]``: ``[seeds, count, 2]``. Consumes ``key``.

    The draws of a way are the same for all seeds.
    """
    fitted_key, prior_key, box_key = jax.random.split(key, 3)
    boxes = np.percentile(codes, (5, 95), axis=1).swapaxes(0, 1)
    return [
        np.array([latent.sample_normal(jax.random.clone(fitted_key), of_lane, count) for of_lane in codes]),
        generation.prior_codes(prior_key, codes.shape[:1], count, codes.shape[-1]),
        np.array([latent.sample_box(jax.random.clone(box_key), *box, count) for box in boxes]),
    ]


def draw(saved: Saved) -> Paths:
    """A sheet of samples, and the judge's measures as bars."""
    names = [f"{model}, {way}" for model in saved.arrays["models"] for way in saved.arrays["ways"]]
    rows = np.concatenate(saved.arrays["images"])
    yield from saved.draw(sheets.image_sheet, "samples", rows, names, title="Samples, decoded")
    panels = {label: np.concatenate(saved.arrays[name]) for name, label in LABELS.items()}
    title = "Samples judged by a digit classifier"
    yield from saved.draw(plotting.bar_panels, "measures", names, panels, title=title)


def export(setup: Setup, runs: Runs, saved: Saved) -> list[Path]:
    """The first seed of each model."""
    return explorer.export(saved, {name: runs[name][0] for name in MODELS})


STUDY = Study("generators", Options, BUDGETS, plan, measure, draw, export=export)

if __name__ == "__main__":
    study.main(STUDY)
