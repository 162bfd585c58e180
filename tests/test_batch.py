"""Many slides: each fails alone, nothing is done twice, one table; command, dock and code agree."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import DataError, MppError
from napari_liverdx.reports.cohort import CohortRow, cohort_columns, cohort_text
from napari_liverdx.results.privacy import without_folders
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.batch import (
    BatchEnded,
    BatchRequest,
    BatchStarted,
    BatchSummary,
    SlideChanged,
    SlideState,
    run_batch,
)
from napari_liverdx.slides.listing import ListedSlideFile, find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide

from .conftest import CMU, make_card, write_pyramid
from .test_slides import corrupt_tile

RUN = CliRunner()
RESULT = "liver.tiny.liverdx.zarr"


@pytest.fixture
def slides(tmp_path: Path, sample: Slide) -> Path:
    """Two good slides of one name (two tiles each), one without a resolution, one cut off."""
    root = tmp_path / "slides"
    for folder, x in (("a", 1900), ("b", 2300)):
        (root / folder).mkdir(parents=True)
        write_pyramid(root / folder / "liver.tif", sample.read_region(0, x, 700, 448, 224))
    write_pyramid(root / "no-mpp.tif", sample.read_region(0, 2000, 900, 448, 224), mpp=None)
    (root / "cut.svs").write_bytes(CMU.read_bytes()[:900_000])
    return root


@pytest.fixture
def request_all(slides: Path, tiny_file: Path, tmp_path: Path) -> BatchRequest:
    """All four, with the quick model at a threshold at which something counts."""
    listed = find_slides(slides, recursive=True)
    return BatchRequest(listed, str(tiny_file), tmp_path / "out", thresholds={"fat": 0.3})


def last_states(request: BatchRequest) -> tuple[dict[str, str], BatchSummary]:
    """State of each slide at the end, by folder and name, and the summary."""
    ended = [e for e in run_batch(request, threading.Event()) if isinstance(e, BatchEnded)]
    rows, summary = ended[0].rows, ended[0].summary
    return {f"{r.folder}/{r.slide}": r.state for r in rows}, summary


def table(folder: Path, *, without: tuple[str, ...] = ("seconds",)) -> list[dict[str, str]]:
    """Rows of the cohort table, without what no two runs have in common."""
    rows = read_csv(folder / "cohort.csv")
    return [{k: v for k, v in row.items() if k not in without} for row in rows]


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


# -- which slides --


def test_slides_of_a_folder(slides: Path, tmp_path: Path) -> None:
    (slides / ".hidden.tif").write_bytes(b"x")
    (slides / "notes.txt").write_text("x")
    (slides / "x.liverdx.zarr").mkdir()
    (slides / "x.liverdx.zarr" / "thumb.png").write_bytes(b"x")
    names = [s.path.name for s in find_slides(slides)]
    assert names == ["cut.svs", "no-mpp.tif"]
    assert len(find_slides(slides, recursive=True)) == 4
    assert [s.path.name for s in find_slides(slides, pattern="*.SVS")] == ["cut.svs"]
    assert find_slides(CMU) == (ListedSlideFile(CMU),)
    with pytest.raises(DataError, match="--recursive"):
        find_slides(slides, pattern="liver*")
    with pytest.raises(DataError, match="no such file or folder"):
        find_slides(tmp_path / "nowhere")


def test_slides_of_a_table(tmp_path: Path) -> None:
    listed = tmp_path / "slides.csv"
    listed.write_text("path;mpp\na/one.svs;0,25\ngone.tif;\n")
    first, second = find_slides(listed)
    assert first == ListedSlideFile(tmp_path / "a" / "one.svs", 0.25)
    assert second == ListedSlideFile(tmp_path / "gone.tif")
    listed.write_text("path,mpp\na.svs,fine\n")
    with pytest.raises(DataError, match=r"line 2.*'fine'"):
        find_slides(listed)
    listed.write_text("path\na.svs\na.svs\n")
    with pytest.raises(DataError, match="second time"):
        find_slides(listed)
    listed.write_text("slide\na.svs\n")
    with pytest.raises(DataError, match="path"):
        find_slides(listed)


text = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20)


@given(text, text, text)
def test_any_name_survives_the_table(slide: str, folder: str, problem: str) -> None:
    scheme = make_card().scheme
    rows = [CohortRow(slide, folder, "failed", problem=problem)] * 2
    read = list(csv.DictReader(io.StringIO(cohort_text(rows, scheme), newline="")))
    assert len(read) == 2
    assert list(read[0]) == list(cohort_columns(scheme))
    found = (read[1]["slide"], read[1]["folder"], read[1]["problem"])
    assert found == (slide, folder, problem)


# -- a batch --


def test_each_slide_fails_alone_and_nothing_is_done_twice(
    request_all: BatchRequest, tmp_path: Path
) -> None:
    states, summary = last_states(request_all)
    expected = {"a/liver.tif": "done", "b/liver.tif": "done"}
    assert states == {**expected, "/cut.svs": "failed", "/no-mpp.tif": "failed"}
    assert str(summary) == "Finished: 2 analysed, 2 failed"
    rows = {r["slide"]: r for r in table(tmp_path / "out")}
    assert "truncated" in rows["cut.svs"]["problem"]
    assert "no µm/px" in rows["no-mpp.tif"]["problem"]
    assert str(tmp_path) not in (tmp_path / "out" / "cohort.csv").read_text()
    facts = json.loads((tmp_path / "out" / "cohort.json").read_text())
    assert facts["thresholds"] == {"fat": 0.3}
    assert facts["states"] == {"done": 2, "failed": 2}
    store = tmp_path / "out" / RESULT
    before = ResultStore.open(store).manifest

    given = [
        replace(s, mpp=0.5 if s.path.name == "no-mpp.tif" else None) for s in request_all.slides
    ]
    states, summary = last_states(replace(request_all, slides=tuple(given)))
    assert states == {
        "a/liver.tif": "resumed",
        "b/liver.tif": "resumed",
        "/cut.svs": "failed",
        "/no-mpp.tif": "done",
    }
    assert ResultStore.open(store).manifest == before, "no tile was looked at again"
    assert {r["mpp_source"] for r in table(tmp_path / "out") if r["slide"] == "no-mpp.tif"} == {
        "given by user"
    }


def test_same_names_do_not_overwrite_each_other(request_all: BatchRequest, tmp_path: Path) -> None:
    """In whatever order they come, each slide keeps its own result."""
    good = tuple(s for s in request_all.slides if s.path.name == "liver.tif")
    last_states(replace(request_all, slides=good))
    first = {r["folder"]: r["result"] for r in table(tmp_path / "out")}
    assert first["a"] == RESULT
    assert first["b"] != RESULT
    for folder, result in first.items():
        manifest = ResultStore.open(tmp_path / "out" / result).manifest
        slide = next(s.path for s in good if s.path.parent.name == folder)
        with open_slide(slide) as opened:
            assert manifest.slide_fingerprint == opened.fingerprint()
    states, _ = last_states(replace(request_all, slides=good[::-1]))
    assert set(states.values()) == {"resumed"}
    assert {r["folder"]: r["result"] for r in table(tmp_path / "out")} == first


def test_a_batch_equals_the_slides_alone(
    request_all: BatchRequest, slides: Path, tiny_file: Path, tmp_path: Path
) -> None:
    last_states(request_all)
    alone = tmp_path / "alone"
    arguments = [slides / "a" / "liver.tif", "--out", alone, "--model", tiny_file, "-t", "fat=0.3"]
    assert RUN.invoke(app, ["analyze", *map(str, arguments)]).exit_code == 0
    one, many = (ResultStore.open(f / RESULT) for f in (alone, tmp_path / "out"))
    assert (one.state == many.state).all()
    assert (one.probabilities == many.probabilities).all()
    assert (alone / "liver.tiny.csv").read_text() == (tmp_path / "out/liver.tiny.csv").read_text()
    assert (tmp_path / "out" / "liver.tiny.html").exists()
    row = next(r for r in table(tmp_path / "out") if r["folder"] == "a")
    fat = next(r for r in read_csv(alone / "liver.tiny.csv") if r["class"] == "fat")
    assert float(row["fat_mm2"]) > 0
    assert row["fat_mm2"] == fat["area_mm2"]
    assert row["fat_percent_of_tissue"] == fat["percent_of_tissue"]
    assert int(row["fat_foci"]) > 0
    assert float(row["fat_largest_focus_mm"]) > 0


def test_another_threshold_is_measured_without_a_run(
    request_all: BatchRequest, tmp_path: Path
) -> None:
    good = replace(request_all, slides=request_all.slides[:1])
    assert good.slides[0].path.parent.name == "a"
    last_states(good)
    low = float(table(tmp_path / "out")[0]["fat_mm2"])
    result = tmp_path / "out" / RESULT
    assert ViewState.load(result).thresholds == {"fat": 0.3}
    states, _ = last_states(replace(good, thresholds={"fat": 0.9}))
    assert set(states.values()) == {"resumed"}
    assert float(table(tmp_path / "out")[0]["fat_mm2"]) < low
    assert ViewState.load(result).thresholds == {"fat": 0.3}


def test_what_a_person_did_with_a_result_is_left(request_all: BatchRequest, tmp_path: Path) -> None:
    good = replace(request_all, slides=request_all.slides[:1])
    last_states(good)
    out = tmp_path / "out"
    ViewState(thresholds={"fat": 0.65}, error_rate=0.1, opacity=0.2).save(out / RESULT)
    view = (out / RESULT / "view.json").read_bytes()
    page, measurements = out / "liver.tiny.html", out / "liver.tiny.csv"
    page.write_text("with my regions")
    measurements.write_text("mine")
    rows = table(out)
    steps = [e.step for e in run_batch(good, threading.Event()) if isinstance(e, SlideChanged)]
    assert "its report left as it is" in steps[-1].message
    assert page.read_text() == "with my regions"
    assert measurements.read_text() == "mine"
    assert (out / RESULT / "view.json").read_bytes() == view
    assert [{**r, "state": ""} for r in table(out)] == [{**r, "state": ""} for r in rows]
    page.unlink()
    (out / RESULT / "view.json").unlink()
    last_states(replace(good, thresholds={"fat": 0.4}))
    assert "0.40" in page.read_text(encoding="utf-8")
    assert measurements.read_text() == "mine"
    assert ViewState.load(out / RESULT).thresholds == {"fat": 0.4}


def test_names_are_hidden_in_all_that_is_handed_on(
    slides: Path, tiny_file: Path, tmp_path: Path
) -> None:
    (slides / "a" / "liver.tif").rename(slides / "Doe_Jane.tif")
    (slides / "cut.svs").rename(slides / "Roe_Jane.svs")
    out = tmp_path / "out"
    listed = tmp_path / "slides.csv"
    listed.write_text("path,mpp\nslides/Doe_Jane.tif,\nslides/Roe_Jane.svs,\n")
    options = ["--out", str(out), "--model", str(tiny_file), "--hide-names"]
    assert RUN.invoke(app, ["batch", str(listed), *options]).exit_code == 1
    with open_slide(slides / "Doe_Jane.tif") as opened:
        code = opened.fingerprint()[:8]
    good, bad = table(out)
    assert (good["slide"], good["folder"]) == (code, "")
    assert good["result"] == f"{code}.tiny.liverdx.zarr"
    assert (bad["slide"], bad["state"]) == ("slide 2", "failed")
    assert "truncated" in bad["problem"]
    files = {p.name for p in out.iterdir() if p.is_file()}
    assert files == {f"{code}.tiny.html", f"{code}.tiny.csv", "cohort.csv", "cohort.json"}
    for name in files:
        assert "jane" not in (out / name).read_text(encoding="utf-8").lower(), name
    assert json.loads((out / "cohort.json").read_text())["hide_names"] is True


def test_an_unexpected_problem_names_no_folder(
    request_all: BatchRequest, slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(slide: Slide) -> None:
        raise ValueError(f"{slide.path} and {tmp_path}/other/x.bin make no sense")

    monkeypatch.setattr("napari_liverdx.session.batch_slide.look_at_slide", broken)
    last_states(replace(request_all, slides=request_all.slides[:1]))
    (row,) = table(tmp_path / "out")
    assert row["problem"].startswith("Unexpected problem: ValueError")
    assert "liver.tif and x.bin make no sense" in row["problem"]
    assert str(tmp_path) not in (tmp_path / "out" / "cohort.csv").read_text()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("'/data/a b/x.svs' is cut", "'x.svs' is cut"),
        ("no /home/me/model.bin (3 tiles/s, µm/px)", "no model.bin (3 tiles/s, µm/px)"),
        ("see https://a.b/c/d", "see https://a.b/c/d"),
        (r"C:\Users\me\x.tif is cut", "x.tif is cut"),
        ("out/x.zarr and about/y", "x.zarr and about/y"),
    ],
)
def test_folders_are_taken_out_of_texts(text: str, left: str) -> None:
    assert without_folders(text, Path("/data/a b"), Path("out"), Path("/")) == left


def test_a_stop_keeps_everything_and_the_rest_follows(
    request_all: BatchRequest, tmp_path: Path
) -> None:
    good = replace(
        request_all, slides=tuple(s for s in request_all.slides if s.path.name == "liver.tif")
    )
    stop = threading.Event()
    states: dict[int, str] = {}
    summary = None
    for event in run_batch(good, stop):
        if isinstance(event, SlideChanged):
            states[event.index] = event.step.state
            if event.step.progress > 0:
                stop.set()
        elif isinstance(event, BatchEnded):
            summary = event.summary
    assert states == {0: "stopped", 1: "waiting"}
    assert summary is not None
    assert summary.was_stopped
    assert summary.not_reached == ("liver.tif",)
    assert [r["state"] for r in table(tmp_path / "out")] == ["stopped", "waiting"]
    kept = ResultStore.open(tmp_path / "out" / RESULT)
    done = kept.count(TileState.DONE)
    assert done == 1
    first = kept.state.copy()
    progress = [
        e.step.progress
        for e in run_batch(good, threading.Event())
        if isinstance(e, SlideChanged) and e.index == 0 and e.step.message.startswith(f"{done} of")
    ]
    assert progress, "it went on from the tiles that were done"
    whole = ResultStore.open(tmp_path / "out" / RESULT)
    assert whole.is_complete
    assert (whole.state[first == TileState.DONE] == TileState.DONE).all()


def test_slides_that_cannot_be_read_in_part_or_at_all(
    request_all: BatchRequest, slides: Path, tmp_path: Path
) -> None:
    good = replace(request_all, slides=(ListedSlideFile(slides / "a" / "liver.tif"),))
    corrupt_tile(slides / "a" / "liver.tif", 0)
    last_states(good)
    row = table(tmp_path / "out")[0]
    assert row["state"] == "done"
    assert int(row["failed_tiles"]) > 0
    lost = slides / "lost.tif"
    shutil.copyfile(slides / "b" / "liver.tif", lost)
    for index in range(8):
        corrupt_tile(lost, index)
    states, _ = last_states(replace(good, slides=(ListedSlideFile(lost),)))
    assert states == {"/lost.tif": "failed"}
    assert "none of its tiles could be read" in table(tmp_path / "out")[0]["problem"]


def test_a_folder_that_cannot_be_written_is_said(request_all: BatchRequest, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file stands in the way")
    states, summary = last_states(request_all)
    assert set(states.values()) == {"failed"}
    assert "cannot be written" in summary.table_problem


def test_what_cannot_work_for_any_slide_is_refused(request_all: BatchRequest) -> None:
    def begin(**changes: object) -> None:
        next(run_batch(replace(request_all, **changes), threading.Event()))

    with pytest.raises(DataError, match="no slide"):
        begin(slides=())
    with pytest.raises(DataError, match="listed twice"):
        begin(slides=request_all.slides[:1] * 2)
    with pytest.raises(MppError, match="plausible"):
        begin(mpp=400)
    first = next(run_batch(request_all, threading.Event()))
    assert isinstance(first, BatchStarted)
    assert {r.state for r in first.rows} == {SlideState.WAITING}


# -- the command --


def test_command_ends_with_a_status_that_tells(
    slides: Path, tiny_file: Path, tmp_path: Path, request_all: BatchRequest
) -> None:
    out = ["--out", str(tmp_path / "out"), "--model", str(tiny_file), "-t", "fat=0.3"]
    outcome = RUN.invoke(app, ["batch", str(slides), "--recursive", *out])
    assert outcome.exit_code == 1, outcome.output
    assert "Finished: 2 analysed, 2 failed" in outcome.output
    assert "truncated" in outcome.output
    cli = table(tmp_path / "out")
    last_states(replace(request_all, out_folder=tmp_path / "code"))
    assert cli == table(tmp_path / "code")
    more = ["--pattern", "*.tif", "--mpp", "0.5"]
    outcome = RUN.invoke(app, ["batch", str(slides), *more, *out])
    assert outcome.exit_code == 0, outcome.output
    assert "Finished: 1 analysed" in outcome.output
    outcome = RUN.invoke(app, ["batch", str(slides), *out, "-t", "fat=7"])
    assert "between 0 and 1" in str(outcome.exception)
    assert "cohort.csv" in RUN.invoke(app, ["batch", "--help"]).output
