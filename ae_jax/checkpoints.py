"""Checkpoints of lanes: small msgpack files, written whole or not at all, each with the one before it kept.

A folder belongs to one search: ``search.json`` in it says which, and a search of another kind is refused. Lanes
are independent and deterministic, so each has its own file, and one that cannot be read costs only its own epochs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import serialization

from ae_jax.results import write, writing
from ae_jax.types import PyTree, UsageError

IDENTITY = "search.json"
DETAILS = "details"  # of those entries of an identity that are long or digests: they explain and are not compared
_SHOWN = 5  # differences in a message, at most
OWN = re.compile(r"(group\d+-lane\d+\.(msgpack|previous)|search\.json)|\.(group\d+-lane\d+\.msgpack|search\.json)\.\d+")
_DIGEST_BYTES = 32


def open_folder(folder: Path, identity: dict[str, Any], resume: bool) -> None:
    """Prepare ``folder`` for the search that ``identity`` (plain JSON values) describes.

    Raises:
        UsageError: it holds anything that is no checkpoint, or the checkpoints of another search (the differences are
            named), or those of an unfinished run of this one and ``resume`` is false; or it cannot be made.
    """
    identity = json.loads(json.dumps(identity))  # tuples become lists, as they will be when read back
    path = folder / IDENTITY
    _require_own(folder)
    if not path.exists():
        for lane in folder.glob("*"):  # without an identity they could be anybody's
            lane.unlink()
        write(path, json.dumps(identity, indent=1).encode())
        return
    if not resume:
        raise UsageError(
            f"{folder}: an unfinished run lies here; give resume=True to go on with it, "
            "or delete the folder to start anew"
        )
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError(f"a {type(found).__name__} instead of an object")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: unreadable ({error}); delete {folder} and start anew") from error
    if differences := _differences(found, identity):
        raise UsageError(
            f"{folder}: checkpoints of another search: {'; '.join(differences)}; "
            "use the same settings again, or another folder"
        )


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs between two identities, each in words: ``learning_rate was 0.001 and is now 0.01``.

    An identity without ``DETAILS`` is as good as one with them; its digests are told in their place.
    """
    before, now = (details if isinstance(details := of.get(DETAILS), dict) else {} for of in (found, wanted))
    told: list[str] = []
    for name in sorted((found.keys() | wanted.keys()) - {DETAILS}, key=lambda name: (name in now, name)):
        if (old := found.get(name)) != (new := wanted.get(name)):
            changed = _changes("", before[name], now[name]) if name in before and name in now else []
            told += changed or [f"{name} was {old!r} and is now {new!r}"]
    told = list(dict.fromkeys(told))
    return told if len(told) <= _SHOWN else [*told[:_SHOWN], f"{len(told) - _SHOWN} more"]


def _changes(name: str, before: Any, now: Any) -> list[str]:
    """What differs between two nested values, by the names on the way to it."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [f"{name} was {before} and is now {now}"]
    inside = {key: f"{name}.{key}" if name else key for key in [*before, *now]}
    return [line for key, path in inside.items() for line in _changes(path, before.get(key), now.get(key))]


def _require_own(folder: Path) -> None:
    """Raises UsageError for what is there and no folder of checkpoints: it is removed in the end."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: a file, no folder; give a folder that is new or empty")
    if foreign := [path.name for path in folder.iterdir() if not (path.is_file() and OWN.fullmatch(path.name))]:
        raise UsageError(
            f"{folder}: {foreign[0]} is no checkpoint; give a folder that is new or empty: it is removed in the end"
        )


def save(path: Path, tree: PyTree) -> None:
    """Write a pytree of NumPy arrays; what was at ``path`` becomes its predecessor.

    Raises UsageError where that cannot be; the predecessor is there all the same.
    """
    payload = serialization.to_bytes(tree)
    if path.exists():
        with writing(path):
            path.replace(_previous(path))
    write(path, hashlib.sha256(payload).digest() + payload)


def load(path: Path, like: PyTree) -> PyTree | None:
    """The newest intact checkpoint at ``path`` with the structure of ``like``; None if there is none.

    A file that is damaged, or of another structure, is deleted with a warning.
    """
    for candidate in (path, _previous(path)):
        try:
            content = candidate.read_bytes()
        except FileNotFoundError:
            continue
        if (tree := _parse(content, like)) is not None:
            return tree
        warnings.warn(f"{candidate} is damaged: going on from the checkpoint before it", stacklevel=2)
        candidate.unlink()
    return None


def remove_folder(folder: Path) -> None:
    """Delete the checkpoints of a finished search, at once: under another name first.

    A folder that cannot be moved, such as a volume that is mounted there, stays, and is empty.
    """
    folder = folder.resolve()
    doomed = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        folder.replace(doomed)
    except FileNotFoundError:  # another process of the run was first
        return
    except OSError:
        for path in sorted(folder.iterdir(), key=lambda path: path.name == IDENTITY):
            with contextlib.suppress(OSError):
                path.unlink()
        return
    shutil.rmtree(doomed, ignore_errors=True)


def _parse(content: bytes, like: PyTree) -> PyTree | None:
    """The pytree in a checkpoint; None unless it is intact and in structure, shapes and dtypes like ``like``."""
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    try:
        state = serialization.msgpack_restore(payload)
        fits = _form(state) == _form(serialization.to_state_dict(like))
        return serialization.from_state_dict(like, state) if fits else None
    except Exception:  # msgpack, Flax and NumPy: foreign content raises errors of any kind
        return None


def _form(tree: PyTree) -> tuple:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves]


def _previous(path: Path) -> Path:
    return path.with_suffix(".previous")
