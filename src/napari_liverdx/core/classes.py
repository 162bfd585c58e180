"""What a model distinguishes: names, colors, and which classes are disease."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from napari_liverdx.core.colormaps import rgb

__all__ = ["ClassKind", "ClassScheme", "TissueClass"]

_HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class ClassKind(StrEnum):
    """The part a class plays."""

    BACKGROUND = "background"
    NORMAL = "normal"
    PATHOLOGICAL = "pathological"


@dataclass(frozen=True, slots=True)
class TissueClass:
    """One class.

    Attributes
    ----------
    name : str
        Short identifier, for files and commands.
    title : str
        What a person reads.
    color : str
        ``#rrggbb``.
    kind : ClassKind
        Background, normal or pathological.

    Raises
    ------
    ValueError
        If the color is not ``#rrggbb``.
    """

    # Stored as ``colour`` since the first version.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    name: str
    title: str
    color: Annotated[str, Field(alias="colour")]
    kind: ClassKind

    def __post_init__(self) -> None:
        if not _HEX_COLOR.fullmatch(self.color):
            raise ValueError(f"class {self.name!r}: color {self.color!r} is not #rrggbb")

    @property
    def rgb(self) -> tuple[float, float, float]:
        """Color as red, green, blue in 0 to 1."""
        return rgb(self.color)


@dataclass(frozen=True, slots=True)
class ClassScheme:
    """The ordered classes of a model; the order is that of its outputs.

    Raises
    ------
    ValueError
        If there are fewer than two classes or a name occurs twice.
    """

    classes: tuple[TissueClass, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.classes]
        if len(names) < 2:
            raise ValueError("a class scheme needs at least two classes")
        if len(set(names)) != len(names):
            raise ValueError(f"class names must differ, got {names}")

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[TissueClass]:
        return iter(self.classes)

    def __getitem__(self, index: int) -> TissueClass:
        return self.classes[index]

    @property
    def names(self) -> tuple[str, ...]:
        """Names in output order."""
        return tuple(c.name for c in self.classes)

    def index(self, name: str) -> int:
        """Return the output index of the class called ``name``.

        Raises
        ------
        KeyError
            If there is no such class.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(f"no class {name!r}; this model has {', '.join(self.names)}") from None

    @property
    def pathological(self) -> tuple[int, ...]:
        """Indices of the pathological classes."""
        return tuple(i for i, c in enumerate(self.classes) if c.kind is ClassKind.PATHOLOGICAL)

    @property
    def background(self) -> int | None:
        """Index of the background class, if there is one."""
        kinds = [c.kind for c in self.classes]
        return kinds.index(ClassKind.BACKGROUND) if ClassKind.BACKGROUND in kinds else None
