"""PCA as a linear autoencoder: NumPy's singular values, its own reconstructions, and the angles between subspaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import subspace_angles

from ae_jax import evaluation, pca
from ae_jax.activations import linear
from ae_jax.models import dense_autoencoder
from ae_jax.types import UsageError
from tests.made import init, run_of


@pytest.fixture(scope="module")
def images(blobs):
    return jnp.asarray(blobs[:60] / 255.0, jnp.float32)


def test_error_is_what_the_small_singular_values_leave(images):
    """Eckart and Young: the squared error of k components is the sum of the remaining squared singular values."""
    vectors = np.asarray(images, np.float64).reshape(60, -1)
    squared = np.square(np.linalg.svd(vectors - vectors.mean(0), compute_uv=False))
    mean, axes = pca.fit(images, 7)
    for components in (1, 7):
        error = evaluation.reconstruction_error(pca.as_run(mean, axes[:components]), images, images)
        np.testing.assert_allclose(error, squared[components:].sum() / vectors.size, rtol=1e-5)


def test_decoder_span_is_the_principal_subspace(images):
    """However a code is mixed linearly, the span stays; another seed's decoder spans something else."""
    mean, axes = pca.fit(images, 3)
    run = pca.as_run(mean, axes)
    mixing = np.random.default_rng(0).normal(size=(3, 3))
    run.params["params"]["decoder"]["Dense_0"]["kernel"] = np.float32(mixing @ axes)
    span = pca.decoder_span(run)
    assert span.shape == (784, 3)
    assert subspace_angles(axes.T, span).max() < 1e-5
    assert subspace_angles(np.eye(784)[:, :3], span).max() > 0.5


def test_decoder_span_of_a_deep_linear_decoder_is_the_product_of_its_kernels():
    model = dense_autoencoder(2, (5,), linear, output=linear)
    params = jax.tree.map(lambda leaf: leaf[None], init(model, jnp.zeros((1, 28, 28, 1))))
    kernels = [params["params"]["decoder"][f"Dense_{i}"]["kernel"][0] for i in (0, 1)]
    np.testing.assert_allclose(
        pca.decoder_span(run_of(model, params))[0], (kernels[0] @ kernels[1]).T, rtol=1e-4, atol=1e-6
    )


def test_principal_angles_by_hand():
    """A plane that is turned out of the axes' by 30 degrees, mixed; the axes' own; that of a lane that diverged."""
    axes = np.eye(4)[:2]
    turned = np.array([[1.0, 0, 0, 0], [0, np.sqrt(3) / 2, 0, 1 / 2]])
    spans = np.stack([(np.array([[1.0, 2], [0, 3]]) @ turned).T, axes.T, np.full((4, 2), np.nan)])
    angles = pca.principal_angles(axes, spans)
    np.testing.assert_allclose(angles, [[30, 0], [0, 0], [np.nan, np.nan]], atol=1e-5)
    np.testing.assert_allclose(pca.principal_angles(axes, spans[0]), [30, 0], atol=1e-5)


def test_a_column_that_is_missing_is_at_a_right_angle():
    axes, span = np.eye(5)[:3], np.eye(5)[:, :3].copy()
    span[:, 1] = 0
    np.testing.assert_allclose(pca.principal_angles(axes, span), [90, 0, 0], atol=1e-6)
    np.testing.assert_allclose(pca.principal_angles(axes, np.stack([span, np.eye(5)[:, :3]]))[1], 0, atol=1e-6)


@pytest.mark.parametrize("components", [0, 61])
def test_too_many_components_are_refused(images, components):
    with pytest.raises(UsageError, match=f"{components} principal components.*choose 1 to 60"):
        pca.fit(images, components)
