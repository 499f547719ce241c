"""What trained models are worth on images they have not seen. Takes a run or several, see ``runs``.

Images are ``[n, *image]``, float in [0, 1] or uint8, which is scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax import losses, training
from ae_jax.batching import Data, unit
from ae_jax.corruptions import Corruption
from ae_jax.models import apply
from ae_jax.objectives import Objective, jacobian
from ae_jax.runs import Run, by_batches, map_runs
from ae_jax.types import HParams, PyTree

Runs = Run | Sequence[Run]  # several give a list, one entry for each


def score(run: Run, key: Array, data: Data, objective: Objective | None = None) -> dict[str, np.ndarray]:
    """Loss and metrics of every lane on all of ``data``, exact means over examples: ``[*run.shape]`` each.

    What an objective that is not separable says of a whole batch is a mean over batches, the last of them padded.
    Every lane draws from the same ``key``, which is consumed. ``objective`` is the run's own, or another of its model.
    """
    indices = np.arange(data.labels.shape[0], dtype=np.int32)
    return run.map(_score, key, data, indices, each=(run.lanes.hparams,), static=(objective or run.objective,))


def _score(_, params: PyTree, hparams: HParams, key: Array, data: Data, indices: Array, objective: Objective) -> dict:
    return training.evaluate(objective, params, hparams, key, data, indices)


def reconstruct(runs: Runs, images: Array) -> Any:
    """Reconstructions by every lane: ``[n, *image] -> [*run.shape, n, *image]``."""
    return map_runs(_reconstruct, runs, images)


def _reconstruct(objective: Objective, params: PyTree, images: Array) -> Array:
    return apply(objective.model, params, unit(images))


def reconstruction_errors(runs: Runs, inputs: Array, targets: Array) -> Any:
    """The squared error of each example, mean over its pixels: ``[*run.shape, n]``.

    ``inputs`` and ``targets`` are images ``[n, *image]``: equal for a plain test, corrupted and clean for a test of
    robustness.
    """
    return map_runs(_reconstruction_errors, runs, inputs, targets)


def _reconstruction_errors(objective: Objective, params: PyTree, inputs: Array, targets: Array) -> Array:
    def errors(inputs: Array, targets: Array) -> Array:
        return losses.mean_squared_error(apply(objective.model, params, unit(inputs)), unit(targets))

    return by_batches(objective, errors, inputs, targets)


def reconstruction_error(runs: Runs, inputs: Array, targets: Array) -> Any:
    """The exact mean of :func:`reconstruction_errors` over the examples: ``[*run.shape]``."""
    errors = reconstruction_errors(runs, inputs, targets)
    return errors.mean(-1) if isinstance(runs, Run) else [of_run.mean(-1) for of_run in errors]


def robustness(runs: Runs, corrupt: Corruption, key: Array, images: Array, levels: np.ndarray) -> Any:
    """Error of every lane against the clean image as the input gets worse: ``[*run.shape, levels]``.

    Every lane sees the same corrupted images. Level ``i`` draws from ``fold_in(key, i)``.
    """
    corrupt, images = jax.jit(corrupt), unit(images)
    errors = []
    for index, level in enumerate(levels):
        corrupted = corrupt(jax.random.fold_in(key, index), images, np.float32(level))
        errors.append(reconstruction_error(runs, corrupted, images))
    return jax.tree.map(lambda *of_levels: np.stack(of_levels, axis=-1), *errors)


def contraction(run: Run, images: Array) -> np.ndarray:
    """``||J||_F^2`` of every lane's encoder, mean over ``images [n, *image]``: ``[*run.shape]`` (Rifai et al. 2011).

    Holds ``latent`` numbers for each pixel of each image, for each lane at work: give it a sample of images.
    """
    return run.map(_contraction, images)


def _contraction(objective: Objective, params: PyTree, images: Array) -> Array:
    return jnp.square(jacobian(objective.model, params, unit(images))).sum() / len(images)


def predict(run: Run, images: Array) -> np.ndarray:
    """The most likely class by every lane of a classifier: ``[n, *image] -> [*run.shape, n]`` int32."""
    return run.map(_predict, images)


def _predict(objective: Objective, params: PyTree, images: Array) -> Array:
    return _logits(objective, params, images).argmax(-1).astype(jnp.int32)


def class_logits(run: Run, images: Array) -> np.ndarray:
    """Class logits by every lane of a classifier: ``[n, *image] -> [*run.shape, n, classes]``."""
    return run.map(_logits, images)


def _logits(objective: Objective, params: PyTree, images: Array) -> Array:
    return by_batches(objective, lambda batch: apply(objective.model, params, unit(batch)), images)


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int = 10) -> np.ndarray:
    """How often class i was taken for class j: ``[n], [n] -> [classes, classes]``, true classes in rows.

    Predictions of a diverged lane, -1, count nowhere.
    """
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels, predictions, labels=np.arange(classes))


def auc(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """Area under the ROC curve: how often an anomaly scores above a normal example; NaN for scores that are.

    ``scores [n]`` are the higher the more anomalous; ``anomalous [n]`` is bool.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(anomalous, scores)) if np.isfinite(scores).all() else np.nan


def lost_pixels(outputs: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The share of the pixels with ink on some image that an output leaves black on all: ``[lanes]``.

    ``outputs [lanes, n, *image]`` are reconstructions of ``images [n, *image]``; NaN for NaN.
    """
    inked = np.asarray(images).any(0)
    black = (outputs == 0).all(1)
    share = (black & inked).sum((1, 2, 3)) / inked.sum()
    return np.where(np.isnan(outputs).any((1, 2, 3, 4)), np.nan, share)


def linear_probe(
    train_codes: np.ndarray, train_labels: np.ndarray, test_codes: np.ndarray, test_labels: np.ndarray
) -> float:
    """Test accuracy of scikit-learn's logistic regression on standardised codes ``[n, latent]``; NaN for NaN codes.

    Regularised (C = 0.1) and stopped early enough for codes of a thousand units to take seconds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not (np.isfinite(train_codes).all() and np.isfinite(test_codes).all()):
        return np.nan
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-3, max_iter=300))
    return float(probe.fit(train_codes, train_labels).score(test_codes, test_labels))
