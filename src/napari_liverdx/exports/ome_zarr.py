"""The probabilities and the predicted classes as OME-Zarr (NGFF 0.5) for other viewers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray

from napari_liverdx._files import parse_json
from napari_liverdx.core.colormaps import rgb8
from napari_liverdx.core.prediction_sets import (
    UNCERTAIN_COLOR,
    UNCERTAIN_ID,
    UNCERTAIN_TITLE,
)
from napari_liverdx.exports.base import (
    ExportOptions,
    provenance,
    slide_label,
    writing_folder,
)
from napari_liverdx.exports.pyramid import halved
from napari_liverdx.results.arrays import fitting_chunks
from napari_liverdx.results.store import ResultStore

__all__ = ["write_ome_zarr"]

_CHUNK = 256
_SMALLEST = 256
_LABELS = "called"
_MARK = "liverdx_export"


def write_ome_zarr(store: ResultStore, path: Path, options: ExportOptions) -> None:
    """Write a pyramid of the probabilities and, as labels, each map pixel's predicted class.

    A label is 1 plus the position of its class, one more than there are classes where the error
    rate forbids to name one, 0 where nothing was analyzed. Translations are
    those of the first pixel's center from the center of the slide's first pixel, in µm.

    Parameters
    ----------
    store : ResultStore
        The result.
    path : Path
        Folder to write.
    options : ExportOptions
        Thresholds and error rate of the classes; whether the slide's name is hidden.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written, or something else is there.
    """
    name = f"{slide_label(store.manifest, options)} {store.manifest.model_name}"
    images: list[NDArray[Any]] = [store.probabilities]
    labels: list[NDArray[Any]] = [options.assign_map(store).labels]
    while max(images[-1].shape[1:]) > _SMALLEST:
        images.append(halved(images[-1]))
        labels.append(labels[-1][::2, ::2])
    with writing_folder(path, _is_ours) as partial:
        group = zarr.open_group(partial, mode="w", zarr_format=3)
        _write_levels(group, images, "cyx")
        group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [_multiscale(store, name, "cyx", len(images))],
            "omero": _rendering(store),
        }
        group.attrs[_MARK] = provenance(store, options)
        folder = group.create_group("labels")
        folder.attrs["ome"] = {"version": "0.5", "labels": [_LABELS]}
        called = folder.create_group(_LABELS)
        _write_levels(called, labels, "yx")
        called.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [_multiscale(store, f"{name} {_LABELS}", "yx", len(labels))],
            "image-label": _label_meanings(store, options),
        }


def _is_ours(path: Path) -> bool:
    try:
        content = parse_json((path / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and _MARK in content.get("attributes", {})


def _write_levels(group: zarr.Group, levels: list[NDArray[Any]], axes: str) -> None:
    for n, level in enumerate(levels):
        chunks = (1, _CHUNK, _CHUNK)[-level.ndim :]
        array = group.create_array(
            str(n),
            shape=level.shape,
            chunks=fitting_chunks(chunks, level.shape),
            dtype=level.dtype,
            dimension_names=tuple(axes),
        )
        array[...] = level


def _multiscale(store: ResultStore, name: str, axes: str, levels: int) -> dict[str, Any]:
    (width, height), (x, y), mpp = store.subtile_size, store.origin, store.mpp
    lead = [1.0] * (len(axes) - 2), [0.0] * (len(axes) - 2)
    datasets = []
    for n in range(levels):
        subtile_x, subtile_y = width * 2**n, height * 2**n
        first_y, first_x = (y + (subtile_y - 1) / 2) * mpp.y, (x + (subtile_x - 1) / 2) * mpp.x
        scale = {"type": "scale", "scale": [*lead[0], subtile_y * mpp.y, subtile_x * mpp.x]}
        shift = {"type": "translation", "translation": [*lead[1], first_y, first_x]}
        datasets.append({"path": str(n), "coordinateTransformations": [scale, shift]})
    kinds: dict[str, dict[str, str]] = {
        "c": {"type": "channel"},
        "y": {"type": "space", "unit": "micrometer"},
        "x": {"type": "space", "unit": "micrometer"},
    }
    return {
        "name": name,
        "axes": [{"name": a, **kinds[a]} for a in axes],
        "datasets": datasets,
        "type": "mean" if axes == "cyx" else "nearest",
    }


def _rendering(store: ResultStore) -> dict[str, Any]:
    shown = store.manifest.scheme.pathological
    return {
        "channels": [
            {
                "label": c.title,
                "color": c.color.removeprefix("#").upper(),
                "window": {"min": 0, "max": 1, "start": 0, "end": 1},
                "active": i in shown,
            }
            for i, c in enumerate(store.manifest.classes)
        ]
    }


def _label_meanings(store: ResultStore, options: ExportOptions) -> dict[str, Any]:
    meanings = [(c.name, c.title, c.color, c.kind.value) for c in store.manifest.classes]
    if options.settings.error_rate is not None:
        meanings.append((UNCERTAIN_ID, UNCERTAIN_TITLE, UNCERTAIN_COLOR, "uncertain"))
    return {
        "colors": [
            {"label-value": n, "rgba": [*rgb8(color), 255]}
            for n, (_, _, color, _) in enumerate(meanings, 1)
        ],
        "properties": [
            {"label-value": n, "class": name, "title": title, "kind": kind}
            for n, (name, title, _, kind) in enumerate(meanings, 1)
        ],
        "source": {"image": "../../"},
    }
