"""What was annotated is kept on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.session.finetune import summarise
from napari_liverdx.slides.annotations import read_geojson
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.interactive.annotation_store import AnnotationFolder, rectangle
from tests.support.models import make_card
from tests.support.teaching import TILE, taught


def test_what_was_taught_is_kept_as_geojson(painted: Path, tmp_path: Path) -> None:
    folder = AnnotationFolder(tmp_path / "kept")
    with open_slide(painted) as slide:
        assert folder.all() == []
        assert not folder.knows(slide)
        shapes = taught(slide).shapes
        folder.keep(slide, shapes)
        folder.keep(slide, shapes[:1], result="painted.tiny")
        folder.keep(slide, shapes[1:2], result="painted.tiny-v2")
        found = folder.of(slide)
        (only,) = folder.all()
    assert only.key == found.key
    assert only.path == painted
    assert only.mpp == (0.5, 0.5)
    assert [r.name for r in found.shapes] == ["liver", "liver", "fat", "fat"]
    assert np.array_equal(found.shapes[2].rings[0], shapes[2].rings[0])
    assert len(found.tiles) == 2
    (file,) = folder.folder.glob("*.shapes.geojson")
    assert len(read_geojson(file).regions) == 4
    assert json.loads(file.read_text())["features"][0]["properties"]["objectType"] == "annotation"
    with open_slide(painted) as slide:
        folder.keep(slide, ())
        assert folder.of(slide).shapes == ()
        assert len(folder.of(slide).tiles) == 2
    next(folder.folder.glob("*.tiles.geojson")).write_text('{"features": []}')
    with pytest.raises(DataError, match="does not say of which slide"):
        folder.all()


def test_one_slide_under_two_names_is_one_slide(painted: Path, tmp_path: Path) -> None:
    """A copy is no second slide to hold out; a slide that was renamed takes its shapes along."""
    folder = AnnotationFolder(tmp_path / "kept")
    copy = tmp_path / "copy.tif"
    shutil.copy(painted, copy)
    with open_slide(painted) as slide, open_slide(copy) as other:
        shapes = taught(slide).shapes
        folder.keep(slide, shapes[:2])
        assert folder.knows(other)
        assert folder.of(other).shapes == (), "the slide itself is still there"
        folder.keep(other, shapes[2:])
        (both,) = folder.all()
        assert both.path.exists()
        assert {r.name for r in both.shapes} == {"liver", "fat"}
        assert summarise((), [both], make_card()).slides == 1
        folder.keep(other, ())
    copy.unlink()
    moved = painted.rename(tmp_path / "renamed.tif")
    with open_slide(moved) as slide:
        found = folder.of(slide)
        assert [r.name for r in found.shapes] == ["liver", "liver"]
        folder.keep(slide, shapes[:1])
    (file,) = folder.folder.glob("*.geojson")
    assert file.name.startswith("renamed")
    assert len(read_geojson(file).regions) == 1


def test_of_a_tile_called_twice_the_last_word_counts(painted: Path, tmp_path: Path) -> None:
    """Two results of a slide, the same tile called in both: one sample, the newer class."""
    folder = AnnotationFolder(tmp_path / "kept")
    first = [rectangle("liver", 0, 0, TILE, TILE), rectangle("fat", 2 * TILE, 0, TILE, TILE)]
    second = [rectangle("fat", 0.4, 0, TILE, TILE), rectangle("fat", TILE / 2, 0, TILE, TILE)]
    early, late = "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:09+00:00"
    with open_slide(painted) as slide:
        for times in ((late, early), (early, late)):
            folder.keep(slide, first, result="painted.a", at=times[:1] * 2)
            folder.keep(slide, second, result="painted.b", at=times[1:] * 2)
            (only,) = folder.all()
            at_0 = [r.name for r in only.tiles if r.bounds.x < 1]
            assert at_0 == ["liver" if times[0] == late else "fat"]
            assert len(only.tiles) == 3
            assert len(folder.of(slide).tiles) == 3
        folder.keep(slide, (), result="painted.b")
        assert [r.name for r in folder.of(slide).tiles] == ["liver", "fat"]


def test_a_damaged_file_costs_only_itself(painted: Path, tmp_path: Path) -> None:
    folder = AnnotationFolder(tmp_path / "kept")
    with open_slide(painted) as slide:
        folder.keep(slide, taught(slide).shapes)
        for content in ("", "{", "[]", '{"liverdx": {"key": "a.1", "slide": "a", "mpp": [1]}}'):
            (folder.folder / "other.12345678.shapes.geojson").write_text(content)
            assert len(folder.of(slide).shapes) == 4
            damaged: list[str] = []
            assert len(folder.all(damaged)) == 1
            assert len(damaged) == 1
            assert "other.12345678" in damaged[0]
        own = folder.folder / f"{folder.key(slide)}.shapes.geojson"
        own.write_text("{")
        with pytest.raises(DataError, match="move it away"):
            folder.of(slide)
        assert own.read_text() == "{"
