"""The page that explains a tile, without a napari window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtGui import QGuiApplication

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.inference.explain_sheet import explanation_sheet
from napari_liverdx.models.file import load_model_file, save_model_file
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.pages.explain_page import ExplainPage
from tests.support.models import make_card
from tests.support.window import analyze, click, open_in, wait

OUTLINE = "Explained tile · small"


def page_of(dock: LiverDxDock) -> ExplainPage:
    (page,) = (p for p in dock.pages if isinstance(p, ExplainPage))
    return page


def answered(page: ExplainPage, row: int, col: int) -> None:
    def there() -> bool:
        explanation = page.control.explanation
        return explanation is not None and explanation.tile == TileIndex(row, col)

    wait(there)
    wait(lambda: not page.controller.is_busy)


def test_the_outline_is_no_drawn_region(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    from napari.layers import Shapes

    open_in(dock, small_slide)
    page = page_of(dock)
    page.explain_at((100.0, 100.0))
    answered(page, 0, 0)
    assert OUTLINE in viewer.layers
    assert not [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    assert dock.controller.slide_layers() == [viewer.layers["small"]]


@pytest.mark.slow
def test_a_result_brings_its_grid_and_another_model_is_told(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tmp_path: Path, tiny_file: Path
) -> None:
    open_in(dock, small_slide)
    dock.state.run.overlap = 0.5
    analyze(dock)
    dock.state.run.overlap = 0.0
    results = dock.controller.results
    assert results is not None
    page = page_of(dock)
    page.explain_at(tuple((np.array([300, 500]) - 0.5) * 0.5))
    tile = results.store.manifest.grid
    answered(page, 2, 3)
    assert page.control.explanation.rect == tile.rect(TileIndex(2, 3))
    stored = results.store.tile_probabilities[:, 2, 3]
    assert np.allclose(page.control.explanation.probabilities, stored, atol=1e-4)
    other = tmp_path / "other.safetensors"
    network = load_model_file(tiny_file).network
    save_model_file(other, network, make_card(name="other"), half=False)
    dock.state.model.name = str(other)
    page.explain_at((10.0, 10.0))
    answered(page, 0, 0)
    assert "made with another model (tiny, version 1)" in page.status.text()


def test_picture_is_copied_and_saved(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path, tmp_path: Path
) -> None:
    open_in(dock, small_slide)
    page = page_of(dock)
    page.explain_at((100.0, 100.0))
    answered(page, 0, 0)
    click(page.copy)
    sheet = explanation_sheet(page.control.explanation)
    copied = QGuiApplication.clipboard().image()
    assert (copied.height(), copied.width()) == sheet.shape[:2]
    page.save_picture(tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), sheet)
    assert "Saved" in page.status.text()


def test_all_goes_with_the_slide(viewer: ViewerModel, dock: LiverDxDock, small_slide: Path) -> None:
    page = page_of(dock)
    page.explain_at((10.0, 10.0))
    assert page.status.text() == "Open a slide first."
    open_in(dock, small_slide)
    page.on_slide.setChecked(True)
    page.explain_at((100.0, 100.0))
    answered(page, 0, 0)
    mine = [page.control.layers.outline, *page.control.layers.maps]
    assert len(mine) == 3
    assert all(layer in viewer.layers for layer in mine)
    viewer.layers.remove("small")
    assert not any(layer in viewer.layers for layer in mine)
    assert page.control.explanation is None
    assert not page.answer.isVisibleTo(page)
