"""DICOM whole-slide images: the files of a folder, or one of them and what belongs to it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import (
    LiverDxError,
    MppError,
    NotASlideError,
    SlideReadError,
    TileReadError,
)
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.slides.backend import WHITE, Scene, SlideInfo, SlideRequest, choose_scene
from napari_liverdx.slides.formats.dicom_parts.files import (
    ImageParts,
    belongs,
    check_planes,
    files_of,
    in_order,
    read_headers,
    slides_of,
)
from napari_liverdx.slides.formats.dicom_parts.frames import FrameFile, check_syntax, decode_frame
from napari_liverdx.slides.formats.dicom_parts.header import (
    DicomHeader,
    damaged_dicom,
    is_dicom,
    read_header,
)

__all__ = ["DicomBackend", "open_dicom"]

_MAX_PICTURE_PIXELS = 2**26
_MAX_LOG_SPREAD = 0.1
_UID = frozenset("0123456789.")


class _Image:
    """One image, stored in one file or more, open."""

    def __init__(self, parts: ImageParts) -> None:
        self.header = parts[0]
        self._parts = parts
        with ExitStack() as opened:
            self._files = [opened.enter_context(closing(FrameFile(p))) for p in parts]
            self._starts = np.array([p.first_frame for p in parts])
            self._index = self._sparse_index()
            self._check_complete()
            self._opened = opened.pop_all()

    @property
    def _is_sparse(self) -> bool:
        return self._files[0].columns is not None

    def _sparse_index(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Return tiles as numbers, sorted, and their frames; None where all tiles are there."""
        if not self._is_sparse:
            return None
        rows, cols = self.header.tiles
        numbers, frames = [], []
        for part, file in zip(self._parts, self._files, strict=True):
            if file.columns is None or file.rows is None:
                raise damaged_dicom(part.path, "its parts are stored in different ways")
            x, y = file.columns, file.rows
            if len(x) != part.frames:
                raise damaged_dicom(part.path, f"{len(x)} of {part.frames} tiles have a place")
            if ((x < 0) | (x >= cols) | (y < 0) | (y >= rows)).any():
                raise damaged_dicom(part.path, "a tile lies outside the slide")
            numbers.append(y * cols + x)
            frames.append(np.arange(part.frames) + part.first_frame)
        tiles, firsts = np.unique(np.concatenate(numbers), return_index=True)
        return tiles, np.concatenate(frames)[firsts]

    def _check_complete(self) -> None:
        at = 0
        for part in self._parts:
            if part.first_frame != at:
                raise SlideReadError(
                    f"{part.path}: a file before this one is missing, with frames {at} to "
                    f"{part.first_frame - 1} of the same image; copy all files of the slide"
                )
            at += part.frames
        last = self._parts[-1]
        if last.parts > len(self._parts):
            raise SlideReadError(
                f"{last.path}: {last.parts - len(self._parts)} of the {last.parts} files of its "
                "image are missing; copy all files of the slide"
            )
        rows, cols = last.tiles
        if not self._is_sparse and at < rows * cols:
            raise damaged_dicom(last.path, f"{at} of {rows * cols} tiles are in it")

    def read(self, row: int, col: int) -> NDArray[np.uint8] | None:
        """Decode a tile, shape (tile height, tile width, 3); None if it is not stored.

        Raises whatever the codec does.
        """
        number = row * self.header.tiles[1] + col
        frame = number
        if self._index is not None:
            tiles, frames = self._index
            place = int(np.searchsorted(tiles, number))
            if place == len(tiles) or tiles[place] != number:
                return None
            frame = int(frames[place])
        part = int(np.searchsorted(self._starts, frame, side="right")) - 1
        data = self._files[part].read(frame - int(self._starts[part]))
        return decode_frame(data, self._parts[part])

    def digest(self) -> bytes:
        """Return a hash of the first and the last frame as they are stored."""
        digest = hashlib.sha256(self._files[0].read(0))
        digest.update(self._files[-1].read(self._parts[-1].frames - 1))
        return digest.digest()

    def close(self) -> None:
        self._opened.close()


