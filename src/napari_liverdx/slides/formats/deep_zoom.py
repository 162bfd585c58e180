"""Deep Zoom images: a ``.dzi`` file beside its folder of tiles, on a server, or both in a zip."""

from __future__ import annotations

import io
import math
import warnings
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import NotASlideError, SlideReadError, TileReadError
from napari_liverdx.core.resolution import Level, Mpp, is_plausible_mpp
from napari_liverdx.slides.backend import WHITE, SlideInfo, SlideRequest, sampled_digest
from napari_liverdx.slides.formats.ngff.remote import RemoteSource
from napari_liverdx.slides.formats.ngff.source import FolderSource, ZarrSource, ZipSource
from napari_liverdx.slides.pixels import to_rgb8
from napari_liverdx.slides.xml import parse_xml

__all__ = ["DeepZoomBackend", "open_deep_zoom"]

_MOST_PIXELS = 1 << 21
_MOST_TILE = 4096
_FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
_ZIPPED = (".szi", ".dzi.zip")


class DeepZoomBackend:
    """`SlideBackend` for a Deep Zoom image; tiles that are not there are white.

    Parameters
    ----------
    source : ZarrSource
        Files about the ``.dzi``; closed with the backend.
    name : str
        The ``.dzi`` among them.

    Raises
    ------
    SlideReadError
        If it is damaged, or its tiles are not there.
    """

    def __init__(self, source: ZarrSource, name: str) -> None:
        self._source = source
        self._where = f"{source.address}/{name}"
        self._tiles = name[: -len(".dzi")] + "_files"
        width, height = self._read_description(name)
        top = math.ceil(math.log2(max(width, height)))
        self._numbers: list[int] = []
        levels: list[Level] = []
        for number in range(top, -1, -1):
            w, h = (math.ceil(side / 2 ** (top - number)) for side in (width, height))
            smaller = not levels or (w < levels[-1].width and h < levels[-1].height)
            if not (smaller and source.has_folder(f"{self._tiles}/{number}")):
                if not levels:
                    raise SlideReadError(
                        f"{self._where}: the tiles of its finest level are not in "
                        f"{self._tiles}/{number}; copy that folder too"
                    )
                continue
            levels.append(Level(w, h, width / w, height / h, self._side, self._side))
            self._numbers.append(number)
            if max(w, h) <= self._side:
                break
        mpp, note = self._mpp()
        self._info = SlideInfo("Deep Zoom", tuple(levels), mpp, note)

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        return self._info

    def _read_description(self, name: str) -> tuple[int, int]:
        """Read the size of tiles, their overlap and format; return the image's size."""
        content = self._source.read(name)
        if content is None:
            raise SlideReadError(f"{self._where}: there is no such file; check the address")
        root = parse_xml(content, self._where, SlideReadError)
        size = next((e for e in root if e.tag.rpartition("}")[2] == "Size"), None)
        if root.tag.rpartition("}")[2] != "Image" or size is None:
            raise NotASlideError(f"{self._where}: the XML describes no Deep Zoom image")
        try:
            width, height = int(size.get("Width", "")), int(size.get("Height", ""))
            self._side, self._overlap = int(root.get("TileSize", "")), int(root.get("Overlap", "0"))
        except ValueError as error:
            raise SlideReadError(f"{self._where}: damaged ({error}); copy it again") from error
        self._ending = root.get("Format", "").lower()
        if self._ending not in _FORMATS:
            raise SlideReadError(
                f"{self._where}: tiles of format {self._ending[:20]!r} are not read here; write "
                f"the image again with tiles in JPEG or PNG"
            )
        sides = 0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS
        if not (sides and 16 <= self._side <= _MOST_TILE and 0 <= self._overlap < self._side):
            raise SlideReadError(
                f"{self._where}: claims {width} × {height} px in tiles of {self._side} px, which "
                "no slide has; the file is damaged"
            )
        return width, height

    def _mpp(self) -> tuple[Mpp | None, str]:
        """Return the resolution of the slide that libvips made the image of, where it is kept."""
        content = self._source.read(f"{self._tiles}/vips-properties.xml")
        if content is None:
            return None, "Deep Zoom images state no resolution"
        where = f"{self._where}: vips-properties.xml"
        said = {}
        try:
            for entry in parse_xml(content, where, SlideReadError).iter():
                if entry.tag.rpartition("}")[2] == "property":
                    name, value = ((e.text or "").strip() for e in list(entry)[:2])
                    said[name] = value
            x, y = (float(said[f"openslide.mpp-{axis}"]) for axis in "xy")
        except (SlideReadError, KeyError, ValueError):
            return None, "Deep Zoom images state no resolution"
        if is_plausible_mpp(x) and is_plausible_mpp(y) and 0.5 <= x / y <= 2:
            return Mpp(x, y, "slide before libvips"), ""
        return None, f"the file says {x:.4g} µm/px (slide before libvips), which cannot be true"

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one tile without what it has in common with its neighbors, RGB, shape (h, w, 3)."""
        shape = self._info.levels[level]
        width = min(self._side, shape.width - col * self._side)
        height = min(self._side, shape.height - row * self._side)
        key = f"{self._tiles}/{self._numbers[level]}/{col}_{row}.{self._ending}"
        content = self._source.read(key)
        if content is None:
            return np.full((height, width, 3), WHITE, np.uint8)
        left, top = (self._overlap if n else 0 for n in (col, row))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(content), formats=[_FORMATS[self._ending]]) as image:
                    if image.width < left + width or image.height < top + height:
                        raise ValueError(f"{image.width} × {image.height} px")
                    if max(image.size) > self._side + 2 * self._overlap:
                        raise ValueError(f"{image.width} × {image.height} px")
                    kind = "RGBA" if "A" in image.mode or image.mode == "P" else "RGB"
                    pixels = np.asarray(image.convert(kind))
        # Pillow's decoders raise errors of many kinds.
        except Exception as error:
            raise TileReadError(
                f"{self._where}: tile {key} is damaged ({error}); the rest of the slide can still "
                "be read"
            ) from error
        return to_rgb8(pixels[top : top + height, left : left + width], self._where)

    def fingerprint_bytes(self) -> bytes:
        """Return what tells the slide apart: its pixels, as its file says little."""
        return sampled_digest(self)

    def close(self) -> None:
        """Close the files."""
        self._source.close()


def open_deep_zoom(request: SlideRequest) -> DeepZoomBackend | None:
    """Open a Deep Zoom image, or return None if it is none by its name.

    Raises
    ------
    SlideReadError
        If it is damaged, incomplete, or cannot be reached.
    """
    place = request.url or str(request.path)
    if place.lower().endswith(_ZIPPED):
        zipped = ZipSource(_open_zip(request), place)
        names = [n for n in zipped.names if n.lower().endswith(".dzi")]
        return _backend(zipped, min(names, key=len, default=""))
    if not place.lower().endswith(".dzi"):
        return None
    if request.url is not None:
        folder, _, name = request.url.rpartition("/")
        return _backend(RemoteSource(folder), name)
    return _backend(FolderSource(request.path.parent), request.path.name)


def _open_zip(request: SlideRequest) -> BinaryIO:
    return request.path.open("rb") if request.url is None else RemoteSource(request.url).open_file()


def _backend(source: ZarrSource, name: str) -> DeepZoomBackend:
    try:
        if not name:
            raise NotASlideError(f"{source.address}: no Deep Zoom image in this zip")
        return DeepZoomBackend(source, name)
    except BaseException:
        source.close()
        raise
