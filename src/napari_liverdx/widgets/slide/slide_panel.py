"""Which slide, and what it is."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_liverdx.core.resolution import MPP_RANGE, Mpp
from napari_liverdx.session.state import SlideFacts
from napari_liverdx.slides.formats import slide_titles
from napari_liverdx.widgets.parts.panel import Panel, quiet_label, set_tone

__all__ = ["SlidePanel"]


class SlidePanel(Panel):
    """Choice of slide and scene, its summary, and the question for a missing resolution.

    Signals: ``open_requested()``, ``folder_requested()``, ``address_requested()``,
    ``properties_requested()``, ``layer_chosen(str)``, ``scene_chosen(int)``, ``mpp_given(float)``,
    ``option_chosen(Mpp)``.
    """

    open_requested = Signal()
    folder_requested = Signal()
    address_requested = Signal()
    properties_requested = Signal()
    layer_chosen = Signal(str)
    scene_chosen = Signal(int)
    mpp_given = Signal(float)
    option_chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Slide", parent)
        self.choice = _wide_box("RGB image layers of this viewer")
        self.choice.textActivated.connect(self.layer_chosen)
        top = QHBoxLayout()
        top.addWidget(self.choice, 1)
        for button in self._open_buttons():
            top.addWidget(button)
        self.body.addLayout(top)

        self.form = QFormLayout()
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setVerticalSpacing(3)
        self.scene = _wide_box("The file holds several scenes; each is a slide of its own")
        self.scene.activated.connect(self.scene_chosen)
        self.form.addRow("Scene", self.scene)
        self.kind, self.dimensions, self.levels = (quiet_label("–") for _ in range(3))
        self.mpp, self.tissue = quiet_label("–"), quiet_label("–")
        self._facts = (self.kind, self.dimensions, self.levels, self.mpp, self.tissue)
        self.properties_button = _small_button(
            "Properties…", "Scenes, objective, colors, label and macro image"
        )
        self.properties_button.clicked.connect(self.properties_requested)
        self.form.addRow("Format", _beside(self.kind, self.properties_button))
        self.form.addRow("Size", self.dimensions)
        self.form.addRow("Levels", self.levels)
        self.edit_button = _small_button("Edit", "Give another µm per pixel than the file states")
        self.edit_button.clicked.connect(self._ask)
        self.form.addRow("Resolution", _beside(self.mpp, self.edit_button))
        self.form.addRow("Tissue", self.tissue)
        self.body.addLayout(self.form)
        self.body.addWidget(self._question())
        self.show_facts(None)

    def _open_buttons(self) -> tuple[QPushButton, QPushButton]:
        self.open_button = QPushButton("Open…")
        self.open_button.setToolTip(f"Open a slide: {slide_titles()}")
        self.open_button.clicked.connect(self.open_requested)
        self.open_menu = QMenu(self)
        self.open_menu.addAction("File…", self.open_requested.emit)
        self.open_menu.addAction("Folder…", self.folder_requested.emit)
        self.open_menu.addAction("Address…", self.address_requested.emit)
        more = QPushButton("▾")
        more.setToolTip("Open a folder or an address")
        more.setFixedWidth(26)
        more.clicked.connect(
            lambda: self.open_menu.popup(more.mapToGlobal(more.rect().bottomLeft()))
        )
        return self.open_button, more

    def _question(self) -> QWidget:
        """Build the row that asks for a resolution, below what the file's sources say."""
        self.question = QWidget()
        column = QVBoxLayout(self.question)
        column.setContentsMargins(0, 0, 0, 0)
        self.options = QVBoxLayout()
        self.options.setSpacing(3)
        column.addLayout(self.options)
        self.mpp_box = QDoubleSpinBox()
        self.mpp_box.setRange(*MPP_RANGE)
        self.mpp_box.setDecimals(4)
        self.mpp_box.setSingleStep(0.05)
        self.mpp_box.setValue(0.25)
        self.mpp_box.setSuffix(" µm/px")
        self.mpp_box.setToolTip("About 0.25 for a 40x scan, 0.5 for 20x")
        self.mpp_button = QPushButton("Use")
        self.mpp_button.clicked.connect(lambda: self.mpp_given.emit(self.mpp_box.value()))
        row = QHBoxLayout()
        row.addWidget(QLabel("Resolution?"))
        row.addWidget(self.mpp_box, 1)
        row.addWidget(self.mpp_button)
        column.addLayout(row)
        self.question.hide()
        return self.question

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
        self.properties_button.setEnabled(facts is not None)
        self._show_scenes(facts)
        self._show_options(() if facts is None else facts.info.mpp_options)
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
            size = f"{width:.2f} × {height:.2f} mm, {size}"
        self.dimensions.setText(size)
        steps = ", ".join(f"{level.downsample:.3g}×" for level in facts.levels)
        self.levels.setText(f"{len(facts.levels)} ({steps})")
        if facts.mpp is None:
            what = "Choose one" if facts.info.mpp_options else "Enter µm/px"
            self.mpp.setText(f"Pixel size unknown ({facts.info.mpp_note}). {what}:")
        else:
            self.mpp.setText(str(facts.mpp))
            self.mpp_box.setValue(facts.mpp.mean)
        set_tone(self.mpp, "warning" if facts.mpp is None else "plain")
        self.tissue.setText(_tissue_text(facts))

    def _show_scenes(self, facts: SlideFacts | None) -> None:
        scenes = () if facts is None else facts.info.scenes
        self.form.setRowVisible(self.scene, len(scenes) > 1)
        self.scene.clear()
        self.scene.addItems([f"{s.name}, {s.width:,} × {s.height:,} px" for s in scenes])
        if facts is not None:
            self.scene.setCurrentIndex(facts.info.scene)

    def _show_options(self, options: tuple[Mpp, ...]) -> None:
        while self.options.count():
            item = self.options.takeAt(0)
            if item is not None and (widget := item.widget()) is not None:
                widget.deleteLater()
        for option in options:
            button = QPushButton(f"Use {option}")
            button.setToolTip("One of the sources in the file that contradict each other")
            button.clicked.connect(partial(self._choose, option))
            self.options.addWidget(button)

    def _choose(self, option: Mpp, *_: object) -> None:
        self.option_chosen.emit(option)


def _wide_box(tip: str) -> QComboBox:
    box = QComboBox()
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setToolTip(tip)
    return box


def _small_button(text: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    return button


def _beside(label: QLabel, button: QToolButton) -> QHBoxLayout:
    row = QHBoxLayout()
    row.addWidget(label, 1)
    row.addWidget(button)
    return row


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
