"""Sizes that a file claims, looked at before OpenSlide allocates memory for them.

OpenSlide ends the whole program where it gets no memory for a stored tile, and reads beyond a tile
whose size overflows; so what a damaged file claims is held against its length here.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

from PIL.JpegImagePlugin import JpegImageFile

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.slides.formats.side_files import listed_values
from napari_liverdx.slides.formats.tiff_parts.directory import (
    Directory,
    TiffSource,
    read_directories,
)
from napari_liverdx.slides.xml import XML_BYTES, parse_xml

__all__ = ["MOST_PIXELS", "check_claimed_sizes", "check_database"]

MOST_PIXELS = 100_000_000
"""Of a stored tile or a picture beside the slide, which are decoded whole."""

_SQLITE = b"SQLite format 3\0"
_SAKURA_TEXTS = (
    "SELECT SlideId, Date, Description, Creator, DiagnosisCode, Keywords FROM SVSlideDataXPO",
    "SELECT ScanId, FocussingMethod FROM SVHRScanDataXPO",
)

_WIDTH, _LENGTH, _DESCRIPTION, _XMP = 256, 257, 270, 700
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS = 322, 323, 324

_CZI_DIRECTORY_AT = 32 + 16 + 2 * 16 + 4
_MOST_ENTRIES = 20_000_000
"""Of lists of stored tiles and of camera positions."""

_MOST_FILES = 10_000
_MOST_LEVELS = 64


def check_claimed_sizes(path: Path, vendor: str) -> None:
    """Look at what would be allocated.

    Parameters
    ----------
    path : Path
        The slide.
    vendor : str
        OpenSlide's name of the maker.

    Raises
    ------
    SlideReadError
        If the file claims more than it can hold, or tiles too large to be decoded.
    """
    try:
        if vendor == "zeiss":
            _check_czi(path)
        elif vendor == "mirax":
            _check_mirax(path)
        elif path.suffix.lower() == ".vmu":
            _check_vmu(path)
        elif path.suffix.lower() == ".vms":
            _check_vms(path)
        elif vendor in ("leica", "philips", "trestle", "ventana"):
            _check_tiff(path, vendor)
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        if isinstance(error, SlideReadError):
            raise
        raise _impossible(path, str(error)) from error


def check_database(path: Path) -> None:
    """Look at a Sakura slide, an SQLite database, for texts that are missing.

    To be called before OpenSlide looks at the file at all.

    Raises
    ------
    SlideReadError
        If one is missing, which OpenSlide takes for granted.
    """
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            return
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as base:
            tables = base.execute("SELECT quote(TableName) FROM DataManagerSQLiteConfigXPO")
            queries = [f"SELECT data FROM {table} WHERE id LIKE '++%'" for (table,) in tables]  # noqa: S608 - quoted by SQLite
            for query in (*queries, *_SAKURA_TEXTS):
                for row in base.execute(query):
                    if None in row:
                        raise _impossible(path, "a text that each such slide has is missing")
    except sqlite3.Error:
        # OpenSlide finds the same and says so.
        return


# -- TIFFs --


def _check_tiff(path: Path, vendor: str) -> None:
    source = TiffSource(path)
    try:
        directories = read_directories(source)
        for directory in directories:
            _check_tiles_of(path, directory)
        if vendor == "philips":
            _check_philips(path, directories[0])
        if vendor == "ventana":
            _check_ventana(path, directories)
    finally:
        source.close()


def _check_tiles_of(path: Path, directory: Directory) -> None:
    width, length = directory.number(_TILE_WIDTH, 0), directory.number(_TILE_LENGTH, 0)
    _check_tile(path, width, length)
    if width > 0 and length > 0 and _tiles(directory) > directory.numbers(_TILE_OFFSETS).size:
        raise _impossible(path, "an image has fewer tiles than its size asks for")


def _tiles(directory: Directory) -> int:
    """Return how many tiles an image has by its size; a side of 0 counts as one pixel."""
    across = -(-directory.number(_WIDTH, 0) // max(1, directory.number(_TILE_WIDTH, 1)))
    return across * -(-directory.number(_LENGTH, 0) // max(1, directory.number(_TILE_LENGTH, 1)))


def _check_philips(path: Path, first: Directory) -> None:
    """Look at a text in which OpenSlide takes items between dashes, and levels, for granted."""
    for attribute in parse_xml(first.text(_DESCRIPTION), path, SlideReadError).iter("Attribute"):
        if attribute.get("Name") == "DICOM_DERIVATION_DESCRIPTION":
            for item in attribute.text.split("-") if attribute.text else ():
                key, sign, value = item.partition("=")
                if not item or (key == "levels" and sign and not value):
                    raise _impossible(path, f"{attribute.text!r} as how it was made")
                if key == "sourceFilename" or (key == "levels" and sign):
                    break


def _check_ventana(path: Path, directories: Sequence[Directory]) -> None:
    for directory in directories:
        text = directory.raw(_XMP)
        if b"<EncodeInfo" in text:
            for area in parse_xml(text, path, SlideReadError).iter("ImageInfo"):
                rows, cols = (_whole(area.get(key, "")) for key in ("NumRows", "NumCols"))
                if area.get("AOIScanned") != "0" and rows * cols > _tiles(directory):
                    raise _impossible(path, f"an area of {rows} × {cols} tiles")


# -- slides of several files --


def _check_mirax(path: Path) -> None:
    listed = path.with_suffix("") / "Slidedat.ini"
    found: dict[str, int] = {}
    for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        found[name] = max(found.get(name, 0), _whole(value))
    _check_tile(path, found.get("DIGITIZER_WIDTH", 0), found.get("DIGITIZER_HEIGHT", 0))
    cols, rows = found.get("IMAGENUMBER_X", 0), found.get("IMAGENUMBER_Y", 0)
    if rows * cols > _MOST_ENTRIES:
        raise _impossible(path, f"{rows} × {cols} images")
    if found.get("FILE_COUNT", 0) > _MOST_FILES or found.get("HIER_0_COUNT", 0) > _MOST_LEVELS:
        raise _impossible(path, "the number of its files or levels")


def _check_vmu(path: Path) -> None:
    listed = listed_values(path)
    if (listed.get("BitsPerPixel"), listed.get("PixelOrder")) != ("36", "RGB"):
        raise _impossible(path, "its pixels are not 36-bit RGB")
    for name in listed.values():
        part = path.parent / name
        if part.suffix.lower() == ".ngr" and part.is_file():
            _check_ngr(path, part)


def _check_vms(path: Path) -> None:
    """OpenSlide finds the place of each JPEG by the size of the first one."""
    listed = listed_values(path)
    cols, rows = (_whole(listed.get(key, "")) for key in ("NoJpegColumns", "NoJpegRows"))
    if rows * cols > _MOST_FILES:
        raise _impossible(path, f"{rows} × {cols} images")
    sizes = {}
    for key, name in listed.items():
        if key.startswith("ImageFile"):
            # Not by Image.open, which takes pictures as large as these for an attack.
            with JpegImageFile(path.parent / name) as picture:
                sizes[key] = picture.size
    width, height = sizes.get("ImageFile", (0, 0))
    for key, (other_width, other_height) in sizes.items():
        if other_width > width or other_height > height:
            raise _impossible(path, f"{key} is larger than the first of the images")


def _check_ngr(path: Path, part: Path) -> None:
    with part.open("rb") as file:
        head = file.read(28)
        length = file.seek(0, 2)
    width, height, column = struct.unpack_from("<3i", head, 4)
    (start,) = struct.unpack_from("<i", head, 24)
    if min(width, height, column, start) <= 0 or column > width:
        raise _impossible(path, f"{part.name} is {width} × {height} pixels in columns of {column}")
    if start + width * height * 6 > length:
        raise _impossible(path, f"{part.name} is cut off")


def _check_czi(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(_CZI_DIRECTORY_AT)
        directory, metadata = struct.unpack("<qq", file.read(16))
        length = file.seek(0, 2)
        if not (0 <= directory <= length and 0 <= metadata <= length):
            raise _impossible(path, "its directory lies beyond its end")
        file.seek(metadata + 32)
        (size,) = struct.unpack("<i", file.read(4))
        file.seek(metadata + 32 + 256)
        text = file.read(max(0, min(size, XML_BYTES)))
        for scenes in parse_xml(text, path, SlideReadError).iter("SizeS"):
            if _whole(scenes.text or "") > _MOST_FILES:
                raise _impossible(path, f"{scenes.text} scenes")
        file.seek(directory + 32)
        (count,) = struct.unpack("<i", file.read(4))
        if not 0 <= count <= _MOST_ENTRIES:
            raise _impossible(path, f"it lists {count} tiles")
        file.seek(124, 1)
        for _ in range(count):
            head = file.read(32)
            (dimensions,) = struct.unpack_from("<i", head, 28)
            if not 0 <= dimensions <= 64:
                raise _impossible(path, f"a tile has {dimensions} dimensions")
            sizes = {b"X": 0, b"Y": 0}
            for _ in range(dimensions):
                name, _, size, _, stored = struct.unpack("<4siifi", file.read(20))
                axis = name.rstrip(b"\0")
                if axis in sizes:
                    sizes[axis] = stored
                    if stored <= 0 or size < stored:
                        raise _impossible(path, f"a tile stores {stored} of {size} pixels")
            _check_tile(path, *sizes.values())


def _whole(text: str) -> int:
    """Return a whole number; 0 for other text, which OpenSlide refuses."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _check_tile(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _impossible(path, f"stored tiles of {width} × {height} pixels")


def _impossible(path: Path, why: str) -> SlideReadError:
    return SlideReadError(
        f"{path}: the file claims what cannot be ({why}), it is damaged; copy it again from its "
        "source, with all that lies beside it"
    )
