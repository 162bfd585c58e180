"""What is annotated is gathered from all slides and counted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.results.review_log import Decision
from napari_liverdx.session.annotations import collect, keep_review, summarize
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.interactive.annotation_record import rectangle
from napari_liverdx.training.interactive.annotation_store import AnnotationFolder
from tests.support.models import make_card
from tests.support.results import square_result
from tests.support.slides import write_pyramid
from tests.support.teaching import TILE, drawn

SHAPES = drawn().shapes


@pytest.fixture
def folder(tmp_path: Path) -> AnnotationFolder:
    return AnnotationFolder(tmp_path / "kept")


def test_slides_annotated_before_are_opened_or_named(
    painted: Path, folder: AnnotationFolder
) -> None:
    card = make_card()
    with open_slide(painted) as slide:
        folder.keep(slide, SHAPES)
    found = summarize(collect(folder, card, ()), card)
    assert found.slides == 1
    assert found.tiles["fat"] == 18
    assert found.areas_mm2["liver"] == pytest.approx(12 * 0.112**2)
    assert collect(folder, card, (), others=False).slides == ()
    # Another slide in its place is not taken for it.
    write_pyramid(painted, np.full((4 * TILE, 4 * TILE, 3), 200, np.uint8))
    changed = summarize(collect(folder, card, ()), card)
    painted.unlink()
    gone = summarize(collect(folder, card, ()), card)
    for summary in (changed, gone):
        assert summary.left_out == ("painted.tif",)
        assert summary.tiles["fat"] == 0


def test_a_slide_open_twice_counts_once(
    painted: Path, folder: AnnotationFolder, tmp_path: Path
) -> None:
    """A copy is no second slide to hold out."""
    card, copy = make_card(), tmp_path / "copy.tif"
    shutil.copy(painted, copy)
    with open_slide(painted) as slide, open_slide(copy) as other:
        folder.keep(slide, SHAPES[:2])
        folder.keep(other, SHAPES)
        found = collect(folder, card, (slide, other))
        assert found.opened == {slide.fingerprint()[:8]: slide}
        assert summarize(found, card).slides == 1
        assert summarize(found, card).regions == 4


def test_an_open_slide_counts_with_the_resolution_it_has_now(
    painted: Path, folder: AnnotationFolder
) -> None:
    card = make_card()
    with open_slide(painted) as slide:
        folder.keep(slide, SHAPES)
    with open_slide(painted, mpp=Mpp.square(0.25)) as slide:
        areas = summarize(collect(folder, card, (slide,)), card).areas_mm2
    assert areas["liver"] == pytest.approx(12 * 0.056**2)


def test_what_is_of_no_class_of_the_model_is_left_out_and_told(
    painted: Path, folder: AnnotationFolder
) -> None:
    card = make_card()
    with open_slide(painted) as slide:
        folder.keep(slide, (*SHAPES, rectangle("tumor", 0, 0, TILE, TILE)))
        (folder.folder / "12345678.geojson").write_text("{")
        found = collect(folder, card, (slide,))
    assert len(found.slides[0].shapes) == 4
    assert "12345678.geojson" in found.notes[0]
    assert found.notes[1] == "1 region or tile is of no class of this model and left out"


def test_a_review_without_corrections_is_not_remembered(
    painted: Path, folder: AnnotationFolder, tmp_path: Path
) -> None:
    card = make_card()
    with open_slide(painted) as slide:
        store = square_result(tmp_path / "a.liverdx.zarr", slide_fingerprint=slide.fingerprint())
        store.decisions.put(TileIndex(0, 0), Decision.reject("fat"))
        keep_review(folder, slide, store)
        assert not folder.folder.exists()
        store.decisions.put(TileIndex(0, 0), Decision.reject("fat", "liver"))
        keep_review(folder, slide, store)
        assert summarize(collect(folder, card, ()), card).corrected == 1
        store.decisions.put(TileIndex(0, 0), None)
        keep_review(folder, slide, store)
        assert collect(folder, card, ()).slides == ()
