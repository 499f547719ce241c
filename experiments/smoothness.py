"""Smoothness and homogeneity of the latent plane (report A, section V; protocol A6).

    python -m experiments.smoothness --dataset mnist --budget full

D(z) is the squared distance between the image of a point and that of its nearest centroid, here on a 100 x 100 grid
over the centroids' bounding box. Draws the report's Figs. 6 and 7 as one interactive surface with buttons for the
front and the top view, and for print: the front view, the map flat, the steps of D along both axes, and the basins of
attraction: which centroid is nearest in the plane, and which in the images. Where these differ, or D jumps, the space
is not homogeneous. Follows D on the line from the centroid of 1 to that of 7, which crosses the basins of other
digits where these are nearer, and on that from each centroid to the nearest other, which cannot. The autoencoder is
that of ``experiments.latent_space``, read from ``--model``, by default the file that study A5 wrote to the same folder
with the same numbers; without one it is trained first. Runtime: seconds, or a few minutes more.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ae_jax import files, latent
from ae_jax.runs import Run
from ae_jax.types import UsageError
from experiments import common, explorer, interactive, latent_space, plane_plots, planes, plotting, study
from experiments.study import Measured, Paths, Row, Runs, Saved, Setup, Study, Training

STEPS = 100
ENDS = 1, 7  # digits whose centroids a line joins


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    """The map D of the latent plane."""

    model: Path | None = None
    """A model of experiments.latent_space, .safetensors; by default that of study A5 under --out, or trained first."""


def source(options: Options) -> latent_space.Options:
    """The study that trains the model where none is given."""
    shared = {field.name: getattr(options, field.name) for field in dataclasses.fields(common.Options)}
    return latent_space.Options(**shared, study="A5")


def default_model(options: Options) -> Path:
    """Where that study keeps its model."""
    return explorer.model_path(latent_space.STUDY.npz(source(options)))


def plan(setup: Setup) -> Training:
    """Nothing, once there is a model; that study is run whole, its figures and all."""
    trained = source(setup.options)
    if setup.options.model is None:
        if default_model(setup.options).exists():
            _require_same(setup, default_model(setup.options))
        else:
            study.run(latent_space.STUDY, trained)
    return Training([])


def _require_same(setup: Setup, path: Path) -> None:
    """Raises UsageError for a model that other numbers made than this study would."""
    config = files.info(path)["provenance"].get("config", {})
    found = {"seed": config.get("options", {}).get("seed"), **config.get("budget", {})}
    wanted = {"seed": setup.options.seed, **dataclasses.asdict(setup.budget)}
    del wanted["seeds"]  # the model is of the first
    if other := [f"{name} {found.get(name)} (now {of})" for name, of in wanted.items() if found.get(name) != of]:
        raise UsageError(
            f"{path}: trained with {', '.join(other)}; give the same options, --model {path} to take it as it is, "
            f"or another --out"
        )


def measure(setup: Setup, runs: Runs) -> Measured:
    """D and the basins on the grid: ``[steps, steps]``, the first axis along the second coordinate."""
    path = setup.options.model or default_model(setup.options)
    model, origin = latent_space.read_model(path), files.info(path)["provenance"]
    if (d := model.model.encoder.latent) != 2:
        raise UsageError(f"{path}: a code of {d} dimensions; the map needs a model with 2")
    if origin.get("dataset", {}).get("sha256") != setup.dataset.digest:
        raise UsageError(
            f"{path}: trained on other data ({origin.get('caption')}); give the same --dataset and --limit"
        )

    centroids = latent.centroids(latent.encode(model, setup.test_images), setup.dataset.test_labels)
    points = latent.grid(*latent.bounding_box(centroids), STEPS)
    flat = points.reshape(-1, 2)
    maps = [*latent.distance_map(model, flat, centroids), latent.basins(model, flat, centroids)]
    distance, nearest, basin = (values.reshape(STEPS, STEPS) for values in maps)
    arrays = {"points": points, "distance": distance, "nearest": nearest, "basin": basin, "centroids": centroids}
    arrays |= planes.height_steps(points, distance, nearest, centroids)
    arrays |= _profile(model, centroids) | _to_nearest(model, centroids)
    rows = [
        Row("A6 share of the plane whose image is nearest to another centroid's", None, [(basin != nearest).mean()]),
        Row("A6 largest step of D between neighbours of one basin", None, [arrays["step_within"]]),
        Row("A6 largest step of D across a border", None, [arrays["step_across"]]),
        Row("A6 largest step of D around the centroids", None, [arrays["step_central"]]),
        Row("A6 median step of D across a border over the larger D", None, [arrays["ridge"]]),
    ]
    return Measured(arrays, rows, origin["caption"], {"model": path.name}, origin.get("comparable", False))


def _profile(model: Run, centroids: np.ndarray) -> dict[str, np.ndarray]:
    """D on the line between the centroids of ``ENDS``, to whose it is, and the distance to the image of either end."""
    ends = centroids[list(ENDS)]
    line = latent.interpolate(*ends, 2 * STEPS + 1)
    distance, nearest = latent.distance_map(model, line, centroids)
    to_ends = [latent.distance_map(model, line, end[None])[0] for end in ends]
    return {"profile": distance, "profile_nearest": nearest, "profile_ends": np.array(to_ends)}


def _to_nearest(model: Run, centroids: np.ndarray) -> dict[str, np.ndarray]:
    """On the line from each centroid to the nearest other, which no third comes near to: ``[classes]`` each.

    Where D is the largest, from 0 to 1, and on which share of the steps up to the border it rises.
    """
    squared = np.square(centroids[:, None] - centroids).sum(-1)
    squared[np.isnan(squared) | np.eye(len(centroids), dtype=bool)] = np.inf
    pairs = [(start, int(stop)) for start, stop in enumerate(squared.argmin(1))]
    maps = latent.distance_map(model, latent.walks(centroids, pairs, 2 * STEPS + 1), centroids)
    distance, nearest = (values.reshape(len(pairs), -1) for values in maps)
    borders = (nearest != nearest[:, :1]).argmax(1)
    steps = [np.diff(of[:border]) for of, border in zip(distance, borders, strict=True)]
    rises = [(of > 0).mean() if of.size else np.nan for of in steps]
    known = np.isfinite(squared.min(1))
    return {
        "nearest_place": np.where(known, distance.argmax(1) / (2 * STEPS), np.nan),
        "nearest_rises": np.where(known, rises, np.nan),
    }


def draw(saved: Saved) -> Paths:
    """The surface, for the screen and for print, the flat maps and the profile."""
    arrays, points, stars = saved.arrays, saved.arrays["points"], saved.arrays["centroids"]
    title = "Fig. 6  D(z), squared distance to the image of the nearest centroid, from the front"
    yield from saved.draw(plane_plots.surface, "fig6_front", points, arrays["distance"], stars, height="D", title=title)
    yield interactive.surface(
        saved.place("surface").with_suffix(".html"), points, arrays["distance"], stars, height="D",
        title=f"Figs. 6 and 7  D(z), squared distance to the image of the nearest centroid. {saved.caption}",
    )  # fmt: skip
    panels = {
        "Fig. 7  D(z)": arrays["distance"],
        "nearest centroid in the plane": arrays["nearest"],
        "nearest centroid in the images": arrays["basin"],
    }
    extent = [*points[0, [0, -1], 0], *points[[0, -1], 0, 1]]
    title = "The latent plane: distance map and basins of attraction"
    yield from saved.draw(plane_plots.plane_maps, "maps", panels, extent, stars, title=title)
    steps = {f"along z{axis}": np.abs(np.diff(arrays["distance"], axis=2 - axis)) for axis in (1, 2)}
    title = "Steps of D between neighbours of the grid"
    yield from saved.draw(plane_plots.plane_maps, "steps", steps, extent, stars, title=title)
    yield from _draw_profile(saved)


def _draw_profile(saved: Saved) -> Paths:
    """D on the line, and the distances to the images of both ends."""
    start, stop = ENDS
    distance, *to_ends = saved.arrays["profile"], *saved.arrays["profile_ends"]
    x = np.linspace(0, 1, len(distance))
    curves = plotting.series((f"to the image of {start}", f"to the image of {stop}"), to_ends, x)
    curves.append(plotting.Series("D, to the nearest of all", x, distance, marker=".", dashed=True))
    yield from saved.draw(
        plotting.line_plot, "profile", curves,
        xlabel=f"place on the line: 0 is the centroid of {start}, 1 that of {stop}", ylabel="squared distance",
        title=f"D(z) from centroid {start} to centroid {stop}", from_zero=True,
    )  # fmt: skip


STUDY = Study("smoothness", Options, latent_space.BUDGETS["A5"], plan, measure, draw, deviations=("model",))

if __name__ == "__main__":
    study.main(STUDY)
