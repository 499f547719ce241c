"""What denoised images are worth beside their error against the clean ones: digits recognised, error to noisy ones."""

from __future__ import annotations

import jax
import numpy as np

from ae_jax import corruptions, data, evaluation, losses
from ae_jax.batching import Data
from ae_jax.models import Autoencoder
from ae_jax.objectives import Objective, init_of
from ae_jax.recipes import recipe
from ae_jax.runs import Run
from experiments.study import FITTED, Setup

SHOWN = 1_000  # test images that are denoised, at most


def recognised_shares(setup: Setup, run: Run) -> np.ndarray:
    """Share of test images that :func:`recognised` tells after each lane denoised them: ``[variants, folds]``."""
    clean, labels = setup.test_images[:SHOWN], setup.dataset.test_labels[:SHOWN]
    known = np.asarray(setup.train_images[:FITTED]), setup.dataset.train_labels[:FITTED]

    def of_variant(variant: int) -> np.ndarray:
        noisy = corruptions.gaussian(setup.child(3), clean, run.lanes.hparams.noise[variant, 0])
        return recognised(evaluation.reconstruct(run[variant], noisy), labels, *known)

    return np.array([of_variant(variant) for variant in range(len(run.status))])


def recognised(images: np.ndarray, labels: np.ndarray, known: np.ndarray, known_labels: np.ndarray) -> np.ndarray:
    """Share of each lane's ``images [lanes, n, *image]`` whose nearest known image has their label: ``[lanes]``.

    A judge that no training has part in: scikit-learn's nearest neighbour among ``known [m, *image]``. NaN for a
    lane that diverged.
    """
    from sklearn.neighbors import KNeighborsClassifier

    neighbour = KNeighborsClassifier(1).fit(known.reshape(len(known), -1), known_labels)

    def share(of_lane: np.ndarray) -> float:
        found = of_lane.reshape(len(labels), -1)
        return (neighbour.predict(found) == labels).mean() if np.isfinite(found).all() else np.nan

    return np.array([share(of_lane) for of_lane in images])


@recipe
def to_noisy(model: Autoencoder) -> Objective:
    """Mean squared error against the noisy image that the model was given."""

    def loss(params, key, batch, hparams, train):
        noisy = corruptions.gaussian(key, batch.images, hparams.noise)
        return losses.mean_squared_error(model.apply(params, noisy), noisy), {}

    return Objective(init_of(model), loss, separable=True)


def errors_to_noisy_images(setup: Setup, run: Run) -> dict[str, np.ndarray]:
    """The error by :func:`to_noisy` on the images of each part: ``[variants, folds]``."""
    train, validation = data.holdout(len(setup.dataset.train_images))
    parts = {
        "training": Data(*(array[train] for array in setup.training)),
        "validation": Data(*(array[validation] for array in setup.training)),
        "test": setup.test,
    }
    keys = jax.random.split(setup.child(4), len(parts))
    return {
        f"{part}_noisy_mse": evaluation.score(run, key, images, to_noisy(run.model))["loss"]
        for key, (part, images) in zip(keys, parts.items(), strict=True)
    }
