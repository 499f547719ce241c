"""The latent space of convolutional autoencoders (report A, section V; B, 3.1; C, 3.1; protocols A5, B4, C2).

    python -m experiments.latent_space --study A5 --dataset mnist --budget full

Trains autoencoders with a latent plane by the best hyper-parameters of the report, and for B4 the larger one of its
search too. Draws, of the first seed, the learning curves and reconstructions (report C's Fig. 2); the codes of the
test set by digit, by PCA and by t-SNE, static and as pages on which hovering shows the image; the centroids with
uniform samples of their bounding box (report A's Fig. 5) and what these decode to; draws of the normal distribution
fitted to the codes and of N(0, I), decoded (report C's Fig. 6); places chosen on the maps, decoded (report B); the
decoded plane; and walks between the images of two digits. What the maps tell is measured for every seed. The first
model of the plane goes to a ``.safetensors`` beside the npz, for ``experiments.smoothness``, ``experiments.transfer``
and ``ae_jax.files.load``. Runtime on two CPU cores: digits quick a minute, MNIST full 5 to 12 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ae_jax import evaluation, files, latent
from ae_jax.lanes import Group, lane_grid, make_lanes
from ae_jax.models import Autoencoder, ConvEncoder, conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.runs import Run, one_lane
from ae_jax.types import Plan, UsageError, hparams
from experiments import common, comparison, explorer, latent_figures, maps, plane_plots, reports, running, study
from experiments.study import Budget, Measured, Paths, Runs, Saved, Setup, Study, Training


class Protocol(NamedTuple):
    """A model with a latent plane and, for B4, a larger code beside it; the test MSE that is reported, by code size."""

    best: dict[str, float]
    test_mse: comparison.Numbers | None = None
    optimizer: str = "adam"
    batch_size: int = 128
    epochs: int = 40
    channels: tuple[int, ...] = (8, 16, 32)
    larger: int | None = None


PROTOCOLS = {
    "A5": Protocol(reports.a.BEST, optimizer=reports.a.OPTIMIZER, batch_size=512),
    "B4": Protocol(reports.b.BEST, reports.b.TEST_MSE, larger=48),
    "C2": Protocol(reports.c.BEST, reports.c.TEST_MSE, epochs=50, channels=reports.c.CHANNELS),
}
BUDGETS = {
    name: common.budgets(
        digits=Budget(epochs=120, batch_size=64),
        mnist=Budget(epochs=5, batch_size=128, limit=10_000),
        full=Budget(protocol.epochs, protocol.batch_size, seeds=4),
    )
    for name, protocol in PROTOCOLS.items()
}


@dataclasses.dataclass(frozen=True)
class Options(common.SeededOptions):
    """Latent space of the autoencoder of one of the reports."""

    study: Literal["A5", "B4", "C2"] = "A5"
    """Whose autoencoder: report A's, B's or C's."""
    tsne_sample: int = 2000
    """Test images that t-SNE arranges, at most; 2,000 take about 15 s."""


def numbers(options: Options) -> dict[str, float]:
    """The hyper-parameters."""
    return reports.best(PROTOCOLS[options.study].best, options.dataset)


def plan(setup: Setup) -> Training:
    """A lane alone for each code size; the planes of further seeds are trained before, and change no bit of these."""
    options, budget, protocol = setup.options, setup.budget, PROTOCOLS[setup.options.study]
    lanes = make_lanes(hparams(**numbers(options), epochs=budget.epochs), seed=options.seed)
    models = {d: conv_autoencoder(d, protocol.channels) for d in (2, protocol.larger) if d}
    how = Plan(budget.batch_size, protocol.optimizer)
    if budget.seeds > 1:
        further = lane_grid(lanes.hparams, seed=setup.seeds[1:])
        running.train(setup, Training([Group("seeds", autoencoder(models[2]), how, further)]), stage="further")
    return Training([Group(f"d={d}", autoencoder(model), how, lanes) for d, model in models.items()])


