"""What the figures of a latent space show: codes in two dimensions; samples, grids and walks, decoded."""

from __future__ import annotations

import jax
import numpy as np

from ae_jax import evaluation, latent
from ae_jax.runs import Run
from experiments import interactive, maps, plane_plots, plotting, sheets
from experiments.study import Paths, Saved, Setup

SAMPLES = 400  # of the box and of the normal distribution; the first DECODED are decoded
DECODED = 60
PLANE_STEPS = 15
COLUMNS = 12  # of a sheet
DRAWS = {
    "box": "uniform samples of the box",
    "normal": "draws of the normal distribution fitted to the codes",
    "standard": "draws of N(0, I)",
}
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


def of_places(setup: Setup, run: Run, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Test images and their reconstructions; draws of N(0, I) and places chosen on the maps of ``arrays``, decoded."""
    sample, images = arrays["sample"], setup.test_images[:COLUMNS]
    codes, labels, pca = arrays["codes_2"][sample], arrays["labels"][sample], arrays["pca_2"][sample]
    places = maps.chosen_codes(codes, labels, pca, arrays["tsne_2"])[:, :, 0]  # one of each digit
    standard = np.asarray(jax.random.normal(setup.child(3), (SAMPLES, 2)))
    return {
        "images": np.asarray(images),
        "reconstructions": evaluation.reconstruct(run, images),
        "standard_samples": standard,
        "standard_images": latent.decode(run, standard[:DECODED]),
        "chosen_images": latent.decode(run, places.reshape(-1, 2)).reshape(*places.shape[:2], *run.model.image),
    }


def draw_training(saved: Saved) -> Paths:
    """Losses by epoch, those of training with dropout, and reconstructions."""
    arrays = saved.arrays
    curves = plotting.series(("training", "validation"), (arrays["train_loss"], arrays["validation_loss"]))
    yield from saved.draw(
        plotting.line_plot, "curves", curves, xlabel="epoch", ylabel="MSE per pixel",
        title="Training (with dropout) and validation loss, d = 2",
    )  # fmt: skip
    rows, title = [arrays["images"], arrays["reconstructions"]], "Test images and their reconstructions, d = 2"
    yield from saved.draw(sheets.image_sheet, "reconstructions", rows, ["input", "output"], title=title)


def draw_plane(saved: Saved) -> Paths:
    """Samples of the plane and what they decode to, the plane itself, and places that were chosen on its maps."""
    arrays = saved.arrays
    title = "Uniform samples of the centroids' bounding box"
    places = arrays["box_samples"], arrays["centroids"]
    yield from saved.draw(plane_plots.sample_scatter, "fig5_samples", *places, title=title)
    for name, whose in DRAWS.items():
        images = arrays[f"{name}_images"]
        rows = images.reshape(-1, COLUMNS, *images.shape[1:])
        yield from saved.draw(sheets.image_sheet, f"{name}_images", rows, None, title=f"Decoded: {whose}")
    heights = [f"{z2:.1f}" for z2 in arrays["plane"][:, 0, 1]]
    title = "The latent plane decoded, from the 5th to the 95th percentile of the codes; left: z2"
    yield from saved.draw(sheets.image_sheet, "plane", arrays["plane_images"], heights, title=title)
    title = "Places that were chosen for the digits 0 to 9 on a map of the codes, decoded"
    yield from saved.draw(sheets.image_sheet, "chosen", arrays["chosen_images"], maps.WAYS, title=title)


def draw_walks(saved: Saved, whose: str = "") -> Paths:
    """The sheet of ``walk_images``; ``whose`` ends its title."""
    labels, title = [f"{a} to {b}" for a, b in WALKS], f"On straight lines between the codes of two digits{whose}"
    yield from saved.draw(sheets.image_sheet, "walks", saved.arrays["walk_images"], labels, title=title)


def draw_projections(saved: Saved, d: int) -> Paths:
    """Codes of ``d`` numbers by PCA and by t-SNE, a plane's as they are too: side by side, and as pages with images."""
    arrays, labels, sample = saved.arrays, saved.arrays["labels"], saved.arrays["sample"]
    pca, tsne = arrays[f"pca_{d}"], arrays[f"tsne_{d}"]
    panels = {"latent plane": (arrays["codes_2"], labels)} if d == 2 else {}
    panels |= {"PCA": (pca, labels), f"t-SNE of {len(sample):,}": (tsne, labels[sample])}
    title = f"Codes of the test set, d = {d}"
    yield from saved.draw(plane_plots.digit_scatter, f"projections_{d}", panels, title=title)
    pages = {"pca": (pca[sample], ("first component", "second component")), "tsne": (tsne, ("", ""))}
    for name, (points, axes) in pages.items():
        yield interactive.digit_scatter(
            saved.place(f"{name}_{d}").with_suffix(".html"), points, labels[sample], arrays["sample_images"],
            title=f"{name.upper()} of the codes, d = {d}. {saved.caption}", axes=axes,
        )  # fmt: skip
