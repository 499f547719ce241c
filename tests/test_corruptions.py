"""Corruptions: their statistics, their geometry, and that they take traced levels and fresh keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import corruptions

IMAGES = jnp.full((400, 28, 28, 1), 2.0)  # no grey value can be 2, so that a covered pixel is known by its value


def test_gaussian_has_its_sigma_and_is_not_clipped():
    noise = np.asarray(corruptions.gaussian(jax.random.key(0), jnp.zeros((400, 28, 28, 1)), 0.25))
    np.testing.assert_allclose(noise.std(), 0.25, rtol=0.01)
    np.testing.assert_allclose(noise.mean(), 0.0, atol=0.002)
    assert noise.min() < -0.75


@pytest.mark.parametrize("area", [0.01, 0.25, 0.5, 1.0])
def test_occlusion_covers_one_square_of_the_area(area):
    occluded = np.asarray(corruptions.occlusion(jax.random.key(1), IMAGES, area))[..., 0]
    side = round(np.sqrt(area) * 28)
    covered = occluded < 2
    np.testing.assert_array_equal(covered.sum((1, 2)), side**2)
    np.testing.assert_array_equal(covered.any(2).sum(1), side)
    np.testing.assert_array_equal(covered.any(1).sum(1), side)
    greys = occluded.min((1, 2))
    np.testing.assert_array_equal(
        np.where(covered, occluded, greys[:, None, None]), np.broadcast_to(greys[:, None, None], occluded.shape)
    )
    np.testing.assert_allclose(greys.mean(), 0.5, atol=5 * np.sqrt(1 / 12 / 400))


def test_occlusion_reaches_every_position():
    covered = np.asarray(corruptions.occlusion(jax.random.key(2), jnp.full((4000, 28, 28, 1), 2.0), 0.25))[..., 0] < 2
    starts = covered.any(2).argmax(1)
    np.testing.assert_array_equal(np.unique(starts), np.arange(28 - 14 + 1))


def test_shared_grey_is_shared():
    occluded = np.asarray(corruptions.occlusion_shared_grey(jax.random.key(3), IMAGES, 0.2))
    assert len(np.unique(occluded)) == 2


@pytest.mark.parametrize(
    "corrupt",
    [
        corruptions.gaussian,
        corruptions.occlusion,
        corruptions.occlusion_shared_grey,
        corruptions.occlusion_up_to,
        corruptions.masking,
        corruptions.salt_and_pepper,
    ],
)
def test_levels_are_traced_and_keys_matter(corrupt, key_reuse_check):
    jitted = jax.jit(lambda *arguments: corrupt(*arguments))  # a function of its own has a cache of its own
    first = jitted(jax.random.key(0), IMAGES, jnp.float32(0.1))
    again = jitted(jax.random.key(0), IMAGES, jnp.float32(0.1))
    other = jitted(jax.random.key(1), IMAGES, jnp.float32(0.3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert jitted._cache_size() == 1


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_masking_blackens_its_fraction_of_the_pixels(fraction):
    masked = corruptions.masking(jax.random.key(0), jnp.full((64, 28, 28, 1), 0.5), jnp.float32(fraction))
    assert set(np.unique(masked)) <= {0.0, 0.5}
    np.testing.assert_allclose((masked == 0).mean(), fraction, atol=0.01)


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_salt_and_pepper_are_equally_frequent(fraction):
    images = corruptions.salt_and_pepper(jax.random.key(0), jnp.full((64, 28, 28, 1), 0.5), jnp.float32(fraction))
    for value in (0.0, 1.0):
        np.testing.assert_allclose((images == value).mean(), fraction / 2, atol=0.01)


def test_occlusion_up_to_draws_an_area_for_each_image():
    """Sides of 28 sqrt(U(0.05, 0.35)) pixels, rounded: 6 to 17, in all sizes between."""
    images = corruptions.occlusion_up_to(jax.random.key(0), jnp.full((2000, 28, 28, 1), -1.0), jnp.float32(0.35))
    sides = np.sqrt((np.asarray(images) != -1.0).sum((1, 2, 3)))
    assert sides.min() == 6 and sides.max() == 17
    np.testing.assert_allclose((sides**2).mean() / 784, (0.05 + 0.35) / 2, rtol=0.03)
