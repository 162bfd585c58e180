"""The dock for many slides without a napari window: drops, clicks, keys, edits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from napari.components import ViewerModel
from qtpy.QtCore import QMimeData, QModelIndex, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit, QScrollArea
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.inference.device import choose_device
from napari_liverdx.reports.cohort import cohort_columns
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.batch_slide import SlideState, SlideStep
from napari_liverdx.slides.listing import SlideEntry
from napari_liverdx.widgets.batch.batch_controller import BatchChoices
from napari_liverdx.widgets.batch.model import MPP_COLUMN
from napari_liverdx.widgets.batch_dock import BatchDock
from tests.support.cohort import cohort_table, read_csv, result_of
from tests.support.window import click, notes, show, wait, wait_paint


@pytest.fixture
def many(
    viewer: ViewerModel, qtbot: object, own_settings: None, tiny_file: Path
) -> Iterator[BatchDock]:
    """The dock in its viewer, with the quick model and its own folder for results."""
    dock = show(qtbot, BatchDock(viewer))
    dock.choose_model(str(tiny_file))
    dock.settings.thresholds["fat"].setValue(0.3)
    yield dock
    dock.release()
    wait(lambda: not dock.is_busy)


def drop(dock: BatchDock, paths: Sequence[Path]) -> None:
    """Let files fall on the table."""
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(p)) for p in paths])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy, target = Qt.DropAction.CopyAction, dock.table.viewport()
    enter = QDragEnterEvent(QPoint(20, 20), copy, files, left, none)
    QApplication.sendEvent(target, enter)
    if enter.isAccepted():
        QApplication.sendEvent(target, QDropEvent(QPointF(20, 20), copy, files, left, none))


def run(dock: BatchDock) -> None:
    click(dock.run_button)
    wait(lambda: not dock.is_busy and dock.run_button.isEnabled())


def states(dock: BatchDock) -> dict[str, str]:
    return {f"{i.row.folder}/{i.row.slide}": i.step.state.value for i in dock.model.items}


def cell(dock: BatchDock, row: int, column: int) -> QModelIndex:
    """A map pixel as the view orders it, in sight."""
    index = dock.table.model().index(row, column)
    dock.table.scrollTo(index)
    wait_paint()
    return index


def middle(dock: BatchDock, row: int, column: int) -> QPoint:
    return dock.table.visualRect(cell(dock, row, column)).center()


def row_of(dock: BatchDock, name: str) -> int:
    names = [f"{i.row.folder}/{i.row.slide}" for i in dock.model.items]
    return names.index(name)


def double_click(dock: BatchDock, row: int, column: int) -> None:
    place = middle(dock, row, column)
    for event in (QTest.mouseClick, QTest.mouseDClick):
        event(dock.table.viewport(), Qt.MouseButton.LeftButton, pos=place)


def give_mpp(dock: BatchDock, row: int, value: str) -> None:
    """Double-click the map pixel, type, Enter."""
    double_click(dock, row, MPP_COLUMN)
    wait(lambda: dock.table.findChild(QLineEdit) is not None)
    editor = dock.table.findChild(QLineEdit)
    editor.selectAll()
    QTest.keyClicks(editor, value)
    QTest.keyClick(editor, Qt.Key.Key_Return)
    wait(lambda: dock.table.findChild(QLineEdit) is None)


@pytest.mark.slow
def test_run_mend_and_run_again(
    many: BatchDock,
    viewer: ViewerModel,
    mixed_slides: Path,
    tiny_file: Path,
    tmp_path: Path,
) -> None:
    assert not many.run_button.isEnabled()
    assert many.run_button.toolTip() == "Add slides first"
    drop(many, [mixed_slides])
    assert many.model.rowCount() == 4
    assert many.settings.folder.text() == str(mixed_slides / "a" / "liverdx-results")
    many.settings.folder.setText(str(tmp_path / "out"))
    assert many.run_button.isEnabled()
    run(many)
    good = {"a/liver.tif": "done", "b/liver.tif": "done"}
    assert states(many) == {**good, "/cut.svs": "failed", "/no-mpp.tif": "failed"}
    assert many.message.text().startswith("Finished: 2 analyzed, 2 failed")
    bad = row_of(many, "/no-mpp.tif")
    place = middle(many, bad, 1)
    QTest.mouseClick(many.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert "no µm/px" in many.reason.text()
    assert "no µm/px" in str(cell(many, bad, 1).data(Qt.ItemDataRole.ToolTipRole))
    assert not many.open_button.isEnabled()

    # The command says the same.
    out = ["--out", str(tmp_path / "cli"), "--model", str(tiny_file), "-t", "fat=0.3"]
    assert CliRunner().invoke(app, ["batch", str(mixed_slides), "-r", *out]).exit_code == 1
    assert cohort_table(tmp_path / "out") == cohort_table(tmp_path / "cli")

    before = ResultStore.open(result_of(tmp_path / "out")).manifest
    give_mpp(many, bad, "70")
    assert "not a plausible µm/px" in many.message.text()
    give_mpp(many, bad, "0.5")
    assert many.model.items[bad].listed.mpp == 0.5
    assert many.model.items[bad].step.state is SlideState.WAITING
    run(many)
    good = {"a/liver.tif": "resumed", "b/liver.tif": "resumed"}
    assert states(many) == {**good, "/cut.svs": "failed", "/no-mpp.tif": "done"}
    assert ResultStore.open(result_of(tmp_path / "out")).manifest == before
    assert len(viewer.layers) == 0

    # Open it, as plain layers: the other dock is not there.
    double_click(many, 0, 0)
    names = [layer.name for layer in viewer.layers]
    assert names == ["liver", "Tiles · liver", "Liver with fat · liver"]
    assert viewer.layers[-1].contrast_limits[0] == pytest.approx(0.3)
    viewer.layers.clear()


@pytest.mark.slow
def test_cancel_keeps_what_is_done_and_run_goes_on(
    many: BatchDock,
    mixed_slides: Path,
    small_slide: Path,
    tmp_path: Path,
) -> None:
    many.add_paths([small_slide, mixed_slides / "a", mixed_slides / "b"])
    many.settings.folder.setText(str(tmp_path / "out"))
    many.model.dataChanged.connect(
        lambda *_: many.cancel_button.click() if many.model.items[0].step.progress > 0 else None
    )
    click(many.run_button)
    assert not many.run_button.isEnabled()
    assert not many.settings.isEnabled()
    wait(lambda: not many.is_busy and many.run_button.isEnabled())
    assert [i.step.state.value for i in many.model.items] == ["stopped", "waiting", "waiting"]
    assert "1 stopped on the way, 2 not reached. Run goes on from there" in many.message.text()
    many.model.dataChanged.disconnect()
    before = many.model.items[0].step.progress
    assert 0 < before < 1
    run(many)
    assert [i.step.state.value for i in many.model.items] == ["done"] * 3
    assert [r["state"] for r in cohort_table(tmp_path / "out")] == ["done"] * 3


def filled(many: BatchDock) -> None:
    """Three slides with made-up tissue, one without."""
    many.controller.slides.add(SlideEntry(Path(f"/nowhere/{n}.tif")) for n in "dacb")
    for index, tissue in enumerate((3.0, 10.0, 2.0)):
        item = many.model.items[index]
        step = SlideStep(SlideState.WAITING, item.row)
        many.controller.slides.take(index, step.to(SlideState.DONE, "Done", tissue_mm2=tissue))


def test_table_sorts_by_values_with_gaps_below(many: BatchDock) -> None:
    filled(many)
    titles = [many.model.headerData(c, Qt.Orientation.Horizontal) for c in range(9)]
    tissue = titles.index("Tissue\nmm²")
    header = many.table.horizontalHeader()

    def shown() -> list[str]:
        model = many.table.model()
        return [model.index(r, tissue).data() for r in range(model.rowCount())]

    assert shown() == ["3.00", "10.00", "2.00", ""]
    cell(many, 0, tissue)
    place = QPoint(header.sectionViewportPosition(tissue) + 20, header.height() // 2)
    orders = []
    for _ in range(2):
        QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
        orders.append(shown())
    assert orders == [["2.00", "3.00", "10.00", ""], ["10.00", "3.00", "2.00", ""]]
    many.table.choose(0)
    assert many.table.chosen_rows() == [0], "rows are those of the list, however it is sorted"


def test_copy_takes_columns_with_their_titles(many: BatchDock) -> None:
    filled(many)
    QTest.keyClick(many.table, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(many.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().split("\n")
    assert len(lines) == 5
    assert lines[0].startswith("Slide\tState\tµm/px\tLiver with fat %\t")
    assert lines[1].startswith("d.tif\tdone\t")
    many.table.choose(3)
    QTest.keyClick(many.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "b.tif"


def test_codes_are_handed_on_in_place_of_names(
    many: BatchDock,
    mixed_slides: Path,
    tmp_path: Path,
) -> None:
    name = mixed_slides / "Doe_Jane.tif"
    (mixed_slides / "a" / "liver.tif").rename(name)
    many.add_paths([name, mixed_slides / "cut.svs"])
    many.settings.folder.setText(str(tmp_path / "out"))
    assert not many.settings.hide_names.isChecked()
    many.settings.hide_names.click()
    run(many)
    assert cell(many, 0, 0).data() == "Doe_Jane.tif", "the screen keeps the name"
    code = many.model.items[0].row.code
    assert len(code) == 8
    (page,) = (p.name for p in (tmp_path / "out").glob("*.html"))
    assert re.fullmatch(rf"{code}\.tiny-[0-9a-f]{{6}}\.html", page)
    QTest.keyClick(many.table, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(many.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    copied = QGuiApplication.clipboard().text()
    many.save_table(tmp_path / "copy.csv")
    saved = (tmp_path / "copy.csv").read_text(encoding="utf-8")
    cohort = (tmp_path / "out" / "cohort.csv").read_text(encoding="utf-8")
    assert saved == cohort
    for handed_on in (copied, saved):
        assert "Jane" not in handed_on
        assert code in handed_on
        assert "slide 2" in handed_on
        assert mixed_slides.name not in handed_on.split()
    many.settings.hide_names.click()
    many.table.choose(0)
    QTest.keyClick(many.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "Doe_Jane.tif"


def test_the_dock_begins_as_preferred(
    viewer: ViewerModel,
    qtbot: object,
    own_preferences: object,
    tiny_file: Path,
    mixed_slides: Path,
    tmp_path: Path,
) -> None:
    analysis = own_preferences.analysis
    analysis.model, analysis.threshold, analysis.device = str(tiny_file), 0.35, "cpu"
    analysis.results_folder = str(tmp_path / "all")
    own_preferences.sharing.hide_names = True
    dock = show(qtbot, BatchDock(viewer))
    dock.add_paths([mixed_slides / "a"])
    assert dock.controller.card.name == "tiny"
    assert dock.settings.chosen_thresholds == {"fat": pytest.approx(0.35)}
    assert dock.settings.choices.folder == tmp_path / "all"
    assert dock.settings.hide_names.isChecked()
    run(dock)
    (row,) = cohort_table(tmp_path / "all")
    assert row["slide"] == dock.model.items[0].row.code
    told = json.loads((tmp_path / "all" / "cohort.json").read_text())
    assert told["thresholds"] == {"fat": pytest.approx(0.35)}
    dock.release()


@pytest.mark.parametrize("wrong", ["model", "device"])
def test_preferences_that_cannot_be_met_are_said(
    viewer: ViewerModel,
    qtbot: object,
    own_preferences: object,
    wrong: str,
) -> None:
    gone = {"model": "gone", "device": "cuda" if torch.backends.mps.is_available() else "mps"}
    setattr(own_preferences.analysis, wrong, gone[wrong])
    with notes() as told:
        dock = show(qtbot, BatchDock(viewer))
        device = dock.controller.device()
    assert dock.controller.model == "liver-steatosis"
    assert device == choose_device()
    assert any(gone[wrong] in text.lower() for text in told)
    dock.release()


def test_the_form_gives_what_is_chosen(many: BatchDock, tmp_path: Path) -> None:
    settings = many.settings
    assert settings.choices == BatchChoices(None, None, {"fat": pytest.approx(0.3)}, False)
    assert settings.mpp.text() == "as the slides state"
    settings.folder.setText(str(tmp_path))
    settings.mpp.setValue(0.2525)
    settings.hide_names.click()
    settings.form["color_managed"].value = True
    fat = {"fat": pytest.approx(0.3)}
    assert settings.choices == BatchChoices(tmp_path, 0.2525, fat, True, color_managed=True)


def test_scenes_of_one_file_are_slides_of_their_own(many: BatchDock, tmp_path: Path) -> None:
    listed = [SlideEntry(tmp_path / "a.czi", scene=scene) for scene in (0, 1, 1)]
    many.controller.slides.add(listed)
    assert [item.name for item in many.controller.slides.items] == [
        "a.czi, scene 0",
        "a.czi, scene 1",
    ]


def test_a_chosen_folder_stays_when_slides_are_added(
    many: BatchDock, mixed_slides: Path, tmp_path: Path
) -> None:
    many.add_paths([mixed_slides / "b"])
    assert many.settings.choices.folder == mixed_slides / "b" / "liverdx-results"
    many.controller.slides.remove([0])
    many.add_paths([mixed_slides / "a"])
    assert many.settings.choices.folder == mixed_slides / "a" / "liverdx-results"
    # As the dialog of its button does.
    many.settings.form["folder"].value = tmp_path / "mine"
    many.controller.slides.remove([0])
    many.add_paths([mixed_slides / "b"])
    assert many.settings.choices.folder == tmp_path / "mine"


def test_lists_and_removal(
    many: BatchDock,
    mixed_slides: Path,
    tmp_path: Path,
) -> None:
    listed = tmp_path / "slides.csv"
    listed.write_text("path,mpp\nslides/no-mpp.tif,0.5\nslides/cut.svs,\n")
    drop(many, [listed, mixed_slides / "cut.svs"])
    assert [i.row.slide for i in many.model.items] == ["no-mpp.tif", "cut.svs"]
    assert cell(many, 0, MPP_COLUMN).data() == "0.5"
    many.save_table(tmp_path / "copy.csv")
    rows = read_csv(tmp_path / "copy.csv")
    assert many.controller.card is not None
    assert tuple(rows[0]) == cohort_columns(many.controller.card.scheme)
    many.table.choose(1)
    QTest.keyClick(many.table, Qt.Key.Key_Delete)
    assert [i.row.slide for i in many.model.items] == ["no-mpp.tif"]
    many.table.choose(0)
    click(many.remove_button)
    assert many.model.rowCount() == 0
    assert not many.run_button.isEnabled()


def test_slides_of_one_name_show_their_folders(many: BatchDock, mixed_slides: Path) -> None:
    many.add_paths([mixed_slides])
    shown = [cell(many, r, 0).data() for r in range(4)]
    assert shown == ["a/liver.tif", "b/liver.tif", "cut.svs", "no-mpp.tif"]
    many.controller.slides.remove([1])
    assert cell(many, 0, 0).data() == "liver.tif"


def test_nothing_is_cut_off_in_a_narrow_dock(many: BatchDock, mixed_slides: Path) -> None:
    many.add_paths([mixed_slides])
    many.settings.folder.setText("/a/very/long/path/to/a/folder/of/results/of/many/patients" * 2)
    wait_paint()
    area = many.findChild(QScrollArea)
    assert area.widget().width() <= area.viewport().width()
    assert area.widget().minimumSizeHint().width() <= 344
