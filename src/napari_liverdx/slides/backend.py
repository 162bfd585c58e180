"""What a slide format must be able to do, and what it tells of a file."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import SlideReadError, TileReadError
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.slides.address import remote_address

__all__ = [
    "IN_MEMORY",
    "WHITE",
    "AssociatedImages",
    "OpenFile",
    "OwnFingerprint",
    "Scene",
    "SlideBackend",
    "SlideInfo",
    "SlideRequest",
    "choose_scene",
    "sampled_digest",
]

_DIGEST_TILES = 64
WHITE = 255
IN_MEMORY = "image layer"
"""Format of a slide that is no file; its name is that of a layer, which may change."""


@dataclass(frozen=True, slots=True)
class SlideRequest:
    """What is to be opened.

    Attributes
    ----------
    path : Path
        A file, a folder, or a remote address as `napari_liverdx.slides.address` spells it.
    scene : int or None
        Index of the scene; None for the largest.
    """

    path: Path
    scene: int | None = None

    @property
    def url(self) -> str | None:
        """The remote address; None for what lies on a disk."""
        return remote_address(self.path)


@dataclass(frozen=True, slots=True)
class Scene:
    """One of several pictures in a file that could each be the slide.

    Attributes
    ----------
    name : str
        For people.
    width, height : int
        In its finest pixels.
    """

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """What a file says of itself.

    Attributes
    ----------
    format : str
        For people, for example ``"Aperio SVS"``.
    levels : tuple of Level
        Finest first.
    mpp : Mpp or None
        None where the file gives none, an implausible one, or several that differ.
    mpp_note : str
        Why ``mpp`` is None, else empty.
    mpp_options : tuple of Mpp
        What the file's sources say where they contradict each other, the likeliest first.
    objective_power : float or None
        Magnification of the objective, for example 40.
    scenes : tuple of Scene
        More than one where the file holds several; empty or one otherwise.
    scene : int
        Which of them is open.
    origin : tuple of int
        Where (0, 0) lies in the file's own level-0 pixels: not at (0, 0) where the scanner states
        bounds or a scene is cut out.
    associated : tuple of str
        Names of the pictures stored beside the slide: label, macro, thumbnail.
    icc_profile : bytes or None
        Color profile of the pixels.
    identity : str
        What tells slides apart that the file's ends and level sizes do not: a scene, a series.
    center_nm : tuple of float or None
        From the center of the glass to that of the picture, nm, (x, y), where the scanner says so.
    references : mapping of str to str
        Identifiers that exports carry on, as the DICOM UIDs of the source.
    """

    format: str
    levels: tuple[Level, ...]
    mpp: Mpp | None
    mpp_note: str = ""
    mpp_options: tuple[Mpp, ...] = ()
    objective_power: float | None = None
    scenes: tuple[Scene, ...] = ()
    scene: int = 0
    origin: tuple[int, int] = (0, 0)
    associated: tuple[str, ...] = ()
    icc_profile: bytes | None = field(default=None, repr=False)
    identity: str = ""
    center_nm: tuple[float, float] | None = None
    references: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_scene(self) -> int:
        """Index of the scene that is opened unless another is asked for."""
        return _largest(self.scenes) if self.scenes else 0

    @property
    def mpp_question(self) -> str:
        """Why a person must state the resolution, with what sources say that contradict."""
        # A note on sources that differ already says them.
        more = [str(mpp) for mpp in self.mpp_options if mpp.source not in self.mpp_note]
        return f"{self.mpp_note}; perhaps {' or '.join(more)}" if more else self.mpp_note

    def properties(
        self, mpp: Mpp | None, *, color_managed: bool = False
    ) -> tuple[tuple[str, str], ...]:
        """Return what there is to know of a slide, each with its title, for people.

        Parameters
        ----------
        mpp : Mpp or None
            As the file or a person says.
        color_managed : bool
            Whether colors are turned into sRGB.
        """
        first = self.levels[0]
        size = f"{first.width:,} × {first.height:,} px"
        if mpp is not None:
            size += f", {first.width * mpp.x / 1000:.2f} × {first.height * mpp.y / 1000:.2f} mm"
        levels = ", ".join(f"{v.width:,} × {v.height:,}" for v in self.levels)
        rows = [
            ("format", self.format),
            ("size", size),
            ("levels", f"{len(self.levels)}: {levels}"),
            ("resolution", str(mpp or self.mpp_question)),
        ]
        if self.objective_power is not None:
            rows.append(("objective", f"{self.objective_power:g}x"))
        if any(self.origin):
            x, y = self.origin
            rows.append(("begins at", f"x {x:,}, y {y:,} in the file's own pixels"))
        for index, scene in enumerate(self.scenes if len(self.scenes) > 1 else ()):
            text = f"{index}: {scene.name}, {scene.width:,} × {scene.height:,} px"
            rows.append(("scene", text + (", open" if index == self.scene else "")))
        used = "converted to sRGB" if color_managed else "shown as stored"
        profile = f"color profile (ICC), {used}" if self.icc_profile else "no color profile"
        rows.append(("colors", profile))
        rows.append(("beside it", ", ".join(self.associated) or "no label, macro or thumbnail"))
        return tuple(rows)


class SlideBackend(Protocol):
    """What a file format must be able to do; reading is safe from several threads."""

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        ...

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one stored tile, RGB, shape (h, w, 3); cut at the level's edge or not.

        Gaps and transparency are white.

        Raises
        ------
        TileReadError
            If it cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Release the file; calling it again does nothing."""
        ...


