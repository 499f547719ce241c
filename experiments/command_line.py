"""The command line of a study, and what it makes of the process: devices, kept programs, precision, exit codes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import joblib
import tyro

from ae_jax import downloads
from ae_jax.types import UsageError, reason
from experiments import common
from experiments.common import Options

LARGEST_COUNT = 100_000
# In JAX's words, of which "bfloat16" alone would mean the device's default.
PRECISIONS = {"default": None, "float32": "highest", "tf32": "TF32_TF32_F32", "bfloat16": "BF16_BF16_F32"}
# How the library's messages name its arguments, and what they are called here.
OPTIONS = {"resume=True": "--resume", "data_dir=FOLDER": "--data-dir FOLDER", "or another folder": "or another --out"}
LARGEST_SEED = 2**31 - 1 - 10**6  # leaves room to count on from it

O = TypeVar("O", bound=Options)


def main(options_type: type[O], study: Callable[[O], Any]) -> None:
    """Parse the command line, run ``study``; bad input ends in one line on stderr and exit code 2.

    On a CPU every core is a device, unless ``JAX_NUM_CPU_DEVICES`` says otherwise: lanes then train side by side.
    Compiled programs that took a while are kept in the user's cache folder, or where ``JAX_COMPILATION_CACHE_DIR``
    says; an empty value keeps none.
    """
    options = parse(options_type)
    use_all_cores()
    if options.out is None:
        options = dataclasses.replace(options, out=Path("results") / f"{options.dataset}-{options.budget}")
    programs = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(downloads.cache_dir() / "programs"))
    jax.config.update("jax_compilation_cache_dir", programs or None)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    try:
        _check(options)
        _join(options)
        _set_precision(options.precision)
        study(options)
    except UsageError as error:
        fail(_in_options(str(error)))
    except KeyboardInterrupt:
        print("interrupted; go on from the last checkpoint with --resume", file=sys.stderr)
        sys.exit(130)


def use_all_cores() -> None:
    """Make every core a CPU device, unless the environment gives a number or JAX is in use already."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ and "device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", joblib.cpu_count(only_physical_cores=True))


def parse(options_type: type[O]) -> O:
    """tyro's parser, with its error box folded to one line."""
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            return tyro.cli(options_type)
    except SystemExit as end:
        if end.code:
            words = message.getvalue().translate(dict.fromkeys(map(ord, "│╭╮╰╯─"), " ")).split()
            fail(" ".join(words))
        raise


def _in_options(message: str) -> str:
    """A message of the library in words of this command line."""
    for argument, option in OPTIONS.items():
        message = message.replace(argument, option)
    return message


def fail(message: str) -> None:
    """End with one line on stderr and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _join(options: Options) -> None:
    """Join a distributed run, if this is one."""
    how = options.coordinator, options.num_processes, options.process_id
    if options.distributed or any(value is not None for value in how):
        try:
            jax.distributed.initialize(*how)
        except (ValueError, RuntimeError) as error:
            raise UsageError(
                f"cannot join a distributed run ({reason(error)}): start it by SLURM or Open MPI, or give all of "
                "--coordinator HOST:PORT --num-processes N --process-id I"
            ) from error


def _set_precision(precision: str) -> None:
    """Raises UsageError for what a CPU cannot do."""
    if precision in ("tf32", "bfloat16") and jax.default_backend() == "cpu":
        raise UsageError(f"--precision {precision} is not allowed on a CPU, which multiplies in float32: leave it out")
    jax.config.update("jax_default_matmul_precision", PRECISIONS[precision])


def _check(options: Options) -> None:
    counts = (
        "seeds", "trials", "top", "epochs", "batch_size", "limit", "segment", "lanes_per_call", "num_processes",
        "samples", "test_images", "tsne_sample",
    )  # fmt: skip
    for name, value in common.given(options, *counts).items():
        require_count(f"--{name.replace('_', '-')}", value)
    if not 0 <= options.seed <= LARGEST_SEED:
        raise UsageError(f"--seed {options.seed} is not allowed: give a whole number from 0 to {LARGEST_SEED}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as error:
        raise UsageError(
            f"--out {options.out}: cannot write there ({error.strerror}); name a folder that can be written to"
        ) from error


def require_count(name: str, value: float) -> None:
    """Raises UsageError, which calls it ``name``, unless ``value`` is in the range of a count."""
    if not 1 <= value <= LARGEST_COUNT:
        raise UsageError(f"{name} {value} is not allowed: give a whole number from 1 to {LARGEST_COUNT}")
