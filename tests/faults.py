"""Whole runs on a disk that fills up, at many sizes, and then resumed: ``python -m tests.faults``, or ``make faults``.

A study and a model of ``ae-jax`` are each run again and again, each time with a little more room, from nothing at all
to enough: for a file, and, where this user may mount one, on a tmpfs. Every run must end with exit code 0 or in one
line with 1 or 2, and leave nothing half-written under a final name; the last has the numbers of a run that nothing
disturbed. Then: output that nobody reads, or that cannot be written; and a search by two processes, of which one and
then the other is killed: the one that is left must end by itself, and both resumed have the numbers of a process alone.
"""

import csv
import hashlib
import importlib
import multiprocessing
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.pool import Pool, ThreadPool
from pathlib import Path

import numpy as np
from PIL import Image

from ae_jax import files, results
from tests import aimed
from tests.forks import Ended, forked

ROOMS = (0, 40, 200, 1000, 4000, 16_000, 40_000, 100_000, 250_000, 600_000, 2_000_000, 4_000_000, 10_000_000)  # bytes
DISKS = (16, 64, 200, 600, 1200, 2000, 4000, 8000, 16_000, 64_000)  # KiB
STUDY, RESULTS, MODEL = "experiments.random_search", "random_search_A1.npz", "m.safetensors"
SEARCH = (
    "--study A1 --dataset digits --limit 100 --batch-size 16 --trials 2 --epochs 4 --segment 1 --export csv --resume"
)
FIT = "--network dense --widths 4 --latent 2 --epochs 8 --batch-size 8 --resume --force"
ALONE = "undisturbed"  # the folder of runs that nothing disturbs
TWO = f"{SEARCH} --trials 4 --epochs 10 --halving 2 2"


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


Room = tuple[str, Callable[[], None]]  # in words, and what makes it, in the process that shall have no more


def for_a_file(folder: Path) -> Iterator[Room]:
    """No file may be longer than so many bytes."""
    folder.mkdir()
    for room in ROOMS:
        yield f"{room:,} bytes", lambda room=room: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def on_a_disk(folder: Path) -> Iterator[Room]:
    """A tmpfs of so many KiB in all; nothing where none may be mounted."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], stderr=subprocess.DEVNULL).returncode:
        print("LEFT OUT: this user may mount no tmpfs")
        return
    try:
        for size in DISKS:
            subprocess.run(["mount", "-o", f"remount,size={size}k", folder], check=True)
            yield f"{size:,} KiB", lambda: None
    finally:
        subprocess.run(["umount", folder], check=True)


def fill_up(
    module: str, line: list[str], folder: Path, rooms: Iterator[Room], apart: Pool
) -> tuple[Counter, list[str]]:
    """Runs with more and more room, each resuming the one before; how they ended, and what was wrong.

    What they leave is read ``apart``, by a process that is never forked: reading a model computes.
    """
    ends, wrong = Counter(), []
    for words, limit in rooms:
        ended = forked(module, line, limit)
        ends[verdict(ended)] += 1
        print(f"{words:>16}: {verdict(ended)}, {(ended.stderr.splitlines() or [''])[-1][:100]}", flush=True)
        wrong += [ended.stderr] if verdict(ended) == "escaped" else []
        wrong += apart.apply(half_written, (folder,))
    wrong += [f"left over: {path.name}" for path in folder.rglob(".*")]
    if ends:
        wrong += apart.apply(compared, (folder.parent, folder.name))
    return ends, wrong


def compared(folder: Path, part: str) -> list[str]:
    """What the runs of one part have found otherwise than those that nothing disturbed."""
    wrong = []
    for path in (folder / part).rglob("*"):
        alone = folder / ALONE / path.relative_to(folder / part)
        if path.suffix == ".npz":
            one, other = (results.digest({}, results.load(of)[0]) for of in (path, alone))
        elif path.name == MODEL:
            one, other = (files.load(of).curves.train_loss.tobytes() for of in (path, alone))
        else:
            continue
        wrong += [f"{path} is another"] if one != other else []
    return wrong


def kill_one_of_two(folder: Path) -> list[str]:
    """Process 1 is killed, then process 0, then both go on; what was wrong."""
    out = folder / "two"
    forked(STUDY, [*TWO.split(), "--out", str(folder / "one")])

    def together(killed: int | None) -> list[Ended]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            joined = f"--coordinator 127.0.0.1:{free.getsockname()[1]} --num-processes 2 --process-id".split()
        aims = [aimed.aimed(signal.SIGKILL, *aimed.CHECKPOINT, 3 if index == killed else 0) for index in (0, 1)]
        lines = [[*TWO.split(), "--out", str(out), *joined, str(index)] for index in (0, 1)]
        with ThreadPool(2) as pool:
            return pool.starmap(forked, [(STUDY, line, aim.__enter__) for line, aim in zip(lines, aims, strict=True)])

    wrong = []
    for killed in (1, 0):
        started = time.monotonic()
        ends = together(killed)
        print(f"process {killed} of two is killed: the other ends with {ends[1 - killed].code}", end=" ")
        print(f"after {time.monotonic() - started:.0f} s", flush=True)
        wrong += [] if ends[killed].code == -signal.SIGKILL and ends[1 - killed].code else [str(ends)]
    ends = together(None)
    print(f"both go on: {[ended.code for ended in ends]}", flush=True)
    one, two = (results.digest({}, results.load(of / RESULTS)[0]) for of in (folder / "one", out))
    return wrong + ([] if one == two else [f"two processes found otherwise: {ends}"])


def main() -> None:
    """A line for each run; exit code 1 if anything was wrong."""
    importlib.import_module(STUDY)
    importlib.import_module("ae_jax.embedded").digits()
    wrong = []
    with multiprocessing.get_context("fork").Pool(1) as apart, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "images.npz", images=np.random.default_rng(0).integers(0, 256, (60, 6, 5), np.uint8))
        for module, words, out in (
            (STUDY, SEARCH.split(), ""),
            ("ae_jax", ["fit", str(folder / "images.npz"), *FIT.split()], MODEL),
        ):
            assert forked(module, [*words, "--out", str(folder / ALONE / out)]).code == 0
            for rooms in (for_a_file, on_a_disk):
                part = folder / f"{module} {rooms.__name__}"
                print(f"{module}, {rooms.__name__.replace('_', ' ')}")
                ends, found = fill_up(module, [*words, "--out", str(part / out)], part, rooms(part), apart)
                print(dict(ends))
                wrong += found
        for module, line in (
            ("experiments.summary", [str(folder / ALONE)]),
            ("ae_jax", ["info", str(folder / ALONE / MODEL)]),
        ):
            ended = forked(module, line, stdout="/dev/full")
            print(f"{module}, its output to a full disk: {verdict(ended)}, {ended.stderr.strip()}")
            wrong += [ended.stderr] if verdict(ended) != "exit code 1" else []
        wrong += kill_one_of_two(folder)
    print(*wrong, f"{len(wrong)} faults", sep="\n")
    sys.exit(len(wrong) > 0)


if __name__ == "__main__":
    main()
