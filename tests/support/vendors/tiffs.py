"""Written slides of Leica, Ventana, Philips and Trestle: TIFFs with a description of their own."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import tifffile

from tests.support.vendors.mirax import jpeg

TILE = 64
GRAY = np.full((48, 32, 3), 128, np.uint8)
"""Stands for a label or macro."""


def reduced(pixels: np.ndarray, levels: int) -> list[np.ndarray]:
    return [np.ascontiguousarray(pixels[:: 2**i, :: 2**i]) for i in range(levels)]


def _tiles(writer: tifffile.TiffWriter, pixels: np.ndarray, **options: object) -> None:
    writer.write(
        pixels,
        tile=(TILE, TILE),
        photometric="rgb",
        compression="zlib",
        metadata=None,
        **options,
    )


# -- Leica --

SCN = "http://www.leica-microsystems.com/scn/2010/10/01"
_NM = 500


def write_scn(
    path: Path,
    regions: list[tuple[tuple[int, int], np.ndarray]],
    stage: tuple[int, int] = (1024, 768),
) -> None:
    """Write a BigTIFF of regions, each at its (x, y) in finest pixels, and a macro image.

    A finest pixel is 0.5 µm wide; the stage holds 1024 × 768 of them.
    """
    width, height = stage
    images = [_scn_image("macro", (0, 0), (width, height), [(32, 24)], 0)]
    first = 1
    for number, ((x, y), pixels) in enumerate(regions):
        sizes = [(p.shape[1], p.shape[0]) for p in reduced(pixels, 2)]
        images.append(_scn_image(f"region {number}", (x, y), sizes[0], sizes, first))
        first += len(sizes)
    text = (
        f'<?xml version="1.0"?><scn xmlns="{SCN}"><collection name="c" sizeX="{width * _NM}" '
        f'sizeY="{height * _NM}"><barcode>QUFB</barcode>{"".join(images)}</collection></scn>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        _tiles(writer, np.full((24, 32, 3), 200, np.uint8), description=text)
        for _, pixels in regions:
            for i, level in enumerate(reduced(pixels, 2)):
                um = _NM / 1000 * 2**i
                _tiles(writer, level, resolution=(1e4 / um, 1e4 / um), resolutionunit="CENTIMETER")


def _scn_image(
    name: str,
    place: tuple[int, int],
    size: tuple[int, int],
    dimensions: list[tuple[int, int]],
    first: int,
) -> str:
    pixels = "".join(
        f'<dimension sizeX="{w}" sizeY="{h}" r="{i}" ifd="{first + i}"/>'
        for i, (w, h) in enumerate(dimensions)
    )
    return (
        f'<image name="{name}"><pixels sizeX="{size[0]}" sizeY="{size[1]}">{pixels}</pixels>'
        f'<view sizeX="{size[0] * _NM}" sizeY="{size[1] * _NM}" offsetX="{place[0] * _NM}" '
        f'offsetY="{place[1] * _NM}" spacingZ="0"/><creationDate>2020-01-01</creationDate>'
        '<device model="SCN400" version="1"/><scanSettings><objectiveSettings><objective>20'
        "</objective></objectiveSettings><illuminationSettings><numericalAperture>0.4"
        "</numericalAperture><illuminationSource>brightfield</illuminationSource>"
        "</illuminationSettings></scanSettings></image>"
    )


# -- Ventana --


def write_bif(path: Path, pixels: np.ndarray, *, overlap: int = 4, mpp: float = 0.465) -> None:
    """Write one area whose tiles overlap sideways; neighbors repeat what they share."""
    step = TILE - overlap
    rows, cols = pixels.shape[0] // TILE, (pixels.shape[1] - overlap) // step
    apart = np.concatenate([pixels[:, c * step : c * step + TILE] for c in range(cols)], axis=1)
    apart = apart[: rows * TILE]
    scan = f'<iScan Z-layers="1" Magnification="20" ScanRes="{mpp}" UnitNumber="1"/>'
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(
            GRAY,
            photometric="rgb",
            description="Label Image",
            metadata=None,
            extratags=[_xmp(f"<?xml version='1.0'?>{scan}")],
        )
        for i, level in enumerate(reduced(apart, 2)):
            more = [_xmp(_stitching(rows, cols, overlap))] if i == 0 else []
            _tiles(
                writer, level, description=f"level={i} mag={20 / 2**i:g} quality=95", extratags=more
            )


def _xmp(text: str) -> tuple[int, int, int, bytes, bool]:
    return (700, 1, len(text), text.encode(), True)


def _stitching(rows: int, cols: int, overlap: int) -> str:
    """Tiles are numbered from below, to and fro."""

    def number(row: int, col: int) -> int:
        up = rows - 1 - row
        return up * cols + (cols - 1 - col if up % 2 else col) + 1

    joints = [
        (number(r, c), number(r, c + 1), "RIGHT", overlap)
        for r in range(rows)
        for c in range(cols - 1)
    ]
    joints += [
        (number(r + 1, c), number(r, c), "UP", 0) for r in range(rows - 1) for c in range(cols)
    ]
    told = "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{way}" Tile1="{one}" '
        f'Tile2="{two}" OverlapX="{x}" OverlapY="0"/>'
        for one, two, way, x in joints
    )
    return (
        "<?xml version='1.0'?><EncodeInfo Ver=\"2\"><SlideStitchInfo><ImageInfo "
        f'AOIScanned="1" AOIIndex="0" Width="{TILE}" Height="{TILE}" NumRows="{rows}" '
        f'NumCols="{cols}" Pos-X="0" Pos-Y="0">{told}</ImageInfo></SlideStitchInfo>'
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )


# -- Philips --


def write_philips(path: Path, pixels: np.ndarray, *, mpp: float = 0.25) -> None:
    """Write levels padded to whole tiles, label and macro in the description."""

    def attribute(name: str, value: str) -> str:
        return f'<Attribute Name="{name}">{value}</Attribute>'

    levels = reduced(pixels, 2)
    spacings = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        + attribute("DICOM_PIXEL_SPACING", f'"{mpp * 2**i / 1000}" "{mpp * 2**i / 1000}"')
        + attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", str(i))
        + "</DataObject>"
        for i in range(len(levels))
    )
    picture = base64.b64encode(jpeg(GRAY)).decode()
    scanned = (
        '<DataObject ObjectType="DPScannedImage">'
        + attribute("PIM_DP_IMAGE_TYPE", "WSI")
        + attribute("DICOM_PIXEL_SPACING", f'"{mpp / 1000}" "{mpp / 1000}"')
        + attribute("DICOM_DERIVATION_DESCRIPTION", "tiff-useBigTIFF=1-levels=40,20-end")
        + attribute("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", f"<Array>{spacings}</Array>")
        + "</DataObject>"
    )
    for kind in ("LABELIMAGE", "MACROIMAGE"):
        scanned += (
            '<DataObject ObjectType="DPScannedImage">'
            + attribute("PIM_DP_IMAGE_TYPE", kind)
            + attribute("DICOM_DERIVATION_DESCRIPTION", "")
            + attribute("PIM_DP_IMAGE_DATA", picture)
            + "</DataObject>"
        )
    text = (
        '<?xml version="1.0"?><DataObject ObjectType="DPUfsImport">'
        + attribute("DICOM_MANUFACTURER", "PHILIPS")
        + attribute("PIM_DP_SCANNED_IMAGES", f"<Array>{scanned}</Array>")
        + "</DataObject>"
    )
    with tifffile.TiffWriter(path) as writer:
        for i, level in enumerate(levels):
            height, width = (-(-n // TILE) * TILE for n in level.shape[:2])
            padded = np.full((height, width, 3), 255, np.uint8)
            padded[: level.shape[0], : level.shape[1]] = level
            _tiles(
                writer,
                padded,
                description=text if i == 0 else f"level={i}",
                software="Philips DP v1.0",
                subfiletype=int(i > 0),
            )


# -- Trestle --


def write_trestle(path: Path, pixels: np.ndarray, *, overlap: int = 4, mpp: float = 0.5) -> None:
    """Write two levels; tiles of the finest overlap both ways."""
    step = TILE - overlap
    rows, cols = ((n - overlap) // step for n in pixels.shape[:2])
    apart = np.concatenate(
        [
            np.concatenate(
                [pixels[r * step :, c * step :][:TILE, :TILE] for c in range(cols)], axis=1
            )
            for r in range(rows)
        ]
    )
    coarse = pixels[: rows * step + overlap : 2, : cols * step + overlap : 2]
    text = f"Objective Power=20;OverlapsXY= {overlap} {overlap} 0 0;Background Color=ffffff"
    with tifffile.TiffWriter(path) as writer:
        for level in (apart, np.ascontiguousarray(coarse)):
            _tiles(
                writer,
                level,
                description=text,
                software="MedScan 1.0",
                resolution=(mpp, mpp),
                resolutionunit="NONE",
            )
