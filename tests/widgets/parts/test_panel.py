"""What panels are built of."""

from __future__ import annotations

from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_liverdx.widgets.parts.panel import quiet_label


def test_a_label_shows_what_files_are_called_as_it_is(qtbot: QtBot) -> None:
    label = quiet_label("<b>a</b><img src='/etc/passwd'>.svs")
    qtbot.addWidget(label)
    assert label.textFormat() == Qt.TextFormat.PlainText
    assert label.text().startswith("<b>")
    rich = quiet_label("<b>a</b>", rich=True)
    qtbot.addWidget(rich)
    assert rich.textFormat() == Qt.TextFormat.RichText
