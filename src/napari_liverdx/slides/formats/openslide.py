"""Slides that OpenSlide reads: NDPI, MRXS, SCN, BIF, VMS, VMU, Philips, Trestle, Sakura, CZI.

The slide opens at its tissue: at the scanner's bounds, or at one of its regions. OpenSlide places
and blends a scanner's own tiles, so ours are cut out of what it shows; gaps are white.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import NotASlideError, SlideReadError, TileReadError
from napari_liverdx.core.resolution import Level
from napari_liverdx.slides.backend import WHITE, Scene, SlideInfo, SlideRequest, choose_scene
from napari_liverdx.slides.formats.openslide_parts.checks import (
    MOST_PIXELS,
    check_claimed_sizes,
    check_database,
)
from napari_liverdx.slides.formats.openslide_parts.handles import OpenSlideHandles
from napari_liverdx.slides.formats.openslide_parts.properties import (
    Area,
    associated_names,
    glass_center,
    positive_number,
    stated_bounds,
    stated_regions,
    stated_resolution,
    tile_size,
)
from napari_liverdx.slides.formats.vendors import is_scanner_tiff

if TYPE_CHECKING:
    from openslide import OpenSlide

__all__ = ["OPENSLIDE_SUFFIXES", "OpenSlideBackend", "open_with_openslide"]

OPENSLIDE_SUFFIXES = (".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi")
"""Endings of files that OpenSlide alone reads; it also reads TIFFs of several scanners."""

_MAKERS = {
    "aperio": "Aperio SVS",
    "dicom": "DICOM",
    "generic-tiff": "tiled TIFF",
    "leica": "Leica SCN",
    "mirax": "3DHISTECH MRXS",
    "philips": "Philips TIFF",
    "philips-tiff": "Philips TIFF",
    "sakura": "Sakura SVSLIDE",
    "synthetic": "synthetic",
    "trestle": "Trestle TIFF",
    "ventana": "Ventana BIF",
    "zeiss": "Zeiss CZI",
}
_CACHE_BYTES = 32 << 20
"""Of OpenSlide's own cache: enough for the stored tiles that border on one of ours."""

_CUTS_PLACES = ("leica",)
"""Makers in whose slides OpenSlide cuts a place down to a whole pixel of the level, where it moves
pixels by fractions in others': a place just short of one would repeat a row of pixels."""

_LONGEST_PROFILE = 64 << 20
_LONGEST_SIDE = 1 << 21
"""Pixels: 20 cm at 0.1 µm each, more than any glass or stage."""


