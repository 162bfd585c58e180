"""TIFF slides: Aperio SVS, generic pyramids, OME-TIFF and plain images, in tiles or strips.

Stored tiles are read with one positioned read each and decoded by imagecodecs. What is checked,
which picture is the slide, what its colors and its resolution are: see `tiff_parts`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import LiverDxError, SlideReadError, TileReadError
from napari_liverdx.core.resolution import Level
from napari_liverdx.slides.backend import Scene, SlideInfo, SlideRequest, choose_scene
from napari_liverdx.slides.formats.tiff_parts.calibrate import settle_colors
from napari_liverdx.slides.formats.tiff_parts.candidates import Contents, read_contents
from napari_liverdx.slides.formats.tiff_parts.colors import (
    APERIO_YCBCR,
    icc_profile,
    unread_compression,
)
from napari_liverdx.slides.formats.tiff_parts.directory import (
    TIFF_MAGIC,
    Directory,
    TiffSource,
    read_directories,
    truncated,
)
from napari_liverdx.slides.formats.tiff_parts.picture import Picture
from napari_liverdx.slides.formats.tiff_parts.resolution import is_aperio, read_resolution
from napari_liverdx.slides.formats.tiff_parts.select import Found, StoredSlide, find_slides_in
from napari_liverdx.slides.formats.vendors import is_ndpi, scanner_of_tiff

__all__ = ["TiffBackend", "open_tiff"]

_LARGEST_BESIDE = 1 << 26
"""Pixels of the largest picture beside the slide that is read whole."""


class TiffBackend:
    """`SlideBackend` for one TIFF file.

    Parameters
    ----------
    source : TiffSource
        The open file.
    contents : Contents
        Its pictures.
    found : Found
        Which of them is the slide.
    scene : int, optional
        Which slide, where there are several; the largest by default.
    """

    def __init__(
        self, source: TiffSource, contents: Contents, found: Found, scene: int | None
    ) -> None:
        self._source, self._path = source, source.path
        self._associated = found.associated
        slides = sorted(found.slides, key=lambda slide: slide.main.order)
        scenes = tuple(_scene(slide) for slide in slides) if len(slides) > 1 else ()
        index = choose_scene(scenes, scene, self._path) if scenes else 0
        slide = slides[index]
        self._levels = slide.levels
        contents.check_damage(slide.area)
        _check_complete(self._levels, self._path)
        main = slide.main
        settle_colors(self._levels, main.ome.significant_bits if main.ome else None)
        resolution = read_resolution(main.layout.directory, main.ome, contents.broken)
        self._info = SlideInfo(
            format=_format_name(contents, main.layout.directory, self._levels[0]),
            levels=tuple(_level(picture, self._levels[0]) for picture in self._levels),
            mpp=resolution.mpp,
            mpp_note=resolution.note,
            mpp_options=resolution.options,
            objective_power=resolution.power,
            scenes=scenes,
            scene=index,
            associated=tuple(self._associated),
            icc_profile=icc_profile(main.layout),
            identity="" if slide is found.slides[0] else f"image {main.order}",
        )

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        return self._info

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one stored tile as RGB, shape (h, w, 3); strips are tiles of the full width.

        Raises
        ------
        TileReadError
            If it cannot be decoded.
        """
        try:
            return self._levels[level].read_tile(row, col)
        # Codecs raise errors of their own making, with no common base but Exception.
        except Exception as error:
            raise TileReadError(
                f"{self._path}: stored tile (row {row}, column {col}) of level {level} is damaged "
                f"({error}); the rest of the slide can still be read"
            ) from error

    def read_associated(self, name: str) -> NDArray[np.uint8]:
        """Read a picture that stands beside the slide, RGB, shape (h, w, 3).

        Raises
        ------
        SlideReadError
            If it cannot be decoded.
        """
        picture = self._associated[name]
        if picture.area > _LARGEST_BESIDE:
            raise SlideReadError(
                f"{self._path}: the picture {name!r} is too large to be shown "
                f"({picture.width} × {picture.height} px)"
            )
        try:
            return picture.read_whole()
        except Exception as error:
            raise SlideReadError(
                f"{self._path}: the picture {name!r} beside the slide is damaged ({error}); the "
                "slide itself can still be read"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _scene(slide: StoredSlide) -> Scene:
    picture = slide.levels[0]
    return Scene(slide.main.name or f"image {slide.main.order + 1}", picture.width, picture.height)


def _level(picture: Picture, finest: Picture) -> Level:
    return Level.reduced(
        (picture.width, picture.height),
        (finest.width, finest.height),
        (picture.tile_width, picture.tile_height),
    )


def _check_complete(levels: list[Picture], path: Path) -> None:
    counted = [picture.beyond_end() for picture in levels]
    beyond, total = (sum(numbers) for numbers in zip(*counted, strict=True))
    if beyond:
        raise truncated(path, f"{beyond} of {total} tiles lie beyond its end")


def _format_name(contents: Contents, directory: Directory, main: Picture) -> str:
    if is_aperio(directory.text(270)):
        return "Aperio SVS"
    if contents.is_ome:
        return "OME-TIFF"
    return "tiled TIFF" if main.tiled else "TIFF image"


def _is_for_others(contents: Contents) -> bool:
    """Return whether an SVS is stored in a way that only OpenSlide may read."""
    for candidate in contents.candidates:
        if candidate.picture.tiled and unread_compression(candidate.layout) is not None:
            return True
    return False


def _decodes(picture: Picture) -> bool:
    """Return whether Aperio's YCbCr in JPEG 2000 can be read, which may have smaller chroma."""
    layout = picture.layouts[0]
    if layout.compression != APERIO_YCBCR or not layout.counts.any():
        return True
    try:
        picture.raw_tile(*divmod(int(layout.counts.argmax()), layout.across))
    except Exception:  # noqa: BLE001 - codecs raise errors of their own making
        return False
    return True


def open_tiff(request: SlideRequest) -> TiffBackend | None:
    """Open a TIFF, or return None if the file is none or one that OpenSlide reads better.

    Raises
    ------
    SlideReadError
        If the file is a TIFF but damaged or truncated.
    NotASlideError
        If it holds no image in brightfield colors.
    """
    path = request.path
    with path.open("rb") as file:
        if file.read(4) not in TIFF_MAGIC:
            return None
    if is_ndpi(path):
        return None
    source = TiffSource(path)
    try:
        backend = _opened(source, request)
    except LiverDxError:
        source.close()
        raise
    # What the checks let through still surfaces here in whatever a codec or number trips over.
    except Exception as error:
        source.close()
        raise SlideReadError(
            f"{path}: the TIFF structure is damaged or cut off ({error}); copy the file again "
            "from its source"
        ) from error
    if backend is None:
        source.close()
    return backend


def _opened(source: TiffSource, request: SlideRequest) -> TiffBackend | None:
    directories = read_directories(source)
    if scanner_of_tiff(directories) is not None:
        return None
    contents = read_contents(directories, source.path)
    if not contents.candidates:
        contents.check_damage(0)
    aperio = is_aperio(directories[0].text(270))
    if aperio and _is_for_others(contents):
        return None
    found = find_slides_in(contents.candidates, source.path, aperio=aperio)
    if aperio and not _decodes(found.slides[0].levels[0]):
        return None
    return TiffBackend(source, contents, found, request.scene)
