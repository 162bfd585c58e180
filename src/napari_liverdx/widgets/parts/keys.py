"""Keys over the canvas, in one list that can be shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Key", "Keys"]


@dataclass(frozen=True, slots=True)
class Key:
    """A bound key.

    Attributes
    ----------
    key : str
        As napari writes it, for example ``"Control-Z"``.
    text : str
        What it does.
    where : str
        Where it works, if not over the whole canvas.
    """

    key: str
    text: str
    where: str = ""

    @property
    def shown(self) -> str:
        """As a person reads it."""
        return self.key.replace("Control", "Ctrl").replace("-", "+")


class Keys:
    """Binds keys to a viewer and gives them back when released.

    Attributes
    ----------
    listed : list of Key
        In the order in which they were bound.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.listed: list[Key] = []
        self._before: list[tuple[str, Any]] = []

    def bind(self, key: str, text: str, action: Callable[[], object]) -> None:
        """Call ``action`` when ``key`` is pressed over the canvas.

        Layers keep their own keys: a Shapes layer that is being drawn on answers first.
        """

        def pressed(_: Any) -> None:
            action()

        before = self._viewer.bind_key(key, pressed, overwrite=True)
        self._before.append((key, before))
        self.listed.append(Key(key, text))

    def mention(self, key: str, text: str, where: str) -> None:
        """List a key that something else answers."""
        self.listed.append(Key(key, text, where))

    def release(self) -> None:
        """Give all keys back; calling it again does nothing."""
        for key, before in reversed(self._before):
            self._viewer.bind_key(key, before, overwrite=True)
        self._before.clear()
