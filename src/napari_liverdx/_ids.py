"""Identities: digests and UUIDs of canonical JSON.

What is stored or compared hangs on the facts that are named here, never on how a class, a field or
a text for people is spelled today. How version 0.1.0 spelled them stands in ``_v010``.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Self

__all__ = ["NAMESPACE", "Choice", "canonical_json", "digest", "named_uuid"]

NAMESPACE = uuid.UUID("5f2a3bb0-9d6e-5b7c-8a51-6a1f0d3c7e42")
"""Of every UUID that this program derives."""

_EXACT = 2**53
"""Up to here every whole number is a double, so that 1 and 1.0 may be one."""


class Choice(Enum):
    """A choice that is stored by its id and shown by its title.

    A member is made of id, title and any former spellings, which are read as well::

        class Ground(Choice):
            TILES = "tiles", "Whole tiles", "Tiles"

    Attributes
    ----------
    value : str
        The id; it never changes.
    title : str
        What people read.
    former : tuple of str
        What stood in files before.
    """

    title: str
    former: tuple[str, ...]

    def __new__(cls, value: str, title: str = "", *former: str) -> Self:
        """Make a member."""
        member = object.__new__(cls)
        member._value_ = value
        member.title, member.former = title, former
        return member

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return next((member for member in cls if value in member.former), None)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value.

    Keys are sorted, no space is written, the text is ASCII, tuples are lists, enums are their
    values, NumPy's scalars and arrays are numbers and lists. A whole number is written as one,
    whatever its type, as in RFC 8785.

    Raises
    ------
    TypeError
        If the value, or one within it, is of another type. Objects are refused on purpose: name
        the facts that make the identity in a mapping.
    ValueError
        If a number is not finite.
    """
    return json.dumps(_plain(value), allow_nan=False, sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """Return the SHA-256 of `canonical_json`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def named_uuid(value: Any, namespace: uuid.UUID = NAMESPACE) -> uuid.UUID:
    """Return the UUID (RFC 4122, version 5) of `canonical_json`."""
    return uuid.uuid5(namespace, canonical_json(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool):
        return value
    # Subclasses of these would be written in a way of their own.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(item) for item in value]
    # NumPy's scalars and arrays.
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _plain(value.tolist())
    raise TypeError(
        f"a {type(value).__name__} has no canonical JSON; name the facts that make the identity "
        "in a mapping"
    )


def _number(value: float) -> int | float:
    if not math.isfinite(value):
        raise ValueError(f"{value} has no canonical JSON; an identity needs finite numbers")
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


def _mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"a key of canonical JSON is a text, not a {type(key).__name__}")
    return {str(_plain(key)): _plain(item) for key, item in value.items()}
