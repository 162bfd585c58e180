"""What is asked in dialogs about a slide: where it lies, and what there is to know of it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_liverdx.session.state import ChosenSlide
from napari_liverdx.slides.formats import FORMATS
from napari_liverdx.viewer.file_filter import slide_filter
from napari_liverdx.widgets.slide.slide_opener import SlideOpener
from napari_liverdx.widgets.slide.slide_properties import SlideProperties

__all__ = ["SlideDialogs"]


class SlideDialogs:
    """Asks for slides and shows their properties.

    Parameters
    ----------
    parent : QWidget
        The dock.
    opener : SlideOpener
        Does what is asked for.
    chosen : ChosenSlide
        The slide whose properties are shown.
    """

    def __init__(self, parent: QWidget, opener: SlideOpener, chosen: ChosenSlide) -> None:
        self._parent = parent
        self._opener = opener
        self._chosen = chosen

    def file(self) -> None:
        """Ask for a file."""
        path, _ = QFileDialog.getOpenFileName(self._parent, "Open a slide", "", slide_filter())
        if path:
            self._opener.open(Path(path))

    def folder(self) -> None:
        """Ask for a folder that is a slide."""
        kinds = ", ".join(kind.title for kind in FORMATS.values() if kind.folders)
        title = f"Open a slide that is a folder ({kinds})" if kinds else "Open a folder"
        path = QFileDialog.getExistingDirectory(self._parent, title)
        if path:
            self._opener.open(Path(path))

    def address(self) -> None:
        """Ask for an http or S3 address."""
        kinds = ", ".join(kind.title for kind in FORMATS.values() if kind.remote)
        text, taken = QInputDialog.getText(
            self._parent, "Open an address", f"Address of a slide ({kinds or 'http, S3'}):"
        )
        if taken and text.strip():
            self._opener.open(text.strip())

    def properties(self) -> None:
        """Show what there is to know of the chosen slide, as long as the dialog is open."""
        facts = self._chosen.facts
        if facts is None:
            return
        dialog = SlideProperties(facts, self._opener.read_beside, self._parent)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.color_managed.connect(self._opener.set_color_managed)
        self._chosen.events.facts.connect(dialog.show_facts)
        dialog.open()
