"""Sparse, contractive and overcomplete denoising autoencoders beside the plain one (named by report E, section 4).

    python -m experiments.regularised --dataset mnist --budget full

Each is a single layer with sigmoid codes, as in the papers they come from: 784-64-784 for the plain one, the sparse
ones (L1, and Ng's KL divergence) and the contractive one of Rifai et al. (2011); 784-1024-784 for the overcomplete one
of Vincent et al. (2010), which is trained on images with masked pixels, and on clean ones to compare. The penalties'
weights are lanes of one program. Each is judged by its test MSE, the mean activation of its code, the share of units
above 0.1 in an image, the contraction ``||J||_F^2`` of its encoder, the accuracy of a linear probe on its codes, and
its error under Gaussian noise of 0.5. Expected: sparser codes and smaller Jacobians with larger weights; no reports'
figures. Small weights even lower the test MSE at the end of a full run, which is long before the plain one's error
stops falling. Runtime on two CPU cores: digits quick minutes, MNIST full 20 minutes, most of it the contractive one's
64 backward passes for each step.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import numpy as np
from jax import Array

from ae_jax import corruptions, evaluation, latent, objectives
from ae_jax.lanes import Group, lane_grid
from ae_jax.models import dense_autoencoder
from ae_jax.runs import Run
from ae_jax.types import Plan, hparams
from experiments import common, comparison, plotting, sheets, study
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training

NETWORK = dense_autoencoder(64, (), code_activation=nn.sigmoid)
OVERCOMPLETE = dense_autoencoder(1024, (), code_activation=nn.sigmoid)
NOISE = 0.5  # standard deviation of the test of robustness
ACTIVE = 0.1  # a code unit above this is active
CONTRACTED = 64  # test images whose Jacobians are taken
SHOWN = 10  # images on the sheet
MEASURES = {  # quantities of the table, in its order, and how they are named there
    "test_mse": "test MSE",
    "noisy_mse": "noisy MSE",
    "activation": "mean |code|",
    "active": "active share",
    "contraction": "||J||_F^2",
    "probe": "probe accuracy",
}
BUDGETS = common.budgets(
    digits=Budget(epochs=40, batch_size=64),
    mnist=Budget(epochs=2, batch_size=128, limit=5_000),
    full=Budget(epochs=20, batch_size=128),
    full_digits=Budget(epochs=200, batch_size=64),
)


class Family(NamedTuple):
    """Autoencoders that differ in one number, the field ``knob`` of their hyper-parameters."""

    objective: objectives.Objective
    knob: str = "penalty"
    values: tuple[float, ...] = (1.0,)


FAMILIES = {
    "plain": Family(objectives.autoencoder(NETWORK)),
    "sparse L1": Family(objectives.sparse_l1(NETWORK), values=(0.003, 0.03)),
    "sparse KL": Family(objectives.sparse_kl(NETWORK), values=(0.0001, 0.001)),
    "contractive": Family(objectives.contractive(NETWORK), values=(0.0003, 0.003)),
    "overcomplete masked": Family(objectives.denoising(OVERCOMPLETE, corruptions.masking), "noise", (0.0, 0.5)),
}


class Options(common.SeededOptions):
    """Sparse, contractive and overcomplete denoising autoencoders."""


def plan(setup: Setup) -> Training:
    """A group for each family, of lanes ``[values of its knob, seeds]``."""
    epochs, protocol = hparams(epochs=setup.budget.epochs), Plan(setup.budget.batch_size)
    groups = [
        Group(name, objective, protocol, lane_grid(epochs, **{knob: values}, seed=setup.seeds))
        for name, (objective, knob, values) in FAMILIES.items()
    ]
    return Training(groups, setup.everything)


def measure(setup: Setup, runs: Runs) -> Measured:
    """The quantities of ``MEASURES``: ``[models, seeds]``, a model for each family and value of its knob."""
    clean = setup.test_images
    noisy = corruptions.gaussian(setup.key, clean, NOISE)
    names = [
        f"{name}, {value:g}" if len(values) > 1 else name
        for name, (_, _, values) in FAMILIES.items()
        for value in values
    ]
    measured = [_measures(setup, run, noisy) for run in runs.values()]
    drawn = [evaluation.reconstruct(run[:, 0], noisy[:SHOWN]) for run in runs.values()]
    arrays = {
        "model": np.array(names),
        "seed": setup.seeds,
        **{name: values.astype(float) for name, values in study.together(measured, np.concatenate).items()},
        "images": np.array([clean[:SHOWN], noisy[:SHOWN]]),
        "reconstructions": np.concatenate(drawn),
    }
    rows = comparison.rows("{}: test MSE", names, arrays["test_mse"])
    return Measured(arrays, rows, config={"noise": NOISE, "active": ACTIVE})


def _measures(setup: Setup, run: Run, noisy: Array) -> dict[str, np.ndarray]:
    """The quantities of ``MEASURES`` by name: ``[*run.shape]`` each; ``noisy`` are the test images, corrupted."""
    clean, codes = setup.test_images, latent.encode(run, setup.test_images)
    active = (np.abs(codes) > ACTIVE).mean((-2, -1))
    return {
        "test_mse": evaluation.reconstruction_error(run, clean, clean),
        "noisy_mse": evaluation.reconstruction_error(run, noisy, clean),
        "activation": np.abs(codes).mean((-2, -1)),
        "active": np.where(run.diverged, np.nan, active),
        "contraction": evaluation.contraction(run, clean[:CONTRACTED]),
        "probe": study.probe(setup, run),
    }


def show(saved: Saved) -> None:
    """The table of all quantities, means over the seeds."""
    arrays, config = saved.arrays, saved.meta["config"]
    means = (np.nanmean(arrays[name], axis=1) for name in MEASURES)
    cells = [[name, *(f"{v:.4f}" for v in values)] for name, *values in zip(arrays["model"], *means, strict=True)]
    caption = f"noisy: Gaussian {config['noise']}; active: above {config['active']}"
    comparison.print_table(
        "Regularised autoencoders", ("model, weight or masked share", *MEASURES.values()), cells, caption
    )


def draw(saved: Saved) -> Paths:
    """The quantities side by side and reconstructions of noisy images."""
    arrays, names = saved.arrays, saved.arrays["model"].tolist()
    yield from saved.draw(
        plotting.bar_panels, "measures", names, {label: arrays[name] for name, label in MEASURES.items()},
        title="Regularised autoencoders: weight of the penalty, or share masked",
    )  # fmt: skip
    yield from saved.draw(
        sheets.image_sheet, "noisy", [*arrays["images"].clip(0, 1), *arrays["reconstructions"]],
        ["clean", "noisy input", *names], title=f"Reconstructions under Gaussian noise {saved.meta['config']['noise']}",
    )  # fmt: skip


STUDY = Study("regularised", Options, BUDGETS, plan, measure, draw, show)

if __name__ == "__main__":
    study.main(STUDY)
