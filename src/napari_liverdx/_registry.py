"""Things of one kind by name: ours, those registered while running, those of other packages.

Another package adds its own by an entry point, whose name is that under which the thing is found:

.. code-block:: toml

   [project.entry-points."napari_liverdx.slide_formats"]
   zebra = "my_package.zebra:FORMAT"

It is loaded when it is first asked for. One that fails costs itself alone: it is left out, and a
`PluginWarning` says why.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name
from typing import Generic, TypeVar, cast

__all__ = ["PluginWarning", "Registry"]

T = TypeVar("T")


class PluginWarning(UserWarning):
    """Something of another package does not work and is left out."""


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to things of one kind, ours first.

    Iteration loads what other packages offer and skips what fails; looking up a name loads no more
    than what it stands for.

    Parameters
    ----------
    group : str
        Of the entry points by which other packages add to it.
    kind : type
        What each of them must be.
    own : mapping of str to T or str
        Ours, or where they are found as ``"module:name"``, to be imported when asked for.
    """

    def __init__(self, group: str, kind: type, own: Mapping[str, T | str]) -> None:
        self.group = group
        self._kind = kind
        self._own: dict[str, T | str] = dict(own)
        self._registered: dict[str, T] = {}
        # By what is searched for packages: that may change while the program runs.
        self._found: dict[tuple[str, ...], dict[str, EntryPoint]] = {}
        self._loaded: dict[EntryPoint, T | None] = {}

    def register(self, name: str, thing: T) -> None:
        """Add something under a name that is still free.

        Raises
        ------
        ValueError
            If the name is taken or it is not of this kind.
        """
        if name in self._own or name in self._registered:
            raise ValueError(f"{self.group}: the name {name!r} is taken; choose another")
        if problem := self._problem(name, thing):
            raise ValueError(f"{self.group}: {problem}")
        self._registered[name] = thing

    def unregister(self, name: str) -> None:
        """Take away what was added by `register`; nothing if there is none."""
        self._registered.pop(name, None)

    def is_own(self, name: str) -> bool:
        """Return whether this package brings it."""
        return name in self._own

    def __getitem__(self, name: str) -> T:
        if name in self._own:
            thing = self._own[name]
            if isinstance(thing, str):
                thing = self._own[name] = cast("T", resolve_name(thing))
            return thing
        if name in self._registered:
            return self._registered[name]
        point = self._points().get(name)
        loaded = None if point is None else self._load(point)
        if loaded is None:
            raise KeyError(name)
        return loaded

    def __contains__(self, name: object) -> bool:
        if name in self._own or name in self._registered:
            return True
        point = self._points().get(str(name))
        return point is not None and self._load(point) is not None

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._registered
        for name, point in self._points().items():
            if name not in self._registered and self._load(point) is not None:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _points(self) -> dict[str, EntryPoint]:
        searched = tuple(sys.path)
        if searched not in self._found:
            found: dict[str, EntryPoint] = {}
            for point in entry_points(group=self.group):
                if point.name in self._own:
                    _warn(point, "that name is one of napari-liverdx itself")
                elif point.name in found and found[point.name] != point:
                    _warn(point, f"{_package(found[point.name])} offers one of that name too")
                else:
                    found[point.name] = point
            self._found[searched] = found
        return self._found[searched]

    def _load(self, point: EntryPoint) -> T | None:
        if point not in self._loaded:
            # Noted first: where warnings are errors, it fails once and not each time.
            self._loaded[point] = None
            try:
                thing = point.load()
            except Exception as error:  # noqa: BLE001 - other people's code may raise anything
                _warn(point, f"{type(error).__name__}: {error}")
                return None
            if problem := self._problem(point.name, thing):
                _warn(point, problem)
                return None
            self._loaded[point] = thing
        return self._loaded[point]

    def _problem(self, name: str, thing: object) -> str:
        if not isinstance(thing, self._kind):
            return f"{thing!r} is no {self._kind.__name__}"
        called = getattr(thing, "name", name)
        if isinstance(called, str) and called != name:
            return f"it calls itself {called!r}; give both the same name"
        return ""


def _package(point: EntryPoint) -> str:
    return "another package" if point.dist is None else point.dist.name


def _warn(point: EntryPoint, why: str) -> None:
    warnings.warn(
        f"{point.group}: {point.name!r} of {_package(point)} is left out ({why}); update or "
        "remove that package",
        PluginWarning,
        stacklevel=4,
    )
