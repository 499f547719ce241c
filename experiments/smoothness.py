"""Smoothness and homogeneity of the latent plane (report A, section V; protocol A6).

    python -m experiments.smoothness --dataset mnist --budget full

D(z) is the squared distance between the image of a point and that of its nearest centroid, here on a 100 x 100 grid
over the centroids' bounding box. Draws the report's Figs. 6 and 7 as one interactive surface with buttons for the
front and the top view, the same map flat, and the basins of attraction: which centroid is nearest in the plane, and
which in the images. Where these differ, or D jumps, the space is not homogeneous. The autoencoder is that of
``experiments.latent_space``, read from ``--model``, by default the npz that study A5 wrote to the same folder;
without one it is trained first. Runtime: seconds, or a minute more.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ae_jax import interactive, latent, plotting, results
from ae_jax.types import UsageError
from experiments import common, latent_space, pretrained, running
from experiments.report import Row

STUDY = "smoothness"
STEPS = 100


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """The map D of the latent plane."""

    model: Path | None = None
    """An npz of experiments.latent_space; by default that of its study A5 under --out, trained if it is not there."""


def study(options: Options) -> Path | None:
    """Find or train the model, map the plane, save, draw."""
    setting = common.prepare(options, latent_space.BUDGETS["A5"])
    path = options.model or options.out / f"{latent_space.STUDY}_A5.npz"
    if options.model is None and not path.exists():
        shared = {field.name: getattr(options, field.name) for field in dataclasses.fields(common.Options)}
        latent_space.study(latent_space.Options(**shared, study="A5"))
    if not running.is_writer():
        return None
    model, params, meta = pretrained.read(path)
    if model.encoder.latent != 2:
        raise UsageError(f"{path}: a code of {model.encoder.latent} dimensions; the map needs a model with 2")
    if meta["dataset"]["sha256"] != setting.dataset.digest:
        raise UsageError(f"{path}: trained on other data ({meta['caption']}); give the same --dataset and --limit")

    codes = latent.encode(model, params, common.unit_images(setting.dataset.test_images))
    centroids = latent.centroids(codes, setting.dataset.test_labels)
    points = latent.grid(*latent.bounding_box(centroids), STEPS)
    flat = points.reshape(-1, 2)
    distance, nearest = latent.distance_map(model, params, flat, centroids)
    basin = latent.basins(model, params, flat, centroids)
    arrays = {
        "points": points,
        "distance": distance.reshape(STEPS, STEPS),
        "nearest": nearest.reshape(STEPS, STEPS),
        "basin": basin.reshape(STEPS, STEPS),
        "centroids": centroids,
    }
    within, across = _steps(arrays["distance"], arrays["nearest"])
    rows = [
        Row("A6 share of the plane whose image is nearest to another centroid's", None, [(basin != nearest).mean()]),
        Row("A6 largest step of D between neighbours of one basin", None, [within]),
        Row("A6 largest step of D across a border", None, [across]),
    ]
    npz = running.save(STUDY, setting, [], arrays, rows, caption=meta["caption"], model=str(path.name))
    return running.finish(setting, npz, draw(npz))


def _steps(distance: np.ndarray, nearest: np.ndarray) -> tuple[float, float]:
    """The largest difference of D between neighbours in a row, for one nearest centroid and for two."""
    step = np.abs(np.diff(distance, axis=1))
    same = np.diff(nearest, axis=1) == 0
    return float(np.max(step, where=same, initial=0.0)), float(np.max(step, where=~same, initial=0.0))


def draw(npz: Path) -> list[Path]:
    """The surface and the flat maps, from the npz alone."""
    arrays, meta = results.load(npz, STUDY)
    points, stars, caption = arrays["points"], arrays["centroids"], meta["caption"]
    page = interactive.surface(
        npz.with_name(f"{STUDY}_surface.html"), points, arrays["distance"], stars, height="D",
        title=f"Figs. 6 and 7  D(z), squared distance to the image of the nearest centroid. {caption}",
    )  # fmt: skip
    panels = {
        "Fig. 7  D(z)": arrays["distance"],
        "nearest centroid in the plane": arrays["nearest"],
        "nearest centroid in the images": arrays["basin"],
    }
    extent = [*points[0, [0, -1], 0], *points[[0, -1], 0, 1]]
    title = "The latent plane: distance map and basins of attraction"
    return [
        page,
        *plotting.plane_maps(npz.with_name(f"{STUDY}_maps"), panels, extent, stars, title=title, caption=caption),
    ]


if __name__ == "__main__":
    common.main(Options, study)
