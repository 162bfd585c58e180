"""Forms made from dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFormLayout

from napari_liverdx.widgets.parts.form import Form


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