@runtime_checkable
class AssociatedImages(Protocol):
    """What a backend whose `SlideInfo.associated` is not empty can do as well."""

    def read_associated(self, name: str) -> NDArray[np.uint8]:
        """Read one of the pictures beside the slide, RGB, shape (h, w, 3).

        Raises
        ------
        SlideReadError
            If it cannot be decoded.
        """
        ...


@runtime_checkable
class OwnFingerprint(Protocol):
    """What a backend of several files does as well, so that it counts as one whichever is named."""

    def fingerprint_bytes(self) -> bytes:
        """Return what tells the slide from all others besides its identity and level sizes.

        Raises
        ------
        SlideReadError
            If the files are gone.
        """
        ...


def sampled_digest(backend: SlideBackend) -> bytes:
    """Return a digest of tiles spread over a slide's coarsest level; damaged ones are left out.

    For `OwnFingerprint`, where it is the pixels that tell slides apart: the same in a folder, a
    zip file, and at a remote address.

    Raises
    ------
    SlideReadError
        If nothing can be read any more.
    """
    last = len(backend.info.levels) - 1
    rows, columns = backend.info.levels[last].tile_shape
    count = min(rows * columns, _DIGEST_TILES)
    digest = hashlib.sha256()
    for number in range(count):
        row, col = divmod(number * rows * columns // count, columns)
        with contextlib.suppress(TileReadError):
            digest.update(backend.read_tile(last, row, col).tobytes())
    return digest.digest()


def choose_scene(scenes: Sequence[Scene], wanted: int | None, path: Path) -> int:
    """Return the index of the wanted scene, by default of the largest.

    Raises
    ------
    SlideReadError
        If there is no such scene.
    """
    if wanted is None:
        return _largest(scenes)
    if not 0 <= wanted < len(scenes):
        there = ", ".join(f"{i} ({s.name})" for i, s in enumerate(scenes))
        raise SlideReadError(f"{path}: there is no scene {wanted}; choose one of {there}")
    return wanted


def _largest(scenes: Sequence[Scene]) -> int:
    return max(range(len(scenes)), key=lambda i: scenes[i].width * scenes[i].height)


class OpenFile:
    """What the slides of one open file share; the file closes when it goes.

    It stays open while a read that nothing can interrupt is within it, whoever closes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = 0
        self._is_wanted = True

    def keep(self, release: Callable[[], object]) -> Callable[[], None]:
        """Keep the file open until what is returned is called; ``release`` closes it."""
        with self._lock:
            self._kept += 1

        def let_go() -> None:
            with self._lock:
                self._kept -= 1
                if self._kept or self._is_wanted:
                    return
            release()

        return let_go

    def close(self, release: Callable[[], object]) -> None:
        """Close the file, or have it closed once nobody keeps it."""
        with self._lock:
            self._is_wanted = False
            if self._kept:
                return
        release()
