"""The latent space of convolutional autoencoders (report A, section V; B, 3.1; C, 3.1; protocols A5, B4, C2).

    python -m experiments.latent_space --study A5 --dataset mnist --budget full

Trains an autoencoder with a latent plane by the best hyper-parameters of the report, and for B4 the larger one of
its search too. Draws the codes of the test set by digit, by PCA and by t-SNE, static and as pages on which hovering
shows the image; the centroids with uniform samples of their bounding box (report A's Fig. 5) and what these decode
to; draws of a normal distribution decoded (report C); the decoded plane (report B); and walks between the images of
two digits. The npz keeps the model, for ``experiments.smoothness`` and ``experiments.transfer``. Runtime on two CPU
cores: digits quick a minute, MNIST full 5 minutes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from ae_jax import engine, evaluation, interactive, latent, plotting, results, trials
from ae_jax.lanes import DIVERGED
from ae_jax.models import Autoencoder, conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan, PyTree, UsageError, hparams
from experiments import common, pretrained, running
from experiments.report import Row

STUDY = "latent_space"
SAMPLES = 400  # of the box and of the normal distribution; the first SHOWN are decoded
SHOWN = 60
PLANE_STEPS = 15
WALKS = ((0, 1), (3, 8), (4, 9), (7, 2))  # pairs of digits


class Study(NamedTuple):
    """A model with a latent plane and, for B4, a larger code beside it."""

    optimizer: str
    batch_size: int
    epochs: int
    numbers: dict[str, float]
    channels: tuple[int, ...] = (8, 16, 32)
    larger: int | None = None


STUDIES = {
    "A5": Study("adamax", 512, 40, {"learning_rate": 0.0136, "l2": 1.08e-4, "dropout": 0.0216}),
    "B4": Study("adam", 128, 40, {"learning_rate": 0.006, "l2": 5e-5, "dropout": 0.0775}, larger=48),
    "C2": Study("adam", 128, 50, {"learning_rate": 1e-3, "l2": 1e-5, "dropout": 0.1}, channels=(8, 16, 64)),
}
DIGITS_NUMBERS = {"learning_rate": 0.005, "l2": 1e-5, "dropout": 0.0}  # ours: see compression.BEST
BUDGETS = {
    name: {
        "quick": {
            "digits": common.Budget(epochs=120, batch_size=64),
            "mnist": common.Budget(epochs=5, batch_size=128, limit=10_000),
        },
        "full": dict.fromkeys(("digits", "mnist"), common.Budget(chosen.epochs, chosen.batch_size)),
    }
    for name, chosen in STUDIES.items()
}


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """Latent space of the autoencoder of one of the reports."""

    study: Literal["A5", "B4", "C2"] = "A5"
    """Whose autoencoder: report A's, B's or C's."""
    tsne_sample: int = 2000
    """Test images that t-SNE arranges, at most; 2,000 take about 15 s."""


def study(options: Options) -> Path | None:
    """Train, encode, sample, decode, save, draw."""
    chosen = STUDIES[options.study]
    setting = common.prepare(options, BUDGETS[options.study])
    _, budget, dataset, _ = setting
    numbers = chosen.numbers if options.dataset == "mnist" else DIGITS_NUMBERS
    lanes = trials.make_lanes(hparams(**numbers, epochs=budget.epochs), seed=options.seed)
    models = [conv_autoencoder(d, chosen.channels) for d in (2, chosen.larger) if d]
    plan = Plan(budget.batch_size, chosen.optimizer)
    groups = [engine.Group(f"d={model.encoder.latent}", autoencoder(model), plan, lanes) for model in models]
    name = f"{STUDY}/{options.study}"
    runs = running.train(name, setting, groups)
    if not running.is_writer():
        return None
    if any((run.status == DIVERGED).any() for run in runs):
        raise UsageError("the autoencoder diverged: try another --seed")

    clean = common.unit_images(dataset.test_images)
    params = [jax.tree.map(lambda leaf: leaf[0], run.params) for run in runs]
    codes = [latent.encode(m, p, clean) for m, p in zip(models, params, strict=True)]
    arrays = describe_plane(models[0], params[0], codes[0], dataset.test_labels, common.study_key(options))
    sample = np.sort(np.random.default_rng(options.seed).permutation(len(clean))[: options.tsne_sample])
    arrays |= {"labels": dataset.test_labels, "sample": sample, "sample_images": dataset.test_images[sample]}
    for model, of_model in zip(models, codes, strict=True):
        d = model.encoder.latent
        print(f"arranging {len(sample):,} codes of d = {d} by t-SNE ...", flush=True)
        arrays |= {
            f"codes_{d}": of_model,
            f"pca_{d}": latent.pca(of_model),
            f"tsne_{d}": latent.tsne(of_model[sample], options.seed),
        }
    arrays |= pretrained.arrays(params[0])
    rows = []
    for model, run in zip(models, runs, strict=True):
        error = evaluation.reconstruction_error(model, run.params, clean, clean)
        rows.append(Row(f"{options.study} test MSE, d = {model.encoder.latent}", None, error))
    rows += [Row(f"{options.study} accuracy of the nearest centroid, d = 2", None, [_nearest_accuracy(arrays)], True)]
    sizes = {"latent": 2, "channels": chosen.channels, "hidden": models[0].encoder.hidden}
    npz = running.save(name, setting, runs, arrays, rows, study=options.study, model=sizes, **numbers)
    return running.finish(setting, npz, draw(npz), name)


