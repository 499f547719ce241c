"""Damage to the content of files, always the same."""

import random


def damaged(content: bytes, flips: int = 300):
    """``content`` with one bit flipped, many times, then cut off at several lengths; always the same."""
    rng = random.Random(0)
    for _ in range(flips):
        at = rng.randrange(len(content))
        yield content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    for _ in range(60):
        yield content[: rng.randrange(len(content))]
