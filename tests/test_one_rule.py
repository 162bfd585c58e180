"""One rule decides each class: table, exports, overlay, tile layer and comparison agree."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.layers import Image

from napari_liverdx.core.assignment import DEFAULT_THRESHOLD
from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.prediction_sets import (
    UNCERTAIN_ID,
    UNCERTAIN_TITLE,
    Quantiles,
    uncertain_mask,
)
from napari_liverdx.exports.csv import write_tiles_csv
from napari_liverdx.exports.geojson import features
from napari_liverdx.exports.ome_zarr import write_ome_zarr
from napari_liverdx.exports.registry import ExportOptions
from napari_liverdx.models.conformal import conformal_quantiles
from napari_liverdx.reports.html import overlay_picture
from napari_liverdx.results.findings import Findings, measure_result
from napari_liverdx.results.measure_settings import MeasureSettings, assign_tiles
from napari_liverdx.results.measurement_map import MapKind, measurement_map
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.compare import Side, compare
from napari_liverdx.session.review import predicted_class
from napari_liverdx.slides.slide import Overview
from napari_liverdx.viewer.layers.base import tile_layer
from tests.support.models import CLASSES, make_card
from tests.support.results import oblong_result

FAT = 2
NAMES = ("", *(c.name for c in CLASSES), UNCERTAIN_ID)
TITLES = ("", *(c.title for c in CLASSES), UNCERTAIN_TITLE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    return oblong_result(tmp_path_factory.mktemp("rule"), 4, 5)


@st.composite
def choices(draw: st.DrawFn) -> tuple[MeasureSettings, Quantiles]:
    rate = draw(st.sampled_from([None, 0.1]))
    quantile = st.floats(0.2, 0.8) if rate else st.none()
    cut = draw(st.sampled_from([0.0, 0.2, DEFAULT_THRESHOLD, 0.8, 1.0]) | st.floats(0, 1))
    chosen = MeasureSettings({"fat": cut}, rate, draw(st.sampled_from(MapKind)))
    return chosen, Quantiles(draw(quantile), draw(quantile))


def by_hand(store: ResultStore, chosen: MeasureSettings, quantiles: Quantiles) -> np.ndarray:
    """Label of each map pixel, the rule spelled out once more."""
    on = measurement_map(store, chosen.map_kind)
    values = on.probabilities
    labels = np.where(
        values[FAT] >= np.float32(chosen.threshold("fat")), FAT + 1, values[:FAT].argmax(0) + 1
    )
    if chosen.error_rate is not None:
        fine = chosen.map_kind is MapKind.SUBTILES
        labels[uncertain_mask(values, quantiles.subtile if fine else quantiles.tile)] = 4
    labels[~on.tissue] = 0
    return labels


def areas(labels: np.ndarray, store: ResultStore) -> list[float]:
    return [float((labels == n).sum()) * store.subtile_area_um2 / 1e6 for n in range(1, 5)]


def overlay_masks(store: ResultStore, found: Findings) -> tuple[np.ndarray, np.ndarray]:
    """Where an overlay on white draws, and where it is gray, by map pixel."""
    (width, height), (x, y) = store.subtile_size, store.origin
    rows, cols = found.on.tissue.shape
    top, left = round(y / height), round(x / width)
    white = np.full((top + rows, left + cols, 3), 255, np.uint8)
    picture = overlay_picture(
        Overview(white, width, height), found.on, found.assignment, opacity=1.0
    )[top:, left:].astype(int)
    drawn = (picture != 255).any(axis=2)
    gray = (picture == picture[..., :1]).all(axis=2) | (
        np.abs(picture - (0.3 * 255 + 0.7 * np.array([0x6E, 0x62, 0x59]))).max(axis=2) <= 1
    )
    return drawn & ~gray, drawn & gray


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=choices(), seed=st.integers(0, 2**32 - 1))
def test_all_consumers_agree(
    store: ResultStore,
    tmp_path_factory: pytest.TempPathFactory,
    chosen: tuple[MeasureSettings, Quantiles],
    seed: int,
) -> None:
    settled, quantiles = chosen
    rng = np.random.default_rng(seed)
    done = store.state == TileState.DONE
    spread = rng.choice([0.3, 1.0])
    for values in (store.probabilities, store.tile_probabilities):
        values[...] = np.moveaxis(rng.dirichlet([spread] * 3, values.shape[1:]), -1, 0)
    expected = by_hand(store, settled, quantiles)
    folder = tmp_path_factory.mktemp("agree")
    options = ExportOptions(settled, quantiles)

    found = measure_result(store, settled, quantiles)
    table = {m.name: m.area_mm2 for m in found.measures}
    assert [table.get(n, 0.0) for n in NAMES[1:]] == pytest.approx(areas(expected, store))

    told = [json.loads(f)["properties"] for f in features(store, options)]
    fat = sum(p["measurements"]["Area mm^2"] for p in told if p["objectType"] == "annotation")
    assert fat == pytest.approx(table["fat"], abs=1e-7)

    write_ome_zarr(store, folder / "map.ome.zarr", options)
    labels = np.asarray(zarr.open_group(folder / "map.ome.zarr", mode="r")["labels/called/0"])
    assert (labels == expected).all()

    drawn, gray = overlay_masks(store, found)
    shown = (expected == FAT + 1) & (found.on.probabilities[FAT] > 0.01)
    assert (drawn[shown]).all()
    assert not drawn[expected != FAT + 1].any()
    assert (gray == (expected == 4)).all()

    side = Side(store, "fat", settled, quantiles)
    same = compare(side, side)
    assert (same.a_mm2, same.changed_tiles) == (pytest.approx(table["fat"]), 0)

    tiles = assign_tiles(store, settled, quantiles).labels
    layer = tile_layer(store, Image(np.zeros((8, 8))), settled, quantiles)
    said = [n for n in layer.features["tile"] if n not in ("no tile", "could not be read")]
    assert said == [TITLES[n] for n in tiles[done]]
    exported = [p["classification"]["name"] for p in told if p["objectType"] == "tile"]
    assert exported == [NAMES[n] for n in tiles[done]]
    write_tiles_csv(store, folder / "tiles.csv", options)
    rows = csv.DictReader((folder / "tiles.csv").read_text(encoding="utf-8").splitlines())
    assert [r["called"] for r in rows if r["state"] == "done"] == exported
    decided = [predicted_class(store, t, settled) for t in tiles_of(done)]
    sure = tiles[done] != 4
    assert (np.array(decided)[sure] + 1 == tiles[done][sure]).all()


def tiles_of(done: np.ndarray) -> Iterator[object]:
    from napari_liverdx.core.grid import TileIndex

    return (TileIndex(*place) for place in np.argwhere(done).tolist())


def test_tiles_are_judged_by_the_quantile_of_tiles(tmp_path: Path) -> None:
    store = oblong_result(tmp_path, 2, 3)
    rates = {"groups": 9, "samples": 90, "rates": [0.1]}
    card = make_card(
        conformal={"cell": {**rates, "quantiles": [0.9]}, "tile": {**rates, "quantiles": [0.2]}}
    )
    quantiles = conformal_quantiles(card, 0.1)
    assert quantiles == Quantiles(subtile=0.9, tile=0.2)
    used = {
        kind: measure_result(store, MeasureSettings({}, 0.1, kind), quantiles).assignment.quantile
        for kind in MapKind
    }
    assert used == {MapKind.SUBTILES: 0.9, MapKind.TILES: 0.2, MapKind.TILES_AVERAGED: 0.2}
    assert assign_tiles(store, MeasureSettings({}, 0.1), quantiles).quantile == 0.2
    only_tiles = make_card(conformal={"tile": {**rates, "quantiles": [0.2]}})
    assert conformal_quantiles(only_tiles, 0.1) == Quantiles(0.2, 0.2)


def test_an_error_rate_is_never_passed_over(tmp_path: Path) -> None:
    store = oblong_result(tmp_path, 2, 3)
    with pytest.raises(PlanError, match="calibration scores"):
        measure_result(store, MeasureSettings({}, 0.1))
    with pytest.raises(PlanError, match="calibration scores"):
        list(features(store, ExportOptions(MeasureSettings({}, 0.1))))
