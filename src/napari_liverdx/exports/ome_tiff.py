"""The probabilities as an OME-TIFF that lies on the slide."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_liverdx.core.colormaps import rgb8
from napari_liverdx.exports.base import (
    ExportOptions,
    provenance,
    result_uuid,
    slide_label,
    writing,
)
from napari_liverdx.exports.pyramid import halved
from napari_liverdx.results.store import ResultStore

__all__ = ["write_ome_tiff"]

_TILE = 256
_SMALLEST = 512


def write_ome_tiff(store: ResultStore, path: Path, options: ExportOptions) -> None:
    """Write one channel for each class, with its name and color.

    ``PhysicalSizeX/Y`` is the size of a subtile. ``Plane PositionX/Y`` is the upper-left corner of
    the first map pixel in µm, counted from the upper-left corner of the slide's first pixel:
    napari, which counts from the center of one pixel to the center of another, puts the first map
    pixel half a map pixel minus half a slide pixel further.

    Parameters
    ----------
    store : ResultStore
        The result.
    path : Path
        File to write.
    options : ExportOptions
        Whether the slide's name is hidden, and whether bytes are written.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    values = store.probabilities
    levels: list[NDArray[np.float32]] = [values]
    while max(levels[-1].shape[1:]) > _SMALLEST:
        levels.append(halved(levels[-1]))
    with writing(path) as partial, tifffile.TiffWriter(partial, ome=True, bigtiff=True) as writer:
        for n, level in enumerate(levels):
            writer.write(
                (level * 255).round().astype(np.uint8) if options.as_bytes else level,
                photometric="minisblack",
                tile=(_TILE, _TILE),
                # Without a predictor: readers in Java know none for floating point.
                compression="zlib",
                subfiletype=int(n > 0),
                subifds=len(levels) - 1 if n == 0 else None,
                metadata=_metadata(store, options) if n == 0 else None,
            )


def _metadata(store: ResultStore, options: ExportOptions) -> dict[str, Any]:
    manifest = store.manifest
    count = len(manifest.classes)
    (width, height), (x, y), mpp = store.subtile_size, store.origin, store.mpp
    # A negative 32-bit number where red is large, as the OME schema has it: RGBA.
    colors = [
        int.from_bytes(bytes([*rgb8(c.color), 255]), "big", signed=True) for c in manifest.classes
    ]
    told = provenance(store, options)
    return {
        "axes": "CYX",
        "Name": f"{slide_label(manifest, options)} {manifest.model_name}",
        "Description": f"Probabilities. {manifest.notice}",
        "UUID": str(uuid.uuid5(result_uuid(manifest), "ome-tiff")),
        "PhysicalSizeX": width * mpp.x,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": height * mpp.y,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": [c.title for c in manifest.classes], "Color": colors},
        "Plane": {
            "PositionX": [x * mpp.x] * count,
            "PositionXUnit": ["µm"] * count,
            "PositionY": [y * mpp.y] * count,
            "PositionYUnit": ["µm"] * count,
        },
        "MapAnnotation": {k: str(v) for k, v in told.items() if k != "slide"},
    }
