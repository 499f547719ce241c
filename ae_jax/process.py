"""What is made of a process: devices, kept programs, and, for a command line, an end in one line, by a signal too.

Nothing heavy is imported before it is used, so that bad input is told at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from ae_jax.types import Interrupted, UsageError, as_path

LARGEST_COUNT = 100_000
LARGEST_SEED = 2**31 - 1 - 10**6  # leaves room to count on from it


def use_all_cores() -> None:
    """Make every core a CPU device, unless the environment gives a number or JAX is in use already."""
    import jax
    import joblib

    if "JAX_NUM_CPU_DEVICES" not in os.environ and "device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", joblib.cpu_count(only_physical_cores=True))


def keep_programs(folder: str | Path | None = None) -> None:
    """Keep compiled programs that took a while, for the next process: by default in the user's cache folder.

    It is a setting of JAX for this whole process; the command line and the studies make it, the library never does by
    itself. Without a ``folder``, ``JAX_COMPILATION_CACHE_DIR`` moves them; an empty value keeps none.

    >>> import ae_jax, tempfile
    >>> ae_jax.keep_programs(tempfile.mkdtemp())
    """
    import jax

    from ae_jax import downloads

    usual = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(downloads.cache_dir() / "programs"))
    programs = usual if folder is None else str(as_path(folder))
    jax.config.update("jax_compilation_cache_dir", programs or None)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def require_writable(folder: Path) -> None:
    """Make ``folder``, of the option ``--out``. Raises UsageError unless files can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"--out {folder}: cannot write there ({error.strerror}); name a folder that can be written to"
        ) from error


def in_options(message: str, options: Mapping[str, str]) -> str:
    """A message of the library in one line, its arguments called as the ``options`` of a command line."""
    for argument, option in options.items():
        message = message.replace(argument, option)
    return " ".join(message.split())


@contextlib.contextmanager
def in_one_line(options: Mapping[str, str], interrupted: str) -> Iterator[None]:
    """How a command line ends: bad input in a line on stderr and exit code 2, its arguments called as ``options``.

    Ctrl-C and SIGTERM end in the line ``interrupted`` and, as shells have it, 128 and the signal's number: 130, 143.
    Output that cannot be written, or another process that is gone, is told in a line, and exit code 1; output that
    nobody reads, as behind ``head``, is no error of ours: the same without a word.
    """
    with _terminable():
        try:
            yield
            sys.stdout.flush()
        except UsageError as error:
            fail(in_options(str(error), options))
        except KeyboardInterrupt as error:
            print(interrupted, file=sys.stderr)
            sys.exit(128 + getattr(error, "signum", signal.SIGINT))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                fail(f"{error.filename}: a name that long is not allowed here; give a shorter one")
            with contextlib.suppress(OSError):  # Python would complain when it flushes at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):
                print(f"error: {in_options(str(error), options)}", file=sys.stderr)
            sys.exit(1)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does, so that whatever is open is closed."""
    if threading.current_thread() is not threading.main_thread():  # the only one that can take signals
        yield
        return
    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def terminate(signum: int, frame: object) -> NoReturn:
    """The handler of SIGTERM in a command line."""
    raise Interrupted("terminated", signum)


def fail(message: str) -> NoReturn:
    """End with one line on stderr and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
