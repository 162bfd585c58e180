"""Damage to model files and to folders of files."""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.fuzz.damage import damage_bytes, extreme
from tests.fuzz.text import damage_csv, damage_json, damage_xml

__all__ = ["damage_dicom", "damage_folder", "damage_model"]

_CARD = "liverdx.card"
_FLOATS = (
    *(struct.pack("<f", v) for v in (float("nan"), float("inf"), 3e38, -3e38, 1e-45, 1e30)),
    b"\xff\x7e\x00\x7c",
)


def damage_model(rng: Random, data: bytes) -> bytes:
    """Another card, other tensors, weights that are no numbers; or other bytes."""
    choice = rng.random()
    if choice < 0.15:
        return damage_bytes(rng, data, near_start=rng.random() < 0.5)
    (length,) = struct.unpack_from("<Q", data)
    header, body = data[8 : 8 + length], data[8 + length :]
    if choice < 0.3:
        value = rng.choice(_FLOATS) * rng.choice((1, 1, 2000))
        at = rng.randrange(max(1, len(body) - len(value))) & ~3
        body = body[:at] + value + body[at + len(value) :]
        return data[: 8 + length] + body[: len(data) - 8 - length]
    if choice < 0.45:
        header = damage_json(rng, header)
    else:
        fields = json.loads(header)
        card = damage_json(rng, fields["__metadata__"][_CARD].encode())
        fields["__metadata__"][_CARD] = card.decode("utf-8", "replace")
        header = json.dumps(fields).encode()
    told = len(header) if rng.random() < 0.97 else rng.choice((0, 1, 2**40, 2**63, length))
    return struct.pack("<Q", told) + header + body


def damage_folder(rng: Random, folder: Path, names: Sequence[str] = ()) -> None:
    """Damage to some files of a folder, to those called so; or they are gone or exchanged."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        wanted = [p for p in files if not names or p.name in names]
        if not wanted:
            return
        # Files of a kind are as many as its data are long; each kind counts the same.
        kind = rng.choice(sorted({p.suffix for p in wanted}))
        file = rng.choice([p for p in wanted if p.suffix == kind])
        match rng.randrange(12):
            case 0:
                file.unlink()
            case 1:
                file.write_bytes(rng.choice(files).read_bytes())
            case 2:
                file.write_bytes(b"")
            case 3:
                file.unlink()
                file.mkdir()
            case 4 if not names and file.parent != folder:
                shutil.rmtree(file.parent)
            case _:
                file.write_bytes(_damaged(rng, file))


_ELEMENT = re.compile(rb"[\x02-\x68]\0..(US|UL|IS|DS|CS|UI|SQ|OB|OW|FD|LO)", re.DOTALL)


def damage_dicom(rng: Random, data: bytes) -> bytes:
    """Another length or value of an element, or another element; or other bytes."""
    found = list(_ELEMENT.finditer(data, 132))
    if not found or rng.random() < 0.3:
        return damage_bytes(rng, data)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        hit = rng.choice(found)
        at = hit.start() + rng.choice((0, 2, 4, 6, 8, 8, 8, 10))
        size = rng.choice((1, 2, 2, 4))
        out[at : at + size] = extreme(rng, size).to_bytes(size, "little")
    return bytes(out)


def _damaged(rng: Random, file: Path) -> bytes:
    data = file.read_bytes()
    match file.suffix:
        case ".json" | ".geojson":
            return damage_json(rng, data)
        case ".dcm":
            return damage_dicom(rng, data)
        case ".csv":
            return damage_csv(rng, data)
        case ".xml":
            return damage_xml(rng, data)
        case _:
            return damage_bytes(rng, data) if data else b"x"
