"""Reviewing tiles: order, decisions with undo, the gallery, keys, the overview."""

from __future__ import annotations

import csv
import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_liverdx.core.errors import ResultError, StorageFullError
from napari_liverdx.core.grid import TileIndex, plan_grid
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.review_log import Decision, DecisionLog, Verdict, write_decisions
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.review import Order, Review, rank_tiles
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_thumbnails
from napari_liverdx.viewer.layers.camera import camera_of
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.review_page import ReviewTab

from .conftest import CLASSES
from .window import analyze, canvas, click, open_in, wait, wait_paint


def make_store(path: Path, rows: int = 3, cols: int = 4, **more: object) -> ResultStore:
    """A finished result with random probabilities, tiles of 224 px at 0.5 µm/px."""
    size = (224 * cols, 224 * rows)
    grid = plan_grid(
        [Level(*size, 1.0, 1.0, 256, 256)], Mpp.square(0.5), model_mpp=0.5, tile_size=224
    )
    fields = {
        "slide_name": "a.tif",
        "slide_format": "TIFF",
        "slide_fingerprint": "0" * 64,
        "slide_size": size,
        "mpp": (0.5, 0.5),
        "mpp_source": "test",
        "model_name": "tiny",
        "model_version": "1",
        "model_sha256": "1" * 64,
        "classes": CLASSES,
        "grid": grid,
        "cells": 7,
        "overlap": 0.0,
        "regions_sha256": "2" * 64,
        **more,
    }
    tissue = TissueMask(np.ones((rows * 14, cols * 14), bool), 16.0, 16.0)
    store = ResultStore.create(path, RunManifest.model_validate(fields), tissue, list(grid))
    rng = np.random.default_rng(0)
    classes = len(store.manifest.classes)
    values = rng.dirichlet([1.0] * classes, rows * cols).astype(np.float32)
    store.add(list(grid), values, None, domain=rng.random(rows * cols).astype(np.float32) * 2)
    store.flush()
    return store


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """Twelve tiles."""
    return make_store(tmp_path / "a.liverdx.zarr")


# -- order --


def test_orders_put_the_right_tiles_first(store: ResultStore) -> None:
    fat = store.tile_probabilities[2]
    first = rank_tiles(store, Order.SUSPICIOUS, 12)
    assert [fat[t.row, t.col] for t in first] == sorted(fat.ravel(), reverse=True)
    unsure = rank_tiles(store, Order.UNCERTAIN, 1)[0]
    # The least certain one has the lowest highest probability here, as three classes are few.
    entropy = -(store.tile_probabilities * np.log(store.tile_probabilities)).sum(axis=0)
    assert entropy[unsure.row, unsure.col] == entropy.max()
    store.domain[1, 1] = np.nan
    strange = rank_tiles(store, Order.UNFAMILIAR, 12)
    assert TileIndex(1, 1) not in strange
    assert len(strange) == 11
    assert store.domain[strange[0].row, strange[0].col] == np.nanmax(store.domain)


def test_decided_tiles_can_be_left_out(store: ResultStore) -> None:
    first = rank_tiles(store, Order.SUSPICIOUS, 3)
    Review(store).accept(first[0])
    assert rank_tiles(store, Order.SUSPICIOUS, 2, undecided_only=True) == first[1:]


def test_a_finished_tile_counts_and_no_other(store: ResultStore) -> None:
    store.state[0, :] = 2
    assert all(t.row > 0 for t in rank_tiles(store, Order.UNCERTAIN, 12))


# -- decisions --


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from("arfu"))))
def test_undo_and_redo_lead_anywhere_and_back(
    store: ResultStore, steps: list[tuple[int, int, str]]
) -> None:
    for tile in list(store.decisions):
        store.decisions.put(tile, None)
    review = Review(store)
    states = [dict(store.decisions)]
    for row, col, what in steps:
        tile = TileIndex(row, col)
        known = tile in store.decisions
        if what == "u":
            review.undo()
            states = states[:-1] or states
        else:
            {"a": review.accept, "r": review.reject, "f": review.forget}[what](tile)
            if what != "f" or known:
                states.append(dict(store.decisions))
        assert dict(store.decisions) == states[-1]
        # What is in memory is what another program start would find.
        assert dict(DecisionLog(store.path)) == states[-1]
    undone = 0
    while review.can_undo:
        review.undo()
        undone += 1
    assert dict(store.decisions) == {}
    for _ in range(undone):
        review.redo()
    assert dict(store.decisions) == states[-1]


def test_a_rejected_tile_of_two_classes_is_of_the_other(tmp_path: Path) -> None:
    store = make_store(tmp_path / "b.liverdx.zarr", classes=CLASSES[1:])
    review = Review(store)
    tile = TileIndex(0, 0)
    review.reject(tile)
    decision = store.decisions[tile]
    assert {decision.called, decision.correct} == {"liver", "fat"}


