"""Data sets on the host, in NumPy, by name, and how they are split. Images stay uint8 until a batch is taken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ae_jax import archives, embedded
from ae_jax.types import Dataset, UsageError

EMBEDDED: dict[str, Callable[[], archives.Arrays]] = {"digits": embedded.digits, "photos": embedded.photos}
TITLES = {name: known.files.title for name, known in archives.KNOWN.items()} | {
    "digits": "embedded digits",
    "photos": "patches of two photographs",
}


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """The data set called ``name``, complete.

    Args:
      name: embedded ones are ``"digits"`` (1,437 train and 360 test images 28x28; scikit-learn's 8x8 digits enlarged;
        far easier than MNIST, so never compare their losses) and ``"photos"`` (patches 32x32x3 of its two photographs).
        Downloaded are ``"mnist"`` (60,000 and 10,000 images 28x28 in ten classes; LeCun et al., 1998), alike
        ``"fashion_mnist"`` (Xiao et al., 2017) and ``"kmnist"`` (Clanuwat et al., 2018), further ``"emnist_letters"``
        (28x28 in 26 classes; Cohen et al., 2017) and ``"cifar10"`` (50,000 and 10,000 images 32x32x3; Krizhevsky,
        2009).
      data_dir: of those that are downloaded, a folder with the files, flat, in a subfolder ``name`` or in torchvision's
        (``MNIST/raw``); never written to. None means ``AE_JAX_DATA``; without either, the download cache, filled on
        first use.
    Returns:
      Images uint8 ``[n, height, width, channels]`` (ink is bright) and labels uint8 ``[n]`` from 0.
    Raises:
      UsageError: unknown name; files that are missing or not the published ones; a download that fails.
    """
    if name not in TITLES:
        raise UsageError(f"unknown dataset {name!r}; choose one of: {', '.join(TITLES)}")
    arrays = EMBEDDED[name]() if name in EMBEDDED else archives.load(name, data_dir)
    return _dataset(name, *arrays)


def limit(dataset: Dataset, n: int) -> Dataset:
    """The first ``n`` train and ``n`` test examples (all, where there are fewer), for quick runs."""
    if n < 1:
        raise UsageError(f"cannot limit a dataset to {n} examples; give at least 1")
    return _dataset(dataset.name, *(array[:n] for array in dataset[1:5]))


def holdout(n: int, fraction: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Train and validation indices, int32: the first ``1 - fraction`` of ``n`` examples, and the rest.

    Not shuffled: 0.2 of MNIST gives the first 48,000 and the last 12,000 (report A).
    """
    validation = round(n * fraction) if 0 < fraction < 1 else 0
    if not 0 < validation < n:
        raise UsageError(
            f"cannot hold out a fraction {fraction} of {n} examples; both parts need at least one example, "
            "the fraction lies between 0 and 1"
        )
    indices = np.arange(n, dtype=np.int32)
    return indices[:-validation], indices[-validation:]


def no_holdout(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Train and validation indices, int32, that train on all of ``n`` examples and validate on none (report E)."""
    return np.arange(n, dtype=np.int32), np.empty(0, np.int32)


def kfold(n: int, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shuffled k-fold: (train, validation) indices, int32, per fold, as scikit-learn's ``KFold`` draws them.

    Every example is validated in exactly one fold; fold sizes differ by one at most.
    """
    if not 2 <= folds <= n:
        raise UsageError(f"cannot split {n} examples into {folds} folds; give 2 to {n} folds")
    if not 0 <= seed < 2**32:
        raise UsageError(f"k-fold seed {seed} is out of range; give 0 to {2**32 - 1}")
    order = np.random.RandomState(seed).permutation(n).astype(np.int32)  # noqa: NPY002 - scikit-learn's generator
    everything = np.arange(n, dtype=np.int32)
    return [(np.setdiff1d(everything, fold), np.sort(fold)) for fold in np.array_split(order, folds)]


def _dataset(
    name: str, train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> Dataset:
    return Dataset(name, train, train_labels, test, test_labels, digest(train, train_labels, test, test_labels))


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of the shapes and bytes of ``arrays``."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(repr(array.shape).encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
