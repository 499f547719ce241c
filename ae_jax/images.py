"""Users' images as arrays: the check at the front door of all that takes arrays, and what is read from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import data, idx, pictures
from ae_jax.types import UsageError, a, reason

LARGEST_SIDE = 2**14  # of images that are resized
SOURCES = (
    "an .npz or .npy file of images, an IDX file (.gz or not), a PNG or JPEG file, a folder of those, or one of the "
    f"data sets {', '.join(data.TITLES)} (its test part: mnist:test)"
)
SHAPES = "[n, height, width], [n, height, width, channels] or, for dense networks, [n, features]"
ALLOWED = f"images are NumPy or JAX arrays, uint8 or float in [0, 1] (or bool), of shape {SHAPES}"


def as_images(images: Any) -> np.ndarray | jax.Array:
    """``images`` as this package computes with them: ``[n, H, W, C]``, uint8 (scaled when used) or float32 in [0, 1].

    Args:
      images: a NumPy or JAX array, uint8, of any float type with values in [0, 1], or bool (black and white), of shape
        ``[n, H, W]`` (which gets one channel), ``[n, H, W, C]`` or ``[n, features]`` (which becomes
        ``[n, features, 1, 1]``).
    Returns:
      An array of the same library; no copy is made where shape and type were right.
    Raises:
      UsageError: anything else.
    """
    if not isinstance(images, np.ndarray | jax.Array) or isinstance(images, np.ma.MaskedArray):
        raise UsageError(f"these images are {a(type(images).__name__)}, but {ALLOWED}; of a list make one array")
    given = f"these images are {images.dtype} of shape {list(images.shape)}"
    if not 2 <= images.ndim <= 4 or images.size == 0:
        raise UsageError(f"{given}, but {ALLOWED}, none of them 0; for a single image, give images[None]")
    numpy = np if isinstance(images, np.ndarray) else jnp
    if images.dtype == np.bool_:
        images = numpy.where(images, numpy.uint8(255), numpy.uint8(0))
    elif jnp.issubdtype(images.dtype, jnp.floating):
        _require_unit_range(images, given)
        images = images.astype(np.float32, copy=False)
    elif images.dtype != np.uint8:
        hint = "if their values are whole numbers from 0 to 255, give images.astype(np.uint8)"
        raise UsageError(f"{given}, but {ALLOWED}; {hint}")
    return images.reshape(images.shape + (1,) * (4 - images.ndim))


def _require_unit_range(images: np.ndarray | jax.Array, given: str) -> None:
    """Raises UsageError unless all values are finite and in [0, 1]."""
    low, high = float(images.min()), float(images.max())
    if np.isnan(low):
        raise UsageError(f"{given} with NaN among the values, but {ALLOWED}; leave those images out")
    if not 0 <= low <= high <= 1:
        hint = "divide by 255 if that is their white, clip what overshoots by rounding"
        raise UsageError(f"{given} with values from {low!r} to {high!r}, but {ALLOWED}; {hint}")


class Images(NamedTuple):
    """Images that a user named.

    images: ``[n, H, W, C]`` uint8 or float32 in [0, 1]; of flat features ``[n, features, 1, 1]``.
    labels: int32 ``[n]``, or None.
    names: file names of pictures, numbers of rows otherwise, ``n`` of them.
    name: the source as it was given.
    digest: SHA-256 of images and labels.
    """

    images: np.ndarray
    labels: np.ndarray | None
    names: list[str]
    name: str
    digest: str


def read(
    source: str | Path,
    *,
    size: tuple[int, int] | None = None,
    grey: bool | None = None,
    skip_unreadable: bool = False,
    data_dir: str | Path | None = None,
) -> Images:
    """The images of ``source``.

    Args:
      source: a name of :func:`data.load` (its training images; ``mnist:test`` is the test part), or a path, as a
        ``Path`` always is, known by its content: an ``.npz`` with an array ``images`` (or one array alone) and perhaps
        ``labels``, an ``.npy``, an IDX file, a PNG or JPEG file, or a folder of these, read with its subfolders in
        sorted order. Where every picture lies in a subfolder, the subfolders of the first level are the classes,
        numbered in sorted order.
      size: height and width to resize to.
      grey: True makes one channel of three, False three of one; None keeps what there is.
      skip_unreadable: leave out pictures that cannot be read, with a warning that names them.
      data_dir: where the files of a data set lie, as for :func:`data.load`.
    Raises:
      UsageError: nothing there, unreadable, no images, or images of several sizes or colours without being asked to
        make them alike.
    """
    _check(size, grey)
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:  # ~name
        raise UsageError(f"{source}: there is no such user here; give a path") from error
    known, _, part = source.partition(":") if isinstance(source, str) else ("", "", "")
    if known in data.TITLES and part in ("", "train", "test"):
        if not part and path.exists():
            raise UsageError(f"{source} is a data set and a path here: give {known}:train or ./{source}")
        return _of_arrays(str(source), *_known(known, part, data_dir), size, grey)
    if path.is_dir() or (path.is_file() and path.suffix.lower() in pictures.ENDINGS):
        return _of_pictures(path, size, grey, skip_unreadable)
    if not path.is_file():
        raise UsageError(f"{source}: no such file, folder or data set; give {SOURCES}")
    return _of_arrays(str(source), *_arrays(path), size, grey)


def _check(size: Any, grey: Any) -> None:
    """Raises UsageError for what is no size or no choice of colour."""
    whole = isinstance(size, Sequence) and all(isinstance(side, int) and 1 <= side <= LARGEST_SIDE for side in size)
    if size is not None and not (whole and len(size) == 2):
        raise UsageError(f"size {size!r} is not allowed: give height and width, whole numbers from 1 to {LARGEST_SIDE}")
    if grey not in (None, True, False):
        raise UsageError(f"grey {grey!r} is not allowed: give True, False or None")


def _known(name: str, part: str, data_dir: str | Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one part of a data set."""
    dataset = data.load(name, data_dir)
    return dataset[3:5] if part == "test" else dataset[1:3]


