"""What was annotated is kept on disk, one file for each slide, and found under any name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Region
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.review_log import Decision
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.annotations.geojson import read_geojson
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.interactive.annotation_record import rectangle
from napari_liverdx.training.interactive.annotation_store import AnnotationFolder, short_fingerprint
from tests.support.results import square_result
from tests.support.teaching import TILE, drawn

SHAPES = drawn().shapes


@pytest.fixture
def folder(tmp_path: Path) -> AnnotationFolder:
    return AnnotationFolder(tmp_path / "kept")


def result_of(slide: Slide, path: Path) -> ResultStore:
    """A result that says it is of a slide."""
    return square_result(path, slide_fingerprint=slide.fingerprint())


def names(regions: tuple[Region, ...]) -> list[str]:
    return [r.name for r in regions]


def write_v010(
    folder: AnnotationFolder,
    slide: Slide,
    name: str,
    regions: tuple[Region, ...],
    *,
    result: str = "",
    at: tuple[str, ...] = (),
) -> Path:
    """A file as 0.1.0 wrote it of a slide it knew by ``name``."""
    key = f"{name}.{short_fingerprint(slide)}"
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*r.tolist(), r[0].tolist()]]},
            "properties": {"objectType": "annotation", "classification": {"name": region.name}},
        }
        for region in regions
        for r in region.rings
    ]
    about = {"key": key, "slide": str(slide.path.with_stem(name)), "mpp": [0.5, 0.5], "at": at}
    folder.folder.mkdir(exist_ok=True)
    file = folder.folder / f"{key}.{f'{result}.tiles' if result else 'shapes'}.geojson"
    file.write_text(json.dumps({"features": features, "liverdx": about}))
    return file


def test_shapes_are_kept_as_geojson(painted: Path, folder: AnnotationFolder) -> None:
    with open_slide(painted) as slide:
        assert folder.all() == []
        assert folder.find(slide) is None
        folder.keep(slide, SHAPES)
        found = folder.find(slide)
        (only,) = folder.all()
        assert found is not None
        assert only.fingerprint == found.fingerprint == slide.fingerprint()[:8]
        assert only.path == painted
        assert only.mpp == (0.5, 0.5)
        assert names(found.shapes) == ["liver", "liver", "fat", "fat"]
        assert np.array_equal(found.shapes[2].rings[0], SHAPES[2].rings[0])
        (file,) = folder.folder.iterdir()
        assert file == folder.file(slide)
        assert len(read_geojson(file).regions) == 4
        properties = json.loads(file.read_text())["features"][0]["properties"]
        assert properties["objectType"] == "annotation"
        folder.keep(slide, ())
        (only,) = folder.all()
    assert only.is_empty


def test_a_renamed_slide_keeps_its_file(
    painted: Path, folder: AnnotationFolder, tmp_path: Path
) -> None:
    """The file is called by the fingerprint: under another name, or as a copy, it is the same."""
    with open_slide(painted) as slide:
        folder.keep(slide, SHAPES)
    moved = painted.rename(tmp_path / "renamed.tif")
    with open_slide(moved) as slide:
        found = folder.find(slide)
        assert found is not None
        assert (found.path, len(found.shapes)) == (moved, 4)
        folder.keep(slide, SHAPES[:1])
        (only,) = folder.all()
    assert (only.path, len(only.shapes)) == (moved, 1)


def test_corrections_are_those_of_the_review(
    painted: Path, folder: AnnotationFolder, tmp_path: Path
) -> None:
    with open_slide(painted) as slide:
        store = result_of(slide, tmp_path / "a.liverdx.zarr")
        store.decisions.put(TileIndex(0, 1), Decision.reject("fat", "liver"))
        store.decisions.put(TileIndex(0, 2), Decision.reject("fat"))
        store.decisions.put(TileIndex(0, 3), Decision.accept("fat"))
        folder.link(slide, store.path)
        before = folder.file(slide).read_bytes()
        folder.link(slide, store.path)
        assert folder.file(slide).read_bytes() == before
        (found,) = folder.all()
        assert names(found.tiles) == ["liver", "fat"]
        r = store.manifest.grid.rect(TileIndex(0, 1))
        assert found.tiles[0].bounds == r
        store.decisions.put(TileIndex(0, 3), None)
        assert names(folder.all()[0].tiles) == ["liver"], "nothing was copied"
        folder.keep(slide, SHAPES)
        (found,) = folder.all()
        assert (len(found.shapes), len(found.tiles)) == (4, 1)
        other = square_result(tmp_path / "b.liverdx.zarr", slide_fingerprint="f" * 64)
        folder.link(slide, other.path)
        shutil.rmtree(store.path)
        problems: list[str] = []
        (found,) = folder.all(problems)
        again = folder.find(slide)
    assert again is not None
    assert (len(found.shapes), len(found.tiles), len(again.tiles)) == (4, 0, 0)
    assert [p.partition(":")[0] for p in problems] == [str(store.path), str(other.path)]


def test_of_a_tile_corrected_twice_the_last_word_counts(
    painted: Path, folder: AnnotationFolder, tmp_path: Path
) -> None:
    """Two results of a slide, the same tile corrected in both: one sample, the newer class."""
    early, late = "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:09+00:00"
    tile = TileIndex(0, 0)
    with open_slide(painted) as slide:
        stores = [result_of(slide, tmp_path / f"{n}.liverdx.zarr") for n in "ab"]
        for store in stores:
            folder.link(slide, store.path)
        for times in ((late, early), (early, late)):
            for store, said, at in zip(stores, ("liver", "fat"), times, strict=True):
                decision = Decision.accept(said).model_copy(update={"at": at})
                store.decisions.put(tile, decision)
            (only,) = folder.all()
            assert names(only.tiles) == ["liver" if times[0] == late else "fat"]


def test_what_0_1_0_kept_counts_until_it_is_changed(
    painted: Path, folder: AnnotationFolder, tmp_path: Path
) -> None:
    """A slide that 0.1.0 knew under two names is one slide; nothing of it is lost or removed."""
    tiles = (rectangle("liver", 0, 0, TILE, TILE), rectangle("fat", TILE, 0, TILE, TILE))
    at = ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:09+00:00")
    with open_slide(painted) as slide:
        files = [
            write_v010(folder, slide, "gone", SHAPES[:1]),
            write_v010(folder, slide, "painted", SHAPES[1:]),
            write_v010(folder, slide, "painted", tiles, result="painted.tiny", at=at),
        ]
        before = [f.read_bytes() for f in files]
        (only,) = folder.all()
        found = folder.find(slide)
        assert found is not None
        for each in (only, found):
            assert (len(each.shapes), names(each.tiles)) == (4, ["liver", "fat"])
        assert only.path == painted
        folder.keep(slide, SHAPES[:2])
        (only,) = folder.all()
        assert (len(only.shapes), names(only.tiles)) == (2, ["liver", "fat"])
        # The review the tiles were copied from counts in their place.
        store = result_of(slide, tmp_path / "painted.tiny.liverdx.zarr")
        folder.link(slide, store.path, corrected=False)
        assert folder.all()[0].tiles == ()
        plain = result_of(slide, tmp_path / "plain.liverdx.zarr")
        written = folder.file(slide).read_bytes()
        folder.link(slide, plain.path, corrected=False)
        assert folder.file(slide).read_bytes() == written, "nothing in it to remember"
    assert [f.read_bytes() for f in files] == before


def test_a_damaged_file_costs_only_itself(painted: Path, folder: AnnotationFolder) -> None:
    contents = ("", "{", "[]", '{"liverdx": {"key": "a.1", "slide": "a", "mpp": [1]}}')
    with open_slide(painted) as slide:
        folder.keep(slide, SHAPES)
        for name in ("12345678.geojson", "other.12345678.shapes.geojson"):
            for content in contents:
                other = folder.folder / name
                other.write_text(content)
                found = folder.find(slide)
                assert found is not None
                assert len(found.shapes) == 4
                problems: list[str] = []
                assert len(folder.all(problems)) == 1
                assert len(problems) == 1
                assert name in problems[0]
                with pytest.raises(DataError, match="does not say of which slide"):
                    folder.all()
                other.unlink()
        own = folder.file(slide)
        own.write_text("{")
        for use in (folder.find, lambda s: folder.keep(s, ())):
            with pytest.raises(DataError, match="move it away"):
                use(slide)
        assert own.read_text() == "{"
        own.unlink()
        former = write_v010(folder, slide, "painted", SHAPES)
        former.write_text("{")
        with pytest.raises(DataError, match="move it away"):
            folder.keep(slide, ())
    assert not own.exists()