class DicomBackend:
    """`SlideBackend` for the files of one slide.

    Parameters
    ----------
    path : Path
        What was asked for; named in errors.
    levels : sequence of tuple of DicomHeader
        The files of each level, finest first.
    pictures : mapping of str to tuple of DicomHeader
        The files of each picture beside the slide.
    scenes : tuple of Scene
        The slides there are, if several.
    scene : int
        Which of them this is.
    """

    def __init__(
        self,
        path: Path,
        levels: Sequence[ImageParts],
        pictures: Mapping[str, ImageParts],
        scenes: tuple[Scene, ...] = (),
        scene: int = 0,
    ) -> None:
        self._path = path
        self._pictures = pictures
        first = levels[0][0]
        mpp, note, options = _resolution(first)
        self._info = SlideInfo(
            format="DICOM",
            levels=tuple(_level(parts[0], first) for parts in levels),
            mpp=mpp,
            mpp_note=note,
            mpp_options=options,
            objective_power=first.power,
            scenes=scenes,
            scene=scene,
            associated=tuple(pictures),
            icc_profile=first.icc,
            identity="|".join((first.series, first.reference, first.pyramid)),
            references=_references(levels),
        )
        with ExitStack() as opened:
            self._levels = [opened.enter_context(closing(_Image(parts))) for parts in levels]
            self._opened = opened.pop_all()

    @property
    def info(self) -> SlideInfo:
        """What the files say of themselves."""
        return self._info

    def fingerprint_bytes(self) -> bytes:
        """Return what tells this slide from all others, whichever of its files was named."""
        uids = "|".join(sorted(level.header.whole for level in self._levels))
        try:
            return uids.encode() + self._levels[0].digest()
        except (OSError, ValueError) as error:
            raise SlideReadError(
                f"{self._path}: the slide cannot be read any more: {error}"
            ) from error

    def read_tile(self, level: int, row: int, col: int) -> NDArray[np.uint8]:
        """Read one stored tile as RGB, shape (h, w, 3); white where none is stored."""
        image = self._levels[level]
        try:
            tile = image.read(row, col)
        # Codecs raise errors of their own making, with no common base but Exception.
        except Exception as error:
            raise TileReadError(
                f"{self._path}: stored tile (row {row}, column {col}) of level {level} is damaged "
                f"({error}); the rest of the slide can still be read"
            ) from error
        if tile is None:
            shape = image.header.tile_height, image.header.tile_width, 3
            return np.full(shape, WHITE, np.uint8)
        return tile

    def read_associated(self, name: str) -> NDArray[np.uint8]:
        """Read one of the pictures beside the slide, RGB, shape (h, w, 3)."""
        header = self._pictures[name][0]
        check_syntax(header)
        if header.width * header.height > _MAX_PICTURE_PIXELS:
            raise SlideReadError(
                f"{header.path}: the picture has {header.width}×{header.height} px, too many for "
                "one beside a slide"
            )
        rows, cols = header.tiles
        high, wide = header.tile_height, header.tile_width
        whole = np.full((rows * high, cols * wide, 3), WHITE, np.uint8)
        with closing(_Image(self._pictures[name])) as image:
            for row in range(rows):
                for col in range(cols):
                    try:
                        tile = image.read(row, col)
                    # See `read_tile`.
                    except Exception as error:
                        raise damaged_dicom(header.path, error) from error
                    if tile is not None:
                        place = (
                            slice(row * high, (row + 1) * high),
                            slice(col * wide, (col + 1) * wide),
                        )
                        whole[place] = tile
        return whole[: header.height, : header.width]

    def close(self) -> None:
        """Close the files."""
        self._opened.close()


def open_dicom(request: SlideRequest) -> DicomBackend | None:
    """Open the slide in a folder of DICOM files, or that to which a file belongs.

    Returns None if the file is not DICOM, or no file of the folder is.

    Raises
    ------
    SlideReadError
        If a file is damaged or missing.
    NotASlideError
        If it is DICOM, but no brightfield whole-slide image.
    """
    path = request.path
    if path.is_dir():
        headers, refused = read_headers(files_of(path))
        groups = slides_of(headers)
        if not groups:
            if refused:
                raise _of_folder(path, refused)
            if headers:
                raise _no_level(path)
            return None
        keys = sorted(groups)
        scenes = tuple(_scene(groups[key], i) for i, key in enumerate(keys))
        chosen = choose_scene(scenes, request.scene, path)
        key = keys[chosen]
        several = scenes if len(scenes) > 1 else ()
        return _backend(path, groups[key], headers, several, chosen if several else 0)
    if not is_dicom(path):
        return None
    own = read_header(path)
    others, refused = read_headers(files_of(path.parent))
    headers = [own, *(h for h in others if h.path != path)]
    groups = slides_of(headers)
    mine = [levels for levels in groups.values() if belongs(own, levels[0][0])]
    if not mine:
        raise _of_folder(path.parent, refused) if refused and not groups else _no_level(path)
    return _backend(path, max(mine, key=_area), headers, (), 0)


