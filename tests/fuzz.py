"""Damaged files against everything that reads them: ``python -m tests.fuzz [MUTATIONS [SEED]]``, or ``make fuzz``.

As many mutations of each format end in one of these:

refused     a UsageError of one line that names the file (of a checkpoint: none, so that its predecessor is taken)
unchanged   what was written is read, bit for bit: nothing that counts was hit
plausible   something else is read, in the right form; only where a format has no checksum of all
escaped     an error of another kind or of several lines, or something else where a checksum should have told
"""

import dataclasses
import gzip
import hashlib
import io
import json
import random
import struct
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ae_jax import checkpoints, downloads, exchange, files, images, objectives, results
from ae_jax.models import dense_autoencoder
from ae_jax.types import UsageError
from experiments import spaces, tables
from tests.test_files import trained

MUTATIONS = 5000
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (20, 7, 6), np.uint8)
IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", *PICTURES.shape) + PICTURES.tobytes()
META = {"study": "random_search", "config": {"epochs": 3}, "rows": [{"what": "error", "ours": [0.25]}]}
TRIALS = {
    "learning_rate": RNG.uniform(1e-4, 1e-2, 12), "l2": RNG.uniform(0, 1e-3, 12), "dropout": RNG.uniform(0, 0.25, 12),
    "epochs": RNG.integers(1, 50, 12), "latent": RNG.integers(2, 9, 12),
}  # fmt: skip
TREE = {
    "weights": RNG.normal(size=(3, 4)).astype(np.float32),
    "bias": np.arange(4, dtype=np.float32),
    "step": np.int32(4),
}
IDENTITY = {"seed": 0, "rates": [1, 2], "lanes": "a3b1"}
CODES = RNG.normal(size=(9, 2)).astype(np.float32)
MODEL = trained(objectives.autoencoder(dense_autoencoder(2, (3,))))


class Format(NamedTuple):
    """What is written, what reads it (None where it refuses as checkpoints do), and whether a checksum covers all."""

    name: str
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    checked: bool


def _gzipped(path: Path) -> None:
    path.write_bytes(gzip.compress(IDX))


def _pictures(path: Path) -> tuple:
    return images.read(path)[:2]


def _search(path: Path) -> dict:
    return results.save(path, {f"trial_{name}": values for name, values in TRIALS.items()} | {"score": CODES}, META)


def _table(path: Path) -> None:
    tables.write_csv(path, [dict(zip(TRIALS, row, strict=True)) for row in zip(*TRIALS.values(), strict=True)])


def _trials(path: Path) -> dict:
    return tables.read_trials(path, spaces.build, {}, TRIALS)


def _published(path: Path) -> bytes:
    of = downloads.Published("mine", "Mine", "mine", "", {"idx": (len(IDX), hashlib.sha256(IDX).hexdigest())})
    with downloads._open(of, path, "idx") as file:
        return file.read()


def _identity(path: Path) -> str:
    checkpoints.open_folder(path.parent, IDENTITY, resume=True)
    return ""


def _codes_csv(path: Path) -> None:
    path.write_text(exchange.table(CODES, images.Images(PICTURES, None, list("abcdefghi"), "", "")))


FORMATS = (
    Format("pictures.idx", lambda path: path.write_bytes(IDX), _pictures, False),
    Format("pictures.idx.gz", _gzipped, _pictures, True),
    Format("published.gz", _gzipped, _published, True),
    Format("published", lambda path: path.write_bytes(IDX), _published, True),
    Format("pictures.npy", lambda path: np.save(path, PICTURES), _pictures, False),
    Format("pictures.npz", lambda path: np.savez_compressed(path, images=PICTURES, labels=PICTURES[:, 0, 0]),
           _pictures, False),
    Format("results.npz", _search, results.load, True),
    Format("trials.npz", _search, _trials, True),
    Format("trials.csv", _table, _trials, False),
    Format("model.safetensors", lambda path: files.save(MODEL, path), lambda path: vars(files.load(path)), True),
    Format("lane.msgpack", lambda path: checkpoints.save(path, TREE), lambda path: checkpoints.load(path, TREE), True),
    Format("search.json", lambda path: checkpoints.open_folder(path.parent, IDENTITY, False), _identity, True),
    Format("codes.csv", _codes_csv, lambda path: exchange.codes(path, MODEL), False),
    Format("codes.npz", lambda path: results.save(path, {"codes": CODES, "names": list("abcdefghi")}, META),
           lambda path: exchange.codes(path, MODEL), True),
)  # fmt: skip


