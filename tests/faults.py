"""Whole runs on a disk that fills up, at many sizes, and then resumed: ``python -m tests.faults``, or ``make faults``.

A study and a model of ``ae-jax`` are each run again and again, each time with a little more room for a file, from
nothing at all to enough. Every run must end with exit code 0 or in one line with 1 or 2, and leave nothing half-written
under a final name; the last has the numbers of a run that nothing disturbed. Then: output that nobody reads, or that
cannot be written.
"""

import csv
import hashlib
import importlib
import multiprocessing
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
from PIL import Image

from ae_jax import files, results
from tests.forks import Ended, forked

ROOMS = (0, 40, 200, 1000, 4000, 16_000, 40_000, 100_000, 250_000, 600_000, 2_000_000, 4_000_000, 10_000_000)  # bytes
STUDY = "experiments.random_search"
SEARCH = (
    "--study A1 --dataset digits --limit 100 --batch-size 16 --trials 2 --epochs 4 --segment 1 --export csv --resume"
)
FIT = "--network dense --widths 4 --latent 2 --epochs 8 --batch-size 8 --resume --force"
PARTS = "undisturbed", "filled up"  # folders


def verdict(ended: Ended) -> str:
    """The exit code of a clean end, or else ``escaped``."""
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    clean = "Traceback" not in ended.stderr and len(errors) == (ended.code == 2) or (ended.code, len(errors)) == (1, 1)
    return f"exit code {ended.code}" if ended.code in (0, 1, 2) and clean else "escaped"


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


def fill_up(module: str, arguments: list[str], folder: Path, apart: Pool) -> tuple[Counter, list[str]]:
    """Runs with more and more room, each resuming the one before; how they ended, and what was wrong.

    What they leave is read ``apart``, by a process that is never forked: reading a model computes.
    """
    ends, wrong = Counter(), []
    for room in ROOMS:
        ended = forked(module, arguments, lambda room=room: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
        ends[verdict(ended)] += 1
        print(f"{room:12,} bytes: {verdict(ended)}, {(ended.stderr.splitlines() or [''])[-1][:100]}", flush=True)
        wrong += [ended.stderr] if verdict(ended) == "escaped" else []
        wrong += apart.apply(half_written, (folder,))
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
    with multiprocessing.get_context("fork").Pool(1) as apart, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "images.npz", images=np.random.default_rng(0).integers(0, 256, (60, 6, 5), np.uint8))
        for module, words, out in (
            (STUDY, SEARCH.split(), "study"),
            ("ae_jax", ["fit", str(folder / "images.npz"), *FIT.split()], "model/m.safetensors"),
        ):
            lines = [[*words, "--out", str(folder / part / out)] for part in PARTS]
            assert forked(module, lines[0]).code == 0
            print(f"{module} on a disk that fills up")
            ends, found = fill_up(module, lines[1], folder / PARTS[1], apart)
            print(dict(ends))
            wrong += found
        wrong += apart.apply(compared, (folder,))
        for module, line in (
            ("experiments.summary", [str(folder / PARTS[0] / "study")]),
            ("ae_jax", ["info", str(folder / PARTS[0] / "model" / "m.safetensors")]),
        ):
            ended = forked(module, line, stdout="/dev/full")
            print(f"{module}, its output to a full disk: {verdict(ended)}, {ended.stderr.strip()}")
            wrong += [ended.stderr] if verdict(ended) != "exit code 1" else []
    print(*wrong, f"{len(wrong)} faults", sep="\n")
    sys.exit(len(wrong) > 0)


if __name__ == "__main__":
    main()
