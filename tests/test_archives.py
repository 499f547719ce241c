"""Downloaded data sets but MNIST (test_data): small archives of the published form, served on loopback."""

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest

from ae_jax import archives, data, downloads
from ae_jax.types import UsageError
from tests import mirrors
from tests.commands import ROOT

OTHERS = [name for name in archives.KNOWN if name != "mnist"]
RNG = np.random.default_rng(0)
PARTS = ("train", 12), ("test", 5)


def idx_gz(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(header + values.tobytes(), mtime=0)


def four_files() -> tuple[dict[str, bytes], list[np.ndarray]]:
    arrays, files = [], {}
    for part, n in PARTS:
        images, labels = RNG.integers(0, 256, (n, 28, 28), np.uint8), RNG.integers(0, 10, n, np.uint8)
        prefix = "train" if part == "train" else "t10k"
        files[f"{prefix}-images-idx3-ubyte.gz"], files[f"{prefix}-labels-idx1-ubyte.gz"] = (
            idx_gz(images),
            idx_gz(labels),
        )
        arrays += [images[..., None], labels]
    return files, arrays


def emnist_zip() -> tuple[dict[str, bytes], list[np.ndarray]]:
    arrays, file = [], io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part, n in PARTS:
            images, labels = RNG.integers(0, 256, (n, 28, 28), np.uint8), RNG.integers(1, 27, n).astype(np.uint8)
            archive.writestr(f"gzip/emnist-letters-{part}-images-idx3-ubyte.gz", idx_gz(images))
            archive.writestr(f"gzip/emnist-letters-{part}-labels-idx1-ubyte.gz", idx_gz(labels))
            arrays += [np.stack([image.T for image in images])[..., None], labels - 1]
    return {"gzip.zip": file.getvalue()}, arrays


def cifar_tar() -> tuple[dict[str, bytes], list[np.ndarray]]:
    """By loops over pixels, as its page describes the format: 1024 of red, row by row, then green, then blue."""
    file, images, labels = io.BytesIO(), [], []
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            content = b""
            for _ in range(3):
                image, label = RNG.integers(0, 256, (32, 32, 3), np.uint8), int(RNG.integers(10))
                planes = [bytes(image[row, :, c]) for c in range(3) for row in range(32)]
                content += bytes([label]) + b"".join(planes)
                images, labels = [*images, image], [*labels, label]
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    images, labels = np.stack(images), np.array(labels, np.uint8)
    return {"cifar-10-binary.tar.gz": file.getvalue()}, [images[:15], labels[:15], images[15:], labels[15:]]


MADE = {"fashion_mnist": four_files, "kmnist": four_files, "emnist_letters": emnist_zip, "cifar10": cifar_tar}


@pytest.fixture(params=OTHERS)
def published(request, monkeypatch, tmp_path):
    """(name, small archives made the expected ones, the arrays they hold); the cache is empty."""
    monkeypatch.delenv("AE_JAX_DATA", raising=False)
    monkeypatch.setenv("AE_JAX_CACHE", str(tmp_path / "cache"))
    files, arrays = MADE[request.param]()
    mirrors.publish(monkeypatch, request.param, mirrors.expected(files))
    return request.param, files, arrays


def assert_is(dataset, arrays):
    for found, expected in zip(dataset[1:5], arrays, strict=True):
        assert found.dtype == np.uint8 and found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", archives.KNOWN)
def test_the_table_is_tensorflow_datasets(name):
    import tensorflow_datasets as tfds

    of = archives.KNOWN[name].files
    infos = {info.filename: info for info in tfds.builder_cls(of.builder).url_infos.values()}
    assert infos.keys() == {file if name != "mnist" else f"{file}.gz" for file in of.files}
    if name != "mnist":  # whose table is of the content, not of the archives
        assert {file: (info.size, info.checksum) for file, info in infos.items()} == of.files


def test_an_archive_is_never_in_memory_as_a_whole(monkeypatch, tmp_path):
    """EMNIST's zip, half a gigabyte, holds six data sets of which one is wanted."""
    ((name, content),) = emnist_zip()[0].items()
    (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / name, "a") as archive:
        archive.writestr("gzip/emnist-byclass-train-images-idx3-ubyte.gz", bytes(30_000_000))
    mirrors.publish(monkeypatch, "emnist_letters", mirrors.expected({name: (tmp_path / name).read_bytes()}))
    tracemalloc.start()
    dataset = data.load("emnist_letters", tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset.train_images) == 12 and peak < 10_000_000


def test_download_fills_the_cache_once(published, monkeypatch, tmp_path, capfd):
    name, files, arrays = published
    mirrors.serve(tmp_path, files)
    with mirrors.serving(tmp_path) as (url, requests):
        mirrors.lead(monkeypatch, archives.KNOWN[name].files.builder, url, files)
        first = data.load(name)
        assert_is(first, arrays)
        assert data.load(name).digest == first.digest
    assert sum(line.startswith("GET") for line in requests) == len(files)
    cache = downloads.cache_dir() / name
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == files
    megabytes = sum(map(len, files.values())) / 1e6
    assert capfd.readouterr().err == f"downloading {data.TITLES[name]} ({megabytes:.1f} MB) to {cache}\n"


@pytest.mark.parametrize("damage", [lambda f: f[:-1], lambda f: f + b"\0", lambda f: f[:40] + b"!" + f[41:]])
def test_what_was_damaged_in_the_cache_is_refused(published, damage):
    name, files, _ = published
    cache = downloads.cache_dir() / name
    cache.mkdir(parents=True)
    mirrors.serve(cache, files)
    path = cache / list(files)[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match="Replace it by the original; in the download cache, delete it") as error:
        data.load(name)
    assert str(path) in str(error.value) and "\n" not in str(error.value) and "decompressed" not in str(error.value)


def test_a_wrong_file_from_the_server_stays_out_of_the_cache(published, monkeypatch, tmp_path):
    name, files, _ = published
    last = list(files)[-1]
    mirrors.serve(tmp_path, files | {last: b"an error page"})
    with mirrors.serving(tmp_path) as (url, _):
        mirrors.lead(monkeypatch, archives.KNOWN[name].files.builder, url, files)
        with pytest.raises(UsageError, match=f"cannot download {data.TITLES[name]} .*wrong checksum"):
            data.load(name)
    assert {path.name for path in (downloads.cache_dir() / name).iterdir()} == files.keys() - {last}


@pytest.mark.parametrize("named_by", ["argument", "environment"])
@pytest.mark.parametrize("place", ["", "name", "raw"])
def test_the_user_s_folder(published, monkeypatch, tmp_path, named_by, place):
    name, files, arrays = published
    of = archives.KNOWN[name].files
    folder = tmp_path / "given" / (getattr(of, place) if place else "")
    folder.mkdir(parents=True)
    mirrors.serve(folder, files)
    if named_by == "environment":
        monkeypatch.setenv("AE_JAX_DATA", str(tmp_path / "given"))
    assert_is(data.load(name, tmp_path / "given" if named_by == "argument" else None), arrays)
    (folder / list(files)[0]).unlink()
    with pytest.raises(UsageError, match=f"lacks {list(files)[0]}.*data_dir=FOLDER.*AE_JAX_DATA.*digits or photos"):
        data.load(name, tmp_path / "given")


def test_one_folder_serves_data_sets_whose_files_have_one_name(monkeypatch, tmp_path):
    """Fashion-MNIST's files are called as Kuzushiji-MNIST's: a subfolder goes before the folder itself."""
    expected = {}
    for name, folder in ("fashion_mnist", tmp_path), ("kmnist", tmp_path / "kmnist"):
        files, expected[name] = four_files()
        mirrors.publish(monkeypatch, name, mirrors.expected(files))
        folder.mkdir(exist_ok=True)
        mirrors.serve(folder, files)
    for name, arrays in expected.items():
        assert_is(data.load(name, tmp_path), arrays)


def test_processes_that_download_at_once_all_get_it_whole(tmp_path):
    """Two processes, one empty cache: each loads the same, and the cache holds whole files only."""
    files, _ = cifar_tar()
    (tmp_path / "served").mkdir()
    mirrors.serve(tmp_path / "served", files)
    program = """if True:
        import sys, pathlib, pytest
        from ae_jax import data
        from tests import mirrors
        url, folder, cache = sys.argv[1:]
        files = {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("AE_JAX_DATA", raising=False)
            patch.setenv("AE_JAX_CACHE", cache)
            mirrors.publish(patch, "cifar10", mirrors.expected(files))
            mirrors.lead(patch, "cifar10", url, files)
            print(data.load("cifar10").digest)
    """
    with mirrors.serving(tmp_path / "served") as (url, _):
        line = [sys.executable, "-c", program, url, str(tmp_path / "served"), str(tmp_path / "cache")]
        running = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
        digests = [process.communicate(timeout=120)[0] for process in running]
    assert digests[0] and len(set(digests)) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache" / "cifar10").iterdir()} == files
