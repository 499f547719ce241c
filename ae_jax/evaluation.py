"""What a trained model is worth on images it has not seen. Parameters come with a leading lane axis."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax import losses
from ae_jax.corruptions import Corruption
from ae_jax.models import Autoencoder
from ae_jax.objectives import Objective, jacobian
from ae_jax.training import Data, evaluate, evaluation_batches, lane_map
from ae_jax.types import HParams, PyTree


@functools.partial(jax.jit, static_argnames="objective")
def score(objective: Objective, params: PyTree, hparams: HParams, key: Array, data: Data) -> dict[str, Array]:
    """Loss and metrics of every lane on all of ``data``, exact means over examples: ``[lanes]`` each.

    ``params`` and ``hparams`` have a leading lane axis. Every lane draws from the same ``key``, which is consumed.
    """
    indices = jnp.arange(data.labels.shape[0])
    return lane_map(lambda params, hparams: evaluate(objective, params, hparams, key, data, indices), params, hparams)


@functools.partial(jax.jit, static_argnames="model")
def reconstruct(model: Autoencoder, params: PyTree, images: Array) -> Array:
    """Reconstructions by every lane: ``[n, 28, 28, 1] -> [lanes, n, 28, 28, 1]``."""
    return lane_map(lambda lane: model.apply(lane, images), params)


def reconstruction_error(model: Autoencoder, params: PyTree, inputs: Array, targets: Array) -> np.ndarray:
    """Mean squared error per pixel of every lane, exact mean over examples: ``[lanes]``.

    ``inputs`` and ``targets`` are float images ``[n, 28, 28, 1]``: equal for a plain test, corrupted and clean
    for a test of robustness.
    """
    return reconstruction_errors(model, params, inputs, targets).mean(1)


def reconstruction_errors(model: Autoencoder, params: PyTree, inputs: Array, targets: Array) -> np.ndarray:
    """The squared error of each example, mean over its pixels: ``[lanes, n]``; inputs and targets as above."""
    return np.asarray(_reconstruction_errors(model, params, inputs, targets))


@functools.partial(jax.jit, static_argnames="model")
def _reconstruction_errors(model: Autoencoder, params: PyTree, inputs: Array, targets: Array) -> Array:
    def lane_errors(lane: PyTree) -> Array:
        def batch_errors(rows: Array) -> Array:
            return losses.mean_squared_error(model.apply(lane, inputs[rows]), targets[rows])

        return jax.lax.map(batch_errors, batches).reshape(-1)[: len(inputs)]  # the padding comes last

    batches = evaluation_batches(jnp.arange(len(inputs)))

    return lane_map(lane_errors, params)


def robustness(
    model: Autoencoder, params: PyTree, corrupt: Corruption, key: Array, images: Array, levels: np.ndarray
) -> np.ndarray:
    """Error of every lane against the clean image as the input gets worse: ``[lanes, levels]``.

    Every lane sees the same corrupted images. Level ``i`` draws from ``fold_in(key, i)``.
    """
    corrupt = jax.jit(corrupt)
    errors = []
    for index, level in enumerate(levels):
        corrupted = corrupt(jax.random.fold_in(key, index), images, jnp.float32(level))
        errors.append(reconstruction_error(model, params, corrupted, images))
    return np.stack(errors, axis=-1)


@functools.partial(jax.jit, static_argnames="model")
def contraction(model: Autoencoder, params: PyTree, images: Array) -> Array:
    """``||J||_F^2`` of every lane's encoder, mean over ``images [n, 28, 28, 1]``: ``[lanes]`` (Rifai et al. 2011).

    Holds ``latent * n * 784`` numbers for each lane at work: give it a sample of images.
    """
    return lane_map(lambda lane: jnp.square(jacobian(model, lane, images)).sum() / len(images), params)


@functools.partial(jax.jit, static_argnames="model")
def predict(model: nn.Module, params: PyTree, images: Array) -> Array:
    """The most likely class by every lane of a classifier: ``[n, 28, 28, 1] -> [lanes, n]`` int32."""

    def lane_classes(lane: PyTree) -> Array:
        logits = jax.lax.map(lambda rows: model.apply(lane, images[rows]), batches)
        return logits.argmax(-1).reshape(-1)[: len(images)].astype(jnp.int32)

    batches = evaluation_batches(jnp.arange(len(images)))
    return lane_map(lane_classes, params)


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int = 10) -> np.ndarray:
    """How often class i was taken for class j: ``[n], [n] -> [classes, classes]``, true classes in rows."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels, predictions, labels=np.arange(classes))


def linear_probe(
    train_codes: np.ndarray, train_labels: np.ndarray, test_codes: np.ndarray, test_labels: np.ndarray
) -> float:
    """Test accuracy of scikit-learn's logistic regression on standardised codes ``[n, latent]``.

    Regularised (C = 0.1) and stopped early enough for codes of a thousand units to take seconds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-3, max_iter=300))
    return float(probe.fit(train_codes, train_labels).score(test_codes, test_labels))
