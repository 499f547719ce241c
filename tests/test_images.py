"""Users' images: what is taken as it is, what is converted, what is refused in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.images import as_images
from ae_jax.types import UsageError

BYTES = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)


def refusal(function, *arguments, **options) -> str:
    """The one line that refuses them."""
    with pytest.raises(UsageError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- arrays ---


@pytest.mark.parametrize("library", [np, jnp], ids=["numpy", "jax"])
@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 6, 7, 3), (5, 6, 7, 3)), ((5, 6, 7), (5, 6, 7, 1)), ((5, 42), (5, 42, 1, 1)), ((1, 1), (1, 1, 1, 1))],
)
def test_bytes_stay_bytes_at_rank_four(library, shape, expected):
    given = library.asarray(BYTES.flat[: np.prod(shape)].reshape(shape))
    images = as_images(given)
    assert (images.shape, images.dtype, isinstance(images, jax.Array)) == (expected, np.uint8, library is jnp)
    np.testing.assert_array_equal(np.asarray(images).ravel(), np.asarray(given).ravel())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.longdouble, jnp.bfloat16])
def test_floats_in_the_unit_range_become_float32_and_no_other_numbers(dtype):
    given = (BYTES / 255).astype(dtype)
    images = as_images(given)
    assert images.dtype == np.float32 and images.dtype.isnative
    np.testing.assert_array_equal(images, given.astype(np.float32))


def test_what_is_right_is_not_copied():
    for given in (BYTES, (BYTES / 255).astype(np.float32)):
        assert np.shares_memory(as_images(given), given)


@pytest.mark.parametrize("library", [np, jnp], ids=["numpy", "jax"])
def test_bools_are_black_and_white(library):
    images = as_images(library.asarray([[True, False]]))
    assert images.dtype == np.uint8 and images.ravel().tolist() == [255, 0]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (BYTES.tolist(), ["list", "make one array"]),
        (None, ["NoneType"]),
        ("digits", ["str"]),
        (np.ma.masked_equal(BYTES, 0), ["MaskedArray"]),
        (BYTES[0, 0, 0], ["[3]", "images[None]"]),
        (BYTES[None], ["[1, 5, 6, 7, 3]"]),
        (np.uint8(3), ["uint8"]),
        (np.array(3.0), ["[]"]),
        (BYTES[:0], ["[0, 6, 7, 3]", "none of them 0"]),
        (BYTES[:, :, :0], ["[5, 6, 0, 3]"]),
        (BYTES.astype(np.int64), ["int64", "images.astype(np.uint8)"]),
        (jnp.asarray(BYTES, jnp.int32), ["int32", "images.astype(np.uint8)"]),
        (BYTES.astype(np.int8), ["int8"]),
        (BYTES.astype(np.uint16), ["uint16"]),
        (BYTES.astype(object), ["object"]),
        (BYTES.astype(complex), ["complex128"]),
        (BYTES.astype(str), ["<U3"]),
        (BYTES / 1.0, ["from 0.0 to 255.0", "divide by 255"]),
        (jnp.asarray(BYTES, jnp.float32), ["from 0.0 to 255.0", "divide by 255"]),
        (np.array([[0.5, 1.0 + 1e-12]]), ["1.000000000001", "clip"]),
        (np.array([[0.5, -1e-30]]), ["-1e-30"]),
        (np.array([[0.5, np.inf]]), ["to inf"]),
        (np.array([[-np.inf, 0.5]]), ["from -inf"]),
        (np.array([[0.5, np.nan, 7.0]]), ["NaN", "leave those images out"]),
        (jnp.array([[jnp.nan, 0.5]]), ["NaN"]),
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_what_was_given_and_what_is_allowed(images, words):
    message = refusal(as_images, images)
    for word in (*words, "uint8 or float in [0, 1]", "[n, height, width, channels]", "[n, features]"):
        assert word in message
