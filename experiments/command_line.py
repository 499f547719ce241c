"""The command line of a study, and what it makes of the process: devices, kept programs, precision, exit codes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import tyro

from ae_jax import process
from ae_jax.process import LARGEST_COUNT, LARGEST_SEED
from ae_jax.types import UsageError, reason
from experiments import common
from experiments.common import Options

# In JAX's words, of which "bfloat16" alone would mean the device's default.
PRECISIONS = {"default": None, "float32": "highest", "tf32": "TF32_TF32_F32", "bfloat16": "BF16_BF16_F32"}
# How the library's messages name its arguments, and what they are called here.
OPTIONS = {"resume=True": "--resume", "data_dir=FOLDER": "--data-dir FOLDER", "another folder": "another --out"}

O = TypeVar("O", bound=Options)


def main(options_type: type[O], study: Callable[[O], Any]) -> None:
    """Parse the command line, run ``study``; it ends as :func:`process.in_one_line` says.

    On a CPU every core is a device, unless ``JAX_NUM_CPU_DEVICES`` says otherwise: lanes then train side by side.
    Compiled programs that took a while are kept in the user's cache folder, or where ``JAX_COMPILATION_CACHE_DIR``
    says; an empty value keeps none.
    """
    options = parse(options_type)
    process.use_all_cores()
    process.keep_programs()
    if options.out is None:
        options = dataclasses.replace(options, out=Path("results") / f"{options.dataset}-{options.budget}")
    with process.in_one_line(OPTIONS, "interrupted; go on from the last checkpoint with --resume"):
        _check(options)
        _join(options)
        _set_precision(options.precision)
        study(options)


def look(options_type: type[O], show: Callable[[O], Any]) -> None:
    """The command line of what only reads results: it trains nothing and needs no devices."""
    options = parse(options_type)
    with process.in_one_line(OPTIONS, "interrupted"):
        show(options)


def parse(options_type: type[O]) -> O:
    """tyro's parser, with its error box folded to one line."""
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            return tyro.cli(options_type)
    except SystemExit as end:
        if end.code:
            words = message.getvalue().translate(dict.fromkeys(map(ord, "│╭╮╰╯─"), " ")).split()
            process.fail(" ".join(words))
        raise


def _join(options: Options) -> None:
    """Join a distributed run, if this is one."""
    how = options.coordinator, options.num_processes, options.process_id
    if options.distributed or any(value is not None for value in how):
        jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, which is ours
        try:
            # At their end the others wait for process 0, which tests, writes and draws: longer than JAX's five minutes.
            jax.distributed.initialize(*how, shutdown_timeout_seconds=24 * 3600)
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
    process.require_writable(options.out)


def require_count(name: str, value: float, least: int = 1) -> None:
    """Raises UsageError, which calls it ``name``, unless ``value`` is in the range of a count, ``least`` or more."""
    if not least <= value <= LARGEST_COUNT:
        raise UsageError(f"{name} {value} is not allowed: give a whole number from {least} to {LARGEST_COUNT}")
