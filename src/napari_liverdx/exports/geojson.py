"""GeoJSON as QuPath (0.4 and later) imports it, streamed object by object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import uuid5

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.assignment import Assignment
from napari_liverdx.core.classes import TissueClass
from napari_liverdx.core.colormaps import rgb8
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.outline import Focus, label_foci, outline
from napari_liverdx.core.prediction_sets import UNCERTAIN_COLOR, UNCERTAIN_ID
from napari_liverdx.exports.base import (
    ExportOptions,
    provenance,
    result_uuid,
    writing,
)
from napari_liverdx.results.measurement_map import MapKind, measurement_map
from napari_liverdx.results.review_log import Decision, Verdict
from napari_liverdx.results.store import ResultStore, TileState

__all__ = ["features", "write_geojson"]

_DECIMALS = 3
"""Of coordinates in level-0 pixels."""


def write_geojson(store: ResultStore, path: Path, options: ExportOptions) -> None:
    """Write regions as annotations and tiles as tile detections.

    Coordinates are level-0 pixels, (0, 0) is the upper-left corner of the first pixel. Exporting
    the same result twice gives the same file.

    Parameters
    ----------
    store : ResultStore
        The result.
    path : Path
        File to write.
    options : ExportOptions
        Thresholds and error rate; regions have the areas that the table of measurements states.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    head = json.dumps(provenance(store, options), ensure_ascii=False)
    with writing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","liverdx":' + head + ',"features":[')
        between = "\n"
        for text in features(store, options):
            file.write(between + text)
            between = ",\n"
        file.write("\n]}\n")


def features(store: ResultStore, options: ExportOptions) -> Iterator[str]:
    """Yield the features as JSON, regions first."""
    assigned = options.assign_map(store)
    for index in store.manifest.scheme.pathological:
        yield from _regions(store, index, assigned, options)
    yield from _tiles(store, options.assign_tiles(store))


def _classification(tissue_class: TissueClass) -> dict[str, Any]:
    # QuPath splits a name at ": " into a class and what it derives from.
    name = tissue_class.name.replace(":", " ")
    return {"name": name, "color": list(rgb8(tissue_class.color))}


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else json.dumps(round(value, _DECIMALS))


def _edges(start: float, step: float, count: int) -> list[str]:
    return [_number(round(start + i * step, _DECIMALS)) for i in range(count)]


# -- regions --


def _regions(
    store: ResultStore, index: int, assigned: Assignment, options: ExportOptions
) -> Iterator[str]:
    tissue_class, settings = store.manifest.classes[index], options.settings
    threshold = assigned.thresholds[tissue_class.name]
    values = measurement_map(store, settings.map_kind).probabilities[index]
    labels, count = label_foci(assigned.counted[index])
    # What was chosen beside a threshold makes other regions, with identities of their own.
    chosen = "" if settings.error_rate is None else f" {json.dumps(settings.error_rate)}"
    chosen += "" if settings.map_kind is MapKind.SUBTILES else f" {settings.map_kind.value}"
    subtiles = np.bincount(labels.ravel(), minlength=count + 1)
    total = np.bincount(labels.ravel(), values.ravel(), count + 1)
    rows, cols = labels.shape
    (x, y), (width, height) = store.origin, store.subtile_size
    xs, ys = _edges(x, width, cols + 1), _edges(y, height, rows + 1)
    space = result_uuid(store.manifest)
    for focus in outline(labels):
        n = int(subtiles[focus.label])
        properties = {
            "objectType": "annotation",
            "name": f"{tissue_class.title} {focus.label}",
            "classification": _classification(tissue_class),
            "isLocked": True,
            "measurements": {
                "Area mm^2": round(n * store.subtile_area_um2 / 1e6, 9),
                "Mean probability": round(float(total[focus.label] / n), 6),
                "Cells": n,
                "Threshold": threshold,
            },
        }
        told = json.dumps(properties, ensure_ascii=False)
        col, row = focus.polygons[0][0][0]
        where = f"region {tissue_class.name} {json.dumps(threshold)} {row} {col}{chosen}"
        yield (
            f'{{"type":"Feature","id":"{uuid5(space, where)}","geometry":'
            f'{_geometry(focus, xs, ys)},"properties":{told}}}'
        )


def _geometry(focus: Focus, xs: list[str], ys: list[str]) -> str:
    polygons = ["[" + ",".join(_ring(r, xs, ys) for r in p) + "]" for p in focus.polygons]
    if len(polygons) == 1:
        return f'{{"type":"Polygon","coordinates":{polygons[0]}}}'
    return f'{{"type":"MultiPolygon","coordinates":[{",".join(polygons)}]}}'


def _ring(ring: NDArray[np.int32], xs: list[str], ys: list[str]) -> str:
    corners = ring.tolist()
    corners.append(corners[0])
    return "[" + ",".join([f"[{xs[col]},{ys[row]}]" for col, row in corners]) + "]"


# -- tiles --


def _tiles(store: ResultStore, assigned: Assignment) -> Iterator[str]:
    grid, classes = store.manifest.grid, store.manifest.classes
    first = grid.rect(TileIndex(0, 0))
    step_x, step_y = grid.stride_x * grid.scale_x, grid.stride_y * grid.scale_y
    lefts = _edges(first.x, step_x, grid.n_cols)
    rights = _edges(first.right, step_x, grid.n_cols)
    tops, bottoms = _edges(first.y, step_y, grid.n_rows), _edges(first.bottom, step_y, grid.n_rows)
    shown = [_classification(c) for c in classes]
    shown.append({"name": UNCERTAIN_ID, "color": list(rgb8(UNCERTAIN_COLOR))})
    kinds = [json.dumps(kind, ensure_ascii=False) for kind in shown]
    names = [json.dumps(f"Probability {c.name}", ensure_ascii=False) for c in classes]
    pattern = ",".join(name.replace("%", "%%") + ":%.6f" for name in names)
    decisions: Mapping[TileIndex, Decision] = store.decisions
    space = result_uuid(store.manifest)
    for row, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
        done = np.flatnonzero(store.state[row] == TileState.DONE)
        values = store.tile_probabilities[:, row, done]
        predicted = (assigned.labels[row, done] - 1).tolist()
        oods = store.ood[row, done].tolist()
        each = zip(done.tolist(), values.T.tolist(), predicted, oods, strict=True)
        for col, probabilities, kind, ood in each:
            numbers = pattern % tuple(probabilities)
            if isfinite(ood):
                numbers += f',"Unlike training data":{ood:.4f}'
            more = ""
            if decisions and (decision := decisions.get(TileIndex(row, col))) is not None:
                numbers += f',"Review accepted":{int(decision.verdict is Verdict.ACCEPTED)}'
                more = ',"metadata":' + json.dumps(_review(decision), ensure_ascii=False)
            left, right = lefts[col], rights[col]
            yield (
                f'{{"type":"Feature","id":"{uuid5(space, f"tile {row} {col}")}",'
                f'"geometry":{{"type":"Polygon","coordinates":[[[{left},{top}],[{right},{top}],'
                f'[{right},{bottom}],[{left},{bottom}],[{left},{top}]]]}},"properties":'
                f'{{"objectType":"tile","classification":{kinds[kind]},'
                f'"measurements":{{{numbers}}}{more}}}}}'
            )


def _review(decision: Decision) -> dict[str, str]:
    told = {"Review": decision.verdict.value, "Predicted class": decision.called}
    return told | ({"Correct class": decision.correct} if decision.correct else {})
