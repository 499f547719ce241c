"""What the figures of variational autoencoders show: reconstructions, draws of the prior, the manifold, codes.

Variants come in the order of their name, the plain autoencoder last; of several seeds the first is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from scipy.stats import norm

from ae_jax import corruptions, distributions, latent
from ae_jax.runs import Run
from experiments import latent_figures, plane_plots, sheets
from experiments.latent_figures import COLUMNS, WALKS
from experiments.study import Paths, Saved, Setup

PLAIN = "plain autoencoder"
MANIFOLD_STEPS = 20
ROWS = 5  # of draws
SAMPLE = 2000  # codes that t-SNE arranges
PROJECTIONS = {"codes": "codes", "pca": "PCA", "tsne": "t-SNE"}


def manifold() -> np.ndarray:
    """The prior's quantiles along both axes of a plane, as seen: z2 grows upwards. ``[steps, steps, 2]``."""
    quantiles = norm.ppf(np.linspace(0.02, 0.98, MANIFOLD_STEPS))
    return np.stack(np.meshgrid(quantiles, quantiles[::-1]), -1)


def of_lanes(run: Run, codes: np.ndarray, labels: np.ndarray, key: jax.Array) -> dict[str, np.ndarray]:
    """Sheets of variational lanes with mean codes ``[lanes, n, d]``: ``[lanes, rows, columns, *image]`` by name.

    Reconstructions of the first codes, draws of the prior, traversals of each latent, walks between the first image of
    one digit and that of another and, for a plane, the manifold; all decoded in one call. Consumes ``key``.
    """
    lanes, _, d = codes.shape
    firsts = codes[:, [int(np.argmax(labels == digit)) for digit in range(10)]]
    points = {
        "reconstructions": codes[:, None, :COLUMNS],
        "prior_images": jax.random.normal(key, (ROWS * COLUMNS, d)).reshape(ROWS, COLUMNS, d),
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


def shown(
    setup: Setup, variants: Mapping[str, Run], plain: Run, means: Sequence[np.ndarray], variance: float | None,
    key: jax.Array,
) -> dict[str, np.ndarray]:  # fmt: skip
    """All that :func:`draw` takes, and ``manifolds [variants, seeds, steps, steps, *image]`` of planes.

    Consumes ``key``. Runs are ``[seeds]``, their mean codes of the test set ``means``, the plain one's last, ``[seeds,
    n, d]``. ``variance`` is that of a Gaussian likelihood; None is Bernoulli.
    """
    prior_key, draws_key = jax.random.split(key)
    labels, seed = setup.dataset.test_labels, setup.options.seed
    of_variants = [
        of_lanes(run, codes, labels, jax.random.clone(prior_key))
        for run, codes in zip(variants.values(), means[:-1], strict=True)
    ]
    first = {name: images[0] for name, images in of_variants[0].items()}
    of_plain = latent.decode(plain[0], means[-1][0, :COLUMNS])
    prior = np.array([of_variant["prior_images"][0] for of_variant in of_variants])
    sample = latent.subsample(len(labels), SAMPLE, seed)
    arrays = {
        "labels": labels,
        "sample": sample,
        "images": setup.test_images[:COLUMNS],
        "reconstructions": np.array([*(of_variant["reconstructions"][0, 0] for of_variant in of_variants), of_plain]),
        "prior_images": prior,
        "prior_draws": _observed(variance, draws_key, prior),
        "traversal_images": first["traversal_images"],
        "walk_images": first["walk_images"],
        "pca": np.array([latent.pca(codes[0])[sample] for codes in means]),
        "tsne": np.array([latent.tsne(codes[0, sample], seed) for codes in means]),
    }
    if "manifold_images" in first:
        manifolds = np.array([of_variant["manifold_images"] for of_variant in of_variants])
        arrays |= {"manifolds": manifolds, "manifold_images": manifolds[:, 0]}
        arrays["codes"] = np.array([codes[0] for codes in means])
    return arrays


def _observed(variance: float | None, key: jax.Array, means: np.ndarray) -> np.ndarray:
    """Images as the likelihood has them, drawn from their ``means``. Consumes ``key``."""
    if variance is None:
        return np.asarray(distributions.binarize_dynamic(key, means))
    return np.asarray(corruptions.gaussian(key, means, np.sqrt(variance)))


def draw(saved: Saved) -> Paths:
    """Sheets of images, and the codes beside the plain autoencoder's."""
    arrays, variants = saved.arrays, saved.arrays["variants"].tolist()
    latents = [f"z{i + 1}" for i in range(len(arrays["traversal_images"]))]
    compared, names = [arrays["images"], *arrays["reconstructions"]], ["input", *variants, PLAIN]
    first = f"; {variants[0]}" if len(variants) > 1 else ""
    labels = [name for variant in variants for name in (variant, *[""] * (ROWS - 1))]
    title = f"One latent from the 5th to the 95th percentile of the prior, the others at 0{first}"
    content = {
        "reconstructions": (compared, names, "Test images and the decoded means of their codes"),
        "prior": (np.concatenate(arrays["prior_images"]), labels, "Draws of the prior: means of the pixels"),
        "draws": (np.concatenate(arrays["prior_draws"]), labels, "Draws of the prior: draws of the pixels"),
        "traversals": (arrays["traversal_images"], latents, title),
    }
    for variant, images in zip(variants, arrays.get("manifold_images", ()), strict=False):
        title = f"The manifold of digits: a grid of the prior's quantiles, decoded; {variant}"
        content[f"manifold_{variant.lower()}"] = images, None, title
    for name, (rows, names, title) in content.items():
        yield from saved.draw(sheets.image_sheet, name, rows, names, title=title)
    yield from latent_figures.draw_walks(saved, first)
    title = "Means of the codes of the test set beside the codes of a plain autoencoder"
    panels = _panels(arrays, [*variants, PLAIN])
    yield from saved.draw(plane_plots.digit_scatter, "projections", panels, columns=len(variants) + 1, title=title)


def _panels(arrays: Mapping[str, np.ndarray], models: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A row of panels for the codes, if they are planes, for PCA and for t-SNE; a column for each model."""
    labels = arrays["labels"]
    return {
        f"{title}, {model}": (points, labels if kind == "codes" else labels[arrays["sample"]])
        for kind, title in PROJECTIONS.items()
        if kind in arrays
        for model, points in zip(models, arrays[kind], strict=True)
    }
