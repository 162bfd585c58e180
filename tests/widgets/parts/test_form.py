"""Forms made from dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QLineEdit, QPushButton, QWidget

from napari_liverdx.widgets.parts.form import Form, RowAbove


@dataclass(frozen=True)
class Settings:
    name: str
    out: Path
    rounds: int | None = None
    quick: bool = True


def form_of(qtbot: QtBot) -> Form[Settings]:
    form = Form(
        Settings,
        out={"label": "File", "mode": "w", "placeholder": "Where it goes"},
        rounds={"label": "Rounds", "min": 2, "max": 9},
        quick={"label": "Quickly", "tooltip": "Less exact"},
    )
    qtbot.addWidget(form.native)
    return form


def test_a_form_gives_its_dataclass_back(qtbot: QtBot) -> None:
    form = form_of(qtbot)
    assert form["quick"].value is True, "the field's default"
    assert not form.is_filled()
    said: list[bool] = []
    form.on_changed(lambda: said.append(True))
    form["out"].value = "/somewhere/a.txt"
    form["rounds"].value = 4
    assert said
    assert form.is_filled()
    filled = form.value(name="given elsewhere")
    assert filled == Settings("given elsewhere", Path("/somewhere/a.txt"), 4, True)


def test_rows_have_the_labels_that_are_given(qtbot: QtBot) -> None:
    form = form_of(qtbot)
    layout = form.native.layout()
    assert isinstance(layout, QFormLayout)
    labels = [layout.itemAt(i, QFormLayout.ItemRole.LabelRole) for i in range(3)]
    assert [label.widget().text() if label else "" for label in labels] == ["File", "Rounds", ""]
    assert form["quick"].native.text() == "Quickly"
    assert form["out"].line_edit.native.placeholderText() == "Where it goes"


@dataclass(frozen=True, slots=True)
class Choices:
    folder: Path | None
    scale: float | None = None
    coded: bool = False


def choices_form(qtbot: QtBot, above: RowAbove | None = None) -> Form[Choices]:
    form = Form(
        Choices,
        above,
        folder={"label": "Folder", "mode": "d"},
        scale={"label": "Scale", "min": 0, "max": 9, "unset": "as it is"},
        coded={"label": "Names", "text": "As codes"},
    )
    qtbot.addWidget(form.native)
    return form


def label_of(form: Form[Choices], row: int) -> str:
    item = form.native.layout().itemAt(row, QFormLayout.ItemRole.LabelRole)
    return str(item.widget().text())


def button_above(form: Form[Choices]) -> QPushButton:
    row = form.native.layout().itemAt(0, QFormLayout.ItemRole.FieldRole).layout()
    button = row.itemAt(1).widget()
    assert isinstance(button, QPushButton)
    return button


def test_what_may_be_left_out_is_none(qtbot: QtBot) -> None:
    form = choices_form(qtbot)
    assert form["scale"].native.text() == "as it is"
    assert form.value() == Choices(None, None, False)
    form["folder"].line_edit.value = "  "
    assert form.value().folder is None
    form["scale"].value, form["coded"].value = 0.5, True
    assert form.value() == Choices(None, 0.5, True)


@pytest.mark.parametrize("text", ["~", "~/results", "~nobody-of-this-name/x", " /a/b "])
def test_a_path_is_read_as_a_person_types_it(qtbot: QtBot, text: str) -> None:
    form = choices_form(qtbot)
    form["folder"].line_edit.value = text
    home = str(Path.home())
    read = text.strip().replace("~", home, 1) if text in ("~", "~/results") else text.strip()
    assert form.value().folder == Path(read)


def test_a_check_box_may_have_a_label_at_the_left_too(qtbot: QtBot) -> None:
    form = choices_form(qtbot)
    assert label_of(form, 2) == "Names"
    assert form["coded"].native.text() == "As codes"


def test_other_rows_stand_above_and_below_the_fields(qtbot: QtBot) -> None:
    asked: list[bool] = []
    above = RowAbove("Model", QComboBox(), "Use a file", lambda: asked.append(True))
    form = choices_form(qtbot, above)
    form.show_below([("First", QLabel()), ("Second", QLabel())])
    form.show_below([("Third", QLabel())])
    layout = form.native.layout()
    assert [label_of(form, i) for i in range(layout.rowCount())] == [
        *("Model", "Folder", "Scale", "Names"),
        "Third",
    ]
    button = button_above(form)
    button.click()
    assert asked == [True]
    assert button.toolTip() == "Use a file"


def test_the_tab_key_goes_through_the_rows_from_above(qtbot: QtBot) -> None:
    box, below = QComboBox(), QLineEdit()
    form = choices_form(qtbot, RowAbove("Model", box, "Use a file", lambda: None))
    form.show_below([("Below", below)])
    folder = form["folder"]
    rows = [
        *(box, button_above(form), folder.line_edit.native, folder.choose_btn.native),
        *(form["scale"].native, form["coded"].native, below),
    ]
    assert [w for w in chain(form.native) if w in rows] == rows


def chain(widget: QWidget) -> list[QWidget]:
    """What the Tab key passes after a widget, in order."""
    found, at = [], widget.nextInFocusChain()
    while at is not widget:
        found.append(at)
        at = at.nextInFocusChain()
    return found


def test_the_buttons_of_all_rows_are_in_one_column(qtbot: QtBot) -> None:
    form = choices_form(qtbot, RowAbove("Model", QComboBox(), "Use a file", lambda: None))
    form.native.resize(300, 200)
    form.native.show()
    above = button_above(form)
    row, beside = form["folder"].native, form["folder"].choose_btn.native
    assert row.geometry().left() + beside.geometry().left() == above.geometry().left()
    assert beside.width() == above.width()
