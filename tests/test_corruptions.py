"""Corruptions: their distributions, their geometry, and that a traced level and a fresh key each change them."""

import functools

import jax
import numpy as np
import pytest
from scipy import stats

from ae_jax import corruptions

SHAPE = (400, 28, 28, 1)
# Every pixel another number, none of them a grey value: a pixel that was changed, moved or spared is known by it.
IMAGES = 2.0 + np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) / 2**19
SMALLEST = corruptions.SMALLEST_AREA


@functools.partial(jax.jit, static_argnums=0)
def _corrupted(corrupt, key, images, level):
    return corrupt(key, images, level)


def corrupted(corrupt, seed, images, level):
    """What ``corrupt`` makes of ``images``, in NumPy."""
    return np.asarray(_corrupted(corrupt, jax.random.key(seed), images, np.float32(level)))


def changed(images):
    """Which pixels a corruption of ``IMAGES`` has set: bool ``[400, 28, 28]``."""
    return np.asarray(images != IMAGES)[..., 0]


def assert_independent(hits, probability):
    """Pixels hit alone, not image by image or the same in every image: frequencies have the binomial's spread."""
    hits = hits.reshape(len(hits), -1)
    for axis, n in enumerate(hits.shape):
        frequency = hits.mean(axis)
        np.testing.assert_allclose(frequency.mean(), probability, atol=5 * np.sqrt(0.25 / hits.size))
        np.testing.assert_allclose(frequency.std(), np.sqrt(probability * (1 - probability) / n), rtol=0.2)


def starts_and_sides(covered):
    """The corners and sides of the squares that ``covered [n, 28, 28]`` must consist of: ``[n, 2], [n]``."""
    rows, columns = covered.any(2), covered.any(1)
    start = np.stack([rows.argmax(1), columns.argmax(1)], axis=1)
    sides = rows.sum(1)
    at = np.arange(28)
    inside = (at >= start[..., None]) & (at < start[..., None] + sides[:, None, None])
    np.testing.assert_array_equal(covered, inside[:, 0, :, None] & inside[:, 1, None, :])
    return start, sides


def test_gaussian_is_normal_with_its_sigma_and_independent_in_every_pixel():
    noise = corrupted(corruptions.gaussian, 0, np.zeros(SHAPE, np.float32), 0.25).reshape(400, -1)
    assert stats.kstest(noise[:, ::20].ravel(), stats.norm(0, 0.25).cdf).pvalue > 1e-3
    assert_independent(noise > 0, 0.5)


def test_gaussian_is_added_and_never_clipped():
    """The draw of a key is the same for every image and level, so that it can be taken away again."""
    images = np.random.default_rng(0).uniform(size=SHAPE).astype(np.float32)
    noise = corrupted(corruptions.gaussian, 0, np.zeros(SHAPE, np.float32), 1.0)
    noisy = corrupted(corruptions.gaussian, 0, images, 0.5)
    np.testing.assert_allclose(noisy, images + 0.5 * noise, atol=1e-6)
    assert noisy.min() < -1 and noisy.max() > 2


@pytest.mark.parametrize("area", [0.01, 0.25, 0.5, 1.0])
def test_occlusion_covers_one_square_of_the_area_in_one_grey(area):
    """The side is the rounded root of the area: 3, 14, 20, 28 pixels; all other pixels are as they were."""
    occluded = corrupted(corruptions.occlusion, 1, IMAGES, area)[..., 0]
    covered = changed(occluded[..., None])
    _, sides = starts_and_sides(covered)
    np.testing.assert_array_equal(sides, {0.01: 3, 0.25: 14, 0.5: 20, 1.0: 28}[area])
    greys = occluded.min((1, 2))
    np.testing.assert_array_equal(occluded[covered], np.repeat(greys, sides**2))
    assert stats.kstest(greys, stats.uniform(0, 1).cdf).pvalue > 1e-3


def test_occlusion_of_a_colour_rectangle():
    """A quarter of 20x30 pixels are 10x15 of them, in all three channels one grey, and everywhere: 11 x 16 places."""
    images = 2.0 + np.arange(3000 * 20 * 30 * 3, dtype=np.float32).reshape(3000, 20, 30, 3) / 2**23
    occluded = corrupted(corruptions.occlusion, 1, images, 0.25)
    covered = occluded < 2
    np.testing.assert_array_equal(covered, np.broadcast_to(covered[..., :1], covered.shape))
    rows, columns = covered[..., 0].any(2), covered[..., 0].any(1)
    assert (rows.sum(1) == 10).all() and (columns.sum(1) == 15).all()
    np.testing.assert_array_equal(covered[..., 0], rows[:, :, None] & columns[:, None])
    np.testing.assert_array_equal(occluded[~covered], images[~covered])
    assert (np.ptp(occluded[covered].reshape(3000, -1), axis=1) == 0).all()
    places = np.bincount(rows.argmax(1) * 16 + columns.argmax(1), minlength=176)
    assert places.shape == (176,) and stats.chisquare(places).pvalue > 1e-3


