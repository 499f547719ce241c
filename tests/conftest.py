"""Shared fixtures: a small dataset on the device, a small objective."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.models import dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.training import Data


@pytest.fixture(scope="session")
def blobs() -> np.ndarray:
    """[200, 28, 28, 1] uint8: a bright square somewhere on each image; a network can learn them in seconds."""
    rng = np.random.default_rng(0)
    images = np.zeros((200, 28, 28, 1), np.uint8)
    for image, (row, column) in zip(images, rng.integers(0, 18, (200, 2)), strict=True):
        image[row : row + 10, column : column + 10] = 255
    return images


@pytest.fixture(scope="session")
def data(blobs) -> Data:
    return Data(jnp.asarray(blobs), jnp.arange(200, dtype=jnp.int32) % 10)


@pytest.fixture(scope="session")
def objective():
    return autoencoder(dense_autoencoder(latent=2, widths=(16,)))


@pytest.fixture
def key_reuse_check():
    """JAX's checker that no key is consumed twice."""
    with jax.debug_key_reuse(True):
        yield
