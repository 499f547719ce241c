"""Report A: N. Dainese, Compressing MNIST dataset with autoencoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ae_jax.lanes import DIVERGED
from experiments import tables
from experiments.comparison import NOTEBOOK, Finding, Numbers
from experiments.reports import measures
from experiments.reports.figures import Figure

# The best of its random search, by Adamax, 40 epochs, batch 512: section II, to the digits that its notebook prints.
BEST = {"learning_rate": 0.0136, "l2": 1.08e-4, "dropout": 0.0216}
OPTIMIZER = "adamax"
LATENT = (1, 2, 4, 8, 16)


def _by_size(*errors: float) -> dict[int, float]:
    return dict(zip(LATENT, errors, strict=True))


# By code size, read in its notebook; the report draws them.
TEST_MSE = Numbers(_by_size(0.0525, 0.0436, 0.0317, 0.0228, 0.0184), NOTEBOOK)  # Fig. 2
NOISY = Numbers(_by_size(0.0558, 0.0460, 0.0431, 0.0325, 0.0404), NOTEBOOK)  # Fig. 3, at 0.5
OCCLUDED = Numbers(_by_size(0.0709, 0.0688, 0.0974, 0.1635, 0.0829), NOTEBOOK)  # Fig. 4, at 0.5
MEDIAN_MSE = 0.066  # of its search: half of the trials end above, read in its notebook too
# Section IV, read in its analysis files: error of its denoisers by training, test images, level and code size. The
# corruption was not shown to them. Levels are those of linspace(0.01, 0.5, 20), rounded; None is clean.
DENOISERS = {
    ("Gaussian", "clean"): {None: _by_size(0.0529, 0.0427, 0.0316, 0.0210, 0.0222)},
    ("Gaussian", "noisy"): {
        0.01: _by_size(0.0529, 0.0427, 0.0316, 0.0211, 0.0222),
        0.242: _by_size(0.0540, 0.0435, 0.0340, 0.0271, 0.0242),
        0.5: _by_size(0.0571, 0.0461, 0.0428, 0.0436, 0.0308),
    },
    ("Gaussian", "occluded_alike"): {
        0.01: _by_size(0.0533, 0.0433, 0.0322, 0.0237, 0.0225),
        0.242: _by_size(0.0678, 0.0656, 0.0498, 0.0701, 0.0881),
        0.5: _by_size(0.0744, 0.0824, 0.1002, 0.1260, 0.1439),
    },
    ("occlusion, one grey", "clean"): {None: _by_size(0.0522, 0.0431, 0.0320, 0.0222, 0.0161)},
    ("occlusion, one grey", "noisy"): {
        0.01: _by_size(0.0522, 0.0431, 0.0320, 0.0222, 0.0161),
        0.242: _by_size(0.0531, 0.0437, 0.0338, 0.0240, 0.0200),
        0.5: _by_size(0.0564, 0.0462, 0.0406, 0.0298, 0.0305),
    },
    ("occlusion, one grey", "occluded_alike"): {
        0.01: _by_size(0.0534, 0.0428, 0.0318, 0.0242, 0.0230),
        0.242: _by_size(0.0639, 0.0637, 0.0525, 0.0542, 0.0767),
        0.5: _by_size(0.0748, 0.0702, 0.0756, 0.1828, 0.1422),
    },
}

FIGURES: tuple[Figure, ...] = (
    Figure("A, Fig. 1", "validation error against the L2 penalty", "random_search_A1", "fig1_l2.pdf"),
    Figure("A, table of section II", "hyper-parameters of the best trial", "random_search_A1", "best.pdf"),
    Figure("A, Fig. 2", "test error against the latent dimension", "compression", "fig2_latent.pdf"),
    Figure("A, Fig. 3", "error against the noise", "compression", "fig3_noisy.pdf"),
    Figure("A, Fig. 4", "error against the occlusion", "compression", "fig4_occluded.pdf"),
    Figure("A, section IV", "Fig. 2 of denoising autoencoders", "cross_table", "latent.pdf"),
    Figure("A, section IV, noise", "Fig. 3 of denoising autoencoders", "cross_table", "noisy.pdf"),
    Figure("A, section IV, occlusion", "Fig. 4 of denoising autoencoders", "cross_table", "occluded_alike.pdf"),
    Figure("A, Fig. 5", "samples of the latent plane and the centroids", "latent_space_A5", "fig5_samples.pdf"),
    Figure("A, section V.A", "samples of the centroids' box, decoded", "latent_space_A5", "box_images.pdf"),
    Figure("A, Fig. 6", "D(z) from the front", "smoothness", "fig6_front.pdf"),
    Figure("A, Fig. 7", "D(z) seen from above", "smoothness", "maps.pdf"),
    Figure("A, section V.B", "D(z) on the way from the centroid of 1 to that of 7", "smoothness", "profile.pdf"),
)


def search(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section II; everything is by trial, ``[trials]``."""
    correlations = tables.correlations(arrays)
    for name, words in (("learning_rate", "learning rate"), ("dropout", "dropout"), ("epochs", "number of epochs")):
        if name in correlations:
            yield _independent(arrays, f"no dependence of the performance on the {words}", name)
    if "l2" in correlations:
        yield Finding(
            "A1", "the error increases monotonically with the L2 penalty", "Spearman of the two",
            [correlations["l2"]], low=0.95,
        )  # fmt: skip
    stable = "Adamax is stable with different learning rates"
    yield Finding("A1", stable, "share of trials that diverged", [(arrays["status"] == DIVERGED).any(1).mean()], high=0)
    gentle = tables.some(arrays, arrays["trial_l2"] <= np.quantile(arrays["trial_l2"], 1 / 3))
    if "learning_rate" in tables.correlations(gentle):
        yield _independent(gentle, f"{stable}, the third of the trials with the least L2", "learning_rate")


