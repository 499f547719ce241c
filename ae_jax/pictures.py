"""PNG and JPEG files as arrays, arrays as pictures of another size or colour, and as files again, by Pillow."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ae_jax.types import UsageError, reason

ENDINGS = (".png", ".jpg", ".jpeg")
# Pillow's mode of what a file holds -> that of the array; 16 bits are treated apart.
MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB"}
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601, as in JPEG
NAMED = 5  # how many files a message names
TILE, GAP = 96, 2  # pixels of a sheet: the side that small images are enlarged to, about; between them


def find(folder: Path) -> list[Path]:
    """The picture files in ``folder`` and below, by their ending, sorted; hidden files and folders are left out."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read(
    paths: Sequence[Path],
    *,
    size: tuple[int, int] | None = None,
    grey: bool | None = None,
    skip_unreadable: bool = False,
) -> tuple[np.ndarray, list[Path]]:
    """``(pictures [n, H, W, C] uint8, the paths they come from)``; C is 1 for grey ones, 3 for colour.

    Args:
      paths: PNG or JPEG files. Their orientation (EXIF) is heeded, palettes become colours; of 16 bits the upper 8 are
        taken.
      size: height and width that all are resized to; None asks for one size of all.
      grey: True for one channel, False for three; None asks for one kind of all.
      skip_unreadable: leave out files that cannot be read, with a warning that names them.
    Raises:
      UsageError: files that cannot be read (damaged, transparent, animated, CMYK), or differ in size or colour.
    """
    import PIL  # noqa: F401 - where it is missing, the files are not to blame

    pictures, unreadable = {}, {}
    for path in paths:
        try:
            picture = _decode(path)
        except Exception as error:  # Pillow: damage raises errors of any kind
            unreadable[path] = reason(error)
        else:
            pictures[path] = resize(recolour(picture[None], grey), size)[0]
    if unreadable:
        some = ", ".join(f"{path} ({why})" for path, why in list(unreadable.items())[:NAMED])
        message = (
            f"{len(unreadable)} of {len(paths)} pictures cannot be read: {some}{', ...' * (len(unreadable) > NAMED)}"
        )
        if not (skip_unreadable and pictures):
            raise UsageError(f"{message}; mend or remove them, or skip what is unreadable (skip_unreadable=True)")
        warnings.warn(f"{message}; skipped", stacklevel=3)
    _require_one_form(pictures)
    return np.stack(list(pictures.values())), list(pictures)


def _decode(path: Path) -> np.ndarray:
    """The picture at ``path``: ``[H, W, 1 or 3]`` uint8. Raises any exception where that cannot be had."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=("PNG", "JPEG")) as file:
            if file.format == "PNG" and getattr(file, "is_animated", False):
                raise ValueError("it is animated; save one frame of it")
            image = ImageOps.exif_transpose(file)
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise ValueError("it is transparent in places; put it on a background")
    if image.mode.startswith("I"):  # 16 bits of grey; of those of colour, Pillow itself takes the upper 8
        return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
    if image.mode not in MODES:
        raise ValueError(f"its colours are {image.mode}; save it as grey or RGB")
    array = np.asarray(image.convert(MODES[image.mode]))
    return array if array.ndim == 3 else array[..., None]


def _require_one_form(pictures: dict[Path, np.ndarray]) -> None:
    """Raises UsageError unless all have one shape."""
    for what, axes, way_out in (
        ("colour", slice(2, 3), "make them alike: all grey (grey=True) or all in colour (grey=False)"),
        ("size", slice(0, 2), "resize them all to one (size=(height, width))"),
    ):
        kinds = {picture.shape[axes]: (path, picture.shape) for path, picture in pictures.items()}
        if len(kinds) > 1:
            some = ", ".join(f"{path} is {' x '.join(map(str, shape))}" for path, shape in list(kinds.values())[:NAMED])
            raise UsageError(f"the pictures differ in {what}, but one network takes one: {some}; {way_out}")


def recolour(images: np.ndarray, grey: bool | None) -> np.ndarray:
    """``images [n, H, W, C]``, uint8 or float, with one channel (``grey``), three, or as they are (None).

    Raises UsageError where C is neither 1 nor 3.
    """
    channels = images.shape[-1]
    if grey is None or channels == (1 if grey else 3):
        return images
    if not grey and channels == 1:
        return np.repeat(images, 3, axis=-1)
    if channels != 3:
        raise UsageError(f"images of {channels} channels have no grey and no colour: leave grey out")
    luma = (images @ LUMA)[..., None]
    return (luma.round() if images.dtype == np.uint8 else luma.clip(0, 1)).astype(images.dtype)


def resize(images: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """``images [n, H, W, C]``, uint8 or float32, at ``size`` (height, width), antialiased; None leaves them alone."""
    if size is None or images.shape[1:3] == tuple(size):
        return images
    from PIL import Image

    height, width = size
    planes = images.transpose(0, 3, 1, 2).reshape(-1, *images.shape[1:3])
    # Bilinear weights are positive: nothing overshoots.
    smaller = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR)) for plane in planes
    ]
    resized = np.stack(smaller).reshape(len(images), -1, height, width).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(resized if images.dtype == np.uint8 else resized.clip(0, 1))


def png(image: np.ndarray) -> bytes:
    """A PNG file of ``image [H, W, 1 or 3]``, uint8 or float in [0, 1]. UsageError for another number of channels."""
    from PIL import Image

    (drawn,), file = _drawable(image[None]), io.BytesIO()
    Image.fromarray(drawn[..., 0] if drawn.shape[-1] == 1 else drawn).save(file, "PNG")
    return file.getvalue()


def sheet(images: np.ndarray) -> np.ndarray:
    """``images [n, H, W, 1 or 3]`` on one picture, row by row, about as high as wide: ``[H', W', 1 or 3]`` uint8.

    Small ones are enlarged by a whole number; what lies between them and behind the last is white.
    """
    count, height, width, channels = images.shape
    factor = max(1, int(TILE / math.sqrt(height * width)))
    tiles = _drawable(images).repeat(factor, axis=1).repeat(factor, axis=2)
    columns = max(1, min(count, round(math.sqrt(count * height / width))))
    tiles = np.pad(tiles, ((0, -count % columns), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    rows = tiles.reshape(-1, columns, *tiles.shape[1:]).swapaxes(1, 2)
    rows = rows.reshape(-1, columns * tiles.shape[2], channels)
    return np.pad(rows, ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255)


def _drawable(images: np.ndarray) -> np.ndarray:
    """``images [n, H, W, C]`` as uint8. Raises UsageError where C is neither 1 nor 3."""
    if images.shape[-1] not in (1, 3):
        raise UsageError(f"images of {images.shape[-1]} channels cannot be drawn: give --out a name in .npz")
    return images if images.dtype == np.uint8 else (images.clip(0, 1) * 255).round().astype(np.uint8)
