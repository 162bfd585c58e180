"""The versions of a model, to choose from and to read."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHBoxLayout, QPushButton, QWidget

from napari_liverdx.models.versions import Version
from napari_liverdx.widgets.main.model_panel import CardDialog
from napari_liverdx.widgets.parts.panel import Panel, quiet_label
from napari_liverdx.widgets.parts.table import PlainTable

__all__ = ["VersionsPanel"]


class VersionsPanel(Panel):
    """Number, date and held-out figure of each version, and its card.

    Signals: ``used(str)`` with the name or path of a version.
    """

    used = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Versions", parent)
        self._versions: list[Version] = []
        self._current = ""
        self.table = PlainTable("Version", "Date", "Test")
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.table.itemSelectionChanged.connect(self._show_chosen)
        self.note = quiet_label()
        self.use_button = QPushButton("Use")
        self.use_button.setToolTip("Make it the model of the dock")
        self.use_button.clicked.connect(self._use)
        self.card_button = QPushButton("Card")
        self.card_button.setToolTip("Training data, performance, limitations")
        self.card_button.clicked.connect(self._show_card)
        row = QHBoxLayout()
        row.addWidget(self.use_button, 1)
        row.addWidget(self.card_button, 1)
        self.body.addWidget(self.table)
        self.body.addWidget(self.note)
        self.body.addLayout(row)
        self._show_chosen()

    def show_versions(self, versions: Sequence[Version], current: str) -> None:
        """List versions; ``current`` is the name of the one in use."""
        self._versions, self._current = list(versions), current
        rows = []
        for version in self._versions:
            figure = version.card.metrics.get("balanced accuracy")
            taught = bool(version.card.parent) and figure is not None
            used = " · used" if version.name == current else ""
            rows.append(
                (
                    f"{version.card.version}{used}",
                    version.card.created[:10] or "–",
                    str(figure) if taught else "see card",
                )
            )
        self.table.fill(rows)
        names = [v.name for v in self._versions]
        if current in names:
            self.table.selectRow(names.index(current))
        self._show_chosen()

    @property
    def chosen(self) -> Version | None:
        """The selected version."""
        rows = {item.row() for item in self.table.selectedItems()}
        row = min(rows, default=-1)
        return self._versions[row] if 0 <= row < len(self._versions) else None

    def _show_chosen(self) -> None:
        version = self.chosen
        self.card_button.setEnabled(version is not None)
        self.use_button.setEnabled(version is not None and version.name != self._current)
        fine_tuned = version is not None and bool(version.card.parent)
        note = version.card.training_data.partition("\n")[0] if fine_tuned and version else ""
        self.note.setText(note)
        self.note.setVisible(fine_tuned)

    def _use(self) -> None:
        if self.chosen is not None:
            self.used.emit(self.chosen.name)

    def _show_card(self) -> None:
        if self.chosen is not None:
            dialog = CardDialog(self.chosen.card, self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open()
