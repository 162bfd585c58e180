"""Whether the slide looks like what the model was trained on."""

from __future__ import annotations

from html import escape

from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from napari_liverdx.core.ood import NO_STATISTICS, OodAssessment, OodState
from napari_liverdx.widgets.parts.panel import quiet_label

__all__ = ["OodNotice"]

_AMBER = (
    "#liverdx_domain { border: 1px solid #d98e04; border-left: 4px solid #d98e04;"
    " border-radius: 4px; background: rgba(217, 142, 4, 30); }"
)


class OodNotice(QFrame):
    """A quiet line while all is well, an amber box where the model is out of its depth."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("liverdx_domain")
        self.text = quiet_label(rich=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 4)
        column.addWidget(self.text)
        self.is_alarming = False
        self.hide()

    def show_reading(self, reading: OodAssessment | None, *, has_statistics: bool) -> None:
        """Show what is known; nothing while it is being scored.

        Parameters
        ----------
        reading : OodAssessment or None
            None before any tile was scored.
        has_statistics : bool
            Whether the model can tell at all.
        """
        state = OodState.UNKNOWN if reading is None else reading.state
        self.is_alarming = state in (OodState.BORDERLINE, OodState.OUT_OF_DISTRIBUTION)
        if not has_statistics:
            text = _sentence(NO_STATISTICS)
        elif reading is None or state is OodState.UNKNOWN:
            text = ""
        elif self.is_alarming:
            text = f"<b>{_sentence(state.sentence)}.</b> {escape(reading.numbers)}."
            if state is OodState.OUT_OF_DISTRIBUTION:
                text += " Predictions on this slide may be unreliable."
        else:
            text = f"{_sentence(state.sentence)}: {escape(reading.numbers)}"
        self.text.setText(text)
        self.setStyleSheet(_AMBER if self.is_alarming else "")
        self.setVisible(bool(text))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
