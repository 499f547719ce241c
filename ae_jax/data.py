"""Datasets on the host, in NumPy: MNIST, the digits that come with scikit-learn, and how both are split.

Images stay uint8 until a batch is taken. Whatever MNIST's source (a folder of the user, the cache, a
download through tensorflow-datasets), its four IDX files are accepted by their content alone.
"""

from __future__ import annotations

import concurrent.futures
import gzip
import hashlib
import os
import sys
import tempfile
import threading
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from ae_jax.types import Dataset, UsageError

# Bytes and SHA-256 of each IDX file once decompressed, in Dataset's order. Hashing the content rather than
# the archive lets one rule serve .gz and plain files alike, whoever compressed them.
MNIST_FILES = {
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
PROBE_SECONDS = 3.0  # how long a download waits for the server's first answer
WAYS_OUT = (
    "Name a folder that holds the four IDX files (.gz or not) with --data-dir or the variable AE_JAX_DATA, "
    "or use --dataset digits, which needs no files."
)


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """The dataset called ``name``, complete.

    Args:
      name: ``"mnist"`` (60,000 train and 10,000 test images; LeCun et al., 1998) or ``"digits"`` (1,437 and
        360; scikit-learn's 8x8 digits enlarged; far easier, so never compare their losses with MNIST's).
      data_dir: folder of MNIST's IDX files, flat or in torchvision's ``MNIST/raw``; never written to. None
        means ``AE_JAX_DATA``; without either, the download cache, filled on first use.
    Returns:
      Images uint8 ``[n, 28, 28, 1]`` (ink is bright) and labels uint8 ``[n]`` in 0..9.
    Raises:
      UsageError: unknown name; files that are missing or not MNIST's; a download that fails.
    """
    loaders = {"mnist": lambda: _mnist(data_dir), "digits": _digits}
    if name not in loaders:
        raise UsageError(f"unknown dataset {name!r}; choose one of: {', '.join(loaders)}")
    return _dataset(name, *loaders[name]())


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
    from sklearn.model_selection import KFold

    splits = KFold(folds, shuffle=True, random_state=seed).split(np.arange(n))
    return [(train.astype(np.int32), validation.astype(np.int32)) for train, validation in splits]


def _dataset(name: str, *arrays: np.ndarray) -> Dataset:
    """A Dataset whose digest is the SHA-256 of the shapes and bytes of its four arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array))
    return Dataset(name, *arrays, digest.hexdigest())


def _digits() -> tuple[np.ndarray, ...]:
    """scikit-learn's 1,797 digits as MNIST frames its own: 20x20 in the middle of 28x28.

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
    return images[train], labels[train], images[test], labels[test]


def _mnist(data_dir: str | Path | None) -> tuple[np.ndarray, ...]:
    """MNIST's four arrays, from the folder the user names or else from the cache."""
    if data_dir is None:
        data_dir = os.environ.get("AE_JAX_DATA") or None
    # A folder that was asked for is used or refused: going on to a download would hide the mistake.
    folder = cache_dir() / "mnist" if data_dir is None else Path(data_dir).expanduser().absolute()
    missing = [name for name in MNIST_FILES if _find(folder, name) is None]
    if missing and data_dir is None:
        _download(missing, folder)
    elif missing:
        raise UsageError(
            f"{folder} (searched with its subfolder MNIST/raw) lacks {', '.join(missing)}, .gz or not. "
            f"{WAYS_OUT} Give neither folder nor variable to download MNIST."
        )
    return tuple(_read(_find(folder, name), name) for name in MNIST_FILES)


def cache_dir() -> Path:
    """Where downloads and compiled programs are kept: ``$AE_JAX_CACHE``, else ``ae_jax`` in the user's cache folder."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("AE_JAX_CACHE") or user_cache / "ae_jax").expanduser().absolute()


def _find(folder: Path, name: str) -> Path | None:
    """Where ``folder`` holds the IDX file ``name``, plain or gzipped; None if it does not."""
    paths = (folder / place / (name + suffix) for place in ("", "MNIST/raw") for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path, name: str) -> np.ndarray:
    """The verified file ``name`` at ``path``: images uint8 ``[n, 28, 28, 1]`` or labels uint8 ``[n]``.

    Raises UsageError unless its decompressed bytes are exactly MNIST's.
    """
    size, sha256 = MNIST_FILES[name]
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read(size + 1)  # one byte too many tells a longer file without unpacking all of it
    except (OSError, EOFError, zlib.error) as error:
        found = f"reading it fails ({error})"
    else:
        digest = hashlib.sha256(content).hexdigest()
        if digest == sha256:  # it covers the IDX header too (magic number and sizes): nothing there to parse
            if "images" in name:
                return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28, 1)
            return np.frombuffer(content, np.uint8, offset=8)
        found = f"the {len(content):,} bytes read have SHA-256 {digest}"
    raise UsageError(
        f"{path} is not MNIST's {name}: {found}; expected, once decompressed, {size:,} bytes with SHA-256 "
        f"{sha256}. Replace it by the original; in the download cache, delete it and run again. {WAYS_OUT}"
    )


def _download(names: list[str], folder: Path) -> None:
    """Fetch IDX files into ``folder``: tensorflow-datasets knows where they are and checks what arrives.

    A file enters the folder verified and by a rename, so neither a failure nor another process leaves half
    a file. Its downloader needs no TensorFlow, as preparing its own dataset would.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UsageError(
            f"downloading MNIST needs tensorflow-datasets ({error}): pip install tensorflow-datasets "
            f"importlib_resources. {WAYS_OUT}"
        ) from error

    url_infos = tfds.builder_cls("mnist").url_infos
    urls = {Path(url).stem: url for url in url_infos}
    tfds.disable_progress_bar()  # two bars a file, for 11 MB: one line says it
    print(f"downloading MNIST (11 MB) to {folder}", file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
            manager = tfds.download.DownloadManager(download_dir=scratch, url_infos=url_infos)
            for name in names:  # one after another: nothing still runs when one fails
                _probe(urls[name])
                path = Path(manager.download(urls[name]))
                _read(path, name)
                path.replace(folder / f"{name}.gz")
    except (
        OSError,  # requests' errors are OSErrors too
        tfds.download.DownloadError,
        tfds.download.download_manager.NonMatchingChecksumError,
    ) as error:
        raise UsageError(f"cannot download MNIST to {folder}: {_reason(error)}. {WAYS_OUT}") from error


def _reason(error: Exception) -> str:
    """What failed, in a few words where the library's message holds the errors of all its layers."""
    import requests

    host = urlsplit(getattr(getattr(error, "request", None), "url", None) or "").hostname or "the server"
    kinds = {
        requests.exceptions.ProxyError: f"the proxy does not lead to {host}",
        requests.exceptions.SSLError: f"no secure connection to {host}",
        requests.Timeout: f"{host} does not answer",
        requests.ConnectionError: f"no connection to {host}",
    }
    message = " ".join(str(error).split())
    return next((words for kind, words in kinds.items() if isinstance(error, kind)), message)


def _probe(url: str) -> None:
    """Raise an OSError within PROBE_SECONDS unless the server has ``url``.

    Without network, tensorflow-datasets would retry for minutes. The same library asks, hence through the
    same proxies; a thread asks, because no timeout ends a name lookup that hangs.
    """
    import requests

    answer: concurrent.futures.Future = concurrent.futures.Future()

    def ask():
        try:
            answer.set_result(requests.head(url, timeout=PROBE_SECONDS))
        except Exception as error:  # whatever it is, the caller raises it
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        response = answer.result(PROBE_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"{url} did not answer within {PROBE_SECONDS:g} s") from error
    response.raise_for_status()
