"""Whole runs on a disk that fills up, at many sizes, and then resumed: ``python -m tests.faults``, or ``make faults``.

A study and a model of ``ae-jax`` are each run again and again, each time with a little more room for a file, from
nothing at all to enough. Every run must end with exit code 0 or in one line with 1 or 2, and leave nothing half-written
under a final name; the last has the numbers of a run that nothing disturbed. Then: output that nobody reads, or that
cannot be written.
"""

import csv
import hashlib
import importlib
import os
import resource
import runpy
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ae_jax import files, results

ROOMS = (0, 40, 200, 1000, 4000, 16_000, 40_000, 100_000, 250_000, 600_000, 2_000_000, 4_000_000, 10_000_000)  # bytes
STUDY = "experiments.random_search"
SEARCH = (
    "--study A1 --dataset digits --limit 100 --batch-size 16 --trials 2 --epochs 4 --segment 1 --export csv --resume"
)
FIT = "--network dense --widths 4 --latent 2 --epochs 8 --batch-size 8 --resume --force"
LIMIT = 1800  # seconds of a run, on a machine that is busy
PARTS = "undisturbed", "filled up"  # folders


class Ended(NamedTuple):
    """How a run ended: its exit code, or minus a signal's number, and what it said on stderr."""

    code: int
    stderr: str

    def verdict(self) -> str:
        """Its exit code if it is a clean end, or else ``escaped``."""
        errors = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        clean = "Traceback" not in self.stderr and len(errors) == (self.code == 2) or (self.code, len(errors)) == (1, 1)
        return f"exit code {self.code}" if self.code in (0, 1, 2) and clean else "escaped"


def forked(module: str, arguments: list[str], room: int | None = None, stdout: str = os.devnull) -> Ended:
    """A command line in a fork of this process, which has imported what it needs and computed nothing."""
    reader, writer = os.pipe()  # no file, so that there is room to say what is wrong
    if not (child := os.fork()):
        os.dup2(writer, 2)
        os.dup2(os.open(stdout, os.O_WRONLY), 1)
        signal.alarm(LIMIT)
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.exit(0)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as stream:
        said = stream.read()
    return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said)


def _checkpoint(path: Path) -> None:
    content = path.read_bytes()
    assert hashlib.sha256(content[32:]).digest() == content[:32]


def _ends_in(end: bytes) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        assert path.read_bytes().rstrip().endswith(end)

    return check


def _picture(path: Path) -> None:
    Image.open(path).load()


def _table(path: Path) -> None:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert len(rows) == 2 and all(len(row) == len(header) for row in rows)


WHOLE = {
    ".npz": results.load, ".safetensors": files.load, ".msgpack": _checkpoint, ".previous": _checkpoint,
    ".png": _picture, ".pdf": _ends_in(b"%%EOF"), ".html": _ends_in(b"</html>"), ".csv": _table,
    ".json": _ends_in(b"}"), ".js": _ends_in(b"}));"),
}  # fmt: skip


def half_written(folder: Path) -> list[str]:
    """What stands under a final name and is not whole."""
    broken = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            try:
                WHOLE[path.suffix](path)
            except Exception as error:
                broken.append(f"{path.name}: {error!r}")
    return broken


def fill_up(module: str, arguments: list[str], folder: Path) -> tuple[Counter, list[str]]:
    """Runs with more and more room, each resuming the one before; how they ended, and what was wrong."""
    ends, wrong = Counter(), []
    for room in ROOMS:
        ended = forked(module, arguments, room)
        ends[ended.verdict()] += 1
        print(f"{room:12,} bytes: {ended.verdict()}, {(ended.stderr.splitlines() or [''])[-1][:100]}", flush=True)
        wrong += [ended.stderr] if ended.verdict() == "escaped" else []
        wrong += half_written(folder)
    left = [path.name for path in folder.rglob(".*")]
    return ends, [*wrong, *([f"left over: {left}"] if left else [])]


def compared(folder: Path) -> list[str]:
    """What the runs on a disk that filled up have found otherwise than those that nothing disturbed."""
    arrays = [results.load(folder / part / "study" / "random_search_A1.npz")[0] for part in PARTS]
    models = [files.load(folder / part / "model" / "m.safetensors") for part in PARTS]
    digests = [results.digest({}, of) for of in arrays], [run.curves.train_loss.tobytes() for run in models]
    return [
        f"{name} is another" for name, (one, other) in zip(("study", "model"), digests, strict=True) if one != other
    ]


def main() -> None:
    """A line for each run; exit code 1 if anything was wrong."""
    importlib.import_module(STUDY)
    importlib.import_module("ae_jax.embedded").digits()
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "images.npz", images=np.random.default_rng(0).integers(0, 256, (60, 6, 5), np.uint8))
        for module, words, out in (
            (STUDY, SEARCH.split(), "study"),
            ("ae_jax", ["fit", str(folder / "images.npz"), *FIT.split()], "model/m.safetensors"),
        ):
            lines = [[*words, "--out", str(folder / part / out)] for part in PARTS]
            assert forked(module, lines[0]).code == 0
            print(f"{module} on a disk that fills up")
            ends, found = fill_up(module, lines[1], folder / PARTS[1])
            print(dict(ends))
            wrong += found
        wrong += compared(folder)
        for module, line in (
            ("experiments.summary", [str(folder / PARTS[0] / "study")]),
            ("ae_jax", ["info", str(folder / PARTS[0] / "model" / "m.safetensors")]),
        ):
            ended = forked(module, line, stdout="/dev/full")
            print(f"{module}, its output to a full disk: {ended.verdict()}, {ended.stderr.strip()}")
            wrong += [ended.stderr] if ended.verdict() != "exit code 1" else []
    print(*wrong, f"{len(wrong)} faults", sep="\n")
    sys.exit(len(wrong) > 0)


if __name__ == "__main__":
    main()
