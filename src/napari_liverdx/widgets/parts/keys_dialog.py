"""The list of keys."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_liverdx.widgets.parts.keys import Key

__all__ = ["KeysDialog"]


class KeysDialog(QDialog):
    """Which key does what."""

    def __init__(self, keys: Sequence[Key], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.resize(460, 420)
        self.table = QTableWidget(len(keys), 2)
        self.table.setHorizontalHeaderLabels(["Key", "What it does"])
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setShowGrid(False)
        self.table.setWordWrap(True)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        for row, key in enumerate(keys):
            self.table.setItem(row, 0, QTableWidgetItem(key.shown))
            text = f"{key.text} ({key.where})" if key.where else key.text
            self.table.setItem(row, 1, QTableWidgetItem(text))
        self.table.resizeRowsToContents()
        note = QLabel(
            "Keys work over the canvas while the dock is open. A Shapes or Labels layer that is "
            "being drawn on answers its own keys first."
        )
        note.setWordWrap(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(self.table, 1)
        column.addWidget(note)
        column.addWidget(buttons)