def _scene(levels: Sequence[ImageParts], index: int) -> Scene:
    first = levels[0][0]
    return Scene(f"slide {index + 1}", first.width, first.height)


def _area(levels: Sequence[ImageParts]) -> int:
    return levels[0][0].width * levels[0][0].height


def _backend(
    path: Path,
    levels: Sequence[ImageParts],
    headers: Sequence[DicomHeader],
    scenes: tuple[Scene, ...],
    scene: int,
) -> DicomBackend:
    check_planes(headers, levels[0][0])
    for parts in levels:
        check_syntax(parts[0])
        if any(_layout(p) != _layout(parts[0]) for p in parts):
            raise damaged_dicom(parts[0].path, "the files of its image do not fit together")
    pictures: dict[str, list[DicomHeader]] = {}
    for header in headers:
        if header.kind and belongs(header, levels[0][0]):
            pictures.setdefault(header.kind, []).append(header)
    return DicomBackend(
        path,
        levels,
        {
            kind: in_order([p for p in there if p.whole == min(o.whole for o in there)])
            for kind, there in sorted(pictures.items())
        },
        scenes,
        scene,
    )


def _level(header: DicomHeader, first: DicomHeader) -> Level:
    return Level.reduced(
        (header.width, header.height),
        (first.width, first.height),
        (header.tile_width, header.tile_height),
    )


def _resolution(header: DicomHeader) -> tuple[Mpp | None, str, tuple[Mpp, ...]]:
    """Return the resolution of a level, or why there is none and what could be it."""
    told = [
        (*pair, source)
        for pair, source in (
            (header.spacing_um, "DICOM pixel spacing"),
            (header.extent_um, "size of the imaged volume"),
        )
        if pair is not None
    ]
    plausible = tuple(mpp for pair in told if (mpp := _plausible(*pair)) is not None)
    if not told:
        return None, "the file states no resolution", ()
    if not plausible:
        x, _, source = told[0]
        return None, f"the file says {x:.4g} µm/px ({source}), which cannot be true", ()
    if len(plausible) > 1:
        one, other = plausible
        if max(abs(math.log(one.x / other.x)), abs(math.log(one.y / other.y))) > _MAX_LOG_SPREAD:
            said = " and ".join(f"{m.x:.4g} µm/px ({m.source})" for m in plausible)
            return None, f"the file contradicts itself: {said}", plausible
    return plausible[0], "", ()


def _plausible(x: float, y: float, source: str) -> Mpp | None:
    try:
        return Mpp(x, y, source)
    except MppError:
        return None


def _references(levels: Sequence[ImageParts]) -> dict[str, str]:
    """Return the identifiers that exports refer to; none names a patient.

    Empty where one of them is no UID: it may then be anything.
    """
    first = levels[0][0]
    uids = [first.study, first.series, first.reference or "0"]
    if not all(set(u) <= _UID for u in (*uids, *(p.instance for parts in levels for p in parts))):
        return {}
    return {
        "StudyInstanceUID": first.study,
        "SeriesInstanceUID": first.series,
        "FrameOfReferenceUID": first.reference,
        "SOPInstanceUIDs": "|".join("\\".join(p.instance for p in parts) for parts in levels),
        "TotalPixelMatrixOrigin": "\\".join(f"{v + 0.0:.10g}" for v in first.origin_mm),
        "ImageOrientationSlide": "\\".join(f"{v + 0.0:.10g}" for v in first.orientation),
    }


def _no_level(path: Path) -> NotASlideError:
    return NotASlideError(
        f"{path}: the files of the slide itself are missing, there is only a label, macro or "
        "thumbnail; copy all files of the slide into one folder"
    )


def _layout(header: DicomHeader) -> tuple[object, ...]:
    size = header.width, header.height, header.tile_width, header.tile_height
    return (*size, header.syntax, header.color, header.sparse)


def _of_folder(path: Path, refused: Sequence[LiverDxError]) -> LiverDxError:
    """Return why no file of a folder is a slide: the first reason, as the kind of error it is."""
    return type(refused[0])(f"{path}: no slide in this folder. {refused[0]}")