def test_a_correction_names_the_class(store: ResultStore) -> None:
    review = Review(store)
    tile = rank_tiles(store, Order.SUSPICIOUS, 1)[0]
    review.correct(tile, "liver")
    assert store.decisions[tile].verdict is Verdict.REJECTED
    assert store.decisions[tile].correct == "liver"
    review.correct(tile, "fat")
    assert store.decisions[tile].verdict is Verdict.ACCEPTED
    with pytest.raises(KeyError, match="no class"):
        review.correct(tile, "spleen")
    assert store.decisions[tile].correct == "fat"


def test_a_full_disk_keeps_the_decisions_made_before(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    review = Review(store)
    review.accept(TileIndex(0, 0))
    kept = (store.path / "review.json").read_text()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(StorageFullError, match="decisions made before are kept"):
            review.reject(TileIndex(0, 1))
    assert list(store.decisions) == [TileIndex(0, 0)]
    assert (store.path / "review.json").read_text() == kept
    assert review.undo() == TileIndex(0, 0)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"row": -1, "col": 0, "verdict": "accepted"}]'])
def test_a_damaged_review_is_told_and_left_alone(store: ResultStore, text: str) -> None:
    file = store.path / "review.json"
    file.write_text(text)
    with pytest.raises(ResultError, match="move the file away"):
        _ = store.decisions
    assert file.read_text() == text


def test_decisions_as_a_table(store: ResultStore, tmp_path: Path) -> None:
    review = Review(store)
    review.reject(TileIndex(1, 2), "liver")
    out = tmp_path / "review.csv"
    write_decisions(out, store.decisions, store.manifest.grid)
    (row,) = csv.DictReader(io.StringIO(out.read_text(encoding="utf-8")))
    assert (row["x"], row["y"], row["width"]) == ("448.0", "224.0", "224.0")
    assert (row["verdict"], row["correct"]) == ("rejected", "liver")


def test_decisions_from_another_program_start(store: ResultStore) -> None:
    Review(store).accept(TileIndex(2, 3))
    again = ResultStore.open(store.path).decisions[TileIndex(2, 3)]
    assert isinstance(again, Decision)
    assert json.loads((store.path / "review.json").read_text())[0]["col"] == 3


def test_thumbnails_show_the_tiles_and_stop(sample: Slide, store: ResultStore) -> None:
    grid = store.manifest.grid
    tiles = [TileIndex(0, 0), TileIndex(2, 1)]
    stop = threading.Event()
    found = list(read_thumbnails(sample, grid, tiles, 56, stop))
    expected = sample.read_region(0, 224, 448, 224, 224)
    reduced = expected.reshape(56, 4, 56, 4, 3).mean(axis=(1, 3))
    assert np.abs(found[1].rgb - reduced).max() <= 1
    stop.set()
    assert not list(read_thumbnails(sample, grid, tiles, 56, stop))


# -- in the window --


def review_page(dock: LiverDxDock) -> ReviewTab:
    (index,) = [i for i in range(dock.tabs.count()) if dock.tabs.tabText(i) == "Review"]
    dock.tabs.setCurrentIndex(index)
    page = dock.tabs.widget(index)
    wait(lambda: page.gallery.count() > 0)
    tiles = page.gallery.tiles
    wait(lambda: page.gallery.has_picture(tiles[-1]))
    return page


