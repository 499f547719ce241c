"""A server on the loopback interface, and tensorflow-datasets' addresses led to it."""

import contextlib
import functools
import hashlib
import http.server
import threading
from pathlib import Path


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves one folder by file name, whatever the path before it: also what a proxy is asked for."""

    requests: list[str] = []

    def translate_path(self, path):
        return str(Path(self.directory) / Path(path).name)

    def log_message(self, *args):
        self.requests.append(self.requestline)


@contextlib.contextmanager
def serving(folder: Path):
    """(URL of a server of ``folder``, the request lines it saw)."""
    requests = []
    handler = type("RecordingHandler", (Handler,), {"requests": requests})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}", requests
        finally:
            httpd.shutdown()


def lead(monkeypatch, builder: str, url: str, archives: dict[str, bytes]) -> None:
    """Have tensorflow-datasets take the files of ``builder`` from ``url``, with the checksums of ``archives``."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.checksums import UrlInfo

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    infos = {
        f"{url}/{name}": UrlInfo(len(archive), hashlib.sha256(archive).hexdigest(), name)
        for name, archive in archives.items()
    }
    monkeypatch.setattr(tfds.builder_cls(builder), "url_infos", infos)


def serve(folder: Path, archives: dict[str, bytes]) -> None:
    """Put ``archives`` into ``folder``."""
    for name, archive in archives.items():
        (folder / name).write_bytes(archive)


def expected(files: dict[str, bytes]) -> dict[str, tuple[int, str]]:
    """Bytes and SHA-256 of ``files``, as ``Published`` has them."""
    return {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()}


def publish(monkeypatch, name: str, files: dict[str, tuple[int, str]]) -> None:
    """Have the data set ``name`` consist of ``files``."""
    from ae_jax import archives

    known = archives.KNOWN[name]
    monkeypatch.setitem(archives.KNOWN, name, known._replace(files=known.files._replace(files=files)))
