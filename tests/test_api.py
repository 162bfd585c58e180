"""From a slide to a table in Python."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import napari_liverdx as liverdx
from napari_liverdx.api import RunProgress, Started
from napari_liverdx.core.errors import MppError, PlanError, ResultError
from tests.support.cli import run_command
from tests.support.slides import waves, write_pyramid


@pytest.mark.slow
def test_three_lines_give_what_the_command_gives(
    tmp_path: Path, small_slide: Path, tiny_file: Path
) -> None:
    started: list[Started] = []
    steps: list[RunProgress] = []
    result = liverdx.analyze_slide(
        small_slide,
        tiny_file,
        out=tmp_path / "api",
        on_started=started.append,
        on_progress=steps.append,
    )
    assert result.is_complete
    assert steps[-1].done == len(started[0].plan.tiles)
    run_command("analyze", small_slide, "-m", tiny_file, "-o", tmp_path / "cli")
    other = liverdx.open_result(tmp_path / "cli" / result.path.name, model=tiny_file)
    assert np.array_equal(other.probabilities, result.probabilities)
    assert other.to_rows() == result.to_rows()
    written = result.report(tmp_path / "report")
    assert written["csv"].read_text() == (tmp_path / "cli" / written["csv"].name).read_text()
    assert written["html"].exists()


def test_rows_follow_the_thresholds(tmp_path: Path, small_slide: Path, tiny_file: Path) -> None:
    result = liverdx.analyze_slide(small_slide, tiny_file, out=tmp_path)
    strict = result.measure(thresholds={"fat": 1.0})
    (row,) = (r for r in result.to_rows(strict) if r["class"] == "fat")
    assert (row["threshold"], row["slide"], row["model"]) == (1.0, small_slide.name, "tiny")
    assert row["area_mm2"] == strict.measures[2].area_mm2
    box = np.array([[0, 0], [200, 0], [200, 200], [0, 200]], float)
    regions = {r["region"] for r in result.to_rows(result.measure(regions=[("corner", box)]))}
    assert regions == {"all analyzed tissue", "corner"}
    pandas = pytest.importorskip("pandas")
    table = result.to_dataframe()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["class"]) == list(result.classes)


def test_without_pandas_the_error_says_so(
    tmp_path: Path, small_slide: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = liverdx.analyze_slide(small_slide, tiny_file, out=tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ResultError, match="pip install pandas"):
        result.to_dataframe()


def test_a_stopped_analysis_resumes(tmp_path: Path, small_slide: Path, tiny_file: Path) -> None:
    stop = threading.Event()
    part = liverdx.analyze_slide(
        small_slide,
        tiny_file,
        out=tmp_path,
        batch_size=1,
        stop=stop,
        on_progress=lambda p: stop.set() if p.done == 2 else None,
    )
    assert not part.is_complete
    assert "incomplete" in repr(part)
    steps: list[RunProgress] = []
    whole = liverdx.analyze_slide(small_slide, tiny_file, out=tmp_path, on_progress=steps.append)
    assert steps[0].done == 2
    assert whole.is_complete
    assert whole.path == part.path


def test_results_lie_beside_the_slide(small_slide: Path, tiny_file: Path) -> None:
    result = liverdx.analyze_slide(small_slide, tiny_file)
    assert result.path.parent == small_slide.resolve().parent / "liverdx-results"
    path = result.export("geojson", thresholds={"fat": 0.6})
    assert path.parent == result.path.parent
    assert json.loads(path.read_text("utf-8"))["liverdx"]["thresholds"] == {"fat": 0.6}


def test_refusals_name_the_way_out(tmp_path: Path, small_slide: Path, tiny_file: Path) -> None:
    bare = tmp_path / "bare.tif"
    write_pyramid(bare, waves(300, 300), mpp=None)
    with pytest.raises(MppError, match="resolution"):
        liverdx.explain(bare, tile=(0, 0), model=tiny_file)
    with pytest.raises(PlanError, match="which tile"):
        liverdx.explain(small_slide, model=tiny_file)
    result = liverdx.analyze_slide(small_slide, tiny_file, out=tmp_path / "o")
    alone = liverdx.open_result(result.path, model="liver-steatosis")
    with pytest.raises(PlanError, match="made with another file than liver-steatosis"):
        alone.report()
    with pytest.raises(PlanError, match="no export 'pptx'"):
        result.export("pptx", tmp_path / "a.pptx")


@pytest.mark.slow
def test_the_interface_loads_no_window() -> None:
    code = (
        "import sys, napari_liverdx; napari_liverdx.analyze_slide; "
        "sys.exit(' '.join({'napari', 'qtpy', 'pandas', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
