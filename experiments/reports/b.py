"""Report B: Homework 2, Unsupervised Learning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import Finding, Numbers
from experiments.reports.curves import epochs_to, falling, slope
from experiments.reports.figures import Figure

# Section 3.1: the best of its cross-validated search, batch 128, d = 48.
BEST = {"learning_rate": 0.006, "l2": 5e-5, "dropout": 0.0775}
BASELINE_MSE = {"training": 0.0382, "validation": 0.0381}  # section 3.1
DENOISING_MSE = {"validation": 0.0307, "test": 0.0303}  # section 3.2
CLASSIFIER = {  # section 3.3; validation losses are "on average"
    "training loss": Numbers({"fine-tuned, d = 2": 0.113}),
    "validation loss": Numbers({"fine-tuned, d = 2": 0.129, "fine-tuned, d = 10": 0.086}),
    "test loss": Numbers({"fine-tuned, d = 2": 0.115, "fine-tuned, d = 10": 0.064}),
    "test accuracy": Numbers({"fine-tuned, d = 2": 0.9646, "fine-tuned, d = 10": 0.9804, "from scratch": 0.9904}),
}
VAE_LOSS = Numbers({"training": 19.383, "validation": 19.473, "test": 19.521})  # section 3.4
TEST_MSE = Numbers({48: 0.0187})  # section 3.1, by code size
TSNE = 2  # the maps of latent_space are the plane, PCA and t-SNE
FOUR_NINE = 4, 9

FIGURES: tuple[Figure, ...] = (
    Figure("B, section 3.1, images", "input images and their reconstructions", "baseline", "reconstructions.pdf"),
    Figure("B, section 3.1, new digits", "places chosen on the maps, decoded", "latent_space_B4", "chosen.pdf"),
    Figure("B, section 3.1, t-SNE", "codes of the plane by t-SNE", "latent_space_B4", "projections_2.pdf"),
    Figure("B, section 3.2, images", "noisy, original and denoised images", "denoising_B5", "sheet.pdf"),
    Figure(
        "B, section 3.4", "test images through the variational autoencoder", "variational_B7", "reconstructions.pdf"
    ),
    Figure("B, appendix, Fig. 1", "codes of the optimized autoencoder by PCA", "latent_space_B4", "projections_48.pdf"),
)


def search(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1; a score by trial, ``fold_score [trials, folds]``, the same of what was trained beside."""
    best = arrays["ranking"][0]
    yield Finding(
        "B3", "by cross-validation and random search the performance improves considerably",
        "best validation error over the baseline's 0.0381", [arrays["score"][best] / BASELINE_MSE["validation"]],
        high=0.5,
    )  # fmt: skip
    yield Finding(
        "B3", "the test loss equals the average validation loss", "test error over validation error, of the best trial",
        arrays["best_test_loss"] / arrays["score"][best], 0.95, 1.05,
    )  # fmt: skip
    if "beside_l2" in arrays:
        other = arrays["beside_l2"] != BEST["l2"]
        learns = arrays["beside_fold_score"][other] < 0.95 * arrays["constant_mse"]  # no diverged lane does
        yield Finding(
            "B3", "with another weight decay the network often does not learn at all",
            "share of other L2 with 95 % of the mean image's error or more, by fold", 1 - learns.mean(0), low=0.5,
        )  # fmt: skip


