"""Colour patches of photographs: where they come from, and that no pixel is in both parts. Digits: test_data."""

import numpy as np
import pytest

from ae_jax import data, embedded


@pytest.fixture(scope="module")
def photos():
    return data.load("photos")


def test_photos_are_colour_patches_of_both_photographs(photos):
    assert photos.train_images.shape == (5_500, 32, 32, 3) and photos.test_images.shape == (300, 32, 32, 3)
    assert all(array.dtype == np.uint8 and array.flags.c_contiguous for array in photos[1:5])
    assert np.bincount(photos.train_labels).tolist() == [2_750] * 2
    assert np.bincount(photos.test_labels).tolist() == [150] * 2
    for labels in (photos.train_labels, photos.test_labels):
        assert set(labels[:20]) == {0, 1}  # shuffled
    assert data.load("photos").digest == photos.digest
    assert (photos.train_images.min(), photos.train_images.max()) == (0, 255)


def test_no_pixel_is_in_both_parts(monkeypatch):
    """Cut from photographs whose pixels are numbered: the numbers tell where each patch lies."""
    import sklearn.datasets

    numbered = [np.arange(427 * 640, dtype=np.int32).reshape(427, 640, 1) + i * 10**6 for i in range(2)]
    monkeypatch.setattr(sklearn.datasets, "load_sample_images", lambda: type("Bunch", (), {"images": numbered}))
    train, train_labels, test, test_labels = embedded.photos()
    for patches, labels in (train, train_labels), (test, test_labels):
        first = patches[:, :1, :1, :1]
        rows, columns, _ = np.ogrid[:32, :32, :1]
        np.testing.assert_array_equal(patches, first + rows * 640 + columns)  # whole
        assert (first % 10**6 % 640 <= 640 - 32).all()  # not wrapped
        np.testing.assert_array_equal(first.ravel() // 10**6, labels)
    trained_on = np.zeros(2 * 10**6, bool)
    trained_on[train] = True
    assert not trained_on[test].any()
    assert len(np.unique(train[:, 0, 0, 0])) == len(train)  # no patch twice


def test_patches_are_those_of_the_photographs(photos):
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    for patch, label in zip(photos.test_images[:20], photos.test_labels, strict=False):
        photograph = photographs[label]
        rows, columns = np.nonzero((photograph[:-31, :-31] == patch[0, 0]).all(-1))
        assert any((photograph[r : r + 32, c : c + 32] == patch).all() for r, c in zip(rows, columns, strict=True))
