"""Data sets that come with scikit-learn and need no network: handwritten digits, and patches of two photographs."""

from __future__ import annotations

import functools

import numpy as np

PATCH = 32
# The photographs are cut into bands of these columns; a patch lies within one band.
TRAIN_BANDS, TEST_BANDS = ((0, 288), (352, 480), (544, 640)), ((288, 352), (480, 544))
TRAIN_STRIDE, TEST_STRIDE = 8, 16


@functools.cache
def digits() -> tuple[np.ndarray, ...]:
    """scikit-learn's 1,797 digits as MNIST frames its own: 20x20 in the middle of 28x28. Made once, and read-only.

    The split is stratified and shuffled with a fixed seed: the source is ordered by writer.
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = zoom(digits.images * (255 / 16), (1, 2.5, 2.5), order=3)  # cubic, so it overshoots: clip
    images = np.pad(images.clip(0, 255).round().astype(np.uint8), ((0, 0), (4, 4), (4, 4)))[..., None]
    labels = digits.target.astype(np.uint8)
    train, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    parts = images[train], labels[train], images[test], labels[test]
    for part in parts:
        part.flags.writeable = False
    return parts


def photos() -> tuple[np.ndarray, ...]:
    """Colour patches, 32x32x3, of scikit-learn's photographs of a temple (label 0) and a flower (label 1).

    Test patches come from two vertical bands of each photograph and training patches from the rest: no pixel is in
    both parts. Patches of one part overlap, so that a validation part of the training patches shares pixels with the
    rest of them. Both parts are shuffled with a fixed seed.
    """
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    return (*_patches(photographs, TRAIN_BANDS, TRAIN_STRIDE), *_patches(photographs, TEST_BANDS, TEST_STRIDE))


def _patches(
    photographs: list[np.ndarray], bands: tuple[tuple[int, int], ...], stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """All patches within ``bands``, ``stride`` apart, shuffled: ``[n, PATCH, PATCH, 3]``, and their labels ``[n]``."""
    from sklearn.utils import shuffle

    cut = []
    for photograph in photographs:
        views = np.lib.stride_tricks.sliding_window_view(photograph, (PATCH, PATCH), axis=(0, 1))
        of_bands = [views[::stride, start : stop - PATCH + 1 : stride] for start, stop in bands]
        cut.append(np.concatenate([view.reshape(-1, *view.shape[2:]) for view in of_bands]))
    labels = np.repeat(np.arange(len(cut), dtype=np.uint8), [len(patches) for patches in cut])
    patches, labels = shuffle(np.concatenate(cut).transpose(0, 2, 3, 1), labels, random_state=0)
    return np.ascontiguousarray(patches), labels