def _independent(arrays: Mapping[str, np.ndarray], says: str, name: str) -> Finding:
    """No rank correlation that independent draws would show in one case of twenty at most."""
    limit = 1.96 / np.sqrt(max(1, np.isfinite(arrays["score"]).sum() - 1))
    measure = "Spearman with the validation error, within what 95 % of independent draws show"
    return Finding("A1", says, measure, [tables.correlations(arrays)[name]], -limit, limit)


def folds(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section II does not show its folds; the search of report B has five, ``fold_score [trials, folds]``."""
    scores = arrays["fold_score"][np.isfinite(arrays["fold_score"]).all(1)]
    within = np.sqrt(scores.var(1).mean())
    yield Finding(
        "A1", "between the folds of a cross-validation the difference is negligible",
        "deviation over folds over that over trials, of B3", [within / scores.mean(1).std()], high=0.1,
    )  # fmt: skip


def compression(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section III; errors are ``[latent, seeds, ...]``, in the last place by the strength of the corruption."""
    test, noisy, occluded = (arrays[f"{name}_mse"] for name in ("test", "noisy", "occluded_alike"))
    falls = np.diff(test, axis=0).max(0)
    yield Finding(
        "A2", "the error falls monotonically with the dimension", "largest step of the curve, d to 2 d", falls, high=0
    )
    growth = noisy[..., -1] / test
    yield Finding(
        "A3", "with d = 1 or 2 the performance is stable under noise", "error at noise 0.5 over clean, larger of both",
        growth[:2].max(0), high=1.1,
    )  # fmt: skip
    for corruption, grown in (("noise", growth), ("occlusion", occluded[..., -1] / test)):
        yield Finding(
            "A3", f"larger dimensions lose more by {corruption}", "Spearman of d with the error at 0.5 over clean",
            measures.rank_correlation(arrays["latent"], grown), low=0.9,
        )  # fmt: skip
    yield Finding(
        "A3", "under occlusion the trend is not smooth", "share of steps where the error falls, less that under noise",
        _falling(occluded) - _falling(noisy), low=0.1,
    )  # fmt: skip


def _falling(curves: np.ndarray) -> np.ndarray:
    """Share of the steps to a stronger corruption at which the error falls: ``[latent, seeds, levels] -> [seeds]``."""
    steps = np.diff(curves)
    return np.where(np.isnan(steps).any((0, 2)), np.nan, (steps < 0).mean((0, 2)))


def denoisers(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section IV; errors are ``[trainings, latent, seeds, ...]``, and where they were trained for ``at_mse`` of them.

    The better by a tenth at most is slightly better; the other way round no finding holds.
    """
    clean = dict(zip(arrays["trainings"].tolist(), arrays["clean_mse"], strict=True))
    at = dict(zip(arrays["conditions"].tolist(), arrays["at_mse"], strict=True))
    pairs = {"Gaussian": "noise 0.25", "occlusion, one grey": "occlusion 0.25, one grey"}
    for training, condition in pairs.items():
        errors = dict(zip(arrays["trainings"].tolist(), at[condition], strict=True))
        for images, of in (("clean images", clean), (condition, errors)):
            yield Finding(
                "A4", f"denoising autoencoders ({training}) are slightly better on {images}",
                "their error over the plain one's, mean over d", (of[training] / of["clean"]).mean(0), 0.9, 0.999,
            )  # fmt: skip
    chosen = arrays["trainings"].tolist().index("Gaussian")
    growth = arrays["noisy_mse"][chosen, ..., -1] / arrays["clean_mse"][chosen]
    yield Finding(
        "A4", "denoising autoencoders (Gaussian) are qualitatively identical: larger dimensions lose more by noise",
        "Spearman of d with the error at 0.5 over clean", measures.rank_correlation(arrays["latent"], growth), low=0.9,
    )  # fmt: skip


def latent_space(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section V.B; the centroids of the plane are ``[seeds, digits, 2]``."""
    apart = np.linalg.norm(arrays["seed_centroids"][:, :, None] - arrays["seed_centroids"][:, None], axis=-1)
    rank = np.where(np.isnan(apart), np.nan, (apart[..., None, :] < apart[..., None]).sum(-1))  # of j as seen from i
    for digits, words, most in (((4, 9), "4 and 9", 2), ((3, 5, 8), "3, 5 and 8", 3)):
        within = rank[:, digits][..., digits].max((1, 2))
        measure = "the largest rank of one of these centroids among another's nine neighbours"
        yield Finding("A5", f"the centroids of {words} are adjacent", measure, within, high=most)


def smoothness(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section V.B: steps of D on the grid, and D on the line from each centroid to the nearest other, ``[classes]``.

    The report walks from "say 1" to the second nearest, "say 7"; in another plane these are no neighbours.
    """
    central, within, across = (arrays[f"step_{where}"] for where in ("central", "within", "across"))
    yield Finding(
        "A6", "the space is smooth around the centroids",
        "largest step of D where a centroid is at most half as far as the second nearest, over the largest D",
        [central / arrays["distance"].max()], high=0.1,
    )  # fmt: skip
    yield Finding(
        "A6", "sharp transitions where the basin of attraction changes",
        "largest step of D across a border over that within a basin", [across / within], low=2,
    )  # fmt: skip
    yield Finding(
        "A6", "the space is not homogeneous: on its ridges D to both centroids differs",
        "median step of D across a border over the larger D", [arrays["ridge"]], low=0.2,
    )  # fmt: skip
    where = "of the lines from each centroid to the nearest other"
    known = np.isfinite(arrays["nearest_place"])
    off, rises = np.abs(arrays["nearest_place"][known] - 0.5), arrays["nearest_rises"][known]
    yield Finding(
        "A6", "half-way between the two nearest centroids D reaches a maximum",
        f"how far from the middle D is largest, the most {where}", [off.max() if off.size else np.nan], high=0.1,
    )  # fmt: skip
    yield Finding(
        "A6", "moving away from a centroid D increases",
        f"share of the steps to the border on which D rises, the least {where}",
        [rises.min() if rises.size else np.nan], low=0.95,
    )  # fmt: skip


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {
    "random_search_A1": search,
    "random_search_B3": folds,
    "compression": compression,
    "cross_table": denoisers,
    "latent_space_A5": latent_space,
    "smoothness": smoothness,
}
