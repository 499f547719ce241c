"""The latent space of convolutional autoencoders (report A, section V; B, 3.1; C, 3.1; protocols A5, B4, C2).

    python -m experiments.latent_space --study A5 --dataset mnist --budget full

Trains an autoencoder with a latent plane by the best hyper-parameters of the report, and for B4 the larger one of
its search too. Draws the codes of the test set by digit, by PCA and by t-SNE, static and as pages on which hovering
shows the image; the centroids with uniform samples of their bounding box (report A's Fig. 5) and what these decode
to; draws of a normal distribution decoded (report C); the decoded plane (report B); and walks between the images of
two digits. The model of the plane goes to a ``.safetensors`` beside the npz, for ``experiments.smoothness``,
``experiments.transfer`` and ``ae_jax.files.load``. Runtime on two CPU cores: digits quick a minute, MNIST full 5
minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ae_jax import evaluation, files, latent
from ae_jax.lanes import Group, make_lanes
from ae_jax.models import Autoencoder, ConvEncoder, conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.runs import Run, one_lane
from ae_jax.types import Plan, UsageError, hparams
from experiments import common, latent_figures, plotting, reports, study
from experiments.study import Budget, Measured, Paths, Row, Runs, Saved, Setup, Study, Training


class Protocol(NamedTuple):
    """A model with a latent plane and, for B4, a larger code beside it."""

    best: dict[str, float]
    optimizer: str = "adam"
    batch_size: int = 128
    epochs: int = 40
    channels: tuple[int, ...] = (8, 16, 32)
    larger: int | None = None


PROTOCOLS = {
    "A5": Protocol(reports.a.BEST, reports.a.OPTIMIZER, batch_size=512),
    "B4": Protocol(reports.b.BEST, larger=48),
    "C2": Protocol(reports.c.BEST, epochs=50, channels=reports.c.CHANNELS),
}
BUDGETS = {
    name: common.budgets(
        digits=Budget(epochs=120, batch_size=64),
        mnist=Budget(epochs=5, batch_size=128, limit=10_000),
        full=Budget(protocol.epochs, protocol.batch_size),
    )
    for name, protocol in PROTOCOLS.items()
}


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """Latent space of the autoencoder of one of the reports."""

    study: Literal["A5", "B4", "C2"] = "A5"
    """Whose autoencoder: report A's, B's or C's."""
    tsne_sample: int = 2000
    """Test images that t-SNE arranges, at most; 2,000 take about 15 s."""


def numbers(options: Options) -> dict[str, float]:
    """The hyper-parameters."""
    return reports.best(PROTOCOLS[options.study].best, options.dataset)


def plan(setup: Setup) -> Training:
    """A lane alone for each code size."""
    options, budget, protocol = setup.options, setup.budget, PROTOCOLS[setup.options.study]
    lanes = make_lanes(hparams(**numbers(options), epochs=budget.epochs), seed=options.seed)
    models = {d: conv_autoencoder(d, protocol.channels) for d in (2, protocol.larger) if d}
    how = Plan(budget.batch_size, protocol.optimizer)
    return Training([Group(f"d={d}", autoencoder(model), how, lanes) for d, model in models.items()])


def measure(setup: Setup, runs: Runs) -> Measured:
    """Codes of all runs, and what is in the plane."""
    options, labels = setup.options, setup.dataset.test_labels
    clean, plane = setup.test_images, runs["d=2"]
    sample = latent.subsample(len(clean), options.tsne_sample, options.seed)
    arrays = {"labels": labels, "sample": sample, "sample_images": setup.dataset.test_images[sample]}
    rows = []
    for run in runs.values():
        d, codes = run.model.encoder.latent, latent.encode(run, clean)
        print(f"arranging {len(sample):,} codes of d = {d} by t-SNE ...", flush=True)
        arrays[f"codes_{d}"] = codes
        arrays[f"pca_{d}"] = latent.pca(codes)
        arrays[f"tsne_{d}"] = latent.tsne(codes[sample], options.seed)
        error = evaluation.reconstruction_error(run, clean, clean)
        rows.append(Row(f"{options.study} test MSE, d = {d}", None, [error]))
    arrays |= latent_figures.of_plane(plane, arrays["codes_2"], labels, setup.key)
    right = latent.nearest(arrays["codes_2"], arrays["centroids"]) == labels
    accuracy = np.nan if plane.diverged else right.mean()
    rows.append(Row(f"{options.study} accuracy of the nearest centroid, d = 2", None, [accuracy], True))
    return Measured(arrays, rows, config=numbers(options))


def draw(saved: Saved) -> Paths:
    """Every figure of the latent space."""
    arrays, labels, stars = saved.arrays, saved.arrays["labels"], saved.arrays["centroids"]
    yield from saved.draw(
        plotting.digit_scatter, "codes", {"": (arrays["codes_2"], labels)}, stars=stars,
        title="Codes of the test set in the latent plane, and the centroids",
    )  # fmt: skip
    for d in sorted(int(name.removeprefix("tsne_")) for name in arrays if name.startswith("tsne_")):
        yield from latent_figures.draw_projections(saved, d)
    title = "Fig. 5  Uniform samples of the centroids' bounding box"
    yield from saved.draw(plotting.sample_scatter, "fig5_samples", arrays["box_samples"], stars, title=title)
    for name, title in (
        ("box", "Decoded: uniform samples of the box"),
        ("normal", "Decoded: draws of a normal distribution"),
    ):
        images = arrays[f"{name}_images"]
        rows = images.reshape(-1, 12, *images.shape[1:])
        yield from saved.draw(plotting.image_sheet, f"{name}_images", rows, None, title=title)
    heights = [f"{z2:.1f}" for z2 in arrays["plane"][:, 0, 1]]
    title = "The latent plane decoded, from the 5th to the 95th percentile of the codes; left: z2"
    yield from saved.draw(plotting.image_sheet, "plane", arrays["plane_images"], heights, title=title)
    yield from latent_figures.draw_walks(saved)


def model_path(npz: Path) -> Path:
    """Where the model of a run lies: beside its npz."""
    return npz.with_suffix(files.SUFFIX)


def export(setup: Setup, runs: Runs, saved: Saved) -> list[Path]:
    """The model in the plane, with where it comes from."""
    origin = {name: saved.meta[name] for name in ("study", "dataset", "config", "caption")}
    return [files.save(runs["d=2"], model_path(saved.npz), origin)]


def read_model(path: Path) -> Run:
    """The lane that this study, or any training of a convolutional autoencoder, saved; UsageError for another."""
    run = one_lane(dataclasses.replace(files.load(path), name=str(path)))
    if not (isinstance(run.model, Autoencoder) and isinstance(run.model.encoder, ConvEncoder)):
        raise UsageError(f"{path}: a {type(run.model).__name__}; give a convolutional autoencoder")
    return run


STUDY = Study("latent_space", Options, lambda options: BUDGETS[options.study], plan, measure, draw, export=export)

if __name__ == "__main__":
    study.main(STUDY)