@pytest.mark.gui
def test_review_by_mouse_and_keys(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    page = review_page(dock)
    gallery = page.gallery
    assert gallery.count() == results.store.count(1)
    assert "Review · small" not in viewer.layers

    # A click flies there: the tile's middle is the canvas' middle.
    second = gallery.visualItemRect(gallery.item(1)).center()
    QTest.mouseClick(gallery.viewport(), Qt.MouseButton.LeftButton, pos=second)
    tile = gallery.tiles[1]
    rect = results.rect(tile)
    middle = np.array([rect.y + rect.height / 2 - 0.5, rect.x + rect.width / 2 - 0.5]) * 0.5
    assert np.allclose(camera_of(viewer).center[-2:], middle)
    assert page.control.current == tile

    # Keys in the gallery decide and go on.
    QTest.keyClick(gallery, Qt.Key.Key_A)
    assert results.store.decisions[tile].verdict is Verdict.ACCEPTED
    assert page.control.current == gallery.tiles[2]
    # So do keys over the canvas.
    native = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(native, "r")
    assert results.store.decisions[gallery.tiles[2]].verdict is Verdict.REJECTED
    assert page.counts.text() == "1 accepted, 1 rejected"

    # Decisions stand on the slide, with features.
    layer = viewer.layers["Review · small"]
    assert list(layer.features["verdict"])[:2] != ["", ""]
    assert len(layer.data) == 3
    assert viewer.layers.selection.active is not layer

    # Undo takes them back one by one, redo makes them again.
    QTest.keyClick(native, "z", Qt.KeyboardModifier.ControlModifier)
    assert gallery.tiles[2] not in results.store.decisions
    assert page.control.current == gallery.tiles[2]
    click(page.undo)
    assert len(results.store.decisions) == 0
    click(page.redo)
    assert list(results.store.decisions) == [tile]

    # The layer with the frames answers the review's keys, and none that draw or delete.
    viewer.layers.selection.active = layer
    gallery.setCurrentRow(3)
    QTest.keyClick(native, "r")
    assert results.store.decisions[gallery.tiles[3]].verdict is Verdict.REJECTED
    frames = len(layer.data)
    QTest.keyClick(native, Qt.Key.Key_Delete)
    assert len(layer.data) == frames
    QTest.keyClick(native, "z", Qt.KeyboardModifier.ControlModifier)
    assert len(results.store.decisions) == 1
    viewer.layers.selection.active = viewer.layers["small"]

    # On another page the keys decide nothing.
    dock.show_page("Measure")
    QTest.keyClick(native, "r")
    assert len(results.store.decisions) == 1
    dock.show_page("Review")
    wait_paint()

    # Saying what it is.
    names = page.correct
    gallery.choose(gallery.tiles[0])
    names.setCurrentIndex(names.findData("liver"))
    names.activated.emit(names.currentIndex())
    assert results.store.decisions[gallery.tiles[0]].correct == "liver"
    assert page.control.save(tmp_path / "d.csv")
    assert len((tmp_path / "d.csv").read_text().splitlines()) == 3

    # Another slide and back: the decisions can still be undone.
    dock.controller.choose_layer(None)
    dock.controller.choose_layer(viewer.layers["small"])
    wait(lambda: page.control.review is not None)
    assert page.undo.isEnabled()
    assert [x.name for x in viewer.layers].count("Review · small") == 1
    dock.release()
    assert "Review · small" not in viewer.layers


@pytest.mark.gui
def test_gallery_frames_and_overview_in_pixels(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    page = review_page(dock)
    gallery = page.gallery
    # Tissue is pink, a missing picture is grey.
    shown = _pixels(gallery.viewport())
    item = gallery.visualItemRect(gallery.item(0))
    part = shown[item.top() + 10 : item.top() + 90, item.left() + 10 : item.left() + 90]
    assert part[..., 0].mean() > part[..., 1].mean() + 15

    # The frame of an accepted tile is green on the canvas.
    gallery.setCurrentRow(0)
    click(page.accept)
    dock.controller.findings.set_view(visible=False)
    gallery.setCurrentRow(0)
    page.control.current = None
    page.control._draw()
    picture = canvas(viewer)
    green = (picture[..., 1] > picture[..., 0] + 60) & (picture[..., 1] > 120)
    assert green.sum() > 300

    # The overview shows where the canvas looks, and leads it.
    overview = page.overview.map
    wait(lambda: not overview.is_empty)
    rect = results.rect(gallery.tiles[0])
    assert overview.view_rect is not None
    assert overview.view_rect.intersection(rect).area == pytest.approx(rect.area)
    place = overview.point_of(224, 672)
    QTest.mouseClick(
        overview, Qt.MouseButton.LeftButton, pos=QPoint(round(place.x()), round(place.y()))
    )
    y, x = camera_of(viewer).center[-2:]
    assert (x, y) == (pytest.approx(112, abs=5), pytest.approx(336, abs=5))
    wait_paint()


def _pixels(widget: QWidget) -> np.ndarray:
    image = widget.grab().toImage()
    image = image.convertToFormat(image.Format.Format_RGB888)
    width, height, line = image.width(), image.height(), image.bytesPerLine()
    raw = np.frombuffer(image.constBits(), np.uint8)[: line * height].reshape(height, line)
    return raw[:, : 3 * width].reshape(height, width, 3).astype(int)


@pytest.mark.gui
def test_clicking_on_the_slide_picks_a_tile(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    open_in(dock, small_slide)
    analyze(dock)
    page = review_page(dock)
    before = list(viewer.mouse_drag_callbacks)
    click(page.pick)
    viewer.reset_view()
    native = viewer.window._qt_viewer.canvas.native
    middle = QPoint(native.width() // 2, native.height() // 2)
    QTest.mouseClick(native, Qt.MouseButton.LeftButton, pos=middle)
    tile = page.control.current
    results = dock.controller.results
    assert results is not None
    rect = results.rect(tile)
    # The slide's middle, (560, 448), lies in it or on its edge.
    assert rect.x - 2 <= 560 <= rect.right + 2
    assert rect.y - 2 <= 448 <= rect.bottom + 2
    click(page.pick)
    assert list(viewer.mouse_drag_callbacks) == before
