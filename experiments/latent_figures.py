"""What the figures of a latent space show: codes in two dimensions; samples, grids and walks, decoded."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from scipy.stats import norm

from ae_jax import latent
from ae_jax.runs import Run
from experiments import interactive, plotting
from experiments.study import Paths, Saved

SAMPLES = 400  # of the box and of the normal distribution; the first DECODED are decoded
DECODED = 60
PLANE_STEPS, MANIFOLD_STEPS = 15, 20
COLUMNS = 12  # of a sheet
WALKS = ((0, 1), (3, 8), (4, 9), (7, 2))  # pairs of digits


def of_plane(run: Run, codes: np.ndarray, labels: np.ndarray, key: jax.Array) -> dict[str, np.ndarray]:
    """Centroids, samples and their images, the decoded plane, walks between digits; consumes ``key``."""
    box_key, normal_key = jax.random.split(key)
    centroids = latent.centroids(codes, labels)
    in_box = latent.sample_box(box_key, *latent.bounding_box(centroids), SAMPLES)
    normal = latent.sample_normal(normal_key, codes, SAMPLES)
    plane = latent.grid(*np.percentile(codes, (5, 95), axis=0), PLANE_STEPS)[::-1]  # as seen: z2 grows upwards
    walks = latent.walks(codes[latent.typical(codes, labels, centroids)], WALKS, 10)
    return {
        "centroids": centroids,
        "box_samples": in_box,
        "box_images": latent.decode(run, in_box[:DECODED]),
        "normal_samples": normal,
        "normal_images": latent.decode(run, normal[:DECODED]),
        "plane": plane,
        "plane_images": latent.decode(run, plane.reshape(-1, 2)).reshape(*plane.shape[:2], *run.model.image),
        "walk_images": latent.decode(run, walks).reshape(len(WALKS), 10, *run.model.image),
    }


def of_prior(run: Run, codes: np.ndarray, labels: np.ndarray, key: jax.Array) -> dict[str, np.ndarray]:
    """Of variational lanes and their mean codes ``[lanes, n, d]``: images ``[lanes, rows, columns, *image]`` by name.

    Reconstructions of the first codes, draws of the prior, traversals of each latent, walks between the first image of
    one digit and that of another and, for a plane, the manifold. Consumes ``key``.
    """
    lanes, _, d = codes.shape
    firsts = codes[:, [int(np.argmax(labels == digit)) for digit in range(10)]]
    points = {
        "reconstructions": codes[:, None, :COLUMNS],
        "prior_images": jax.random.normal(key, (5 * COLUMNS, d)).reshape(5, COLUMNS, d),
        "traversal_images": latent.traversals(norm.ppf(np.linspace(0.05, 0.95, COLUMNS)), d),
        "walk_images": np.array([latent.walks(ends, WALKS, COLUMNS).reshape(-1, COLUMNS, d) for ends in firsts]),
    }
    if d == 2:
        points["manifold_images"] = manifold()
    grids = {name: np.broadcast_to(grid, (lanes, *grid.shape[-3:])) for name, grid in points.items()}
    images = latent.decode(run, np.concatenate([grid.reshape(lanes, -1, d) for grid in grids.values()], 1))
    ends = np.cumsum([grid[0, ..., 0].size for grid in grids.values()])
    parts = zip(grids.items(), np.split(images, ends[:-1], axis=1), strict=True)
    return {name: part.reshape(*grid.shape[:-1], *run.model.image) for (name, grid), part in parts}


def manifold() -> np.ndarray:
    """The prior's quantiles along both axes of a plane, as seen: z2 grows upwards. ``[steps, steps, 2]``."""
    quantiles = norm.ppf(np.linspace(0.02, 0.98, MANIFOLD_STEPS))
    return np.stack(np.meshgrid(quantiles, quantiles[::-1]), -1)


def of_codes(codes: Sequence[np.ndarray], sample: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Codes ``[n, d]`` of several models in two dimensions: a ``sample`` by PCA and t-SNE, planes whole too."""
    arrays = {
        "pca": np.array([latent.pca(of_model)[sample] for of_model in codes]),
        "tsne": np.array([latent.tsne(of_model[sample], seed) for of_model in codes]),
    }
    planes = {of_model.shape[1] for of_model in codes} == {2}
    return arrays | ({"codes": np.array(codes)} if planes else {})


def draw_walks(saved: Saved) -> Paths:
    """The sheet of ``walk_images``."""
    labels, title = [f"{a} to {b}" for a, b in WALKS], "On straight lines between the codes of two digits"
    yield from saved.draw(plotting.image_sheet, "walks", saved.arrays["walk_images"], labels, title=title)


def draw_projections(saved: Saved, d: int) -> Paths:
    """Codes of ``d`` numbers by PCA and by t-SNE: side by side, and each as a page that shows the images."""
    arrays, labels, sample = saved.arrays, saved.arrays["labels"], saved.arrays["sample"]
    pca, tsne = arrays[f"pca_{d}"], arrays[f"tsne_{d}"]
    panels = {"PCA": (pca, labels), f"t-SNE of {len(sample):,}": (tsne, labels[sample])}
    title = f"Codes of the test set, d = {d}"
    yield from saved.draw(plotting.digit_scatter, f"projections_{d}", panels, title=title)
    pages = {"pca": (pca[sample], ("first component", "second component")), "tsne": (tsne, ("", ""))}
    for name, (points, axes) in pages.items():
        yield interactive.digit_scatter(
            saved.place(f"{name}_{d}").with_suffix(".html"), points, labels[sample], arrays["sample_images"],
            title=f"{name.upper()} of the codes, d = {d}. {saved.caption}", axes=axes,
        )  # fmt: skip
