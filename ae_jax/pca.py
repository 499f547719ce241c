"""Principal component analysis as what it is: the best linear autoencoder, known in closed form.

As an :class:`~ae_jax.models.Autoencoder` with parameters it is tested, drawn and compared like any other model.
Parameters have a leading lane axis, as in ``evaluation``; PCA's has one lane.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ae_jax.models import Autoencoder, dense_autoencoder, linear
from ae_jax.types import PyTree, UsageError


def fit(images: Array, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``[pixels]`` and orthonormal axes ``[components, pixels]`` of ``images [n, 28, 28, 1]``, in float64.

    The axes come in the order of their variance: the first ``k`` are the PCA with ``k`` components. Raises
    UsageError for more components than images or pixels.
    """
    from sklearn.decomposition import PCA

    rows = np.asarray(images, np.float64).reshape(len(images), -1)
    if not 1 <= components <= min(rows.shape):
        raise UsageError(
            f"{components} principal components of {rows.shape[0]} images with {rows.shape[1]} pixels are not "
            f"allowed: choose 1 to {min(rows.shape)}"
        )
    fitted = PCA(components, svd_solver="covariance_eigh").fit(rows)
    return fitted.mean_, fitted.components_


def as_autoencoder(mean: np.ndarray, axes: np.ndarray) -> tuple[Autoencoder, PyTree]:
    """The model ``x -> mean + axes' axes (x - mean)`` and its parameters ``[1, ...]``, of :func:`fit`'s values."""
    encoder = {"kernel": axes.T, "bias": -axes @ mean}
    decoder = {"kernel": axes, "bias": mean}
    params = {"params": {"encoder": {"Dense_0": encoder}, "decoder": {"Dense_0": decoder}}}
    model = dense_autoencoder(len(axes), widths=(), output=linear)
    return model, jax.tree.map(lambda leaf: jnp.asarray(leaf[None], jnp.float32), params)


def decoder_span(model: Autoencoder, params: PyTree) -> np.ndarray:
    """What a linear decoder can draw, up to a constant image: ``[lanes, pixels, latent]``, spanned by its columns.

    They are the decoder's derivatives at the code 0, which for a linear decoder are the same everywhere.
    """

    def lane_span(lane: PyTree) -> Array:
        def pixels(code: Array) -> Array:
            return model.apply(lane, code[None], method=Autoencoder.decode).reshape(-1)

        return jax.jacfwd(pixels)(jnp.zeros(model.encoder.latent))

    return np.asarray(jax.vmap(lane_span)(params))
