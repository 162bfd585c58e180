"""Damage to JSON, XML and CSV that stays JSON, XML and CSV, mostly."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

from tests.fuzz.damage import EXTREMES, damage_bytes

__all__ = ["damage_csv", "damage_json", "damage_value", "damage_xml"]

_WORDS = (
    "", " ", "0", "-1", "1e308", "1e-300", "-1e999", "nan", "inf", "NaN", "١٢", "1,5", "0x10",
    "\0", "\u202e", "../../../etc/passwd", "=1+1", "<script>", "a" * 5000, "\n", "💥", "null",
    "1" * 400, "1/0", "0,0 1,1", "\ud800",
)  # fmt: skip


_DEEP = 40


def damage_value(rng: Random, old: object) -> Any:
    """What stands in the place of a value of a JSON document."""
    match rng.randrange(9):
        case 0:
            return rng.choice((0, -1, 1, 2**31, 2**53, -(2**63), 10**30, 10**400))
        case 1:
            return rng.choice((1e308, -1e308, 1e-308, 0.1, float("nan"), float("inf")))
        case 2:
            return rng.choice(_WORDS)
        case 3:
            return rng.choice((None, True, False, [], {}, [[]], [None], {"": None}))
        case 4:
            many = 3 if isinstance(old, dict | list) else 1000
            return [old] * rng.choice((0, 1, 2, many))
        case 5:
            return {"value": old}
        case 6 if isinstance(old, int | float) and not isinstance(old, bool):
            return rng.choice((-old, old + old, 3 * old, old + 1, old - 1, repr(old)[:4000]))
        case 6 if isinstance(old, str):
            return rng.choice((old.upper(), old + "x", old[:-1], old[:99] * 1000, list(old[:99])))
        case 7:
            return rng.choice(EXTREMES)
        case _:
            nested: Any = old
            for _ in range(rng.choice((3, 50, 800, 3000))):
                nested = [nested]
            return nested


def _places(value: object, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [place] if place else []
    items: Any = ()
    if len(place) > _DEEP:
        return found
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:200])
    for key, inner in items:
        found += _places(inner, (*place, key))
    return found


def _spoil(rng: Random, root: Any) -> Any:
    places = _places(root)
    if not places or rng.random() < 0.02:
        return damage_value(rng, root)
    # Each depth is as likely as the others: most places are numbers in long lists.
    depth = rng.choice(sorted({len(p) for p in places}))
    *path, last = rng.choice([p for p in places if len(p) == depth])
    holder = root
    for key in path:
        holder = holder[key]
    match rng.randrange(8):
        case 0:
            del holder[last]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(_WORDS)] = holder.pop(last)
        case 1:
            holder.insert(last, holder[last])
        case _:
            holder[last] = damage_value(rng, holder[last])
    return root


def _dumped(root: Any) -> bytes:
    """JSON of any depth: the standard library's writer has an end."""
    try:
        text = json.dumps(root)
    except (RecursionError, ValueError):
        inner, depth = root, 0
        while isinstance(inner, list) and len(inner) == 1:
            inner, depth = inner[0], depth + 1
        text = "[" * 100_000 + "]" * 100_000 if not depth else "[" * depth + "0" + "]" * depth
    return text.encode("utf-8", "surrogatepass")


def damage_json(rng: Random, data: bytes) -> bytes:
    """Other values, names and depths; at times bytes that are no JSON."""
    if rng.random() < 0.15:
        return damage_bytes(rng, data)
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return damage_bytes(rng, data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        root = _spoil(rng, root)
    out = _dumped(root)
    if rng.random() < 0.03:
        out = out.replace(b"0", b"1" * 6000, 1)
    return out


def damage_csv(rng: Random, data: bytes) -> bytes:
    """Other cells, separators, rows and line ends; at times other bytes."""
    if rng.random() < 0.3:
        return damage_bytes(rng, data)
    rows = [re.split(rb"[,;\t]", line) for line in data.splitlines()] or [[b""]]
    separator = rng.choice((b",", b",", b";", b"\t", b"|"))
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.randrange(len(rows))
        col = rng.randrange(len(rows[row])) if rows[row] else 0
        match rng.randrange(8):
            case 0 if rows[row]:
                del rows[row][col]
            case 1:
                rows.insert(row, rows[row][:])
            case 2:
                rows[row] = [rng.choice((b"", b'"', b"\0", b"\xff\xfe"))]
            case 3:
                rows[row] += [b"x"] * rng.choice((1, 5, 500))
            case 4 if rows[row]:
                rows[row][col] = b'"' + rows[row][col]
            case _ if rows[row]:
                rows[row][col] = rng.choice(_WORDS).encode("utf-8", "surrogatepass")
    return rng.choice((b"\n", b"\n", b"\r\n", b"\r")).join(separator.join(r) for r in rows)


_ATTRIBUTE = re.compile(rb'(?<==")[^"]*(?=")|(?<=>)[^<>]+(?=<)')
_TAG = re.compile(rb"</?[A-Za-z][^<>]*>")
_ENTITIES = (
    b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;&b;&b;&b;&b;&b;">]>',
    b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
)


def damage_xml(rng: Random, data: bytes) -> bytes:
    """Other attributes, texts and tags; at times entities, or other bytes."""
    if rng.random() < 0.2:
        return damage_bytes(rng, data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        found = list(rng.choice((_ATTRIBUTE, _ATTRIBUTE, _TAG)).finditer(data))
        if not found:
            return damage_bytes(rng, data)
        hit = rng.choice(found)
        if data[hit.start() : hit.start() + 1] == b"<":
            new = rng.choice((b"", hit.group() * 2, hit.group() * 3000, b"<x>", b"&b;"))
        else:
            new = rng.choice((*_WORDS, str(rng.choice(EXTREMES)))).encode("utf-8", "replace")
        data = data[: hit.start()] + new + data[hit.end() :]
    if rng.random() < 0.1:
        head = data.find(b"?>") + 2 if data.startswith(b"<?xml") else 0
        data = data[:head] + rng.choice(_ENTITIES) + data[head:]
    return data