def describe_plane(
    model: Autoencoder, params: PyTree, codes: np.ndarray, labels: np.ndarray, key: jax.Array
) -> dict[str, np.ndarray]:
    """Centroids, samples and their images, the decoded plane, walks between digits; consumes ``key``."""
    box_key, normal_key = jax.random.split(key)
    centroids = latent.centroids(codes, labels)
    low, high = latent.bounding_box(centroids)
    in_box = latent.sample_box(box_key, low, high, SAMPLES)
    normal = latent.sample_normal(normal_key, codes, SAMPLES)
    plane = latent.grid(*np.percentile(codes, (5, 95), axis=0), PLANE_STEPS)[::-1]  # as seen: z2 grows upwards
    ends = {digit: codes[_most_typical(codes, labels, centroids, digit)] for pair in WALKS for digit in pair}
    walks = np.concatenate([latent.interpolate(ends[a], ends[b], 10) for a, b in WALKS])

    def decode(points: np.ndarray) -> np.ndarray:
        return latent.decode(model, params, points)

    return {
        "centroids": centroids,
        "box_samples": in_box,
        "box_images": decode(in_box[:SHOWN]),
        "normal_samples": normal,
        "normal_images": decode(normal[:SHOWN]),
        "plane": plane,
        "plane_images": decode(plane.reshape(-1, 2)).reshape(*plane.shape[:2], 28, 28, 1),
        "walk_images": decode(walks).reshape(len(WALKS), 10, 28, 28, 1),
    }


def _most_typical(codes: np.ndarray, labels: np.ndarray, centroids: np.ndarray, digit: int) -> int:
    """The image of a digit whose code is the nearest to its centroid; any image if there is none of the digit."""
    distance = np.square(codes - np.nan_to_num(centroids[digit])).sum(1)
    return int(np.argmin(np.where(labels == digit, distance, np.inf)))


def _nearest_accuracy(arrays: dict[str, Any]) -> float:
    return float((latent.nearest(arrays["codes_2"], arrays["centroids"]) == arrays["labels"]).mean())


def draw(npz: Path) -> list[Path]:
    """Every figure of the latent space, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    stem, caption = npz.with_suffix("").name, f"{meta['config']['study']}. {meta['caption']}"
    labels, sample, stars = arrays["labels"], arrays["sample"], arrays["centroids"]

    def place(name: str) -> Path:
        return npz.with_name(f"{stem}_{name}")

    paths = plotting.digit_scatter(
        place("codes"), {"": (arrays["codes_2"], labels)}, stars=stars, caption=caption,
        title="Codes of the test set in the latent plane, and the centroids",
    )  # fmt: skip
    for d in sorted(int(name.removeprefix("tsne_")) for name in arrays if name.startswith("tsne_")):
        panels = {
            "PCA": (arrays[f"pca_{d}"], labels),
            f"t-SNE of {len(sample):,}": (arrays[f"tsne_{d}"], labels[sample]),
        }
        title = f"Codes of the test set, d = {d}"
        paths += plotting.digit_scatter(place(f"projections_{d}"), panels, title=title, caption=caption)
        for name, points, axes in (
            ("pca", arrays[f"pca_{d}"][sample], ("first component", "second component")),
            ("tsne", arrays[f"tsne_{d}"], ("", "")),
        ):
            page = place(f"{name}_{d}").with_suffix(".html")
            heading = f"{name.upper()} of the codes, d = {d}. {caption}"
            paths.append(
                interactive.digit_scatter(
                    page, points, labels[sample], arrays["sample_images"], title=heading, axes=axes
                )
            )
    paths += plotting.sample_scatter(
        place("fig5_samples"), arrays["box_samples"], stars, caption=caption,
        title="Fig. 5  Uniform samples of the centroids' bounding box",
    )  # fmt: skip
    for name, title in (
        ("box", "Decoded: uniform samples of the box"),
        ("normal", "Decoded: draws of a normal distribution"),
    ):
        rows = arrays[f"{name}_images"].reshape(-1, 12, 28, 28, 1)
        paths += plotting.image_sheet(place(f"{name}_images"), rows, [""] * len(rows), title=title, caption=caption)
    rows = arrays["plane_images"]
    labels = [f"{z2:.1f}" for z2 in arrays["plane"][:, 0, 1]]
    title = "The latent plane decoded, from the 5th to the 95th percentile of the codes; left: z2"
    paths += plotting.image_sheet(place("plane"), rows, labels, title=title, caption=caption)
    walks = [f"{a} to {b}" for a, b in WALKS]
    title = "On straight lines between the codes of two digits"
    return paths + plotting.image_sheet(place("walks"), arrays["walk_images"], walks, title=title, caption=caption)


if __name__ == "__main__":
    common.main(Options, study)
