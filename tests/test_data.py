"""Datasets and splits. No network: downloads come from a server on the loopback interface.

With AE_JAX_DATA set, the real MNIST found there is checked too; everything else uses small IDX files.
"""

import gzip
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import KFold

from ae_jax import archives, data, downloads
from ae_jax.types import Dataset, UsageError
from tests import mirrors

REAL_MNIST = os.environ.get("AE_JAX_DATA")
TRAIN_LABELS, TEST_IMAGES = "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"


@pytest.fixture
def idx_files(monkeypatch) -> dict[str, bytes]:
    """A small MNIST, made the expected one: content by file name, 12 train and 5 test examples."""
    rng, files = np.random.default_rng(0), {}
    for part, n in ("train", 12), ("t10k", 5):
        images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)
        files[f"{part}-images-idx3-ubyte"] = struct.pack(">4i", 2051, n, 28, 28) + images.tobytes()
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">2i", 2049, n) + labels.tobytes()
    files = {name: files[name] for name in archives.KNOWN["mnist"].files.files}
    mirrors.publish(monkeypatch, "mnist", mirrors.expected(files))
    return files


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """The download cache, empty, with no AE_JAX_DATA in the way."""
    monkeypatch.delenv("AE_JAX_DATA", raising=False)
    monkeypatch.setenv("AE_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mnist"


def write(folder: Path, files: dict[str, bytes], gz: bool = True) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / (name + ".gz" * gz)).write_bytes(gzip.compress(content) if gz else content)
    return folder


def assert_is(dataset: Dataset, files: dict[str, bytes]):
    for array, (name, content) in zip(dataset[1:5], files.items(), strict=True):
        assert array.dtype == np.uint8
        if "images" in name:
            assert array.shape == (len(array), 28, 28, 1)
        assert array.tobytes() == content[16 if "images" in name else 8 :]


# --- the user's folder ---


@pytest.mark.parametrize("gz", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize("place", ["", "MNIST/raw"], ids=["flat", "torchvision"])
def test_mnist_from_a_folder(idx_files, cache, tmp_path, place, gz):
    folder = write(tmp_path / "given" / place, idx_files, gz)
    assert_is(data.load("mnist", tmp_path / "given"), idx_files)
    assert len(list(folder.iterdir())) == 4  # nothing was written into the user's folder
    assert not cache.exists()


def test_environment_names_the_folder_and_the_argument_wins(idx_files, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("AE_JAX_DATA", str(write(tmp_path / "environment", idx_files)))
    assert_is(data.load("mnist"), idx_files)
    with pytest.raises(UsageError, match="argument"):
        data.load("mnist", str(tmp_path / "argument"))


@pytest.mark.parametrize("named_by", ["argument", "environment"])
def test_missing_files_are_refused_even_when_the_cache_has_them(idx_files, cache, monkeypatch, tmp_path, named_by):
    write(cache, idx_files)
    folder = write(tmp_path / "given", idx_files)
    (folder / f"{TEST_IMAGES}.gz").unlink()
    if named_by == "environment":
        monkeypatch.setenv("AE_JAX_DATA", str(folder))
    with pytest.raises(UsageError) as error:
        data.load("mnist", folder if named_by == "argument" else None)
    for word in (str(folder), "MNIST/raw", TEST_IMAGES, "data_dir=FOLDER", "AE_JAX_DATA", "data set digits"):
        assert word in str(error.value)
    assert f" lacks {TEST_IMAGES}. " in str(error.value)


def flip_last_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("gz", "damage"),
    [
        pytest.param(False, lambda content: content[:-1], id="truncated"),
        pytest.param(False, flip_last_bit, id="corrupted"),
        pytest.param(False, lambda content: content + b"\0", id="longer"),
        pytest.param(True, lambda content: gzip.compress(content)[:-10], id="gz-truncated"),
        pytest.param(True, lambda content: flip_last_bit(gzip.compress(content)), id="gz-size-field"),
        pytest.param(True, lambda content: gzip.compress(content)[:10] + b"\xff" * 40, id="gz-garbage"),
        pytest.param(True, lambda content: gzip.compress(flip_last_bit(content)), id="gz-foreign"),
        pytest.param(True, lambda content: gzip.compress(content + b"\0" * 100_000), id="gz-longer"),
        pytest.param(True, lambda content: content, id="not-gz"),
        pytest.param(True, lambda content: b"", id="gz-empty"),
    ],
)
def test_damaged_files_are_refused(idx_files, cache, tmp_path, gz, damage):
    folder = write(tmp_path / "given", idx_files, gz)
    path = folder / (TEST_IMAGES + ".gz" * gz)
    path.write_bytes(damage(idx_files[TEST_IMAGES]))
    with pytest.raises(UsageError) as error:
        data.load("mnist", folder)
    size, sha256 = archives.KNOWN["mnist"].files.files[TEST_IMAGES]
    for word in (str(path), f"{size:,} bytes", sha256, "Replace it", "data set digits"):
        assert word in str(error.value)


# --- download and cache ---


@pytest.fixture
def server(tmp_path):
    """(URL of a server on the loopback interface, the folder it serves, the request lines it saw)."""
    folder = tmp_path / "served"
    folder.mkdir()
    with mirrors.serving(folder) as (url, requests):
        yield url, folder, requests


@pytest.fixture
def mirror(monkeypatch, idx_files):
    """A function that has tensorflow-datasets take MNIST from a URL, with the checksums of ``idx_files``."""

    def point_to(url: str) -> dict[str, bytes]:
        files = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in idx_files.items()}
        mirrors.lead(monkeypatch, "mnist", url, files)
        return files

    return point_to


