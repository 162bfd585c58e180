"""Writing OME-Zarr stores as other programs do."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr


def write_ome_zarr(
    path: Path,
    pixels: np.ndarray,
    *,
    version: str = "0.5",
    axes: str = "cyx",
    levels: int = 2,
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    scale: float = 0.5,
    unit: str | None = "micrometer",
    outer: float | None = None,
    omero: dict[str, Any] | None = None,
    group: str = "",
    **array: Any,
) -> Path:
    """Write an image, shape (h, w, 3), with its levels; each is every second pixel of the last.

    ``scale`` is that of the finest level, ``outer`` one of all levels; other arguments are those
    of `zarr.create_array`.
    """
    zarr_format = 3 if version == "0.5" else 2
    root = zarr.open_group(path, path=group or None, mode="a", zarr_format=zarr_format)
    datasets = []
    for level in range(levels):
        data = in_axes(pixels[:: 2**level, :: 2**level], axes)
        made = root.create_array(
            str(level),
            shape=data.shape,
            dtype=data.dtype,
            chunks=tuple(chunks or [min(n, 128) for n in data.shape]),
            **({"shards": tuple(shards)} if shards else {}),
            **({"dimension_names": list(axes)} if zarr_format == 3 else {}),
            **array,
        )
        made[...] = data
        steps = [scale * 2**level if a in "yx" else 1.0 for a in axes]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": steps},
                    {"type": "translation", "translation": [0.0] * len(axes)},
                ],
            }
        )
    multiscale: dict[str, Any] = {
        "axes": [axis(a, unit) for a in axes],
        "datasets": datasets,
        "name": "slide",
    }
    if outer is not None:
        steps = [outer if a in "yx" else 1.0 for a in axes]
        multiscale["coordinateTransformations"] = [{"type": "scale", "scale": steps}]
    metadata: dict[str, Any] = {"multiscales": [multiscale]}
    if omero is not None:
        metadata["omero"] = omero
    if zarr_format == 3:
        root.attrs["ome"] = {"version": version, **metadata}
    else:
        multiscale["version"] = version
        root.attrs.update(metadata)
    return path


def axis(letter: str, unit: str | None) -> dict[str, str]:
    kind = {"c": "channel", "t": "time"}.get(letter, "space")
    said = {"name": letter, "type": kind}
    return said if kind != "space" or unit is None else {**said, "unit": unit}


def in_axes(pixels: np.ndarray, axes: str) -> np.ndarray:
    """Return an image, shape (h, w, c), with its axes in another order; others have length 1."""
    there = [a for a in axes if a in "yxc"]
    moved = pixels.transpose(["yxc".index(a) for a in there])
    index = tuple(slice(None) if a in "yxc" else None for a in axes)
    return moved[index]


def zipped(folder: Path, path: Path, *, top: str = "", deflate: bool = False) -> Path:
    """Pack a store into a zip, within a folder ``top`` if one is named."""
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as file:
        for one in sorted(p for p in folder.rglob("*") if p.is_file()):
            file.write(one, top + one.relative_to(folder).as_posix())
    return path


def edit_json(path: Path, **changes: Any) -> None:
    """Change entries of a JSON object in a file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
