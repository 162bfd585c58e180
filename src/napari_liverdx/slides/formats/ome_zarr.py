"""OME-Zarr slides (NGFF 0.4 and 0.5): folders, zip files and remote addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import NotASlideError, SlideReadError
from napari_liverdx.core.resolution import Level
from napari_liverdx.slides.address import RESULT_SUFFIX
from napari_liverdx.slides.backend import (
    WHITE,
    Scene,
    SlideInfo,
    SlideRequest,
    choose_scene,
    sampled_digest,
)
from napari_liverdx.slides.formats.ngff.remote import RemoteSource
from napari_liverdx.slides.formats.ngff.source import (
    METADATA_FILES,
    FolderSource,
    ZarrSource,
    ZipSource,
)
from napari_liverdx.slides.pixels import to_rgb8

if TYPE_CHECKING:
    from napari_liverdx.slides.formats.ngff.images import NgffImage

__all__ = ["OmeZarrBackend", "open_ome_zarr"]

_SMALLEST_TILE = 256
_MOST_STRIP_BYTES = 512 << 20
_MOST_ASSOCIATED = 4096


class OmeZarrBackend:
    """`SlideBackend` for one color image of an OME-Zarr store.

    A chunk that is not there is a gap, which is white, unless the file gives such chunks another
    value than zero.

    Parameters
    ----------
    path : Path
        The store, for errors.
    source : ZarrSource
        Closed with the backend.
    images : list of NgffImage
        At least one.
    scene : int, optional
        Which of them; the largest by default.

    Raises
    ------
    SlideReadError
        If there is no such scene or it is too large.
    """

    def __init__(
        self, path: Path, source: ZarrSource, images: list[NgffImage], scene: int | None
    ) -> None:
        self._path = path
        self._source = source
        self._beside = {i.associated: i for i in images if i.associated}
        scenes = [i for i in images if not i.associated] or images
        listed = tuple(Scene(i.name, *i.size) for i in scenes)
        chosen = choose_scene(listed, scene, path)
        self._image = image = scenes[chosen]
        levels = _levels(image)
        for level in levels:
            if level.width * min(level.tile_height, level.height) * 3 > _MOST_STRIP_BYTES:
                raise SlideReadError(
                    f"{source.address}: claims {level.width:,} × {level.height:,} px, which no "
                    "slide has; the file is damaged"
                )
        self._info = SlideInfo(
            format=f"OME-Zarr {image.version}",
            levels=levels,
            mpp=image.mpp,
            mpp_note=image.mpp_note,
            scenes=listed if len(listed) > 1 else (),
            scene=chosen,
            associated=tuple(sorted(self._beside)) if scenes is not images else (),
            identity=image.path if len(listed) > 1 else "",
        )

    @property
    def info(self) -> SlideInfo:
        """What the file says of itself."""
        return self._info

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one tile as RGB, shape (h, w, 3), cut at the level's edge."""
        shape = self._info.levels[level]
        top, left = row * shape.tile_height, col * shape.tile_width
        return self._read(
            self._image, level, slice(top, top + shape.tile_height),
            slice(left, left + shape.tile_width),
        )  # fmt: skip

    def read_associated(self, name: str) -> NDArray[np.uint8]:
        """Read one of the images beside the slide, at a size for looking at."""
        image = self._beside[name]
        for level, size in enumerate(_levels(image)):
            if max(size.width, size.height) <= _MOST_ASSOCIATED:
                return self._read(image, level, slice(size.height), slice(size.width))
        raise SlideReadError(f"{self._path}: the {name} is too large to be shown")

    def _read(self, image: NgffImage, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        array, axes = image.levels[level], image.axes
        parts: dict[str, slice] = {"y": rows, "x": columns, "c": slice(None)}
        selection = tuple(parts.get(axis, 0) for axis in axes)
        white = (1 << image.bits) - 1 if array.dtype == np.uint16 else WHITE
        fill = array.fill or white
        kept = [axis for axis in axes if axis in "cyx"]
        order = [kept.index(axis) for axis in "yxc"]
        pixels = array.read(selection, fill).transpose(order)
        channel = axes.index("c")
        if fill != array.fill and array.chunks[channel] < array.shape[channel]:
            # One channel's chunk alone may be missing: its value is then the stated one.
            sides = array.chunks[axes.index("y")], array.chunks[axes.index("x")]
            if lone := list(_lone_blanks(pixels, fill, sides)):
                stated = array.read(selection, array.fill).transpose(order)
                for block in lone:
                    pixels[block] = stated[block]
        rgb = _rgb(pixels, image.bits, str(self._path))
        return rgb if image.color_order == (0, 1, 2) else rgb[..., image.color_order]

    def fingerprint_bytes(self) -> bytes:
        """Return what tells the slide apart: its pixels, wherever they lie."""
        return sampled_digest(self)

    def close(self) -> None:
        """Close the store."""
        self._source.close()


def open_ome_zarr(request: SlideRequest) -> OmeZarrBackend | None:
    """Open an OME-Zarr image, or return None if there is none.

    Raises
    ------
    NotASlideError
        If it is a stored result, a plate, labels, or no color image.
    SlideReadError
        If it is damaged or cannot be reached.
    """
    place = request.path if request.url else request.path.absolute()
    if result := next((p for p in place.parts if p.lower().endswith(RESULT_SUFFIX)), ""):
        raise NotASlideError(
            f"{request.path}: {result} is a stored result, not a slide; open it as a result (in "
            "the dock, by 'Open a result', or by dropping its folder on napari)"
        )
    source = _open_source(request.path, request.url)
    if source is None:
        return None
    try:
        from napari_liverdx.slides.formats.ngff.images import ngff_images

        images = ngff_images(source)
        if images is None:
            source.close()
            return None
        return OmeZarrBackend(request.path, source, images, request.scene)
    except BaseException:
        source.close()
        raise


def _open_source(path: Path, url: str | None) -> FolderSource | ZipSource | RemoteSource | None:
    """Return what reads the zarr store at a place; None if there is none.

    Raises
    ------
    SlideReadError
        If it is damaged or cannot be reached.
    """
    if url is not None:
        source = RemoteSource(url)
        if not url.lower().endswith((".zip", ".ozx")):
            return source
        return ZipSource(source.open_file(), url)
    if path.is_dir():
        return FolderSource(path) if any((path / n).is_file() for n in METADATA_FILES) else None
    file = path.open("rb")
    if file.read(4) not in (b"PK\3\4", b"PK\5\6"):
        file.close()
        return None
    zipped = ZipSource(file, str(path))
    if not zipped.is_zarr:
        zipped.close()
        return None
    return zipped


def _lone_blanks(
    pixels: NDArray[Any], fill: int, sides: tuple[int, int]
) -> Iterator[tuple[slice, slice]]:
    """Yield the chunks of a tile in which one channel is blank and another is not."""
    for top in range(0, pixels.shape[0], sides[0]):
        for left in range(0, pixels.shape[1], sides[1]):
            block = slice(top, top + sides[0]), slice(left, left + sides[1])
            blank = (pixels[block] == fill).all(axis=(0, 1))
            if blank.any() and not blank.all():
                yield block


def _levels(image: NgffImage) -> tuple[Level, ...]:
    x, y = image.axes.index("x"), image.axes.index("y")
    width, height = image.size
    levels = []
    for array in image.levels:
        w, h = array.shape[x], array.shape[y]
        tile_w, tile_h = (_tile(array.chunks[i], array.shape[i]) for i in (x, y))
        levels.append(Level(w, h, width / w, height / h, tile_w, tile_h))
    return tuple(levels)


def _tile(chunk: int, length: int) -> int:
    """Return a side of the tiles that are read: a multiple of the chunks' that is not small."""
    return min(chunk * -(-_SMALLEST_TILE // chunk), max(length, _SMALLEST_TILE))


def _rgb(pixels: NDArray[Any], bits: int, where: str) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8:
        pixels = np.minimum(pixels, (1 << bits) - 1) >> (bits - 8)
    return to_rgb8(np.ascontiguousarray(pixels, np.uint8), where)
