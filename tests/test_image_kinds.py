"""Images reach a loss in [0, 1], whichever kind of number the data hold."""

import jax.numpy as jnp
import numpy as np

from ae_jax.batching import Data, take


def test_images_in_unit_range_are_not_scaled_again(blobs):
    labels, rows = jnp.zeros(200, jnp.int32), jnp.arange(6)
    expected = take(Data(jnp.asarray(blobs), labels), rows).images
    np.testing.assert_array_equal(expected, np.float32(blobs[:6]) / np.float32(255))
    for images in (jnp.asarray(blobs, jnp.int32), jnp.asarray(blobs, jnp.float32) / 255.0):
        given = take(Data(images, labels), rows).images
        assert given.dtype == jnp.float32
        np.testing.assert_array_equal(given, expected)
