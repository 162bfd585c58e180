"""Many slides: each fails alone, nothing is done twice, one table."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from napari_liverdx.core.errors import DataError, MppError
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.batch import (
    BatchEnded,
    BatchRequest,
    BatchStarted,
    SlideChanged,
    SlideState,
    run_batch,
)
from napari_liverdx.slides.listing import SlideEntry
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.cohort import cohort_table, last_states, result_of
from tests.support.paths import one
from tests.support.slides import corrupt_tile


@pytest.mark.slow
def test_each_slide_fails_alone_and_nothing_is_done_twice(
    request_all: BatchRequest, tmp_path: Path
) -> None:
    states, summary = last_states(request_all)
    expected = {"a/liver.tif": "done", "b/liver.tif": "done"}
    assert states == {**expected, "/cut.svs": "failed", "/no-mpp.tif": "failed"}
    assert str(summary) == "Finished: 2 analyzed, 2 failed"
    rows = {r["slide"]: r for r in cohort_table(tmp_path / "out")}
    assert "truncated" in rows["cut.svs"]["problem"]
    assert "no µm/px" in rows["no-mpp.tif"]["problem"]
    assert str(tmp_path) not in (tmp_path / "out" / "cohort.csv").read_text()
    facts = json.loads((tmp_path / "out" / "cohort.json").read_text())
    assert facts["thresholds"] == {"fat": 0.3}
    assert facts["states"] == {"done": 2, "failed": 2}
    store = result_of(tmp_path / "out")
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
    assert {
        r["mpp_source"] for r in cohort_table(tmp_path / "out") if r["slide"] == "no-mpp.tif"
    } == {"given by user"}


def test_same_names_do_not_overwrite_each_other(request_all: BatchRequest, tmp_path: Path) -> None:
    """In whatever order they come, each slide keeps its own result."""
    good = tuple(s for s in request_all.slides if s.path.name == "liver.tif")
    last_states(replace(request_all, slides=good))
    first = {r["folder"]: r["result"] for r in cohort_table(tmp_path / "out")}
    assert first["a"] == result_of(tmp_path / "out").name
    assert first["b"] != first["a"]
    for folder, result in first.items():
        manifest = ResultStore.open(tmp_path / "out" / result).manifest
        slide = next(s.path for s in good if s.path.parent.name == folder)
        with open_slide(slide) as opened:
            assert manifest.slide_fingerprint == opened.fingerprint()
    states, _ = last_states(replace(request_all, slides=good[::-1]))
    assert set(states.values()) == {"resumed"}
    assert {r["folder"]: r["result"] for r in cohort_table(tmp_path / "out")} == first


def test_another_threshold_is_measured_without_a_run(
    request_all: BatchRequest, tmp_path: Path
) -> None:
    good = replace(request_all, slides=request_all.slides[:1])
    assert good.slides[0].path.parent.name == "a"
    last_states(good)
    low = float(cohort_table(tmp_path / "out")[0]["fat_mm2"])
    result = result_of(tmp_path / "out")
    assert ViewState.load(result).thresholds == {"fat": 0.3}
    states, _ = last_states(replace(good, settings=MeasureSettings({"fat": 0.9})))
    assert set(states.values()) == {"resumed"}
    assert float(cohort_table(tmp_path / "out")[0]["fat_mm2"]) < low
    assert ViewState.load(result).thresholds == {"fat": 0.3}


def test_what_a_person_did_with_a_result_is_left(request_all: BatchRequest, tmp_path: Path) -> None:
    good = replace(request_all, slides=request_all.slides[:1])
    last_states(good)
    out = tmp_path / "out"
    ViewState(thresholds={"fat": 0.65}, error_rate=0.1, opacity=0.2).save(result_of(out))
    view = (result_of(out) / "view.json").read_bytes()
    page, measurements = one(out, "liver.tiny-*.html"), one(out, "liver.tiny-*.csv")
    page.write_text("with my regions")
    measurements.write_text("mine")
    rows = cohort_table(out)
    steps = [e.step for e in run_batch(good, threading.Event()) if isinstance(e, SlideChanged)]
    assert "its report left as it is" in steps[-1].message
    assert page.read_text() == "with my regions"
    assert measurements.read_text() == "mine"
    assert (result_of(out) / "view.json").read_bytes() == view
    assert [{**r, "state": ""} for r in cohort_table(out)] == [{**r, "state": ""} for r in rows]
    page.unlink()
    (result_of(out) / "view.json").unlink()
    last_states(replace(good, settings=MeasureSettings({"fat": 0.4})))
    assert "0.40" in page.read_text(encoding="utf-8")
    assert measurements.read_text() == "mine"
    assert ViewState.load(result_of(out)).thresholds == {"fat": 0.4}


def test_an_unexpected_problem_names_no_folder(
    request_all: BatchRequest, mixed_slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(slide: Slide, *_: object, **__: object) -> None:
        raise ValueError(f"{slide.path} and {tmp_path}/other/x.bin make no sense")

    monkeypatch.setattr("napari_liverdx.session.batch_slide.plan_slide", broken)
    last_states(replace(request_all, slides=request_all.slides[:1]))
    (row,) = cohort_table(tmp_path / "out")
    assert row["problem"].startswith("Unexpected problem: ValueError")
    assert "liver.tif and x.bin make no sense" in row["problem"]
    assert str(tmp_path) not in (tmp_path / "out" / "cohort.csv").read_text()


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
    assert [r["state"] for r in cohort_table(tmp_path / "out")] == ["stopped", "waiting"]
    kept = ResultStore.open(result_of(tmp_path / "out"))
    done = kept.count(TileState.DONE)
    assert done == 1
    first = kept.state.copy()
    progress = [
        e.step.progress
        for e in run_batch(good, threading.Event())
        if isinstance(e, SlideChanged) and e.index == 0 and e.step.message.startswith(f"{done} of")
    ]
    assert progress, "it went on from the tiles that were done"
    whole = ResultStore.open(result_of(tmp_path / "out"))
    assert whole.is_complete
    assert (whole.state[first == TileState.DONE] == TileState.DONE).all()


def test_slides_that_cannot_be_read_in_part_or_at_all(
    request_all: BatchRequest, mixed_slides: Path, tmp_path: Path
) -> None:
    good = replace(request_all, slides=(SlideEntry(mixed_slides / "a" / "liver.tif"),))
    corrupt_tile(mixed_slides / "a" / "liver.tif", 0)
    last_states(good)
    row = cohort_table(tmp_path / "out")[0]
    assert row["state"] == "done"
    assert int(row["failed_tiles"]) > 0
    lost = mixed_slides / "lost.tif"
    shutil.copyfile(mixed_slides / "b" / "liver.tif", lost)
    for index in range(8):
        corrupt_tile(lost, index)
    states, _ = last_states(replace(good, slides=(SlideEntry(lost),)))
    assert states == {"/lost.tif": "failed"}
    assert "none of its tiles could be read" in cohort_table(tmp_path / "out")[0]["problem"]


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