def test_download_fills_the_cache_once(idx_files, cache, server, mirror, capfd):
    url, folder, requests = server
    mirrors.serve(folder, mirror(url))
    first = data.load("mnist")
    assert_is(first, idx_files)
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in idx_files)
    assert sum(line.startswith("GET") for line in requests) == 4
    assert capfd.readouterr().err == f"downloading MNIST (0.0 MB) to {cache}\n"

    requests.clear()
    assert data.load("mnist").digest == first.digest
    (cache / f"{TRAIN_LABELS}.gz").unlink()  # only what is missing is fetched again
    assert data.load("mnist").digest == first.digest
    assert [line.split()[1] for line in requests if line.startswith("GET")] == [f"/{TRAIN_LABELS}.gz"]


def test_download_goes_through_the_proxy(idx_files, cache, server, mirror, monkeypatch):
    url, folder, requests = server
    mirrors.serve(folder, mirror("http://mnist.invalid"))
    monkeypatch.setenv("HTTP_PROXY", url)
    assert_is(data.load("mnist"), idx_files)
    assert all(line.split()[1].startswith("http://mnist.invalid/") for line in requests)


def test_wrong_file_from_the_server_stays_out_of_the_cache(idx_files, cache, server, mirror):
    url, folder, _ = server
    files = mirror(url)
    mirrors.serve(folder, files | {f"{TEST_IMAGES}.gz": gzip.compress(b"an error page")})
    with pytest.raises(UsageError, match=r"cannot download MNIST .*wrong checksum.*data set digits") as error:
        data.load("mnist")
    assert f"{TEST_IMAGES}.gz" in str(error.value)
    assert "\n" not in str(error.value)
    assert f"{TEST_IMAGES}.gz" not in [path.name for path in cache.iterdir()]
    assert all(path.is_file() for path in cache.iterdir())  # the scratch folder is gone

    mirrors.serve(folder, files)
    assert_is(data.load("mnist"), idx_files)


def test_file_that_only_tensorflow_datasets_expects_stays_out_of_the_cache(
    idx_files, cache, server, mirror, monkeypatch
):
    url, folder, _ = server
    mirrors.serve(folder, mirror(url))
    monkeypatch.setitem(archives.KNOWN["mnist"].files.files, "train-images-idx3-ubyte", (1, "0" * 64))
    with pytest.raises(UsageError, match="is not MNIST's train-images"):
        data.load("mnist")
    assert list(cache.iterdir()) == []


def test_file_the_server_lacks(cache, server, mirror):
    url, folder, _ = server
    files = mirror(url)
    del files[f"{TEST_IMAGES}.gz"]
    mirrors.serve(folder, files)
    with pytest.raises(UsageError, match=f"404.*{TEST_IMAGES}"):
        data.load("mnist")