def baseline(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1; scores ``[seeds]`` and curves ``[seeds, epochs]`` of each optimizer."""
    adam, curves = arrays["adam_score"], arrays["adam_validation_loss"]
    over_training = adam / arrays["adam_train_mse"]
    yield Finding("B1", "the model does not overfit", "validation over training MSE", over_training, high=1.05)
    if (last := curves.shape[1] // 4) > 0:
        end = curves[:, -last - 1 :]  # the last quarter of the epochs, and where it starts
        what = "the validation loss keeps falling every epoch"
        measure = "share of the last quarter of the epochs in which it fell"
        yield Finding("B1", what, measure, falling(end), low=1)
        what = "at the end the validation loss still falls"
        measure = "slope of the last quarter, share of the loss an epoch"
        yield Finding("B1", what, measure, slope(end) / end[:, -1], high=-5e-4)
    others = [arrays[f"{name}_score"] for name in ("adadelta", "rmsprop")]
    same_seeds = adam[np.isin(arrays["adam_seed"], arrays["adadelta_seed"])]
    over_adam = np.minimum(*others) / same_seeds
    what = "the best optimizer is Adam"
    yield Finding("B2", what, "lower validation MSE of Adadelta and RMSProp over Adam's, same seed", over_adam, low=1)


def baseline_factors(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1; ``[factors, seeds]``, the first two as written and for twice the epochs."""
    written, longer = arrays["validation_mse"][:2]
    what, measure = (
        "it might decrease further if run for more epochs",
        "validation MSE of twice the epochs over as written",
    )
    yield Finding("B1", what, measure, longer / written, high=0.995)


def denoising(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.2; ``[variants, folds]``, the first at the report's hyper-parameters. Its own errors are 1.64 apart."""
    over_plain = arrays["validation_mse"][0] / arrays["validation_mse"][arrays["noise"] == 0][0]
    what = "it performs slightly worse than the conventional autoencoder"
    yield Finding("B5", what, "validation MSE over that without noise, same folds", over_plain, low=1, high=2)
    what, measure = "it still achieves good results", "share of denoised digits that a nearest neighbour recognises"
    yield Finding("B5", what, measure, arrays["recognised"][0], low=0.9)


def transfer(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.3; ``[runs, lengths, seeds]``, of which the first length is its 20 epochs."""
    numbers = {run: number for number, run in enumerate(arrays["runs"].tolist())}
    accuracy, curves = arrays["test_accuracy"][:, 0], arrays["validation_loss"][:, -1]
    small, large, scratch = (numbers.get(run) for run in ("fine-tuned, d = 2", "fine-tuned, d = 10", "from scratch"))
    if small is not None:  # another encoder may be given
        what = "only the last layer needs to be trained"
        yield Finding("B6", what, "test accuracy, frozen, d = 2", accuracy[numbers["frozen, d = 2"]], low=0.95)
        what = "a latent dimension of 2 suffices for accurate classifications"
        yield Finding("B6", what, "test accuracy, fine-tuned, d = 2", accuracy[small], low=0.95)
        what = "the validation loss is higher than the training loss, but not enough to suggest overfitting"
        over = arrays["final_validation_loss"][small, 0] / arrays["final_train_loss"][small, 0]
        yield Finding("B6", what, "validation over training loss, fine-tuned, d = 2", over, 1, 1.25)
    for run, target in CLASSIFIER["validation loss"].values.items():
        if run in numbers:
            what = "training is considerably faster than of the CNN"
            measure = f"epochs until the validation loss is {target} or less, {run}, over from scratch"
            sooner = epochs_to(target, curves[numbers[run]]) / epochs_to(target, curves[scratch])
            yield Finding("B6", what, measure, sooner, high=0.5)
    if large is not None:
        what, measure = (
            "the accuracy is comparable to the CNN's",
            "test accuracy, fine-tuned, d = 10, minus from scratch",
        )
        yield Finding("B6", what, measure, accuracy[large] - accuracy[scratch], low=-0.015)
    if small is not None and large is not None:
        what = "with d = 10 the results are noticeably better"
        yield Finding(
            "B6", what, "test accuracy, d = 10 minus d = 2, fine-tuned", accuracy[large] - accuracy[small], low=0.005
        )


def variational(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.4; losses are ``[variants, seeds]``. The report's own gap is 0.5 %."""
    gaps = arrays["validation_loss"] / arrays["training_loss"] - 1
    for variant, gap in zip(arrays["variants"], gaps, strict=True):
        measure = f"validation loss over training loss, less 1, {variant}"
        yield Finding("B7", "this network is not overfitting", measure, gap, high=0.01)


def latent_space(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1: confusion by neighbours ``[seeds, maps, true, voted]``, decoded wrongly ``[seeds, ways]``."""
    counts = arrays["seed_confusion"][:, TSNE]
    yield Finding(
        "B4", "on the t-SNE map the digits can mostly be distinguished",
        "share of the codes whose ten neighbours are mostly of their digit",
        counts.trace(axis1=1, axis2=2) / counts.sum((1, 2)), low=0.8,
    )  # fmt: skip
    size = counts.sum(-1)
    pairs = np.array([(i, j) for j in range(10) for i in range(j)])
    i, j = pairs.T
    mixed = (counts[:, i, j] + counts[:, j, i]) / np.maximum(size[:, i] + size[:, j], 1)
    chosen = np.flatnonzero((pairs == FOUR_NINE).all(1))
    lost = np.isnan(mixed).any(1)
    more = np.where(lost, np.nan, (mixed > mixed[:, chosen]).sum(1))
    yield Finding(
        "B4", "4 and 9 overlap", "pairs of digits that their neighbours on the t-SNE map confuse more", more, high=0
    )
    others = np.where(lost, np.nan, (mixed >= 0.5 * mixed[:, chosen]).sum(1) - 1)
    yield Finding("B4", "only 4 and 9 overlap strongly", "other pairs confused at least half as much", others, high=0)
    tsne, pca, *_ = arrays["seed_wrong"].T
    measure = "share of the images decoded at the map's surest places that show another digit"
    yield Finding("B4", "digits chosen on the t-SNE map decode to others", f"{measure}, t-SNE", tsne, low=0.25)
    yield Finding("B4", "PCA instead of t-SNE does not improve this", f"{measure}, PCA less t-SNE", pca - tsne, low=0)


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {
    "random_search_B3": search,
    "baseline": baseline,
    "baseline_factors": baseline_factors,
    "denoising_B5": denoising,
    "transfer_B6": transfer,
    "variational_B7": variational,
    "latent_space_B4": latent_space,
}
