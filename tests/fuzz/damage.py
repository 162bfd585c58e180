"""Damage to bytes that knows nothing of what they mean."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

__all__ = ["EXTREMES", "damage_bytes", "extreme"]

EXTREMES = (
    0, 1, 2, 3, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31,
    2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
"""Whole numbers at which something usually ends."""

_WIDTHS = ((2, "H"), (4, "I"), (8, "Q"))


def extreme(rng: Random, size: int) -> int:
    """A number at the edge of what fits into ``size`` bytes, or near it."""
    return (rng.choice(EXTREMES) + rng.choice((-1, 0, 0, 0, 1))) % 2 ** (8 * size)


def _flip(rng: Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(rng: Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.randrange(len(data))] = rng.choice((0, 255, 127, rng.randrange(256)))


def _truncate(rng: Random, data: bytearray) -> None:
    del data[rng.choice((rng.randrange(len(data)), rng.randrange(min(len(data), 600)))) :]


def _run(rng: Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    size = min(len(data) - start, rng.choice((4, 16, 256, 4096)))
    data[start : start + size] = bytes([rng.choice((0, 0, 255))]) * size


def _insert(rng: Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.choice((1, 2, 16, 300)))


def _duplicate(rng: Random, data: bytearray) -> None:
    start, at = rng.randrange(len(data)), rng.randrange(len(data))
    data[at:at] = data[start : start + rng.choice((2, 12, 64, 1024))]


def _delete(rng: Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 2, 12, 500))]


def _number(rng: Random, data: bytearray) -> None:
    size, letter = rng.choice(_WIDTHS)
    if len(data) <= size:
        return
    at = rng.randrange(len(data) - size)
    at -= at % rng.choice((1, 2, size))
    struct.pack_into(rng.choice("<>") + letter, data, at, extreme(rng, size))


_KINDS: tuple[Callable[[Random, bytearray], None], ...] = (
    _flip, _flip, _overwrite, _truncate, _run, _insert, _duplicate, _delete, _number, _number,
)  # fmt: skip


def damage_bytes(rng: Random, data: bytes, *, near_start: bool = False) -> bytes:
    """Damage of one to three kinds, anywhere or within the first bytes, where headers stand."""
    head = min(len(data), 512) if near_start else len(data)
    part, rest = bytearray(data[:head]), data[head:]
    for _ in range(rng.choice((1, 1, 2, 3))):
        if part:
            rng.choice(_KINDS)(rng, part)
    return bytes(part) + rest