@pytest.mark.parametrize("corrupt", [corruptions.occlusion, corruptions.occlusion_shared_grey])
def test_occlusion_is_everywhere_equally_often(corrupt):
    """A square of 14 has 15 x 15 places, the borders among them; chi-square of all pairs at the 0.1 % level."""
    draws = (corrupted(corrupt, seed, IMAGES, 0.25) for seed in range(20))
    starts = np.concatenate([starts_and_sides(changed(draw))[0] for draw in draws])
    places = np.bincount(starts @ [15, 1], minlength=225)
    assert places.shape == (225,)
    assert stats.chisquare(places).pvalue > 1e-3


def test_a_shared_grey_is_one_for_all_images_and_another_for_another_key():
    greys = []
    for seed in range(100):
        occluded = corrupted(corruptions.occlusion_shared_grey, seed, IMAGES, 0.2)
        (grey,) = np.unique(occluded[changed(occluded)])
        greys.append(grey)
    assert stats.kstest(greys, stats.uniform(0, 1).cdf).pvalue > 1e-3


def test_occlusion_up_to_draws_an_area_for_each_image():
    """Uniform areas give sides of 6 to 17 pixels, each as often as the areas that round to it."""
    occluded = corrupted(corruptions.occlusion_up_to, 0, np.tile(IMAGES, (10, 1, 1, 1)), 0.35)
    covered = occluded[..., 0] < 2
    start, sides = starts_and_sides(covered)
    edges = np.square((np.arange(6, 19) - 0.5) / 28).clip(SMALLEST, 0.35)
    expected = 4000 * np.diff(edges) / (0.35 - SMALLEST)
    assert set(np.unique(sides)) == set(range(6, 18))
    assert stats.chisquare(np.bincount(sides)[6:], expected).pvalue > 1e-3
    assert len(np.unique(occluded[covered])) > 3900  # a grey for each, too
    for side in (8, 16):  # and a place, up to the borders that it can reach
        assert set(np.unique(start[sides == side])) == set(range(28 - side + 1))


@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_masking_blackens_its_fraction_of_the_pixels(fraction):
    masked = corrupted(corruptions.masking, 0, IMAGES, fraction)
    assert_independent(changed(masked), fraction)
    assert (masked[changed(masked)] == 0).all()


@pytest.mark.parametrize("fraction", [0.4, 1.0])
def test_salt_and_pepper_are_equally_frequent(fraction):
    peppered = corrupted(corruptions.salt_and_pepper, 0, IMAGES, fraction)
    for value in (0.0, 1.0):
        assert_independent(peppered == value, fraction / 2)
    assert_independent(changed(peppered), fraction)
    assert set(np.unique(peppered[changed(peppered)])) == {0.0, 1.0}


ALL = [
    corruptions.gaussian,
    corruptions.occlusion,
    corruptions.occlusion_shared_grey,
    corruptions.occlusion_up_to,
    corruptions.masking,
    corruptions.salt_and_pepper,
]


@pytest.mark.parametrize("corrupt", ALL)
def test_the_key_and_the_traced_level_each_change_the_draw(corrupt, key_reuse_check):
    jitted = jax.jit(lambda *arguments: corrupt(*arguments))  # a function of its own has a cache of its own
    first, again, other_key, other_level = (
        np.asarray(jitted(jax.random.key(seed), IMAGES, np.float32(level)))
        for seed, level in [(0, 0.1), (0, 0.1), (1, 0.1), (0, 0.3)]
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other_key)
    assert not np.array_equal(first, other_level)
    assert jitted._cache_size() == 1


@pytest.mark.parametrize("corrupt", ALL)
def test_level_zero_changes_nothing(corrupt):
    np.testing.assert_array_equal(corrupted(corrupt, 0, IMAGES, 0.0), IMAGES)


@pytest.mark.parametrize(("level", "side"), [(SMALLEST, 6), (0.02, 4)])
def test_a_level_that_leaves_no_choice_is_the_area_of_all(level, side):
    """39 pixels at the smallest of ``occlusion_up_to``, and below it the level itself."""
    _, sides = starts_and_sides(changed(corrupted(corruptions.occlusion_up_to, 0, IMAGES, level)))
    np.testing.assert_array_equal(sides, side)
