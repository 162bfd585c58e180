"""A written 3DHISTECH MRXS: a JPEG, and beside it a folder with index and images.

The camera positions leave gaps; images of the finest zoom level are those of one position each,
every coarser level joins two by two.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

SLIDE_ID = "0123456789abcdef0123456789abcdef"


def png(pixels: np.ndarray) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()


def jpeg(pixels: np.ndarray, quality: int = 90, **options: object) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=quality, **options)
    return stored.getvalue()


def write_mirax(
    path: Path,
    pixels: np.ndarray,
    *,
    tile: int = 64,
    levels: int = 2,
    missing: tuple[tuple[int, int], ...] = (),
    moved: dict[tuple[int, int], tuple[int, int]] | None = None,
    mpp: float = 0.25,
    power: int = 20,
) -> None:
    """Write pixels whose size is a multiple of ``tile``.

    Parameters
    ----------
    missing : tuple of (int, int)
        Row and column of positions where the camera took no picture.
    moved : dict, optional
        By how much (x, y) the stage stood elsewhere than planned, by row and column; the file then
        holds a table of positions.
    """
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(jpeg(pixels[:32, :32]))
    rows, cols = pixels.shape[0] // tile, pixels.shape[1] // tile
    data = bytearray(b"\0" * 64)
    pages: list[list[tuple[int, int, int]]] = []
    for level in range(levels):
        step = 2**level
        page = []
        for row in range(0, rows, step):
            for col in range(0, cols, step):
                inside = [(r, c) for r in range(row, row + step) for c in range(col, col + step)]
                if all(place in missing for place in inside):
                    continue
                y, x = row * tile, col * tile
                part = pixels[y : y + tile * step : step, x : x + tile * step : step]
                whole = np.full((tile, tile, 3), 255, np.uint8)
                whole[: part.shape[0], : part.shape[1]] = part
                stored = png(whole)
                page.append((row * cols + col, len(data), len(stored)))
                data += stored
        pages.append(page)
    records = []
    for picture in (macro_of(pixels), pixels[:16, :24]):
        stored = jpeg(picture)
        records.append((len(data), len(stored)))
        data += stored
    if moved is not None:
        table = b"".join(
            struct.pack(
                "<Bii",
                0,
                col * tile + moved.get((row, col), (0, 0))[0],
                row * tile + moved.get((row, col), (0, 0))[1],
            )
            for row in range(rows)
            for col in range(cols)
        )
        records.append((len(data), len(table)))
        data += table
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_index(pages, records))
    (folder / "Slidedat.ini").write_text(
        _slidedat(rows, cols, tile, levels, moved is not None, mpp, power), encoding="utf-8"
    )


def macro_of(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[::4, ::4])


def _index(pages: list[list[tuple[int, int, int]]], records: list[tuple[int, int]]) -> bytes:
    """Version and id, the two roots, then tables of pointers to data pages."""
    start = len("01.02") + len(SLIDE_ID)
    body = bytearray(b"\0" * 8)

    def here() -> int:
        return start + len(body)

    def put(*values: int) -> int:
        at = here()
        body.extend(struct.pack(f"<{len(values)}i", *values))
        return at

    heads = []
    for page in pages:
        first = put(len(page), 0, *(v for i, at, size in page for v in (i, at, size, 0)))
        heads.append(put(0, first))
    tops = []
    for at, size in records:
        first = put(1, 0, 0, 0, at, size, 0)
        tops.append(put(0, first))
    struct.pack_into("<2i", body, 0, put(*heads), put(*tops))
    return b"01.02" + SLIDE_ID.encode() + bytes(body)


def _slidedat(
    rows: int, cols: int, tile: int, levels: int, positions: bool, mpp: float, power: int
) -> str:
    lines = [
        "[GENERAL]",
        "SLIDE_VERSION = 01.02",
        f"SLIDE_ID = {SLIDE_ID}",
        f"IMAGENUMBER_X = {cols}",
        f"IMAGENUMBER_Y = {rows}",
        f"OBJECTIVE_MAGNIFICATION = {power}",
        "CameraImageDivisionsPerSide = 1",
        "[HIERARCHICAL]",
        "INDEXFILE = Index.dat",
        "HIER_COUNT = 1",
        "HIER_0_NAME = Slide zoom level",
        f"HIER_0_COUNT = {levels}",
        *(f"HIER_0_VAL_{i}_SECTION = LAYER_0_LEVEL_{i}_SECTION" for i in range(levels)),
        f"NONHIER_COUNT = {1 + positions}",
        "NONHIER_0_NAME = Scan data layer",
        "NONHIER_0_COUNT = 2",
        "NONHIER_0_VAL_0 = ScanDataLayer_SlideThumbnail",
        "NONHIER_0_VAL_0_SECTION = MACRO",
        "NONHIER_0_VAL_1 = ScanDataLayer_SlideBarcode",
        "NONHIER_0_VAL_1_SECTION = LABEL",
        "NONHIER_1_NAME = VIMSLIDE_POSITION_BUFFER",
        "NONHIER_1_COUNT = 1",
        "NONHIER_1_VAL_0 = default",
        "NONHIER_1_VAL_0_SECTION = POSITIONS",
        "[POSITIONS]",
        "VIMSLIDE_POSITION_DATA_FORMAT_VERSION = 257",
        "[MACRO]",
        "THUMBNAIL_IMAGE_TYPE = JPEG",
        "[LABEL]",
        "BARCODE_IMAGE_TYPE = JPEG",
        "[DATAFILE]",
        "FILE_COUNT = 1",
        "FILE_0 = Data0000.dat",
    ]
    for level in range(levels):
        lines += [
            f"[LAYER_0_LEVEL_{level}_SECTION]",
            "OVERLAP_X = 0",
            "OVERLAP_Y = 0",
            f"MICROMETER_PER_PIXEL_X = {mpp * 2**level}",
            f"MICROMETER_PER_PIXEL_Y = {mpp * 2**level}",
            "IMAGE_FORMAT = PNG",
            "IMAGE_FILL_COLOR_BGR = 16777215",
            f"DIGITIZER_WIDTH = {tile}",
            f"DIGITIZER_HEIGHT = {tile}",
            f"IMAGE_CONCAT_FACTOR = {int(level > 0)}",
        ]
    return "\n".join(lines) + "\n"
