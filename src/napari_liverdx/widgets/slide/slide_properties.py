"""All there is to know of a slide's file, in a dialog."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_liverdx.session.state import SlideFacts
from napari_liverdx.widgets.parts.panel import quiet_label, set_tone

__all__ = ["SlideProperties"]

_PICTURE = 360
"""Longest side of a picture beside the slide, in pixels of the screen."""


class SlideProperties(QDialog):
    """All there is to know of a slide's file, and the pictures beside the slide to look at.

    Parameters
    ----------
    facts : SlideFacts
        Of the slide.
    read : callable
        Takes the name of a picture and what to call with its pixels.
    parent : QWidget, optional
        Qt parent.

    Signal: ``color_managed(bool)`` when a person chose.
    """

    color_managed = Signal(bool)

    def __init__(
        self,
        facts: SlideFacts,
        read: Callable[[str, Callable[[NDArray[np.uint8]], object]], object],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Slide properties")
        self._read = read
        self._closed = False
        self.finished.connect(self._on_finished)
        self.form = QFormLayout()
        self.form.setVerticalSpacing(4)
        self.colors = QCheckBox("Convert colors to sRGB (ICC)")
        self.colors.setToolTip(
            "By the color profile of the scanner, for view and analysis. Off, colors are as they "
            "are stored."
        )
        self.colors.toggled.connect(self.color_managed)
        self.beside = QComboBox()
        self.beside.activated.connect(self._on_picture)
        self.beside.addItems(["Choose an image", *facts.info.associated])
        self.beside.setEnabled(bool(facts.info.associated))
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.hide()
        note = quiet_label("May show a patient's name; never exported.")
        set_tone(note, "warning")
        note.setVisible(bool(facts.info.associated))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addLayout(self.form)
        column.addWidget(self.colors)
        row = QHBoxLayout()
        row.addWidget(QLabel("Beside the slide"))
        row.addWidget(self.beside, 1)
        column.addLayout(row)
        column.addWidget(note)
        column.addWidget(self.picture, 1)
        column.addWidget(buttons)
        self.setMinimumWidth(480)
        self.show_facts(facts)

    def show_facts(self, facts: SlideFacts | None) -> None:
        """Show what is known; without a slide the dialog closes."""
        if self._closed:
            return
        if facts is None:
            self.reject()
            return
        while self.form.rowCount():
            self.form.removeRow(0)
        for title, text in (("name", facts.name), *facts.properties()):
            if title != "beside it":
                self.form.addRow(title.capitalize(), quiet_label(text))
        self.colors.setEnabled(bool(facts.info.icc_profile))
        self.colors.blockSignals(True)
        self.colors.setChecked(facts.color_managed)
        self.colors.blockSignals(False)

    def _on_picture(self, position: int) -> None:
        self.picture.hide()
        if position:
            self._read(self.beside.itemText(position), self._show_picture)

    def _show_picture(self, rgb: NDArray[np.uint8]) -> None:
        if self._closed:
            return
        pixels = np.ascontiguousarray(rgb)
        height, width = pixels.shape[:2]
        image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        # The image looks into the array; a pixmap has pixels of its own.
        pixmap = QPixmap.fromImage(image)
        self.picture.setPixmap(
            pixmap.scaled(
                QSize(_PICTURE, _PICTURE),
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        )
        self.picture.show()
        self.adjustSize()

    def _on_finished(self) -> None:
        self._closed = True
