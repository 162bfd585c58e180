"""What is drawn for fine-tuning, without a napari window: undo, what comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from napari.components import ViewerModel

from napari_liverdx.results.review_log import Decision
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.interactive.annotation_record import rectangle
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.finetune_page import FinetunePage
from tests.support.finetune_page import counted, draw
from tests.support.slides import write_pyramid
from tests.support.teaching import REGIONS, TILE, drawn
from tests.support.window import analyze, click, notes, open_in, wait, wait_paint


def test_undo_takes_back_every_kind_of_change(finetune_page: FinetunePage) -> None:
    draw(finetune_page, REGIONS[:2])
    layer = finetune_page.control.material.current.layer
    assert finetune_page.undo_button.isEnabled()
    assert not finetune_page.redo_button.isEnabled()
    layer.mode = "select"
    layer.selected_data = {0}
    click(finetune_page.class_buttons["fat"])
    assert list(layer.features["class"]) == ["fat", "liver"]
    layer.selected_data = {1}
    layer.remove_selected()
    assert len(layer.data) == 1
    for left in (["fat", "liver"], ["liver", "liver"], ["liver"], []):
        click(finetune_page.undo_button)
        assert list(layer.features["class"]) == left
    assert not finetune_page.undo_button.isEnabled()
    for left in (["liver"], ["liver", "liver"], ["fat", "liver"], ["fat"]):
        click(finetune_page.redo_button)
        assert list(layer.features["class"]) == left
    assert not finetune_page.redo_button.isEnabled()


def test_what_is_missing_stands_on_the_page(finetune_page: FinetunePage) -> None:
    assert not finetune_page.tune_button.isEnabled()
    assert "two classes" in finetune_page.message.text()
    draw(finetune_page, REGIONS[:3])
    assert not finetune_page.tune_button.isEnabled()
    assert "separate regions" in finetune_page.message.text()
    draw(finetune_page, REGIONS[3:])
    assert finetune_page.tune_button.isEnabled()
    assert "4 regions and 0 tiles reviewed on 1 slide" in finetune_page.taught.text()
    assert "optimistic" in finetune_page.taught.text()


def test_shapes_come_back_with_the_slide(
    viewer: ViewerModel, dock: LiverDxDock, finetune_page: FinetunePage, painted: Path
) -> None:
    draw(finetune_page)
    # Deleting the layer loses nothing: drawing on brings back what was there.
    viewer.layers.remove("Annotations · painted")
    wait_paint()
    click(finetune_page.class_buttons["fat"])
    assert len(viewer.layers["Annotations · painted"].data) == 4
    viewer.layers.clear()
    wait_paint()
    assert finetune_page.control.material.current is None
    open_in(dock, painted)
    layer = viewer.layers["Annotations · painted"]
    assert list(layer.features["class"]) == ["liver", "liver", "fat", "fat"]
    assert not finetune_page.undo_button.isEnabled()
    counted(finetune_page)
    assert finetune_page.tune_button.isEnabled()


def test_damaged_shapes_are_not_drawn_over(
    viewer: ViewerModel, finetune_page: FinetunePage
) -> None:
    """The slide's own damaged file stops drawing; another slide's is told and does no harm."""
    folder = finetune_page.control.material.folder
    folder.folder.mkdir(parents=True)
    own = folder.file(finetune_page.controller.slide)
    own.write_text("{")
    with notes() as told:
        click(finetune_page.class_buttons["fat"])
    assert own.name in told[0]
    assert "Annotations · painted" not in viewer.layers
    finetune_page.control.material.save()
    assert own.read_text() == "{"
    own.rename(folder.folder / "12345678.geojson")
    draw(finetune_page)
    assert finetune_page.tune_button.isEnabled()
    assert "12345678.geojson" in finetune_page.taught.text()


def test_any_layer_that_is_drawn_on_is_saved(
    viewer: ViewerModel,
    dock: LiverDxDock,
    finetune_page: FinetunePage,
    painted: Path,
    tmp_path: Path,
) -> None:
    """Drawing on the layer of a slide that is not the chosen one is kept for that slide."""
    second = tmp_path / "second.tif"
    write_pyramid(second, np.full((4 * TILE, 4 * TILE, 3), 200, np.uint8))
    draw(finetune_page, REGIONS[:1])
    first = viewer.layers["Annotations · painted"]
    dock.controller.open_path(second)
    wait(lambda: not dock.controller.is_busy)
    dock.controller.choose_layer(viewer.layers["second"])
    wait(lambda: not dock.controller.is_busy)
    assert finetune_page.control.material.current is None
    first.add_polygons([np.array([(0, 900), (0, 1200), (300, 1200), (300, 900)])])
    counted(finetune_page)
    folder = finetune_page.control.material.folder
    with open_slide(painted) as slide:
        found = folder.find(slide)
        assert found is not None
        assert len(found.shapes) == 2
    with open_slide(second) as slide:
        assert folder.find(slide) is None


def test_shapes_of_a_foreign_class_are_left_out_and_told(finetune_page: FinetunePage) -> None:
    folder, slide = finetune_page.control.material.folder, finetune_page.controller.slide
    foreign = rectangle("tumor", 0, 0, TILE, TILE)
    folder.keep(slide, (*drawn().shapes, foreign, foreign))
    counted(finetune_page)
    assert "4 regions and 0 tiles reviewed" in finetune_page.taught.text()
    assert "2 regions and tiles are of no class of this model" in finetune_page.taught.text()
    assert finetune_page.tune_button.isEnabled()


def test_tiles_of_the_review_count(dock: LiverDxDock, finetune_page: FinetunePage) -> None:
    analyze(dock)
    store = dock.controller.results.store
    done = [t for t in store.manifest.grid if store.state[t.row, t.col] == 1][:3]
    store.decisions.put(done[0], Decision.reject("fat", "liver"))
    store.decisions.put(done[1], Decision.accept("fat"))
    store.decisions.put(done[2], Decision.reject("fat"))
    counted(finetune_page)
    assert "0 regions and 2 tiles reviewed" in finetune_page.taught.text()
    store.decisions.put(done[0], None)
    counted(finetune_page)
    assert "1 tile reviewed" in finetune_page.taught.text()