def measure(setup: Setup, runs: Runs) -> Measured:
    """Codes of the first seed, and what is in its plane; by seed, ``[seeds, ...]``, what the planes and maps tell."""
    options, labels, clean = setup.options, setup.dataset.test_labels, setup.test_images
    sample = latent.subsample(len(clean), options.tsne_sample, options.seed)
    first = {run.model.encoder.latent: run for run in runs.values()}
    arranged = {d: _arrange(setup, run, sample) for d, run in first.items()}
    arrays = {"labels": labels, "sample": sample, "sample_images": setup.dataset.test_images[sample]}
    arrays |= {f"{name}_{d}": values for d, of_run in arranged.items() for name, values in of_run.items()}
    arrays |= explorer.arrays(setup.dataset, {"": arrays["codes_2"]})
    arrays |= latent_figures.of_plane(first[2], arrays["codes_2"], labels, setup.key)
    arrays |= latent_figures.of_places(setup, first[2], arrays) | study.histories({"d=2": first[2]})
    further = [run[i] for run in setup.earlier.values() for i in range(len(run.status))]
    planes = [(first[2], arranged[2]), *((lane, _arrange(setup, lane, sample)) for lane in further)]
    told = [maps.of_lane(setup, lane, sample, **codes) for lane, codes in planes]
    arrays |= {f"seed_{name}": values for name, values in study.together(told).items()}
    errors = {2: [evaluation.reconstruction_error(lane, clean, clean) for lane, _ in planes]}
    errors |= {d: evaluation.reconstruction_error(run, clean, clean) for d, run in first.items() if d != 2}
    what, reported = f"{options.study} test MSE, d = {{}}", PROTOCOLS[options.study].test_mse
    rows = comparison.rows(what, errors, errors.values(), reported) + maps.rows(options.study, arrays)
    return Measured(arrays, rows, _caption(setup), numbers(options))


def _arrange(setup: Setup, run: Run, sample: np.ndarray) -> dict[str, np.ndarray]:
    """The codes of the test images by a lane, their PCA, and the t-SNE of a sample."""
    codes = latent.encode(run, setup.test_images)
    print(f"arranging {len(sample):,} codes of d = {codes.shape[1]} by t-SNE ...", flush=True)
    return {"codes": codes, "pca": latent.pca(codes), "tsne": latent.tsne(codes[sample], setup.options.seed)}


def _caption(setup: Setup) -> str | None:
    """Of figures that show the first of several seeds."""
    options, budget = setup.options, setup.budget
    how = f"{budget.epochs} epochs, batch {budget.batch_size}, the first of {budget.seeds} seeds"
    return f"{options.study}. {common.describe(setup, how)}" if budget.seeds > 1 else None


def draw(saved: Saved) -> Paths:
    """Every figure of the latent space."""
    arrays, labels, stars = saved.arrays, saved.arrays["labels"], saved.arrays["centroids"]
    yield from saved.draw(
        plane_plots.digit_scatter, "codes", {"": (arrays["codes_2"], labels)}, stars=stars,
        title="Codes of the test set in the latent plane, and the centroids",
    )  # fmt: skip
    for d in sorted(int(name.removeprefix("tsne_")) for name in arrays if name.startswith("tsne_")):
        yield from latent_figures.draw_projections(saved, d)
    yield from latent_figures.draw_training(saved)
    yield from latent_figures.draw_plane(saved)
    yield from latent_figures.draw_walks(saved)


def export(setup: Setup, runs: Runs, saved: Saved) -> list[Path]:
    """The model in the plane."""
    return explorer.export(saved, {"": runs["d=2"]})


def read_model(path: Path) -> Run:
    """The lane that this study, or any training of a convolutional autoencoder, saved; UsageError for another."""
    run = one_lane(dataclasses.replace(files.load(path), name=str(path)))
    if not (isinstance(run.model, Autoencoder) and isinstance(run.model.encoder, ConvEncoder)):
        raise UsageError(f"{path}: a {type(run.model).__name__}; give a convolutional autoencoder")
    return run


STUDY = Study("latent_space", Options, lambda options: BUDGETS[options.study], plan, measure, draw, export=export)

if __name__ == "__main__":
    study.main(STUDY)
