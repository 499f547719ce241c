"""Report C: D. Iriarte, Application of unsupervised deep learning techniques in the MNIST digit dataset."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from experiments.comparison import Finding, Numbers
from experiments.reports.curves import epochs_to
from experiments.reports.figures import Figure

# Section 3.1: the best architecture; the batch size is ours.
BEST = {"learning_rate": 1e-3, "l2": 1e-5, "dropout": 0.1}
CHANNELS = (8, 16, 64)
CLASSIFIER = {"test accuracy": Numbers({"frozen, d = 2": 0.95})}  # section 3.2
DENOISING_LOSS = {"training": 0.2, "validation": 0.199, "test": 0.199}  # section 3.3, on a scale that it does not name
TEST_MSE = Numbers({2: 0.04})  # section 3.1, by code size

FIGURES: tuple[Figure, ...] = (
    Figure("C, Fig. 1", "architecture of the VAE", "architectures", "c5.pdf"),
    Figure("C, Fig. 2a", "training and validation loss by epoch", "latent_space_C2", "curves.pdf"),
    Figure("C, Fig. 2b", "reconstructions", "latent_space_C2", "reconstructions.pdf"),
    Figure("C, Fig. 3a", "training and validation losses of the classifier", "transfer_C3", "curves.pdf"),
    Figure("C, Fig. 3b", "confusion matrix of the classifier", "transfer_C3", "confusion.pdf"),
    Figure("C, Fig. 4a", "training and validation losses of the denoiser", "denoising_C4", "curves.pdf"),
    Figure("C, Fig. 4b", "noisy images and their reconstructions", "denoising_C4", "sheet.pdf"),
    Figure("C, Fig. 5a", "architecture of the encoder", "architectures", "c.pdf"),
    Figure("C, Fig. 5b", "architecture of the decoder", "architectures", "c.pdf"),
    Figure("C, Fig. 6", "draws of a normal distribution, decoded", "latent_space_C2", "normal_images.pdf"),
    Figure("C, Fig. 6, of N(0, I)", "draws of N(0, I), decoded", "latent_space_C2", "standard_images.pdf"),
    Figure("C, Fig. 7a", "reconstructions by the VAE", "variational_C5", "reconstructions.pdf"),
    Figure("C, Fig. 7b", "the manifold of digits", "variational_C5", "manifold_sigmoid.pdf"),
    Figure("C, Fig. 8", "codes in the plane, by PCA and by t-SNE", "latent_space_C2", "projections_2.pdf"),
    Figure("C, Fig. 9", "the VAE's codes, their PCA and t-SNE, by digit", "variational_C5", "projections.pdf"),
)


def denoising(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.3; ``[variants, folds]``. The noise is not told: 0.4 is where 0.199 is its variance and 0.04 more."""
    at = np.abs(arrays["noise"] - 0.4).argmin()
    where = f"noise {arrays['noise'][at]:g}"
    what = "a test loss of 0.199 can be the error against the noisy image"
    measure = f"that error, {where}, the level at which it would be"
    yield Finding("C4", what, measure, arrays["test_noisy_mse"][at], low=0.189, high=0.209)
    what = "it reproduces the correct label even though the image is noisy, but not always"
    measure = f"share of denoised digits that a nearest neighbour recognises, {where}"
    yield Finding("C4", what, measure, arrays["recognised"][at], low=2 / 3, high=0.99)


