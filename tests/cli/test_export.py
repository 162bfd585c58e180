"""`liverdx export`: every format, refusals, the same as from the dock and the menu."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import LiverDxError, PlanError, ResultError
from napari_liverdx.exports.registry import EXPORTS, ExportOptions
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.export import write_export
from napari_liverdx.slides.open import open_slide
from napari_liverdx.viewer.layers.base import RESULT_KEY, SLIDE_KEY
from napari_liverdx.viewer.writers import save_dicom
from tests.support.results import NAME, oblong_result


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """A small result."""
    return oblong_result(tmp_path)


def export_command(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, ["export", *map(str, arguments)])
    if isinstance(outcome.exception, LiverDxError):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_command_writes_all_formats(store: ResultStore, tmp_path: Path) -> None:
    out = tmp_path / "many"
    told = export_command(store.path, "-f", "all", "-o", out, "-t", "fat=0.4", "--pseudonymize")
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f"ab12cd34.tiny-ffffff{e.suffix}" for e in EXPORTS.values()
    )
    assert "not for diagnosis" in told
    content = json.loads((out / "ab12cd34.tiny-ffffff.geojson").read_text("utf-8"))
    assert content["liverdx"]["thresholds"] == {"fat": 0.4}
    assert content["liverdx"]["error_rate"] is None
    with tifffile.TiffFile(out / "ab12cd34.tiny-ffffff.liverdx.ome.tif") as tiff:
        assert "error_rate" in tiff.ome_metadata
    marks = dict(zarr.open_group(out / "ab12cd34.tiny-ffffff.liverdx.ome.zarr", mode="r").attrs)
    assert marks["liverdx_export"]["error_rate"] is None
    one = tmp_path / "one.geojson"
    export_command(store.path, "-f", "geojson", "-o", one)
    assert json.loads(one.read_text("utf-8"))["liverdx"]["slide"] == NAME


def test_command_refuses_in_words(store: ResultStore, small_slide: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"liver=0\.5"):
        export_command(store.path, "-f", "csv", "-o", tmp_path / "a.csv", "-t", "liver=0.5")
    with pytest.raises(PlanError, match="not the slide of this result"):
        export_command(store.path, "-f", "dicom", "-o", tmp_path / "a", "--slide", small_slide)
    with pytest.raises(ResultError, match="no such result"):
        export_command(tmp_path / "none.liverdx.zarr", "-f", "csv", "-o", tmp_path / "a.csv")


def test_dock_menu_and_command_export_the_same_picture(tmp_path: Path, small_slide: Path) -> None:
    pytest.importorskip("highdicom")
    store = oblong_result(tmp_path, slide=small_slide)
    with open_slide(small_slide) as slide:
        write_export(store, "dicom", tmp_path / "dock", slide, ExportOptions())
        layers = [
            (None, {"metadata": {RESULT_KEY: str(store.path)}}, "labels"),
            (None, {"metadata": {SLIDE_KEY: slide}}, "image"),
        ]
        save_dicom(str(tmp_path / "menu"), layers)
    export_command(store.path, "-f", "dicom", "-o", tmp_path / "command", "--slide", small_slide)
    dock, menu, command = (
        (tmp_path / n / "source.dcm").read_bytes() for n in ("dock", "menu", "command")
    )
    assert dock == menu == command
