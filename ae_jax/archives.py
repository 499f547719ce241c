"""Data sets that are downloaded: the files each consists of, and how these become arrays."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ae_jax import downloads, idx
from ae_jax.downloads import Published

Arrays = tuple[np.ndarray, ...]  # train images, train labels, test images, test labels, all uint8


class Known(NamedTuple):
    """A data set elsewhere: its files, and what makes arrays of them, open and verified."""

    files: Published
    read: Callable[[list[IO[bytes]]], Arrays]


def load(name: str, data_dir: str | Path | None) -> Arrays:
    """The four arrays of the data set ``name`` of ``KNOWN``. Raises UsageError as :func:`downloads.verified` does."""
    known = KNOWN[name]
    with downloads.verified(known.files, data_dir) as files:
        return known.read(files)


def _idx_files(files: list[IO[bytes]]) -> Arrays:
    """Four IDX files in the order of the arrays."""
    arrays = [idx.parse(file.read(), "a verified file") for file in files]
    return tuple(array[..., None] if array.ndim == 3 else array for array in arrays)


def _emnist_letters(files: list[IO[bytes]]) -> Arrays:
    """The part "letters" of EMNIST's one zip, whose images lie on their side and whose labels count from 1."""
    with zipfile.ZipFile(files[0]) as archive:
        names = [f"gzip/emnist-letters-{part}-ubyte.gz" for part in ("train-images-idx3", "train-labels-idx1")]
        names += [name.replace("train", "test") for name in names]
        train, train_labels, test, test_labels = _idx_files([archive.open(name) for name in names])
    return train.swapaxes(1, 2).copy(), train_labels - 1, test.swapaxes(1, 2).copy(), test_labels - 1


def _cifar10(files: list[IO[bytes]]) -> Arrays:
    """Records of a label and three planes of 32x32, in five batches for training and one for test."""
    batches = [f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]
    with tarfile.open(fileobj=files[0], mode="r:gz") as archive:
        parts = [b"".join(_member(archive, f"cifar-10-batches-bin/{name}") for name in of) for of in batches]
    arrays = []
    for part in parts:
        records = np.frombuffer(part, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        arrays += [records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy(), records[:, 0].copy()]
    return tuple(arrays)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, f"{name} is a file in the published archive"
    return file.read()


KNOWN = {
    known.files.name: known
    for known in (
        Known(
            Published(
                "mnist", "MNIST", "mnist", "MNIST/raw",
                {
                    "train-images-idx3-ubyte":
                        (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
                    "train-labels-idx1-ubyte":
                        (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
                    "t10k-images-idx3-ubyte":
                        (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
                    "t10k-labels-idx1-ubyte":
                        (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
                },
            ),
            _idx_files,
        ),
        Known(
            Published(
                "fashion_mnist", "Fashion-MNIST", "fashion_mnist", "FashionMNIST/raw",
                {
                    "train-images-idx3-ubyte.gz":
                        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                    "train-labels-idx1-ubyte.gz":
                        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
                    "t10k-images-idx3-ubyte.gz":
                        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                    "t10k-labels-idx1-ubyte.gz":
                        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
                },
            ),
            _idx_files,
        ),
        Known(
            Published(
                "kmnist", "Kuzushiji-MNIST", "kmnist", "KMNIST/raw",
                {
                    "train-images-idx3-ubyte.gz":
                        (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
                    "train-labels-idx1-ubyte.gz":
                        (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
                    "t10k-images-idx3-ubyte.gz":
                        (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
                    "t10k-labels-idx1-ubyte.gz":
                        (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
                },
            ),
            _idx_files,
        ),
        Known(
            Published(
                "emnist_letters", "EMNIST letters", "emnist", "EMNIST/raw",
                {"gzip.zip": (561_753_746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e")},
            ),
            _emnist_letters,
        ),
        Known(
            Published(
                "cifar10", "CIFAR-10", "cifar10", "cifar10",
                {
                    "cifar-10-binary.tar.gz":
                        (170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
                },
            ),
            _cifar10,
        ),
    )
}  # fmt: skip
