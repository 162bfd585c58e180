"""Sizes that a file claims, looked at before OpenSlide allocates memory for them.

OpenSlide ends the whole program where it gets no memory for a stored tile, and reads beyond a tile
whose size overflows; so what a damaged file claims is held against its length here.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from pathlib import Path

from PIL import Image

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.slides.formats.side_files import listed_values
from napari_liverdx.slides.formats.tiff_parts.directory import TiffSource, read_directories

__all__ = ["MOST_PIXELS", "check_claimed_sizes", "check_database"]

MOST_PIXELS = 100_000_000
"""Of a stored tile or a picture beside the slide, which are decoded whole."""

_SQLITE = b"SQLite format 3\0"
_SAKURA_TEXTS = (
    "SELECT SlideId, Date, Description, Creator, DiagnosisCode, Keywords FROM SVSlideDataXPO",
    "SELECT ScanId, FocussingMethod FROM SVHRScanDataXPO",
)

_TILE_WIDTH, _TILE_LENGTH = 322, 323

_CZI_DIRECTORY_AT = 32 + 16 + 2 * 16 + 4
_CZI_MOST_ENTRIES = 10_000_000


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
            _check_tiff(path)
    except (OSError, ValueError, struct.error) as error:
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


def _check_tiff(path: Path) -> None:
    source = TiffSource(path)
    try:
        for directory in read_directories(source):
            _check_tile(path, directory.number(_TILE_WIDTH, 0), directory.number(_TILE_LENGTH, 0))
    finally:
        source.close()


def _check_mirax(path: Path) -> None:
    listed = path.with_suffix("") / "Slidedat.ini"
    sizes = {"DIGITIZER_WIDTH": 0, "DIGITIZER_HEIGHT": 0}
    for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        if name in sizes and value.isdigit():
            sizes[name] = max(sizes[name], int(value))
    _check_tile(path, *sizes.values())


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
    sizes = {}
    for key, name in listed_values(path).items():
        if key.startswith("ImageFile"):
            with Image.open(path.parent / name) as picture:
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
        (directory,) = struct.unpack("<q", file.read(8))
        length = file.seek(0, 2)
        if not 0 <= directory <= length:
            raise _impossible(path, "its directory lies beyond its end")
        file.seek(directory + 32)
        (count,) = struct.unpack("<i", file.read(4))
        if not 0 <= count <= _CZI_MOST_ENTRIES:
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


def _check_tile(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise _impossible(path, f"stored tiles of {width} × {height} pixels")


def _impossible(path: Path, why: str) -> SlideReadError:
    return SlideReadError(
        f"{path}: the file claims what cannot be ({why}), it is damaged; copy it again from its "
        "source, with all that lies beside it"
    )
