"""A file with several scenes and a color profile, from Python, the command line and a batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import napari_liverdx as liverdx
from napari_liverdx.core.errors import MppError, ResultError, SlideReadError
from napari_liverdx.exports.base import ExportOptions
from napari_liverdx.exports.registry import export
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.find_slide import find_slide
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.annotations import CollectedAnnotations, open_annotated_slides
from napari_liverdx.session.batch import BatchRequest
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.interactive.annotation_store import (
    SlideAnnotations,
    short_fingerprint,
)
from tests.support.cli import refused, run_command
from tests.support.cohort import cohort_table, last_states
from tests.support.scenes import PATIENT, in_srgb, rich_format, swapped_profile, write_rich
from tests.support.slides import whole


@pytest.fixture(autouse=True)
def rich() -> Iterator[None]:
    """The test's format."""
    with rich_format():
        yield


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Two scenes, the second the larger, in colors of their own."""
    (tmp_path / "in").mkdir()
    return write_rich(tmp_path / "in" / "two.rich", profile=swapped_profile())


@pytest.mark.slow
def test_results_of_scenes_and_colors_stand_side_by_side(
    slide: Path, tiny: LoadedModel, tmp_path: Path
) -> None:
    choices = ({}, {"scene": 0}, {"color_managed": True}, {"scene": 0, "color_managed": True})
    made = [liverdx.analyze_slide(slide, tiny, out=tmp_path / "o", **c) for c in choices]
    assert len({r.path for r in made}) == len({r.manifest.uid for r in made}) == 4
    assert made[0].manifest.variant == "", "the largest scene as it is stored is the plain one"
    assert [r.manifest.scene for r in made] == [1, 0, 1, 0]
    assert [r.manifest.scene_name for r in made[:2]] == ["Region 2", "Region 1"]
    assert [r.manifest.slide_origin for r in made[:2]] == [(16, 48), (0, 0)]
    assert made[0].manifest.slide_fingerprint == made[2].manifest.slide_fingerprint
    again = liverdx.analyze_slide(slide, tiny, out=tmp_path / "o", scene=1)
    assert again.path == made[0].path, "the scene by its number is the one by default"
    for result in made:
        with liverdx.open_result(result.path, slide=slide).opened_slide() as found:
            assert found is not None
            assert found.info.scene == result.manifest.scene
            assert found.color_managed == result.manifest.color_managed
    page = made[3].report(tmp_path / "report")["html"].read_text("utf-8")
    assert "0 (Region 1)" in page
    assert "sRGB" in page
    assert PATIENT not in page


def test_an_export_replaces_no_scene_of_its_slide(
    slide: Path, tiny: LoadedModel, tmp_path: Path
) -> None:
    result = liverdx.analyze_slide(slide, tiny, out=tmp_path / "o", scene=0)
    before = slide.read_bytes()
    with pytest.raises(ResultError, match="the slide itself"):
        export(result.store, "csv", slide, ExportOptions())
    assert slide.read_bytes() == before


def test_colors_are_those_of_the_profile_and_the_slide_is_the_same(slide: Path) -> None:
    with open_slide(slide, color_managed=True) as managed, open_slide(slide) as stored:
        assert np.array_equal(whole(managed), in_srgb(whole(stored), swapped_profile()))
        assert managed.fingerprint() == stored.fingerprint()
        back = managed.with_color_management(on=False)
        assert np.array_equal(whole(back), whole(stored))
        assert np.array_equal(whole(managed), in_srgb(whole(stored), swapped_profile()))
    with (
        open_slide(write_rich(slide.with_name("plain.rich"))) as plain,
        pytest.raises(SlideReadError, match="no color profile"),
    ):
        plain.with_color_management(on=True)


@pytest.mark.slow
def test_commands_take_a_scene(slide: Path, tiny_file: Path, tmp_path: Path) -> None:
    told = run_command("slide", "info", slide, "--scene", 0)
    for words in (
        "0: Region 1, 360 × 300 px, open",
        "1: Region 2, 420 × 350 px",
        "20x",
        "color profile (ICC), shown as stored",
        "label, macro",
    ):
        assert words in told
    assert PATIENT not in told
    arguments = [slide, "-m", tiny_file, "--scene", 0, "--color-managed"]
    told = run_command("analyze", *arguments, "-o", tmp_path / "o")
    assert "0 (Region 1)" in told
    assert "sRGB" in told
    picture = tmp_path / "tile.png"
    assert "wrote" in run_command("explain", *arguments, "-o", picture, "--tile", "0,0")
    assert "there is no scene 5; choose one of 0 (Region 1), 1 (Region 2)" in refused(
        "analyze", slide, "-m", tiny_file, "-o", tmp_path / "o", "--scene", 5
    )


def test_sources_that_contradict_each_other_are_named(tiny: LoadedModel, tmp_path: Path) -> None:
    slide = write_rich(tmp_path / "a.rich", mpp=(0.25, 0.5), scenes=1)
    both = r"contradict.*0.25 µm/px \(Rich header\) or 0.5 µm/px \(TIFF resolution tag\)"
    with pytest.raises(MppError, match=rf"{both}.*--mpp"):
        liverdx.analyze_slide(slide, tiny, out=tmp_path / "o")
    with pytest.raises(MppError, match=both):
        liverdx.explain(slide, tile=(0, 0), model=tiny)
    told = run_command("slide", "info", slide)
    assert "0.5 µm/px (TIFF resolution tag)" in told
    assert "scene" not in told
    result = liverdx.analyze_slide(slide, tiny, out=tmp_path / "o", mpp=0.5)
    assert (result.manifest.scene, result.manifest.mpp_source) == (None, "given by user")


@pytest.mark.slow
def test_a_table_names_scenes_and_the_cohort_tells_them(
    slide: Path, tiny_file: Path, tmp_path: Path
) -> None:
    table = slide.with_name("slides.csv")
    table.write_text("path,scene\ntwo.rich,0\ntwo.rich,1\n")
    request = BatchRequest(find_slides(table), str(tiny_file), tmp_path / "o", color_managed=True)
    _, summary = last_states(request)
    assert summary.done == 2
    rows = cohort_table(tmp_path / "o")
    assert [row["scene"] for row in rows] == ["0 (Region 1)", "1 (Region 2)"]
    assert len({row["result"] for row in rows}) == 2
    stores = [ResultStore.open(tmp_path / "o" / row["result"]) for row in rows]
    assert all(store.manifest.color_managed for store in stores)


def test_the_slide_of_a_scene_is_found_again(
    slide: Path, tiny: LoadedModel, tmp_path: Path
) -> None:
    result = liverdx.analyze_slide(slide, tiny, out=slide.parent / "results", scene=0)
    found = find_slide(result.store)
    assert found is not None
    with found:
        assert found.info.scene == 0
        annotations = SlideAnnotations(short_fingerprint(found), slide, None)
    with open_annotated_slides(CollectedAnnotations((annotations,))) as (annotated, lost):
        assert not lost
        assert annotated[0][1].info.scene == 0