def unknown_host(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")


def hanging_lookup(*args, **kwargs):
    time.sleep(60)
    return unknown_host()


@pytest.mark.parametrize("lookup", [unknown_host, hanging_lookup])
def test_offline_is_told_in_seconds(cache, mirror, monkeypatch, lookup):
    assert downloads.PROBE_SECONDS <= 5
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.2)
    mirror("http://mnist.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    start = time.monotonic()
    with pytest.raises(UsageError, match="cannot download") as error:
        data.load("mnist")
    assert time.monotonic() - start < 30  # half of the lookup's
    for word in ("mnist.invalid", "data_dir=FOLDER", "AE_JAX_DATA", "data set digits"):
        assert word in str(error.value)


@pytest.mark.parametrize("listens", [True, False], ids=["silent-server", "no-server"])
def test_dead_server_is_told_in_seconds(cache, mirror, monkeypatch, listens):
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if listens:
            listener.listen()
        mirror(f"http://127.0.0.1:{listener.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(UsageError, match="cannot download"):
            data.load("mnist")
        assert time.monotonic() - start < 5


def test_without_tensorflow_datasets(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UsageError, match="pip install tensorflow-datasets.*data_dir=FOLDER.*data set digits"):
        data.load("mnist")


def test_cache_that_cannot_be_written(idx_files, cache, mirror):
    cache.parent.write_text("a file, not a folder")
    with pytest.raises(UsageError, match=f"cannot download MNIST to {cache}"):
        data.load("mnist")


def test_default_cache_is_the_user_s(idx_files, cache, monkeypatch, tmp_path):
    monkeypatch.delenv("AE_JAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("AE_JAX_DATA", "")  # as good as not set
    write(tmp_path / "xdg/ae_jax/mnist", idx_files)
    assert_is(data.load("mnist"), idx_files)


def test_import_is_light():
    heavy = "{'tensorflow_datasets', 'sklearn', 'requests'}"
    code = f"import sys, ae_jax.data; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- real MNIST, digits, names ---


@pytest.mark.skipif(not REAL_MNIST, reason="AE_JAX_DATA names no folder with MNIST")
def test_real_mnist():
    mnist = data.load("mnist", REAL_MNIST)
    assert mnist.train_images.shape == (60_000, 28, 28, 1)
    assert mnist.test_images.shape == (10_000, 28, 28, 1)
    train_counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test_counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(mnist.train_labels), train_counts)
    np.testing.assert_array_equal(np.bincount(mnist.test_labels), test_counts)
    np.testing.assert_array_equal(mnist.train_labels[:5], [5, 0, 4, 1, 9])
    assert mnist.train_images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)  # the customary normalisation
    assert mnist.digest == "c1a44cd987adea06a723558e60762a763befa3cccc6bcbb05653f86cf68f5530"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return data.load("digits")


def test_digits(digits):
    from sklearn.datasets import load_digits

    assert digits.train_images.shape == (1_437, 28, 28, 1)
    assert digits.test_images.shape == (360, 28, 28, 1)
    assert all(array.dtype == np.uint8 for array in digits[1:5])
    images = np.concatenate([digits.train_images, digits.test_images])[..., 0]
    assert images.max() == 255
    inside = np.zeros((28, 28), bool)
    inside[4:24, 4:24] = True
    assert not images[:, ~inside].any()

    # Cubic splines keep the corners in place: with the label they trace every image back to its source.
    source = load_digits()
    corners = np.rint(images[:, 4:24:19, 4:24:19] * (16 / 255)).reshape(-1, 4)
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    found = np.column_stack([labels, corners])
    expected = np.column_stack([source.target, source.images[:, ::7, ::7].reshape(-1, 4)])
    assert sorted(found.tolist()) == sorted(expected.tolist())
    assert len(np.unique(images, axis=0)) == len(np.unique(source.images, axis=0))  # nobody is in both parts


def test_digits_are_enlarged_by_cubic_splines(digits):
    from scipy.ndimage import map_coordinates
    from sklearn.datasets import load_digits

    grid = np.meshgrid(np.arange(20) * 7 / 19, np.arange(20) * 7 / 19, indexing="ij")
    enlarged = [map_coordinates(image, grid, order=3, mode="mirror") for image in load_digits().images]
    expected = np.clip(enlarged, 0, 16) * (255 / 16)
    for image in digits.train_images[:5, 4:24, 4:24, 0]:
        assert abs(expected - image).max(axis=(1, 2)).min() < 1  # only rounding apart from one of them


def test_digits_split_is_stratified_shuffled_and_fixed(digits):
    train, test = (np.bincount(labels, minlength=10) for labels in (digits.train_labels, digits.test_labels))
    np.testing.assert_allclose(test / (train + test), 0.2, atol=0.01)
    assert np.bincount(digits.train_labels[:100], minlength=10).min() > 0
    again = data.load("digits")
    assert again.digest == digits.digest
    np.testing.assert_array_equal(again.test_images, digits.test_images)
    # the first labels of the fixed split: a change of seed or of order shows here
    np.testing.assert_array_equal(digits.train_labels[:8], [3, 9, 1, 3, 1, 9, 4, 4])


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(
        UsageError, match="'fashion'.*mnist, fashion_mnist, kmnist, emnist_letters, cifar10, digits, photos"
    ):
        data.load("fashion")


def test_limit(digits):
    small = data.limit(digits, 400)
    assert len(small.train_images) == len(small.train_labels) == 400
    assert len(small.test_images) == len(small.test_labels) == 360
    np.testing.assert_array_equal(small.train_images, digits.train_images[:400])
    np.testing.assert_array_equal(small.test_labels, digits.test_labels)
    assert small.name == "digits"
    assert small.digest != digits.digest
    assert data.limit(digits, 5_000).digest == digits.digest
    with pytest.raises(UsageError, match="at least 1"):
        data.limit(digits, 0)


def test_digest_sees_content_labels_and_shapes(digits):
    arrays = [array[:4] for array in digits[1:5]]
    digest = data._dataset("a", *arrays).digest
    assert data._dataset("b", *[array.copy() for array in arrays]).digest == digest
    for i, array in enumerate(arrays):
        changed = array.copy()
        changed.flat[-1] ^= 1
        assert data._dataset("a", *arrays[:i], changed, *arrays[i + 1 :]).digest != digest
    flat = arrays[0].reshape(4, 14, 56, 1)
    assert data._dataset("a", flat, *arrays[1:]).digest != digest


# --- splits ---


def test_holdout_of_report_a():
    train, validation = data.holdout(60_000)
    assert train.dtype == validation.dtype == np.int32
    np.testing.assert_array_equal(train, np.arange(48_000))
    np.testing.assert_array_equal(validation, np.arange(48_000, 60_000))


@pytest.mark.parametrize(
    ("n", "fraction"), [(10, 0.0), (10, 1.0), (10, -0.1), (10, float("nan")), (10, 0.04), (1, 0.5), (0, 0.2)]
)
def test_holdout_refuses_an_empty_part(n, fraction):
    with pytest.raises(UsageError, match=f"fraction {fraction} of {n} examples"):
        data.holdout(n, fraction)


@pytest.mark.parametrize(("n", "folds", "seed"), [(60_000, 5, 0), (17, 3, 42), (4, 4, 2**32 - 1)])
def test_kfold_agrees_with_scikit_learn(n, folds, seed):
    splits = data.kfold(n, folds, seed)
    oracle = list(KFold(folds, shuffle=True, random_state=seed).split(np.empty(n)))
    assert len(splits) == len(oracle) == folds
    for (train, validation), (train_oracle, validation_oracle) in zip(splits, oracle, strict=True):
        assert train.dtype == validation.dtype == np.int32
        np.testing.assert_array_equal(train, train_oracle)
        np.testing.assert_array_equal(validation, validation_oracle)
        np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(n))
    validated = np.sort(np.concatenate([validation for _, validation in splits]))
    np.testing.assert_array_equal(validated, np.arange(n))


@pytest.mark.parametrize(
    ("n", "folds", "seed", "message"),
    [(10, 1, 0, "1 folds"), (3, 4, 0, "4 folds"), (10, 2, -1, "seed -1"), (10, 2, 2**32, "out of range")],
)
def test_kfold_refuses_the_impossible(n, folds, seed, message):
    with pytest.raises(UsageError, match=message):
        data.kfold(n, folds, seed)
