"""What maps of codes tell, against scikit-learn and against maps whose answer is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from experiments import maps

RNG = np.random.default_rng(3)
LABELS = np.repeat(np.arange(10), 30)
RING = np.stack([np.cos(LABELS * np.pi / 5), np.sin(LABELS * np.pi / 5)], -1) * 5
CODES = RING + RNG.normal(size=RING.shape)  # overlapping digits, as in a trained plane


def test_digits_are_confused_as_by_a_classifier_that_leaves_each_out():
    expected = np.zeros((10, 10))
    for i, (point, label) in enumerate(zip(CODES, LABELS, strict=True)):
        others = np.arange(len(CODES)) != i
        judge = KNeighborsClassifier(maps.NEIGHBOURS).fit(CODES[others], LABELS[others])
        expected[label, judge.predict(point[None])[0]] += 1
    np.testing.assert_array_equal(maps.confusion(CODES, LABELS), expected)
    assert 0 < expected.trace() < len(CODES)


def test_a_gap_is_area_without_codes_whatever_the_scale():
    even, normal = RNG.uniform(size=(1500, 2)), RNG.normal(size=(1500, 2))
    ring = even[np.linalg.norm(even - 0.5, axis=1) > 0.25]
    assert maps.gaps(even) < 0.005 < maps.gaps(normal) < 0.04
    # The hull of the inner nine tenths is about 0.9 of the square; a disc less three spacings is empty.
    expected = np.pi * (0.25 - 1.5 / np.sqrt(len(ring))) ** 2 / 0.9
    assert maps.gaps(ring) == pytest.approx(expected, rel=0.3)
    assert maps.gaps(ring * [1000, 0.01]) == pytest.approx(maps.gaps(ring), abs=0.01)
    assert np.isnan(maps.gaps(np.c_[even[:, 0], 2 * even[:, 0]])) and np.isnan(maps.gaps(np.full((5, 2), np.nan)))


def test_places_chosen_on_a_map_become_codes():
    """Of PCA by scikit-learn's inverse; of t-SNE, here the codes turned and stretched, the middle of the neighbours."""
    pca, turned = PCA(2).fit(CODES), 3 * CODES[:, ::-1] + 7
    on_map = pca.transform(CODES)
    by_tsne, by_pca, tsne_place, pca_place = maps.chosen_codes(CODES, LABELS, on_map, turned)
    assert by_tsne.shape == (10, maps.CHOSEN, 2)
    np.testing.assert_allclose(by_pca, pca.inverse_transform(pca_place.reshape(-1, 2)).reshape(by_pca.shape))
    np.testing.assert_allclose(by_tsne, (tsne_place[..., ::-1] - 7) / 3)
    digits = np.arange(10) * np.pi / 5
    centres = 5 * np.stack([np.cos(digits), np.sin(digits)], -1)
    nearest = np.linalg.norm(by_tsne[:, :, None] - centres, axis=-1).argmin(-1)
    np.testing.assert_array_equal(nearest, np.repeat(np.arange(10)[:, None], maps.CHOSEN, 1))


def test_the_share_of_wrong_images_counts_those_that_show_another_digit():
    train = np.eye(10).repeat(6, axis=0).reshape(60, 2, 5, 1) + RNG.normal(0, 0.05, (60, 2, 5, 1))
    right = np.eye(10).reshape(1, 10, 1, 2, 5, 1).repeat(4, axis=2)
    half = right.copy()
    half[:, :, :2] = np.roll(right, 1, axis=1)[:, :, :2]
    found = maps.share_wrong(np.concatenate([right, half]), train, np.arange(10).repeat(6))
    np.testing.assert_allclose(found, [0, 0.5])


def test_blurred_images_are_less_sharp_and_paler_ones_as_sharp():
    images = RNG.uniform(size=(4, 28, 28, 1))
    sharp = maps.sharpness(images)
    assert maps.sharpness(gaussian_filter(images, (0, 1, 1, 0))) < 0.5 * sharp
    assert maps.sharpness(0.3 * images + 0.2) == pytest.approx(sharp)
