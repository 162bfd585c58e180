"""A written Sakura SVSLIDE: an SQLite database whose tiles are three gray JPEGs."""

from __future__ import annotations

import io
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.vendors.mirax import jpeg


def _gray(pixels: np.ndarray) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=95)
    return stored.getvalue()


def write_sakura(path: Path, pixels: np.ndarray, *, tile: int = 64, mpp: float = 0.5) -> None:
    """Write two levels."""
    height, width = pixels.shape[:2]
    with closing(sqlite3.connect(path)) as base:
        base.executescript(
            "CREATE TABLE DataManagerSQLiteConfigXPO (TableName TEXT);"
            "INSERT INTO DataManagerSQLiteConfigXPO VALUES ('unique_1');"
            "CREATE TABLE unique_1 (id TEXT PRIMARY KEY, size INTEGER, data BLOB);"
            "CREATE TABLE tile (PYRAMIDLEVEL INTEGER, COLUMNINDEX INTEGER, ROWINDEX INTEGER, "
            "COLORINDEX INTEGER, TILEID TEXT);"
            "CREATE TABLE SVSlideDataXPO (OID INTEGER, SlideId TEXT, Date TEXT, Description TEXT, "
            "Creator TEXT, DiagnosisCode TEXT, Keywords TEXT, m_labelScan INTEGER, "
            "m_overviewScan INTEGER);"
            "CREATE TABLE SVHRScanDataXPO (OID INTEGER, ParentSlide INTEGER, ScanId TEXT, "
            "Date TEXT, Name TEXT, Description TEXT, ResolutionMmPerPix REAL, "
            "NominalLensMagnification REAL, FocussingMethod TEXT, ThumbnailImage BLOB);"
            "CREATE TABLE SVScannedImageDataXPO (OID INTEGER, Image BLOB);"
        )
        rows: list[tuple[str, int, bytes | str]] = [
            ("++MagicBytes", 16, "SVGigaPixelImage"),
            ("++VersionBytes", 5, "1.0.0"),
            (
                "Header",
                54,
                struct.pack("<7IH6I", tile, width, height, 8, 1, 3, 1, 256, 1, 2, 3, 4, 5, 6),
            ),
        ]
        places = []
        for factor in (1, 2):
            level = pixels[::factor, ::factor]
            for y in range(0, level.shape[0], tile):
                for x in range(0, level.shape[1], tile):
                    part = np.full((tile, tile, 3), 255, np.uint8)
                    inside = level[y : y + tile, x : x + tile]
                    part[: inside.shape[0], : inside.shape[1]] = inside
                    for color in range(3):
                        name = f"T;{x * factor}|{y * factor};{factor};{color};0"
                        stored = _gray(np.ascontiguousarray(part[..., color]))
                        rows.append((name, len(stored), stored))
                        places.append((factor, x * factor, y * factor, color, name))
        base.executemany("INSERT INTO unique_1 VALUES (?, ?, ?)", rows)
        base.executemany("INSERT INTO tile VALUES (?, ?, ?, ?, ?)", places)
        picture = jpeg(np.ascontiguousarray(pixels[::8, ::8]))
        base.execute("INSERT INTO SVSlideDataXPO VALUES (1, 's', '', '', '', '', '', 1, 2)")
        base.execute(
            "INSERT INTO SVHRScanDataXPO VALUES (1, 1, 's', '', '', '', ?, 20, '', ?)",
            (mpp / 1000, picture),
        )
        base.executemany(
            "INSERT INTO SVScannedImageDataXPO VALUES (?, ?)", [(1, picture), (2, picture)]
        )
        base.commit()
