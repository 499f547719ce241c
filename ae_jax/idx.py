"""IDX, the format of MNIST's files: a magic number, the sizes, the values (http://yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import gzip
import io
import itertools
import math
import struct
import sys
import zlib

import numpy as np

from ae_jax.types import UsageError

UINT8 = 0x08  # the third byte of the magic number; the fourth is the rank
LARGEST_RANK = 4
GZIP = b"\x1f\x8b"
CHUNK = 2**20


def is_idx(start: bytes) -> bool:
    """Whether a file that starts with these four bytes is an IDX file of bytes."""
    return start[:3] == bytes([0, 0, UINT8]) and start[3:4] != b"\0"


def parse(content: bytes, source: str) -> np.ndarray:
    """The array of an IDX file, uint8 of rank 1 to 4; ``content`` may be gzipped.

    Raises UsageError, which calls it ``source``, for what is no IDX file of bytes, or not a whole one.
    """
    file = io.BytesIO(content)
    try:
        return _parse(gzip.GzipFile(fileobj=file) if content.startswith(GZIP) else file)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise UsageError(
            f"{source}: not a whole IDX file of bytes ({error}); give one of idx1 to idx{LARGEST_RANK}, plain or .gz"
        ) from error


def _parse(file: io.BufferedIOBase) -> np.ndarray:
    magic = file.read(4)
    if not is_idx(magic) or magic[3] > LARGEST_RANK:
        raise ValueError(f"its magic number is {magic.hex() or 'missing'}, not 000008 and a rank")
    shape = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
    size = math.prod(shape)
    # In pieces, one more than needed: a size that is damaged allocates nothing, and what is too long is not unpacked.
    pieces = itertools.islice(iter(lambda: file.read(CHUNK), b""), min(size // CHUNK + 1, sys.maxsize))
    values = b"".join(pieces)
    if len(values) != size:
        found = f"{len(values):,}{' or more' * (len(values) > size)}"
        raise ValueError(f"it has {found} values, its sizes {' x '.join(map(str, shape))} ask for {size:,}")
    return np.frombuffer(values, np.uint8).reshape(shape)
