"""The dock's logic without a window: open, run, cancel, damage, removal."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.exports.registry import EXPORTS
from napari_liverdx.inference import predict as predicting
from napari_liverdx.models.file import load_model_file, save_model_file
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.session.state import RunStatus
from napari_liverdx.slides.slide import Slide
from napari_liverdx.widgets.main.controller import DockController
from napari_liverdx.widgets.main.run_panel import progress_text
from tests.support.control import analyze_and_settle, open_and_settle
from tests.support.host import StepHost
from tests.support.models import make_card
from tests.support.paths import CMU, one
from tests.support.slides import corrupt_tile, write_pyramid


def test_a_run_fills_layers_and_measures(
    viewer: ViewerModel, control: DockController, host: StepHost, small_slide: Path
) -> None:
    open_and_settle(control, host, small_slide)
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED
    assert control.state.run.message.startswith("Finished")
    names = [layer.name for layer in viewer.layers]
    assert names == ["small", "Tiles · small", "Liver with fat · small"]
    assert len(control.state.measures) == 3
    store = ResultStore.open(one(small_slide.parent / "results", "small.tiny*.liverdx.zarr"))
    assert store.is_complete
    assert (viewer.layers["Liver with fat · small"].data == store.probabilities[2]).all()


def test_cancel_keeps_the_tiles_and_the_next_run_goes_on(
    viewer: ViewerModel, control: DockController, host: StepHost, small_slide: Path
) -> None:
    open_and_settle(control, host, small_slide)
    control.analyze()
    assert control.state.run.status is RunStatus.RUNNING
    host.run_until(lambda: (p := control.state.run.progress) is not None and 0 < p.done < p.total)
    control.cancel()
    assert control.state.run.status is RunStatus.STOPPING
    host.settle()
    progress = control.state.run.progress
    assert progress is not None
    assert control.state.run.status is RunStatus.STOPPED
    assert 0 < progress.done < progress.total
    assert f"Stopped after {progress.done}" in control.state.run.message
    assert control.results is not None
    kept = ResultStore.open(control.results.store.path)
    assert kept.count(TileState.DONE) == progress.done
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED
    assert control.state.run.progress.done == progress.total
    assert sum(layer.name.startswith("Liver with fat") for layer in viewer.layers) == 1


def test_layers_and_table_follow_while_it_runs(
    viewer: ViewerModel, control: DockController, host: StepHost, small_slide: Path
) -> None:
    open_and_settle(control, host, small_slide)
    control.analyze()
    host.run_until(lambda: any(m.area_mm2 > 0 for m in control.state.measures))
    assert control.state.run.status is RunStatus.RUNNING
    assert viewer.layers["Liver with fat · small"].data.max() > 0
    host.settle()


def test_an_event_of_a_run_that_is_over_is_dropped(
    viewer: ViewerModel, control: DockController, host: StepHost, small_slide: Path
) -> None:
    open_and_settle(control, host, small_slide)
    control.analyze()
    host.step()
    viewer.layers.remove("small")
    host.settle()
    assert control.state.slide.facts is None
    assert control.state.run.progress is None
    assert control.state.run.status is RunStatus.IDLE
    assert control.state.run.message == ""
    assert [layer.name for layer in viewer.layers] == []


def test_bad_slides_are_told(control: DockController, host: StepHost, tmp_path: Path) -> None:
    text = tmp_path / "text.svs"
    text.write_text("no image")
    cut = tmp_path / "cut.svs"
    cut.write_bytes(CMU.read_bytes()[:500_000])
    for path, words in ((text, "not an image"), (cut, "truncated"), (tmp_path / "no", "no such")):
        control.open_path(path)
        assert words in host.told[-1]
        assert str(path) in host.told[-1]
    assert len(control.viewer.layers) == 0


def test_bad_model_keeps_the_good_one(
    control: DockController, host: StepHost, tmp_path: Path, tiny_file: Path
) -> None:
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"\x80\x04junk")
    assert not control.choose_model(str(bad))
    assert "pickle" in host.told[-1]
    assert control.state.model.name == str(tiny_file)


def test_no_tissue_is_told(control: DockController, host: StepHost, tmp_path: Path) -> None:
    path = tmp_path / "glass.tif"
    write_pyramid(path, np.full((600, 700, 3), 243, np.uint8))
    open_and_settle(control, host, path)
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FAILED
    assert "no tissue" in host.told[-1]
    assert "no tissue" in control.state.run.message


def test_a_missing_resolution_is_taken_from_the_user(
    viewer: ViewerModel, control: DockController, host: StepHost, tmp_path: Path, sample: Slide
) -> None:
    path = tmp_path / "no-mpp.tif"
    write_pyramid(path, sample.read_region(0, 1900, 500, 700, 600), mpp=None)
    open_and_settle(control, host, path)
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FAILED
    assert "µm per pixel" in control.state.run.message
    control.set_mpp(50)
    assert "µm" in host.told[-1]
    control.set_mpp(0.5)
    host.settle()
    assert control.state.run.status is RunStatus.IDLE
    assert tuple(viewer.layers["no-mpp"].scale) == (0.5, 0.5)
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED
    assert control.results is not None
    assert control.results.store.manifest.mpp_source == "given by user"


def test_corrupt_tile_is_counted(
    control: DockController, host: StepHost, small_slide: Path
) -> None:
    corrupt_tile(small_slide, 3 * 9 + 4)
    open_and_settle(control, host, small_slide)
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED
    assert "could not be read" in control.state.run.message
    assert control.state.run.progress.failed >= 1


@pytest.mark.slow
def test_another_model_gets_a_result_of_its_own(
    control: DockController, host: StepHost, small_slide: Path, tiny_file: Path, tmp_path: Path
) -> None:
    open_and_settle(control, host, small_slide)
    analyze_and_settle(control, host)
    assert control.results is not None
    first = control.results.store.path
    other = tmp_path / "tiny2.safetensors"
    save_model_file(other, load_model_file(tiny_file).network, make_card(version="2"))
    control.choose_model(str(other))
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED
    assert control.results.store.path != first
    # So does a run of another extent.
    control.choose_model(str(tiny_file))
    control.state.run.overlap = 2 / 7
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED
    assert len(list(first.parent.glob("*.zarr"))) == 3


def test_unwritable_folder_is_told(
    control: DockController, host: StepHost, small_slide: Path, tmp_path: Path
) -> None:
    open_and_settle(control, host, small_slide)
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    control.state.run.out_folder = blocker / "results"
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FAILED
    assert "cannot be written" in host.told[-1]


def test_closing_ends_a_run_and_keeps_its_tiles(
    control: DockController, host: StepHost, small_slide: Path
) -> None:
    open_and_settle(control, host, small_slide)
    control.analyze()
    host.run_until(lambda: (p := control.state.run.progress) is not None and p.done > 0)
    control.close()
    host.settle()
    assert not control.is_busy
    kept = ResultStore.open(one(small_slide.parent / "results", "small.tiny*.liverdx.zarr"))
    assert kept.count(TileState.DONE) > 0
    assert not kept.is_complete


def test_a_program_that_quits_ends_a_run(
    control: DockController, host: StepHost, small_slide: Path
) -> None:
    open_and_settle(control, host, small_slide)
    control.analyze()
    host.run_until(lambda: (p := control.state.run.progress) is not None and p.done > 0)
    host.quit()
    assert control.state.run.status is RunStatus.STOPPED


@pytest.mark.parametrize("kind", ["known", "unexpected"])
def test_what_fails_in_the_background_is_told(
    control: DockController, host: StepHost, kind: str, small_slide: Path
) -> None:
    """A slide that is gone by the time it is read, and a bug of ours."""
    error = SlideReadError("the slide is gone") if kind == "known" else ZeroDivisionError("oh")
    told: list[str] = []

    def work() -> object:
        raise error
        yield

    control.workers.start(work(), lambda _: None, told.append, lambda: told.append("ended"))
    host.settle()
    assert len(told) == 1
    assert ("the slide is gone" if kind == "known" else "Unexpected problem") in told[0]
    assert not control.is_busy


def test_a_slide_that_vanishes_during_a_run_is_told_and_the_run_resumes(
    control: DockController, host: StepHost, small_slide: Path
) -> None:
    open_and_settle(control, host, small_slide)
    control.analyze()
    host.run_until(lambda: (p := control.state.run.progress) is not None and p.done > 0)
    away = small_slide.rename(small_slide.with_name("away.tif"))
    host.settle()
    assert control.state.run.status is RunStatus.FAILED
    assert "the slide is gone" in host.told[-1]
    assert "start again to resume" in host.told[-1]
    away.rename(small_slide)
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED


def test_a_result_that_vanishes_during_a_run_is_told_and_made_again(
    control: DockController, host: StepHost, small_slide: Path
) -> None:
    open_and_settle(control, host, small_slide)
    control.analyze()
    host.run_until(lambda: (p := control.state.run.progress) is not None and p.done > 0)
    shutil.rmtree(small_slide.parent / "results")
    host.settle()
    assert control.state.run.status is RunStatus.FAILED
    assert "the result is gone" in host.told[-1]
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED


def test_storage_that_does_not_answer_is_shown_and_the_run_can_be_cancelled(
    control: DockController, host: StepHost, small_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_and_settle(control, host, small_slide)
    answer, read = threading.Event(), Slide.read_region

    def slow(*place: Any) -> np.ndarray:
        answer.wait()
        return read(*place)

    control.analyze()
    host.run_until(lambda: (p := control.state.run.progress) is not None and p.done > 0)
    with monkeypatch.context() as stalled:
        stalled.setattr(predicting, "STALL_SECONDS", 0.01)
        stalled.setattr(Slide, "read_region", slow)
        host.run_until(lambda: bool(control.state.run.progress.stall))
        assert progress_text(control.state.run.progress).startswith("No answer from the slide's")
        control.cancel()
        host.settle()
        assert control.state.run.status is RunStatus.STOPPED
        answer.set()
        for thread in threading.enumerate():
            if thread.name.startswith("liverdx-read"):
                thread.join()
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED


# -- whatever happens meanwhile, the dock goes on --

Act = Callable[[DockController, StepHost, Path], None]


def start_run(control: DockController, host: StepHost, slide: Path) -> None:
    control.analyze()
    host.run_until(lambda: (p := control.state.run.progress) is not None and p.done > 0)


def start_report(control: DockController, host: StepHost, slide: Path) -> None:
    analyze_and_settle(control, host)
    control.findings.save_report(control.slide)


def start_exports(control: DockController, host: StepHost, slide: Path) -> None:
    analyze_and_settle(control, host)
    for name in EXPORTS:
        path = slide.parent / "exports" / f"a{EXPORTS[name].suffix}"
        control.findings.export(name, path, control.slide)


def start_measuring(control: DockController, host: StepHost, slide: Path) -> None:
    analyze_and_settle(control, host)
    control.findings.set_map_kind(MapKind.TILES)
    control.findings.set_threshold("fat", 0.7)


def start_detecting(control: DockController, host: StepHost, slide: Path) -> None:
    control.opener.open(slide)


WORKS: dict[str, Act] = {
    "tissue": start_detecting,
    "run": start_run,
    "measure": start_measuring,
    "report": start_report,
    "export": start_exports,
}

EVENTS: dict[str, Act] = {
    "layer removed": lambda control, _, __: control.viewer.layers.clear(),
    "slide deleted": lambda _, __, slide: slide.unlink(),
    "slide cut off": lambda _, __, slide: os.truncate(slide, 5000),
    "results deleted": lambda _, __, slide: shutil.rmtree(
        slide.parent / "results", ignore_errors=True
    ),
    "another slide": lambda control, _, __: control.open_path(CMU),
    "dock closed": lambda control, _, __: control.close(),
    "program ends": lambda _, host, __: host.quit(),
}


# The works that only read a stored result know little of a slide.
CASES = [
    (work, event)
    for work in WORKS
    for event in EVENTS
    if work in ("tissue", "run") or event in ("layer removed", "results deleted", "dock closed")
]


@pytest.mark.slow
@pytest.mark.parametrize(("work", "event"), CASES)
def test_the_dock_goes_on_whatever_happens_meanwhile(
    control: DockController,
    host: StepHost,
    small_slide: Path,
    small_slide_file: Path,
    work: str,
    event: str,
) -> None:
    open_and_settle(control, host, small_slide)
    WORKS[work](control, host, small_slide)
    EVENTS[event](control, host, small_slide)
    host.settle()
    assert not control.is_busy
    for words in host.told:
        assert "Unexpected" not in words
        assert "Traceback" not in words
    if event == "dock closed":
        return
    assert not control.state.run.status.is_active
    told = len(host.told)
    other = small_slide.with_name("other.tif")
    shutil.copyfile(small_slide_file, other)
    control.viewer.layers.clear()
    open_and_settle(control, host, other)
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED, host.told[told:]
    assert len(control.state.measures) == 3
