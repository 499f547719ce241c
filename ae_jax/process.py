"""What is made of a process: devices, kept programs, and, for a command line, an end in one line.

Nothing heavy is imported before it is used, so that bad input is told at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from ae_jax.types import UsageError, as_path

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


def fail(message: str) -> NoReturn:
    """End with one line on stderr and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
