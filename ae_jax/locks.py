"""A place for one run at a time: a lock of the operating system, which ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ae_jax import results, sharing
from ae_jax.types import UsageError, reason


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold ``path``, which need not be there, by a lock on the file ``.{name}.lock`` beside it, removed in the end.

    Of a distributed run process 0 holds it for all. A lock file that a killed run has left blocks nobody. Between hosts
    a lock holds as far as those of the file system do: over NFS unless mounted ``nolock`` or ``local_lock``, on Lustre
    if mounted ``flock``. Where there are none, a warning says so.

    Raises:
        UsageError: another run holds it, which is named; or no file can be made there.
    """
    with contextlib.ExitStack() as stack:
        sharing.in_first_process(lambda: stack.enter_context(_held(path.absolute())))
        yield


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    beside = path.with_name(f".{path.name}.lock")
    with results.writing(beside):
        file = _locked(beside, path)
    try:
        with results.writing(beside):
            _sign(file)
        yield
    finally:
        beside.unlink(missing_ok=True)
        file.close()


def _sign(file: TextIO) -> None:
    """Who holds it, for whom it refuses."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    os.ftruncate(file.fileno(), 0)
    os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode())


def _locked(beside: Path, path: Path) -> TextIO:
    """The lock file, open and locked, and still the one that lies there: its last holder may just have removed it."""
    while True:
        file = beside.open("a+")
        _lock(file, path)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), beside.stat()):
                return file
        file.close()


def _lock(file: TextIO, path: Path) -> None:
    try:
        import fcntl  # POSIX alone has it

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise UsageError(
            f"{path}: another run is at work on it, {holder}; wait for its end, or end it, or take another folder"
        ) from None
    except (ImportError, OSError) as error:
        warnings.warn(f"{file.name}: no locks here ({reason(error)}): let no other run write there", stacklevel=2)
