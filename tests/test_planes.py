"""What is said of a latent plane: against regressions, loops and definitions written out in NumPy."""

import numpy as np
import pytest

from experiments import planes, prior_figures


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_slant_is_the_slope_of_the_ink_along_the_height(rng):
    """Right is positive: a line that leads a pixel to the right for two up has slant 0.5."""
    line = np.zeros((9, 9, 1))
    line[[8, 6, 4, 2, 0], [2, 3, 4, 5, 6]] = 1.0
    np.testing.assert_allclose(planes.slant(np.array([line, line[:, ::-1]])), [0.5, -0.5])
    image = rng.random((5, 7, 1))
    up, right = np.mgrid[0:-5:-1, 0:7]
    slope, _ = np.polyfit(up.ravel(), right.ravel(), 1, w=np.sqrt(image.ravel()))
    assert planes.slant(image) == pytest.approx(slope)


def test_slant_is_correlated_with_both_coordinates_of_the_plane(rng):
    images, plane = rng.random((2, 6, 6, 8, 8, 1)), prior_figures.manifold()[:6, :6]
    for lane, found in zip(images, planes.slant_correlations(images, plane), strict=True):
        values = np.array([[planes.slant(image) for image in row] for row in lane]).ravel()
        expected = [np.corrcoef(values, plane[..., axis].ravel())[0, 1] for axis in (0, 1)]
        np.testing.assert_allclose(found, expected)


def test_the_largest_step_is_between_neighbours_alone(rng):
    images = rng.random((4, 4, 3, 3, 1))
    images = np.array([images, images.swapaxes(0, 1)])
    for lane, found in zip(images, planes.largest_step(images), strict=True):
        right = [np.square(lane[i, j] - lane[i, j + 1]).mean() for i in range(4) for j in range(3)]
        down = [np.square(lane[i, j] - lane[i + 1, j]).mean() for i in range(3) for j in range(4)]
        assert found == pytest.approx(np.sqrt(max(right + down)))


def test_images_of_a_digit_differ_by_the_mean_over_their_pairs(rng):
    images, labels = rng.random((12, 4, 4, 1)), np.array([0, 0, 0, 0, 0, 3, 3, 3, 3, 9, 9, 9])
    pairs = [np.mean([np.square(image - images[labels == digit]).mean((1, 2, 3))])
             for image, digit in zip(images, labels, strict=True)]  # fmt: skip
    assert planes.spread_of_digits(images, labels) == pytest.approx(np.sqrt(np.mean(pairs)))
