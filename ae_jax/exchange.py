"""What goes in and out beside models: codes as npz and CSV, images as sheets and folders of PNG files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ae_jax import inference, pictures, results
from ae_jax.images import Images
from ae_jax.runs import Run
from ae_jax.types import UsageError

ENCODING = ("utf-8", "surrogateescape")  # of a CSV; a file's name need not be text, and comes back as it was
FIRST = ("name", "label")  # columns of a CSV before those of the codes; labels only where there are some


def table(codes: np.ndarray, images: Images) -> str:
    """Codes as CSV: name, label if there are any, and the numbers, from which the same float32 are read again."""
    flat = codes.reshape(len(codes), -1)
    labels = [] if images.labels is None else [images.labels]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*FIRST[: 1 + len(labels)], *(f"z{number}" for number in range(flat.shape[1]))])
    writer.writerows([*first, *map(str, numbers)] for *first, numbers in zip(images.names, *labels, flat, strict=True))
    return file.getvalue()


def codes(path: Path, run: Run) -> tuple[np.ndarray, list[str]]:
    """Codes in the model's shape, and a name for each. Raises UsageError for anything else."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; give codes that encode wrote, .npz or .csv, or an .npy")
    try:
        found, names = _parse_table(path) if path.suffix == ".csv" else _parse_arrays(path)
    except Exception as error:  # csv, zipfile, zlib and NumPy: damage raises errors of any kind
        raise UsageError(f"{path}: no codes can be read ({error!r}); give what encode wrote, or an .npy") from error
    size = inference.code_shape(run.objective)
    if found.ndim < 2 or found[:1].size != math.prod(size) or not np.isfinite(found).all():
        raise UsageError(
            f"{path}: codes of shape {list(found.shape)} are not allowed: "
            f"this model takes finite numbers, [n, {', '.join(map(str, size))}]"
        )
    if names and len(names) != len(found):
        raise UsageError(f"{path}: {len(found)} codes with {len(names)} names are not allowed: give one for each")
    return found.reshape(len(found), *size), names or [str(row) for row in range(len(found))]


def _parse_table(path: Path) -> tuple[np.ndarray, list[str]]:
    encoding, errors = ENCODING
    with path.open(newline="", encoding=f"{encoding}-sig", errors=errors) as file:  # spreadsheets write a mark first
        head, *rows = filter(None, csv.reader(file))
    if head[0] != FIRST[0]:
        raise ValueError(f"its first column is {head[0]!r}, not {FIRST[0]!r}")
    first = 2 if FIRST[1] in head[:2] else 1
    return np.array([row[first:] for row in rows], np.float32), [row[0] for row in rows]


def _parse_arrays(path: Path) -> tuple[np.ndarray, list[str]]:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return np.asarray(loaded, np.float32), []
    with loaded:
        arrays = {name: loaded[name] for name in loaded}
    if "meta" in arrays:
        arrays, _ = results.verified(arrays)
    return np.asarray(arrays["codes"], np.float32), np.asarray(arrays.get("names", ())).tolist()


def write_folder(folder: Path, images: np.ndarray, names: Sequence[str]) -> None:
    """``images [n, H, W, C]`` as PNG files in ``folder``, whole each. Raises UsageError as :func:`_paths` does."""
    for path, image in zip(_paths(folder, names), images, strict=True):
        results.write(path, pictures.png(image))


def _paths(folder: Path, names: Sequence[str]) -> list[Path]:
    """A PNG file in ``folder`` for each name. Raises UsageError for names that lead out of it or are not different."""
    files = [PurePosixPath(name if name.endswith(".png") else f"{name}.png") for name in map(str, names)]
    if wrong := [file for file in files if file.is_absolute() or ".." in file.parts]:
        raise UsageError(f"the name {wrong[0]} leads out of {folder}: give others, or --out a name in .npz")
    if len(set(files)) < len(files):
        raise UsageError("some names are the same, but files need one each: give others, or --out a name in .npz")
    return [folder / file for file in files]


def write_sheet(path: Path, images: np.ndarray) -> None:
    """``images [n, H, W, C]`` as one PNG file."""
    results.write(path, pictures.png(pictures.sheet(images)))
