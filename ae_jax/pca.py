"""Principal component analysis as what it is: the best linear autoencoder, known in closed form.

As a run of one lane it is tested, drawn and compared like any other model.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax.activations import linear
from ae_jax.models import apply, dense_autoencoder
from ae_jax.objectives import Objective, autoencoder
from ae_jax.runs import Run, of_params
from ae_jax.shapes import MNIST_SHAPE
from ae_jax.types import ImageShape, PyTree, UsageError


def fit(images: Array, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``[pixels]`` and orthonormal axes ``[components, pixels]`` of ``images [n, *image]``, in float64.

    The axes come in the order of their variance: the first ``k`` are the PCA with ``k`` components. Raises
    UsageError for more components than images or pixels.
    """
    from sklearn.decomposition import PCA

    vectors = np.asarray(images, np.float64).reshape(len(images), -1)
    if not 1 <= components <= min(vectors.shape):
        raise UsageError(
            f"{components} principal components of {vectors.shape[0]} images with {vectors.shape[1]} pixels are not "
            f"allowed: choose 1 to {min(vectors.shape)}"
        )
    fitted = PCA(components, svd_solver="covariance_eigh").fit(vectors)
    return fitted.mean_, fitted.components_


def as_run(mean: np.ndarray, axes: np.ndarray, image: ImageShape = MNIST_SHAPE) -> Run:
    """The model ``x -> mean + axes' axes (x - mean)`` with :func:`fit`'s values as its parameters, as a lane alone."""
    encoder = {"kernel": axes.T, "bias": -axes @ mean}
    decoder = {"kernel": axes, "bias": mean}
    params = {"params": {"encoder": {"Dense_0": encoder}, "decoder": {"Dense_0": decoder}}}
    objective = autoencoder(dense_autoencoder(len(axes), widths=(), output=linear, image=image))
    return of_params(f"PCA d={len(axes)}", objective, jax.tree.map(np.float32, params))


def decoder_span(run: Run) -> np.ndarray:
    """What a linear decoder can draw, up to a constant image: ``[*run.shape, pixels, latent]``, spanned by its columns.

    They are the decoder's derivatives at the code 0, which for a linear decoder are the same everywhere.
    """
    return run.map(_decoder_span)


def principal_angles(axes: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Between the span of :func:`fit`'s axes and of ``span``'s columns, in degrees, the largest first.

    ``[components, pixels], [*shape, pixels, latent] -> [*shape, min(components, latent)]``; NaN for a NaN span. A
    direction that the columns lack, as some depend on others, is at 90 degrees.
    """
    from scipy.linalg import subspace_angles

    if span.ndim > 2:
        return np.array([principal_angles(axes, of_lane) for of_lane in span])
    if not np.isfinite(span).all():
        return np.full(min(len(axes), span.shape[1]), np.nan)
    angles = np.degrees(subspace_angles(axes.T, span))
    return np.pad(angles, (min(len(axes), span.shape[1]) - len(angles), 0), constant_values=90.0)


def _decoder_span(objective: Objective, params: PyTree) -> Array:
    def pixels(code: Array) -> Array:
        return apply(objective.model, params, code[None], method="decode").reshape(-1)

    return jax.jacfwd(pixels)(jnp.zeros(objective.model.encoder.latent))
