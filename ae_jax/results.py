"""Results on disk: one npz for each study, its provenance inside, written whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ae_jax
from ae_jax.types import Dataset, UsageError, reason

SCHEMA = 1
_DIGEST = "sha256"  # of everything else, in the meta
_META = {"study": str, "config": dict}  # what readers of any study's meta rely on


def provenance(study: str, dataset: Dataset, config: dict[str, Any]) -> dict[str, Any]:
    """Where a result comes from: everything a reader needs to run it again. Studies add their timings."""
    return {
        "schema": SCHEMA,
        "study": study,
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.digest,
            "train": len(dataset.train_images),
            "test": len(dataset.test_images),
        },
        "config": config,
    } | origin()


def origin() -> dict[str, Any]:
    """What writes a file now: versions, device, commit, and the time (UTC)."""
    return {
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
        | {"ae-jax": ae_jax.__version__, "python": platform.python_version()},
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind} ({jax.default_backend()})",
        "git_commit": git_commit(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def save(path: Path, arrays: dict[str, Any], meta: dict[str, Any]) -> Path:
    """Write ``arrays`` and the JSON string ``meta``, which a digest of all joins, to ``path``, whole or not at all."""
    arrays = {name: np.asarray(values) for name, values in arrays.items()}
    for name, values in arrays.items():
        if values.dtype == object:
            raise TypeError(f"array {name!r} holds Python objects: an npz must open without pickle")
    file = io.BytesIO()
    meta = json.loads(json.dumps(meta))
    np.savez_compressed(file, meta=json.dumps(meta | {_DIGEST: digest(meta, arrays)}), **arrays)
    return write(path, file.getvalue())


def digest(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of all that a file holds, ``meta`` in plain JSON values; in whatever order it lies there."""
    found = hashlib.sha256(json.dumps(sorted(meta.items())).encode())
    for name, values in sorted(arrays.items()):
        found.update(json.dumps([name, values.dtype.name, values.shape]).encode() + values.tobytes())
    return found.hexdigest()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """The folder of ``path`` is made. Raises UsageError where it, or what is written inside, cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}); give another place") from error


def write(path: Path, content: bytes) -> Path:
    """``content`` to ``path`` or nothing. Raises UsageError as :func:`writing` does."""
    with writing(path):
        write_atomically(path, content)
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """``content`` under ``path`` or nothing: a temporary name, synced to disk, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes have left of ``path`` under temporary names. Nobody else must be writing it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


def load(path: Path, study: str | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """``(arrays, meta)`` of an npz written by :func:`save`.

    Raises:
        UsageError: no such file, not an npz of this project, damaged, or of another ``study``. Files of a time without
            digests are read too: each array has a checksum of its own, but none says which of them is which.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; run the study that writes it first")
    try:
        with np.load(path, allow_pickle=False) as npz:
            arrays = {name: npz[name] for name in npz.files}
        if foreign := [name for name, values in arrays.items() if not isinstance(values, np.ndarray)]:
            raise ValueError(f"{', '.join(foreign)} is not an array")
        arrays, meta = verified(arrays)
        if not all(isinstance(meta.get(key), kind) for key, kind in _META.items()):
            raise ValueError(f"its meta lacks {' or '.join(_META)}")
    except Exception as error:  # zipfile, zlib, struct, tokenize and NumPy: damage raises errors of any kind
        raise UsageError(
            f"{path}: not a complete results file of this project ({reason(error)}); run its study again"
        ) from error
    if study is not None and meta["study"] != study:
        raise UsageError(f"{path}: results of the study {meta['study']!r}, expected those of {study!r}")
    return arrays, meta


def verified(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Those of a file of :func:`save` without its meta, and that. Raises errors of any kind for damage."""
    meta = json.loads(str(arrays["meta"]))
    arrays = {name: values for name, values in arrays.items() if name != "meta"}
    if (told := meta.pop(_DIGEST, None)) is not None and told != digest(meta, arrays):
        raise ValueError("damaged: its digest is another")
    return arrays, meta


@functools.cache
def git_commit() -> str:
    """The commit of the checkout this package runs from, with a ``+`` for uncommitted changes; else ``unknown``.

    It is asked for once a process. That of a repository in which the package is installed would be the user's own.
    """
    checkout = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()

    if not (checkout / ".git").exists():
        return "unknown"
    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
