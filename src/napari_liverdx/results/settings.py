"""Settings that are read value by value, so that one that is not known costs only itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

__all__ = ["read_settings"]

M = TypeVar("M", bound=BaseModel)


def read_settings(
    kind: type[M], stored: Mapping[str, Any], where: str, notices: list[str] | None = None
) -> M:
    """Read settings; the default takes the place of a value that this version does not know.

    Parameters
    ----------
    kind : type of BaseModel
        The settings; each has a default.
    stored : mapping
        As they were stored.
    where : str
        Whose settings these are, for the notices.
    notices : list of str, optional
        Takes in what was left out, and why.
    """
    problems: list[str] = []
    try:
        left = copy.deepcopy(dict(stored))
    except RecursionError:
        left = {}
        problems.append(f"{where}: what is stored cannot be used (nested too deeply)")
    while True:
        try:
            found = kind.model_validate(left)
        except ValidationError as error:
            if not left:
                raise
            first = error.errors()[0]
            name = _drop(kind, left, first["loc"])
            why = first["msg"].removeprefix("Value error, ")
            problems.append(f"{where}: {name} cannot be used ({why}); its default takes its place")
            continue
        if notices is not None:
            notices += problems
        return found


def _drop(kind: type[BaseModel], settings: dict[Any, Any], place: tuple[int | str, ...]) -> str:
    """Take out the value at a place, or what holds it; returns its name."""
    names = [p for p in place if isinstance(p, str)]
    if names and names[0] not in settings:
        # Pydantic tells the alias though the name was given.
        aliases = {f.alias: name for name, f in kind.model_fields.items() if f.alias}
        names[0] = aliases.get(names[0], names[0])
    inner, holder, told = settings, settings, list[str]()
    for name in names:
        if name not in inner:
            break
        told.append(name)
        holder = inner
        if not isinstance(inner[name], dict):
            break
        inner = inner[name]
    if not told:
        settings.clear()
        return "what is stored"
    del holder[told[-1]]
    return " ".join(told)
