"""The research-use notice."""

from __future__ import annotations

from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QWidget

from napari_liverdx._version import NOTICE
from napari_liverdx.widgets.parts.panel import quiet_label

__all__ = ["NOTICE", "NoticeBar"]

_KEY = "notice_accepted"


class NoticeBar(QFrame):
    """Shown until it has been acknowledged once on this computer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = QSettings("napari-liverdx", "napari-liverdx")
        text = quiet_label(
            f"<b>{NOTICE}</b> Results depend on stain, scanner and tissue; verify results against "
            f"the tissue.",
            rich=True,
        )
        self.accept_button = QPushButton("I understand")
        self.accept_button.clicked.connect(self._accept)
        row = QHBoxLayout(self)
        row.addWidget(text, 1)
        row.addWidget(self.accept_button)
        self.setObjectName("liverdx_notice")
        self.setStyleSheet("#liverdx_notice { border: 1px solid #d98e04; border-radius: 4px; }")
        self.setVisible(not self._settings.value(_KEY, False, type=bool))

    def _accept(self) -> None:
        self._settings.setValue(_KEY, True)
        self._settings.sync()
        self.hide()