class OpenSlideBackend:
    """`SlideBackend` for one file that OpenSlide reads.

    Parameters
    ----------
    request : SlideRequest
        The file and the scene.
    vendor : str
        OpenSlide's name of the maker.

    Raises
    ------
    SlideReadError
        If it is damaged or there is no such scene.
    NotASlideError
        If its stored tiles are too large to be held.
    """

    def __init__(self, request: SlideRequest, vendor: str) -> None:
        import openslide

        self._path = request.path
        self._maker = _maker(request.path, vendor)
        cache = openslide.OpenSlideCache(_CACHE_BYTES)

        def open_handle() -> OpenSlide:
            slide = openslide.OpenSlide(request.path)
            slide.set_cache(cache)
            return slide

        self._handles = OpenSlideHandles(open_handle)
        try:
            self._info = self._handles.read(lambda slide: self._describe(slide, request, vendor))
        except openslide.OpenSlideError as error:
            self._handles.close()
            raise _unreadable(request.path, self._maker, str(error)) from error
        except BaseException:
            self._handles.close()
            raise

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        return self._info

    def _describe(self, slide: OpenSlide, request: SlideRequest, vendor: str) -> SlideInfo:
        properties = _properties(slide)
        if max(slide.dimensions) > _LONGEST_SIDE:
            claimed = "{:,} × {:,} px".format(*slide.dimensions)
            raise _unreadable(request.path, self._maker, f"it claims to be {claimed}")
        areas = stated_regions(properties, slide.dimensions)
        scenes = tuple(Scene(f"region {i + 1}", a.width, a.height) for i, a in enumerate(areas))
        chosen = choose_scene(scenes, request.scene, request.path) if len(areas) > 1 else 0
        area = areas[chosen] if areas else stated_bounds(properties, slide.dimensions)
        self._cuts = vendor in _CUTS_PLACES
        power = positive_number(properties, "openslide.objective-power")
        mpp, note, options = stated_resolution(properties, self._maker, power)
        self._names = associated_names(slide.associated_images)
        identity = properties.get("openslide.quickhash-1", "")
        return SlideInfo(
            format=self._maker,
            levels=self._levels(slide, properties, area),
            mpp=mpp,
            mpp_note=note,
            mpp_options=options,
            objective_power=power,
            scenes=scenes if len(scenes) > 1 else (),
            scene=chosen,
            origin=(area.x, area.y),
            associated=tuple(self._names),
            icc_profile=_profile(slide, properties),
            identity=f"{identity} {chosen}" if chosen else identity,
            center_nm=glass_center(properties),
        )

    def _levels(
        self, slide: OpenSlide, properties: Mapping[str, str], area: Area
    ) -> tuple[Level, ...]:
        levels: list[Level] = []
        sizes = zip(slide.level_dimensions, slide.level_downsamples, strict=True)
        for index, ((full_width, full_height), downsample) in enumerate(sizes):
            stored_w = positive_number(properties, f"openslide.level[{index}].tile-width") or 0
            stored_h = positive_number(properties, f"openslide.level[{index}].tile-height") or 0
            if stored_w * stored_h > MOST_PIXELS:
                raise NotASlideError(
                    f"{self._path}: stored in tiles of {stored_w:.0f} × {stored_h:.0f} pixels, too "
                    "large to be held; convert it to a tiled pyramidal TIFF"
                )
            width = max(1, min(round(area.width / downsample), full_width))
            height = max(1, min(round(area.height / downsample), full_height))
            if levels and (width >= levels[-1].width or height >= levels[-1].height):
                break
            levels.append(
                Level(
                    width, height, downsample, downsample, *tile_size(int(stored_w), int(stored_h))
                )
            )
        return tuple(levels)

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one tile as RGB, shape (h, w, 3), cut at the level's edge."""
        from openslide import OpenSlideError

        shape = self._info.levels[level]
        x, y = col * shape.tile_width, row * shape.tile_height
        size = min(shape.tile_width, shape.width - x), min(shape.tile_height, shape.height - y)
        place = self._place(0, x, shape.downsample_x), self._place(1, y, shape.downsample_y)
        try:
            return self._handles.read(lambda s: _on_white(s.read_region(place, level, size)))
        except (OpenSlideError, ValueError) as error:
            raise TileReadError(
                f"{self._path}: stored tile (row {row}, column {col}) of level {level} cannot be "
                f"read ({error}); the rest of the slide may still be readable"
            ) from error

    def _place(self, axis: int, pixel: int, downsample: float) -> int:
        """Return where a level's pixel begins, in the file's own level-0 pixels."""
        origin = self._info.origin[axis]
        if self._cuts and downsample > 1:
            return math.floor((origin // downsample + pixel) * downsample) + 1
        return round(origin + pixel * downsample)

    def read_associated(self, name: str) -> NDArray[np.uint8]:
        """Read one of the pictures beside the slide, RGB, shape (h, w, 3)."""
        from openslide import OpenSlideError

        own = self._names[name]

        def read(slide: OpenSlide) -> NDArray[np.uint8]:
            properties = _properties(slide)
            width, height = (
                positive_number(properties, f"openslide.associated.{own}.{side}") or 0
                for side in ("width", "height")
            )
            if width * height > MOST_PIXELS:
                raise ValueError(f"it is said to have {width:.0f} × {height:.0f} pixels")
            return _on_white(slide.associated_images[own])

        try:
            return self._handles.read(read)
        except (OpenSlideError, ValueError) as error:
            raise SlideReadError(
                f"{self._path}: the picture {name!r} beside the slide cannot be read ({error}); "
                "the slide itself may still be readable"
            ) from error

    def close(self) -> None:
        """Close the file as soon as nothing is being read."""
        self._handles.close()


def open_with_openslide(request: SlideRequest) -> OpenSlideBackend | None:
    """Open what OpenSlide reads, or return None if it is not of such a kind.

    Raises
    ------
    SlideReadError
        If it is of such a kind but damaged or incomplete, or OpenSlide is not installed rightly.
    """
    path = request.path
    named = path.suffix.lower() in OPENSLIDE_SUFFIXES
    try:
        from openslide import OpenSlide, OpenSlideError
    except (ImportError, OSError) as error:
        if not (named or is_scanner_tiff(path)):
            return None
        raise SlideReadError(
            f"{path}: only OpenSlide reads such slides, and it cannot be loaded ({error}); install "
            "it with 'pip install --force-reinstall openslide-python openslide-bin'"
        ) from error
    check_database(path)
    try:
        vendor = OpenSlide.detect_format(path)
    except OpenSlideError as error:
        raise _unreadable(path, "slide", str(error)) from error
    if vendor is None:
        if not (named or is_scanner_tiff(path)):
            return None
        raise _unreadable(path, path.suffix.lower(), _missing_parts(path))
    check_claimed_sizes(path, vendor)
    return OpenSlideBackend(request, vendor)


def _missing_parts(path: Path) -> str:
    folder = path.with_suffix("")
    if path.suffix.lower() == ".mrxs" and not folder.is_dir():
        return f"its folder {folder.name} is not beside it"
    return "its beginning is not that of such a slide"


def _unreadable(path: Path, kind: str, why: str) -> SlideReadError:
    advice = "copy it again from its source, with all that lies beside it"
    if kind == _MAKERS["zeiss"]:
        advice += ", or convert it to OME-TIFF with QuPath or bioformats2raw"
    return SlideReadError(f"{path}: this {kind} cannot be read ({why}); {advice}")


def _maker(path: Path, vendor: str) -> str:
    """Return what people call such slides; those of Hamamatsu by the kind of file."""
    kind = path.suffix.lower() if path.suffix.lower() in (".vms", ".vmu") else ".ndpi"
    return f"Hamamatsu {kind[1:].upper()}" if vendor == "hamamatsu" else _MAKERS.get(vendor, vendor)


def _on_white(image: Image.Image) -> NDArray[np.uint8]:
    """Return RGBA pixels laid on white, shape (h, w, 3)."""
    rgba = np.asarray(image.convert("RGBA"))
    alpha = rgba[..., 3:]
    if (alpha == WHITE).all():
        return np.ascontiguousarray(rgba[..., :3])
    parts = rgba[..., :3].astype(np.uint16) * alpha + WHITE * (WHITE - alpha.astype(np.uint16))
    laid: NDArray[np.uint8] = ((parts + WHITE // 2) // WHITE).astype(np.uint8)
    return laid


def _properties(slide: OpenSlide) -> dict[str, str]:
    """Return the properties; those with a name that is no text, as damage makes them, are none."""
    found = {}
    for name in slide.properties:
        with contextlib.suppress(KeyError):
            found[name] = slide.properties[name]
    return found


def _profile(slide: OpenSlide, properties: Mapping[str, str]) -> bytes | None:
    """Return the color profile; None where there is none that can be read."""
    if not 0 < (positive_number(properties, "openslide.icc-size") or 0) <= _LONGEST_PROFILE:
        return None
    try:
        found = slide.color_profile
    except OSError:
        return None
    return found.tobytes() if found is not None else None
