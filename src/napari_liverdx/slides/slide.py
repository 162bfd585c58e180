"""A slide: levels, resolution and pixels, whatever the file format."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from napari_liverdx._files import bare_name
from napari_liverdx._v010 import level_sizes, sized_levels
from napari_liverdx.core.errors import SlideReadError, TileReadError
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.slides.backend import (
    WHITE,
    AssociatedImages,
    OpenFile,
    OwnFingerprint,
    SlideBackend,
    SlideInfo,
)
from napari_liverdx.slides.cache import TileCache
from napari_liverdx.slides.color import srgb_transform
from napari_liverdx.slides.overview import Overview, read_overview

__all__ = ["Opener", "Overview", "Slide"]


class Opener(Protocol):
    """Opens a slide's file again, as `napari_liverdx.slides.open.open_slide` does."""

    def __call__(
        self,
        path: Path,
        *,
        mpp: Mpp | None = None,
        scene: int | None = None,
        color_managed: bool = False,
    ) -> Slide:
        """Open the file."""
        ...


class Slide:
    """An open slide. Reading is safe from several threads; close it or use ``with``.

    A slide nobody holds any more closes itself.

    Parameters
    ----------
    path : Path
        The slide's file.
    backend : SlideBackend
        What reads the file.
    mpp : Mpp, optional
        Overrides what the file says.
    cache : TileCache, optional
        Memory for decoded tiles.
    open_again : Opener, optional
        Opens the file in another process; without it the slide cannot be pickled.
    scene : int, optional
        The scene that was asked for.
    color_managed : bool
        Whether colors are turned into sRGB by the file's ICC profile.

    Raises
    ------
    SlideReadError
        If colors are to be turned and the file has no usable profile.
    """

    def __init__(
        self,
        path: Path,
        backend: SlideBackend,
        *,
        mpp: Mpp | None = None,
        cache: TileCache | None = None,
        open_again: Opener | None = None,
        scene: int | None = None,
        color_managed: bool = False,
    ) -> None:
        self.path = path
        self.color_managed = color_managed
        self._asked_scene = scene
        self._convert = _conversion(path, backend.info) if color_managed else None
        self._open_again = open_again
        self._backend = backend
        self._given_mpp = mpp
        self._cache = cache if cache is not None else TileCache()
        # A viewer drops its layers without a word; the file must not stay open then. It closes
        # with the last of the slides that `with_mpp` made of this one.
        self._held = OpenFile()
        self._release = weakref.finalize(self._held, backend.close)

    def __reduce__(self) -> tuple[Callable[..., Slide], tuple[object, ...]]:
        if self._open_again is None:
            raise TypeError(f"{self.path}: a slide without a file of its own cannot be pickled")
        again = (self._given_mpp, self._asked_scene, self.color_managed)
        return _reopen, (self._open_again, self.path, *again)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        width, height = self.size
        return f"Slide({self.path.name!r}, {width}×{height} px, {len(self.levels)} levels)"

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        return self._backend.info

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels, finest first."""
        return self._backend.info.levels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in level-0 pixels."""
        return self.levels[0].width, self.levels[0].height

    @property
    def size_mm(self) -> tuple[float, float] | None:
        """Width and height in mm, or None while the resolution is unknown."""
        if self.mpp is None:
            return None
        width, height = self.size
        return width * self.mpp.x / 1000, height * self.mpp.y / 1000

    @property
    def name(self) -> str:
        """File name without its ending."""
        return bare_name(self.path.name)

    @property
    def mpp(self) -> Mpp | None:
        """Level-0 resolution as given, or else as the file says; None while it is unknown."""
        return self._given_mpp or self._backend.info.mpp

    def with_mpp(self, mpp: Mpp) -> Slide:
        """Return the same slide at ``mpp`` in place of what the file says.

        Both read through one open file and one cache: closing either closes both.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._given_mpp = mpp
        return other

    def with_color_management(self, *, on: bool) -> Slide:
        """Return the same slide with colors in sRGB, or as they are stored.

        Both read through one open file: closing either closes both.

        Raises
        ------
        SlideReadError
            If colors are to be turned and the file has no usable profile.
        """
        if on == self.color_managed:
            return self
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.color_managed = on
        other._convert = _conversion(self.path, self.info) if on else None
        other._cache = TileCache(self._cache.max_bytes)
        return other

    def fingerprint(self) -> str:
        """Compute a SHA-256 that tells slides apart, cheap on files of any size.

        Over the length and both ends of the file and the level sizes; for pixels without a file,
        over a small picture of them; for a slide of several files, over what its format says.

        Raises
        ------
        SlideReadError
            If the file is gone.
        """
        digest = hashlib.sha256(self.info.identity.encode())
        sizes = [(v.width, v.height) for v in self.levels]
        if isinstance(self._backend, OwnFingerprint):
            digest.update(self._backend.fingerprint_bytes())
            digest.update(level_sizes(sizes).encode())
            return digest.hexdigest()
        if not self.path.exists() or self.path.is_dir():
            as_stored = self.with_color_management(on=False)
            digest.update(as_stored.overview(max(1.0, max(self.size) / 512)).rgb.tobytes())
            digest.update(level_sizes(sizes).encode())
            return digest.hexdigest()
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                for start in (0, max(0, size - 2**16)):
                    file.seek(start)
                    digest.update(file.read(2**16))
        except OSError as error:
            raise SlideReadError(
                f"{self.path}: the slide cannot be read any more: {error}"
            ) from error
        digest.update(sized_levels(size, sizes).encode())
        return digest.hexdigest()

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one stored tile through the cache; do not write to it.

        Returns
        -------
        ndarray of uint8, shape (h, w, 3)

        Raises
        ------
        TileReadError
            If it cannot be decoded.
        """
        return self._cache.get((level, row, col), lambda: self._read(level, row, col))

    def _read(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        tile = self._backend.read_tile(level, row, col)
        shape = self.levels[level]
        wanted = (
            min(shape.tile_height, shape.height - row * shape.tile_height),
            min(shape.tile_width, shape.width - col * shape.tile_width),
        )
        if tile.shape[0] < wanted[0] or tile.shape[1] < wanted[1]:
            raise TileReadError(
                f"{self.path}: the stored tile at row {row}, column {col} of level {level} is "
                f"{tile.shape[1]} × {tile.shape[0]} px in place of {wanted[1]} × {wanted[0]}; the "
                "file is damaged, copy it again from its source"
            )
        return tile if self._convert is None else self._convert(tile)

    def read_associated(self, name: str) -> NDArray[np.uint8]:
        """Read a picture stored beside the slide, for looking at; it may show a patient's name.

        Parameters
        ----------
        name : str
            One of ``info.associated``.

        Returns
        -------
        ndarray of uint8, shape (h, w, 3)

        Raises
        ------
        SlideReadError
            If there is none of that name or it cannot be decoded.
        """
        if name not in self.info.associated or not isinstance(self._backend, AssociatedImages):
            there = ", ".join(self.info.associated) or "none"
            raise SlideReadError(
                f"{self.path}: no picture {name!r} beside the slide; it has {there}"
            )
        return self._backend.read_associated(name)

    def read_region(
        self,
        level: int,
        x: int,
        y: int,
        width: int,
        height: int,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """Read the pixels of a rectangle; white where it reaches beyond the slide.

        Parameters
        ----------
        level : int
            Index of the level.
        x, y, width, height : int
            In pixels of that level.
        out : ndarray of uint8, shape (height, width, 3), optional
            Written to and returned if given.

        Returns
        -------
        ndarray of uint8, shape (height, width, 3)

        Raises
        ------
        TileReadError
            If a stored tile under the rectangle cannot be decoded.
        """
        if out is None:
            out = np.empty((height, width, 3), np.uint8)
        shape = self.levels[level]
        x0, x1 = max(x, 0), min(x + width, shape.width)
        y0, y1 = max(y, 0), min(y + height, shape.height)
        if x1 - x0 < width or y1 - y0 < height:
            out[...] = WHITE
        if x1 <= x0 or y1 <= y0:
            return out
        tile_w, tile_h = shape.tile_width, shape.tile_height
        for row in range(y0 // tile_h, -(-y1 // tile_h)):
            top, bottom = max(y0, row * tile_h), min(y1, (row + 1) * tile_h)
            for col in range(x0 // tile_w, -(-x1 // tile_w)):
                left, right = max(x0, col * tile_w), min(x1, (col + 1) * tile_w)
                tile = self.read_tile(level, row, col)
                out[top - y : bottom - y, left - x : right - x] = tile[
                    top - row * tile_h : bottom - row * tile_h,
                    left - col * tile_w : right - col * tile_w,
                ]
        return out

    def overview(self, downsample: float) -> Overview:
        """Read a picture reduced by about ``downsample``; see `read_overview`."""
        return read_overview(self.levels, self._read, downsample)

    def keep_open(self) -> Callable[[], None]:
        """Keep the file open whatever `close` says, until what is returned is called.

        For reads that nothing can interrupt: the file must not be taken away from them.
        """
        return self._held.keep(self._release)

    def forget_tiles(self) -> None:
        """Give the memory of decoded tiles back; they are read again when they are needed."""
        self._cache.clear()

    def close(self) -> None:
        """Release the file and the cache."""
        self._held.close(self._release)
        self._cache.clear()


def _reopen(
    open_again: Opener, path: Path, mpp: Mpp | None, scene: int | None, color_managed: bool
) -> Slide:
    return open_again(path, mpp=mpp, scene=scene, color_managed=color_managed)


def _conversion(path: Path, info: SlideInfo) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    if info.icc_profile is None:
        raise SlideReadError(f"{path}: it holds no color profile; open it without color management")
    return srgb_transform(info.icc_profile, str(path))