def _of_arrays(
    name: str, images: np.ndarray, labels: np.ndarray | None, size: tuple[int, int] | None, grey: bool | None
) -> Images:
    """Images in an array, checked, recoloured and resized as asked, with numbers for names."""
    try:
        if images.ndim == 2 and (size, grey) != (None, None):
            raise UsageError("flat features have neither size nor colour: leave size and grey out")
        checked = pictures.resize(pictures.recolour(np.asarray(as_images(images)), grey), size)
        labels = None if labels is None else _labels(labels, len(checked))
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    return _images(name, checked, labels, [str(row) for row in range(len(checked))])


def _labels(labels: np.ndarray, n: int) -> np.ndarray:
    """``labels`` as int32 ``[n]``. Raises UsageError for others."""
    whole = np.issubdtype(labels.dtype, np.integer) and np.all(labels == labels.astype(np.int32))
    if labels.shape != (n,) or not whole:
        raise UsageError(
            f"its labels are {labels.dtype} of shape {list(labels.shape)}, but labels of {n} images are [{n}] whole "
            "numbers of at most 32 bits; mend them or leave them out"
        )
    return labels.astype(np.int32)


def _of_pictures(path: Path, size: tuple[int, int] | None, grey: bool | None, skip_unreadable: bool) -> Images:
    """A picture, or those in a folder, with file names; first-level subfolders are the classes if all lie in one."""
    folder, paths = (path, pictures.find(path)) if path.is_dir() else (path.parent, [path])
    if not paths:
        raise UsageError(f"{path}: no pictures in this folder or below it, looked for *{', *'.join(pictures.ENDINGS)}")
    images, paths = pictures.read(paths, size=size, grey=grey, skip_unreadable=skip_unreadable)
    relative = [path.relative_to(folder) for path in paths]
    classes = np.array([path.parts[0] for path in relative])
    sorted_in = all(len(path.parts) > 1 for path in relative)
    labels = np.unique(classes, return_inverse=True)[1].astype(np.int32) if sorted_in else None
    return _images(str(path), images, labels, [path.as_posix() for path in relative])


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and labels, if any, of an npz, npy or IDX file, whichever its first bytes tell."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            if start.startswith(idx.GZIP) or idx.is_idx(start[:4]):
                return idx.parse(file.read(), str(path)), None
            if not start.startswith((b"PK", b"\x93NUMPY")):
                raise UsageError(f"{path}: neither npz, npy nor IDX by its first bytes; give {SOURCES}")
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded, None
            return _images_and_labels({name: loaded[name] for name in loaded}, path)
    except UsageError:
        raise
    except Exception as error:  # zipfile, zlib, struct, tokenize and NumPy: damage raises errors of any kind
        raise UsageError(f"{path}: damaged, or with Python objects in it ({reason(error)}); write it again") from error


def _images_and_labels(arrays: dict[str, Any], path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The array ``images``, or the only one, and ``labels``, if any. Raises UsageError where that is none."""
    arrays = {name: values for name, values in arrays.items() if isinstance(values, np.ndarray)}
    labels = arrays.pop("labels", None)
    if "images" not in arrays and len(arrays) != 1:
        raise UsageError(f"{path}: its arrays are {', '.join(arrays) or 'none'}; call that of the images 'images'")
    return arrays.get("images", next(iter(arrays.values()))), labels


def _images(name: str, images: np.ndarray, labels: np.ndarray | None, names: list[str]) -> Images:
    """Images with their digest."""
    arrays = (images,) if labels is None else (images, labels)
    return Images(images, labels, names, name, data.digest(*arrays))
