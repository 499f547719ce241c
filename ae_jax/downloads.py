"""Files that others publish: from the user's folder, the cache, or the network, and accepted by their content alone.

tensorflow-datasets knows where they are and checks what arrives; it needs no TensorFlow for that, as preparing its own
dataset would.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import hashlib
import os
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from ae_jax.types import UsageError

CHUNK = 2**20  # bytes read at a time
PROBE_SECONDS = 3.0  # how long a download waits for the server's first answer


class Published(NamedTuple):
    """Files that make up a data set.

    name: the data set's, also of its folder in the cache.
    title: its name in messages.
    builder: its name in tensorflow-datasets.
    raw: torchvision's subfolder for them.
    files: bytes and SHA-256 by file name. Of a name without ``.gz`` they are those of the content once decompressed, so
        that one rule serves .gz and plain files alike, whoever compressed them; else of the file as it is published.
    """

    name: str
    title: str
    builder: str
    raw: str
    files: dict[str, tuple[int, str]]

    @property
    def places(self) -> tuple[str, ...]:
        """Where in a folder the files are looked for."""
        return (self.name, self.raw, "")

    @property
    def ways_out(self) -> str:
        """What to do where they cannot be had."""
        return (
            f"Name a folder that holds {', '.join(self.files)} with data_dir=FOLDER or the variable AE_JAX_DATA, "
            "or use the data set digits or photos, which need no files."
        )


def cache_dir() -> Path:
    """Where downloads and compiled programs are kept: ``$AE_JAX_CACHE``, else ``ae_jax`` in the user's cache folder."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("AE_JAX_CACHE") or user_cache / "ae_jax").expanduser().absolute()


@contextlib.contextmanager
def verified(of: Published, data_dir: str | Path | None = None) -> Iterator[list[IO[bytes]]]:
    """The files of ``of``, open and in its order: from the folder the user names, or else from the cache.

    They are read once to be verified, a little at a time: an archive may be larger than what is wanted of it.

    Args:
      of: what is looked for.
      data_dir: a folder, never written to. None means ``AE_JAX_DATA``; without either, the cache, filled on first use.
    Raises:
      UsageError: files that are missing or others than published; a download that fails.
    """
    if data_dir is None:
        data_dir = os.environ.get("AE_JAX_DATA") or None
    # A folder that was asked for is used or refused: going on to a download would hide the mistake.
    folder = cache_dir() / of.name if data_dir is None else Path(data_dir).expanduser().absolute()
    missing = [name for name in of.files if _find(of, folder, name) is None]
    if missing and data_dir is None:
        _download(of, missing, folder)
    elif missing:
        raise UsageError(
            f"{folder} (searched with its subfolders {of.name} and {of.raw}) lacks {', '.join(missing)}. "
            f"{of.ways_out} Give neither folder nor variable to download {of.title}."
        )
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_open(of, _find(of, folder, name) or folder / name, name)) for name in of.files]


def _find(of: Published, folder: Path, name: str) -> Path | None:
    """Where ``folder`` holds the file ``name``, or ``name.gz``; None if it does not."""
    paths = (folder / place / (name + suffix) for place in of.places for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


@contextlib.contextmanager
def _open(of: Published, path: Path, name: str) -> Iterator[IO[bytes]]:
    """The file ``name`` of ``of`` at ``path``, at its start. Raises UsageError unless it is what was published."""
    size, sha256 = of.files[name]
    published = Path(name).suffix in (".gz", ".zip")
    with contextlib.ExitStack() as stack:
        try:
            opener: Callable[..., Any] = open if published or path.suffix != ".gz" else gzip.open
            file: IO[bytes] = stack.enter_context(opener(path, "rb"))
            count, digest = _measure(file, size + 1)  # one byte too many tells a longer file before it is all unpacked
            found = f"the {count:,} bytes read have SHA-256 {digest}"
        except (OSError, EOFError, zlib.error) as error:
            digest, found = None, f"reading it fails ({error})"
        if digest == sha256:
            file.seek(0)
            yield file
            return
    raise UsageError(
        f"{path} is not {of.title}'s {name}: {found}; expected{'' if published else ', once decompressed,'} "
        f"{size:,} bytes with SHA-256 {sha256}. Replace it by the original; in the download cache, delete it and run "
        f"again. {of.ways_out}"
    )


def _measure(file: IO[bytes], most: int) -> tuple[int, str]:
    """How many bytes ``file`` holds, and their SHA-256; of ``most`` at most."""
    total, count = hashlib.sha256(), 0
    while chunk := file.read(min(CHUNK, most - count)):
        total.update(chunk)
        count += len(chunk)
    return count, total.hexdigest()


def _download(of: Published, names: list[str], folder: Path) -> None:
    """Fetch the files ``names`` of ``of`` into ``folder``.

    A file enters the folder verified and by a rename, so neither a failure nor another process leaves half a file.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UsageError(
            f"downloading {of.title} needs tensorflow-datasets ({error}): pip install tensorflow-datasets "
            f"importlib_resources. {of.ways_out}"
        ) from error

    url_infos = tfds.builder_cls(of.builder).url_infos
    urls = {name: url for url in url_infos for name in names if Path(url).name in (name, f"{name}.gz")}
    tfds.disable_progress_bar()  # two bars a file: one line says it
    megabytes = sum(url_infos[url].size for url in urls.values()) / 1e6
    print(f"downloading {of.title} ({megabytes:,.1f} MB) to {folder}", file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
            manager = tfds.download.DownloadManager(download_dir=scratch, url_infos=url_infos)
            for name, url in urls.items():  # one after another: nothing still runs when one fails
                _probe(url)
                path = Path(manager.download(url))
                with _open(of, path, name):  # verified
                    path.replace(folder / Path(url).name)
    except (
        OSError,  # requests' errors are OSErrors too
        tfds.download.DownloadError,
        tfds.download.download_manager.NonMatchingChecksumError,
    ) as error:
        raise UsageError(f"cannot download {of.title} to {folder}: {_reason(error)}. {of.ways_out}") from error


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