def mutations(content: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Kinds and contents without end, always the same: one of each kind after the other."""
    rng, size = random.Random(seed), len(content)
    while True:
        at, other, length = rng.randrange(size), rng.randrange(size), rng.randrange(1, 65)
        first, second = sorted((at, other))
        length = min(length, size - second, second - first) or 1
        yield "bit", content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        yield "truncated", content[:at]
        yield "splice", content[:at] + content[other : other + length] + content[at + length :]
        yield "zeros", content[:at] + bytes(length) + content[at + length :]
        swapped = content[second : second + length], content[first + length : second], content[first : first + length]
        yield "swap", content[:first] + b"".join(swapped) + content[second + length :]
        yield "members", members_swapped(content, rng)


def members_swapped(content: bytes, rng: random.Random) -> bytes:
    """Two members of a zip or two tensors of one size in each other's place, with all the container checks in order.

    Of other formats two lines.
    """
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
        one, two = rng.sample(list(held), 2)
        held[one], held[two] = held[two], held[one]
        with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            for name, member in held.items():
                archive.writestr(name, member)
        return file.getvalue()
    length = struct.unpack("<Q", content[:8])[0]
    if content[8:9] == b"{" and length < len(content):
        header = json.loads(content[8 : 8 + length])
        sizes = {name: np.diff(of["data_offsets"]).item() for name, of in header.items() if name != "__metadata__"}
        one = rng.choice([name for name in sizes if list(sizes.values()).count(sizes[name]) > 1])
        two = rng.choice([name for name in sizes if sizes[name] == sizes[one] and name != one])
        header[one], header[two] = header[two], header[one]
        return content[:8] + json.dumps(header, separators=(",", ":")).encode().ljust(length) + content[8 + length :]
    lines = content.split(b"\n")
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return b"\n".join(lines)


def plain(tree: Any) -> list:
    """All that was read, comparable."""
    leaves, structure = jax.tree.flatten(tree)
    arrays = [np.asarray(leaf) for leaf in leaves if not dataclasses.is_dataclass(leaf)]
    return [str(structure), *((values.dtype.str, values.shape, values.tobytes()) for values in arrays)]


def outcome(of: Format, path: Path, content: bytes, expected: list) -> str:
    """In which of the four ways ``content`` ends at ``path``."""
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = of.read(path)
    except UsageError as error:
        told = str(error)
        return "refused" if "\n" not in told and str(path.parent) in told else f"escaped: {told!r}"
    except Exception:
        return f"escaped: {traceback.format_exc()}"
    if found is None:
        return "refused"
    if plain(found) == expected:
        return "unchanged"
    return f"escaped: {found!r:.300} is read" if of.checked else "plausible"


def attack(of: Format, folder: Path, count: int, seed: int = 0) -> tuple[Counter, list[str]]:
    """How often which kind of mutation ended how, and the words of those that escaped."""
    path, counts, escaped = folder / of.name, Counter(), []
    of.write(path)
    content = path.read_bytes()
    expected = plain(of.read(path))
    for (kind, mutated), _ in zip(mutations(content, seed), range(count), strict=False):
        end, _, words = outcome(of, path, mutated, expected).partition(": ")
        counts[kind, end] += 1
        escaped += [f"{of.name}, {kind}: {words}"] if words else []
    return counts, escaped


def main(count: int = MUTATIONS, seed: int = 0) -> None:
    """A line for each format and kind; the first escapes of each format in full, and then exit code 1."""
    failed = 0
    for of in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            counts, escaped = attack(of, Path(folder), count, seed)
        for kind in dict.fromkeys(kind for kind, _ in counts):
            ends = {end: number for (of_kind, end), number in sorted(counts.items()) if of_kind == kind}
            print(
                f"{of.name:18}{kind:10}{sum(ends.values()):6}", *(f"{end} {n}" for end, n in ends.items()), flush=True
            )
        print(*escaped[:3], sep="\n")
        failed += len(escaped)
    print(f"{count} mutations of each of {len(FORMATS)} formats: {failed} escaped")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
