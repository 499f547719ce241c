"""Without a network: a few words about what failed, and what to do."""

import socket

import pytest
import requests

from ae_jax import archives, data, downloads
from ae_jax.types import UsageError


def lookup_fails(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")


@pytest.mark.parametrize("name", archives.KNOWN)
def test_no_network_is_told_in_a_few_words(monkeypatch, tmp_path, name):
    for variable in ("AE_JAX_DATA", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AE_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", lookup_fails)
    with pytest.raises(UsageError) as error:
        data.load(name)
    before, after = str(error.value).split(archives.KNOWN[name].files.ways_out)
    start = f"cannot download {data.TITLES[name]} to {tmp_path / name}"
    assert before.startswith(f"{start}: no connection to ") and not after
    assert len(before.removeprefix(start)) < 80
    assert isinstance(error.value.__cause__, requests.ConnectionError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.exceptions.ProxyError("x" * 500), "the proxy does not lead to host.invalid"),
        (requests.exceptions.SSLError("x" * 500), "no secure connection to host.invalid"),
        (requests.exceptions.ConnectTimeout("x" * 500), "host.invalid does not answer"),
        (requests.exceptions.ReadTimeout("x" * 500), "host.invalid does not answer"),
        (requests.exceptions.ConnectionError("x" * 500), "no connection to host.invalid"),
        (OSError("disk\nfull"), "disk full"),
    ],
)
def test_what_failed_in_a_few_words(error, words):
    error.request = requests.Request("HEAD", "https://host.invalid/a/file.gz")
    assert downloads._reason(error) == words