def transfer(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Sections 2.2 and 3.2; ``[runs, lengths, seeds]``, of few labels ``[runs, seeds]``."""
    runs, curves = arrays["runs"].tolist(), arrays["validation_loss"][:, -1]
    if "frozen, d = 2" not in runs:  # another encoder was given
        return
    frozen, scratch = runs.index("frozen, d = 2"), runs.index("from scratch")
    accuracy = arrays["test_accuracy"][frozen, -1]
    yield Finding("C3", "the model classifies correctly all the time", "test accuracy, frozen", accuracy, low=0.99)
    what = "transfer learning speeds the computation"
    measure = "epochs until the validation loss is 0.2 or less, frozen over from scratch"
    sooner = epochs_to(0.2, curves[frozen]) / epochs_to(0.2, curves[scratch])
    yield Finding("C3", what, measure, sooner, high=0.9)
    few = arrays["few_test_accuracy"]
    what = "transferred to a smaller data set, it gets a better performance of the classification"
    measure = f"test accuracy of {arrays['few_labels']:,} labels, frozen minus from scratch"
    yield Finding("C3", what, measure, few[frozen] - few[scratch], low=0.01)


def variational(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.4, of each variant ``[seeds]``; gaps and separation have the plain autoencoder's last.

    The axes of a plane are only known up to their order and sign, where posteriors are round up to a rotation: the
    slant is looked for along every direction.
    """
    slant = np.square(arrays["slant_correlation"]).sum(-1)
    fewer = arrays["gaps"][:-1] - arrays["gaps"][-1]
    better = arrays["separation"][:-1] - arrays["separation"][-1]
    for index, variant in enumerate(arrays["variants"]):
        yield Finding(
            "C5", "smooth transitions between digits",
            f"largest step of the 20 x 20 manifold over the mean difference of two images of a digit, {variant}",
            arrays["largest_step"][index], high=1,
        )  # fmt: skip
        yield Finding(
            "C5", "z1 encodes the orientation: tilted left to tilted right",
            f"share of the slant's variance along one direction of the plane, {variant}", slant[index], low=0.5,
        )  # fmt: skip
        yield Finding(
            "C5", "fewer gaps than in the autoencoder's codes",
            f"share of the plane farther from every code than 3 spacings, less the autoencoder's, {variant}",
            fewer[index], high=-0.01,
        )  # fmt: skip
        yield Finding(
            "C5", "the groups are more separate than the autoencoder's",
            f"silhouette of the digits' codes, less the autoencoder's, {variant}", better[index], low=0.01,
        )  # fmt: skip


def generators(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Sections 3.4 and 4; measures are ``[models, ways, seeds]``, see the study. The plain autoencoder is first.

    Section 3.1.1 draws its codes from "a normal distribution": the fitted one or N(0, I), as VAEs do.
    """
    frechet, share = arrays["frechet"], arrays["share"]
    of_vaes = [index for index, model in enumerate(arrays["models"]) if model.startswith("VAE")]
    for index, (way, name) in itertools.product(of_vaes, enumerate(arrays["ways"][:2])):
        whose = f"{arrays['models'][index]}; the autoencoder's: {name}"
        yield Finding(
            "C, 4", "the VAE generates better images than the convolutional one",
            f"Frechet distance of the prior's samples over that of the autoencoder's, {whose}",
            frechet[index, 1] / frechet[0, way], high=1,
        )  # fmt: skip
        yield Finding(
            "C5", "the generation of images is much better with a VAE",
            f"share of the prior's samples recognised, less that of the autoencoder's, {whose}",
            share[index, 1] - share[0, way], low=0.1,
        )  # fmt: skip
    for index in of_vaes:
        whose = arrays["models"][index]
        yield Finding(
            "C5", "almost all of the encoding space is recognizable",
            f"share of uniform samples of the codes' box recognised, {whose}", share[index, 2], low=0.9,
        )  # fmt: skip
        yield Finding(
            "C5", "almost all reconstructions are of the right digit", f"share by a classifier, {whose}",
            arrays["kept"][index], low=0.9,
        )  # fmt: skip


def latent_space(arrays: Mapping[str, np.ndarray]) -> Iterable[Finding]:
    """Section 3.1; measures are ``[seeds, maps]``, the maps the plane, PCA and t-SNE."""
    plane, _, tsne = arrays["seed_gaps"].T
    measure = "share of the map farther from every code than 3 spacings of evenly spread ones"
    yield Finding("C2", "the latent space contains gaps", f"{measure} (of normal codes 0.02)", plane, low=0.05)
    yield Finding("C2", "gaps specially for t-SNE", f"{measure}, t-SNE less plane", tsne - plane, low=0.01)
    plane, pca, tsne = arrays["seed_silhouette"].T
    measure = "silhouette of the digits, t-SNE less the better of plane and PCA"
    yield Finding("C2", "t-SNE is the best to cluster the digits", measure, tsne - np.maximum(plane, pca), low=0.01)
    counts = arrays["seed_confusion"][:, 0]
    size = counts.sum(-1)
    kept = np.divide(counts.diagonal(axis1=1, axis2=2), size, out=np.full(size.shape, np.nan), where=size > 0)
    separate = np.where(np.isnan(kept).all(1), np.nan, (kept >= 0.9).sum(1))
    yield Finding(
        "C2", "several digits are well separated",
        "digits of which nine in ten codes of the plane have mostly neighbours of their own", separate, low=3,
    )  # fmt: skip
    mixed = 1 - counts.trace(axis1=1, axis2=2) / counts.sum((1, 2))
    yield Finding(
        "C2", "there are regions where the digits are interspersed",
        "share of the codes of the plane whose ten neighbours are mostly of another digit", mixed, low=0.1,
    )  # fmt: skip
    yield Finding(
        "C2", "reconstructions are blurrier than the originals",
        "squared differences of neighbouring pixels per variance, reconstructions over images",
        arrays["seed_sharpness"], high=0.9,
    )  # fmt: skip


FINDINGS: dict[str, Callable[[Mapping[str, np.ndarray]], Iterable[Finding]]] = {
    "denoising_C4": denoising,
    "transfer_C3": transfer,
    "generators": generators,
    "variational_C5": variational,
    "latent_space_C2": latent_space,
}
