"""Which slide, and what it is."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_liverdx.core.resolution import MPP_RANGE
from napari_liverdx.session.state import SlideFacts
from napari_liverdx.slides.formats import slide_titles
from napari_liverdx.widgets.parts.panel import Panel, quiet_label, set_tone

__all__ = ["SlidePanel"]


class SlidePanel(Panel):
    """Choice of slide, its summary, and the question for a missing resolution.

    Signals: ``open_requested()``, ``layer_chosen(str)``, ``mpp_given(float)``.
    """

    open_requested = Signal()
    layer_chosen = Signal(str)
    mpp_given = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Slide", parent)
        self.choice = QComboBox()
        self.choice.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.choice.setToolTip("RGB image layers of this viewer")
        self.choice.textActivated.connect(self.layer_chosen)
        self.open_button = QPushButton("Open…")
        self.open_button.setToolTip(f"Open a slide: {slide_titles()}")
        self.open_button.clicked.connect(self.open_requested)
        top = QHBoxLayout()
        top.addWidget(self.choice, 1)
        top.addWidget(self.open_button)
        self.body.addLayout(top)

        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(3)
        self.kind, self.dimensions, self.levels = (quiet_label("–") for _ in range(3))
        self.mpp, self.tissue = quiet_label("–"), quiet_label("–")
        self._facts = (self.kind, self.dimensions, self.levels, self.mpp, self.tissue)
        for title, label in (
            ("Format", self.kind),
            ("Size", self.dimensions),
            ("Levels", self.levels),
        ):
            form.addRow(title, label)
        self.edit_button = QToolButton()
        self.edit_button.setText("Edit")
        self.edit_button.setToolTip("Give another µm per pixel than the file states")
        self.edit_button.clicked.connect(self._ask)
        resolution = QHBoxLayout()
        resolution.addWidget(self.mpp, 1)
        resolution.addWidget(self.edit_button)
        form.addRow("Resolution", resolution)
        form.addRow("Tissue", self.tissue)
        self.body.addLayout(form)

        self.question = QWidget()
        row = QHBoxLayout(self.question)
        row.setContentsMargins(0, 0, 0, 0)
        self.mpp_box = QDoubleSpinBox()
        self.mpp_box.setRange(*MPP_RANGE)
        self.mpp_box.setDecimals(4)
        self.mpp_box.setSingleStep(0.05)
        self.mpp_box.setValue(0.25)
        self.mpp_box.setSuffix(" µm/px")
        self.mpp_box.setToolTip("About 0.25 for a 40x scan, 0.5 for 20x")
        self.mpp_button = QPushButton("Use")
        self.mpp_button.clicked.connect(lambda: self.mpp_given.emit(self.mpp_box.value()))
        row.addWidget(QLabel("Resolution?"))
        row.addWidget(self.mpp_box, 1)
        row.addWidget(self.mpp_button)
        self.question.hide()
        self.body.addWidget(self.question)

    def _ask(self) -> None:
        self.question.setVisible(True)

    def set_choices(self, names: list[str], current: str | None) -> None:
        """List the layers that can be analyzed."""
        self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItems(names)
        if not names:
            self.choice.setPlaceholderText("No slide open")
            self.choice.setCurrentIndex(-1)
        elif current in names:
            self.choice.setCurrentText(current)
        self.choice.blockSignals(False)

    def show_facts(self, facts: SlideFacts | None) -> None:
        """Show a slide's summary; None empties it."""
        self.question.setVisible(facts is not None and facts.mpp is None)
        self.edit_button.setEnabled(facts is not None)
        if facts is None:
            for label in self._facts:
                label.setText("–")
            set_tone(self.mpp, "plain")
            return
        self.kind.setText(facts.info.format)
        first = facts.levels[0]
        size = f"{first.width:,} × {first.height:,} px"
        if facts.mpp is not None:
            width, height = first.width * facts.mpp.x / 1000, first.height * facts.mpp.y / 1000
            self.dimensions.setText(f"{width:.2f} × {height:.2f} mm")
            self.kind.setText(f"{facts.info.format}, {size}")
        else:
            self.dimensions.setText(size)
        steps = ", ".join(f"{level.downsample:.3g}×" for level in facts.levels)
        self.levels.setText(f"{len(facts.levels)} ({steps})")
        if facts.mpp is None:
            self.mpp.setText(f"Pixel size unknown ({facts.info.mpp_note}). Enter µm/px:")
        else:
            self.mpp.setText(str(facts.mpp))
            self.mpp_box.setValue(facts.mpp.mean)
        set_tone(self.mpp, "warning" if facts.mpp is None else "plain")
        self.tissue.setText(_tissue_text(facts))


def _tissue_text(facts: SlideFacts) -> str:
    if facts.tissue is None:
        return "detecting tissue…"
    area = facts.tissue_mm2
    if area is None:
        share = 100 * float(facts.tissue.mask.mean())
        text = f"{share:.0f} % of the slide"
    else:
        text = f"{area:.2f} mm²" if area else "none found"
    if facts.unreadable:
        text += f"; {facts.unreadable} stored tiles are damaged"
    return text
