"""The page on which a person fine-tunes the model."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
)

from napari_liverdx.models.card import ModelCard
from napari_liverdx.session.annotations import AnnotationSummary
from napari_liverdx.widgets.main.page import Tab
from napari_liverdx.widgets.pages.finetune_controller import FinetuneController
from napari_liverdx.widgets.pages.versions_panel import VersionsPanel
from napari_liverdx.widgets.parts.curve_plot import CurvePlot
from napari_liverdx.widgets.parts.panel import Panel, halt, quiet_label, set_tone, swatch
from napari_liverdx.widgets.parts.table import PlainTable

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["FinetunePage"]

_TICK_MS = 200
_VIEWS = (("before", "Before"), ("after", "After"), ("both", "Both"))
_HOW = (
    "Choose a class, hold the left button and outline regions of it; keys 1 to 9 change the "
    "class, Ctrl+Z undoes. Regions of a normal class must contain no lesion; regions of a "
    "pathological class must be at least half lesion. Tiles corrected in the review are used too."
)


class FinetunePage(Tab):
    """Draw, fine-tune, compare, keep or discard, and the versions so far."""

    key = "fine_tune"
    title = "Fine-tune"
    tip = "Annotate regions, fine-tune the model, compare versions, accept or discard"

    def __init__(self, controller: DockController) -> None:
        super().__init__(controller)
        self.control = FinetuneController(controller)
        self.versions = VersionsPanel()
        self._released = False
        self._clock = QTimer(self)
        self._clock.setInterval(_TICK_MS)
        self._clock.timeout.connect(self._show_progress)
        self.fill(
            self._build_material(),
            self._build_tuning(),
            self._build_comparison(),
            self.versions,
        )
        self._connect()
        self._on_card()

    # -- the look --

    def _build_material(self) -> Panel:
        panel = Panel("Annotations")
        panel.body.addWidget(quiet_label(_HOW))
        self._classes = QVBoxLayout()
        self._classes.setSpacing(4)
        panel.body.addLayout(self._classes)
        self.class_buttons: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        self.undo_button = QPushButton("Undo")
        self.undo_button.setToolTip("Ctrl+Z on the layer")
        self.redo_button = QPushButton("Redo")
        self.redo_button.setToolTip("Ctrl+Shift+Z on the layer")
        row = QHBoxLayout()
        row.addWidget(self.undo_button)
        row.addWidget(self.redo_button)
        panel.body.addLayout(row)
        self.taught = quiet_label()
        self.with_kept = QCheckBox("Also use annotations of other slides")
        self.with_kept.setToolTip("Annotations and corrections are saved when napari closes")
        self.with_kept.setChecked(True)
        panel.body.addWidget(self.taught)
        panel.body.addWidget(self.with_kept)
        return panel

    def _build_tuning(self) -> Panel:
        panel = Panel("Fine-tune")
        self.tune_button = QPushButton("Fine-tune")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Ends after the batch under way; the model stays as it was")
        row = QHBoxLayout()
        row.addWidget(self.tune_button, 1)
        row.addWidget(self.cancel_button)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.message = quiet_label()
        self.loss = CurvePlot("Loss", [("train_loss", "teaching"), ("val_loss", "choosing")])
        self.accuracy = CurvePlot(
            "Validation balanced accuracy",
            [("val_balanced_accuracy", "choosing")],
            (0, 1),
        )
        self.test_table = PlainTable("Test", "Tiles", "Correct (before)", "Correct (after)")
        self.test_note = quiet_label()
        panel.body.addLayout(row)
        for widget in (self.bar, self.message, self.loss, self.accuracy):
            panel.body.addWidget(widget)
        panel.body.addWidget(self.test_table)
        panel.body.addWidget(self.test_note)
        return panel

    def _build_comparison(self) -> Panel:
        self.comparison = Panel("The new version")
        self.trial_note = quiet_label(rich=True)
        self.both_button = QPushButton("Compare on slide")
        self.both_button.setToolTip("Runs both versions on the same tiles; their layers are linked")
        self.views: dict[str, QPushButton] = {}
        row = QHBoxLayout()
        row.addWidget(self.both_button, 1)
        group = QButtonGroup(self)
        for key, text in _VIEWS:
            button = QPushButton(text)
            button.setCheckable(True)
            button.clicked.connect(partial(self.control.look_at, key))
            group.addButton(button)
            row.addWidget(button)
            self.views[key] = button
        self.changes_table = PlainTable("Class", "mm² before", "mm² after", "Change", "Tiles")
        self.changes_table.explain(4, "Tiles with a different predicted class")
        self.keep_button = QPushButton("Accept")
        self.keep_button.setToolTip("Becomes the next version and is used from now on")
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Removes the new version and its maps; the shapes stay")
        decide = QHBoxLayout()
        decide.addWidget(self.keep_button, 1)
        decide.addWidget(self.discard_button, 1)
        self.comparison.body.addWidget(self.trial_note)
        self.comparison.body.addLayout(row)
        self.comparison.body.addWidget(self.changes_table)
        self.comparison.body.addLayout(decide)
        return self.comparison

    def _connect(self) -> None:
        control, material = self.control, self.control.material
        self.undo_button.clicked.connect(self._undo)
        self.redo_button.clicked.connect(self._redo)
        self.with_kept.toggled.connect(self._choose_kept)
        self.tune_button.clicked.connect(control.fine_tune)
        self.cancel_button.clicked.connect(control.cancel)
        self.both_button.clicked.connect(control.compare)
        self.keep_button.clicked.connect(control.keep)
        self.discard_button.clicked.connect(control.discard)
        self.versions.used.connect(control.use)
        material.changed.connect(self._show_drawing)
        material.counted.connect(self._show_material)
        control.changed.connect(self._show_all)
        control.progressed.connect(self._show_progress)
        state = self.controller.state
        state.model.events.card.connect(self._on_card)
        state.slide.events.facts.connect(self._on_slide)
        state.run.events.status.connect(self._show_progress)
        state.events.settings.connect(control.measure)
        self.controller.findings.changed.connect(self._ask)

    # -- intentions --

    def _undo(self) -> None:
        teaching = self.control.material.current
        if teaching is not None:
            teaching.undo()

    def _redo(self) -> None:
        teaching = self.control.material.current
        if teaching is not None:
            teaching.redo()

    def _choose_kept(self, on: bool) -> None:
        self.control.material.with_kept = on
        self.control.material.count()

    # -- what changed --

    def showEvent(self, event: QShowEvent) -> None:
        """Update the counts, as tiles may have been corrected on another page meanwhile."""
        super().showEvent(event)
        if not self._released:
            self.control.material.count()

    def _ask(self) -> None:
        # Nothing is counted for a page that nobody sees.
        if not self._released and self.isVisible():
            self.control.material.ask()

    def _on_card(self) -> None:
        self._list_classes(self.controller.state.model.card)
        self.control.forget_model()
        self.control.material.restore()
        self._ask()

    def _on_slide(self) -> None:
        if self.controller.slide is None:
            self.control.forget()
        self.control.material.restore()
        self._ask()
        self._show_all()

    def _list_classes(self, card: ModelCard | None) -> None:
        for button in self.class_buttons.values():
            self._group.removeButton(button)
            self._classes.removeWidget(button)
            # Until it is deleted it would be drawn over the others.
            button.hide()
            button.deleteLater()
        self.class_buttons = {}
        for number, c in enumerate(() if card is None else card.classes, 1):
            key = f"{number}   " if number < 10 else ""
            button = QPushButton(swatch(c.color), f"{key}Draw: {c.title}")
            button.setCheckable(True)
            button.setStyleSheet("text-align: left; padding-left: 8px;")
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.clicked.connect(partial(self._draw, c.name))
            self._group.addButton(button)
            self._classes.addWidget(button)
            self.class_buttons[c.name] = button

    def _draw(self, name: str) -> None:
        self.control.material.draw(name)
        self._show_drawing()

    def _show_all(self) -> None:
        if self._released:
            return
        self._show_drawing()
        self._show_progress()
        self._show_test()
        self._show_trial()
        self.versions.show_versions(self.control.versions(), self.controller.state.model.name)

    def _show_drawing(self) -> None:
        teaching = self.control.material.current
        self.undo_button.setEnabled(teaching is not None and teaching.can_undo)
        self.redo_button.setEnabled(teaching is not None and teaching.can_redo)
        ready = self.controller.layer is not None
        self._group.setExclusive(teaching is not None)
        for name, button in self.class_buttons.items():
            button.setEnabled(ready)
            button.setToolTip("" if ready else "Open a slide first")
            button.setChecked(teaching is not None and teaching.current == name)

    def _show_material(self) -> None:
        if self._released:
            return
        card, summary = self.controller.state.model.card, self.control.material.summary
        lines = [] if card is None or summary is None else [_summary_text(card, summary)]
        self.taught.setText("\n".join([*lines, *self.control.material.notes]))
        self._show_buttons()

    def _show_buttons(self) -> None:
        blocking_reason = self.control.blocking_reason()
        work = self.control.work
        self.tune_button.setEnabled(not work and not blocking_reason)
        self.tune_button.setToolTip(blocking_reason or "Takes a minute or two without a GPU")
        self.cancel_button.setEnabled(bool(work) and not self.control.stop.event.is_set())
        self.bar.setVisible(bool(work))
        trial = self.control.trial is not None
        ready = trial and not work and not self.controller.state.run.status.is_active
        slide = self.controller.slide is not None
        self.both_button.setEnabled(ready and slide)
        self.keep_button.setEnabled(ready)
        self.discard_button.setEnabled(ready)
        # What is missing stands where the next step would be told.
        text = self.control.message or ("" if work else blocking_reason)
        self.message.setText(text)
        set_tone(self.message, self.control.tone)

    def _show_progress(self) -> None:
        if self._released:
            return
        control = self.control
        if control.work and not self._clock.isActive():
            self._clock.start()
        elif not control.work:
            self._clock.stop()
        self.bar.setValue(int(1000 * control.share))
        for plot in (self.loss, self.accuracy):
            plot.setVisible(bool(control.epochs) or control.work == "tune")
            if len(plot.epochs) != len(control.epochs):
                plot.show_epochs(control.epochs, control.n_epochs)
        self._show_changes()
        self._show_buttons()

    def _show_test(self) -> None:
        outcome = self.control.outcome
        self.test_table.setVisible(outcome is not None)
        self.test_note.setVisible(outcome is not None)
        if outcome is None:
            return
        test = outcome.test
        rows = [(c.title, str(c.tiles), str(c.before), str(c.after)) for c in test.classes]
        self.test_table.fill(rows)
        self.test_note.setText(
            f"Balanced accuracy {test.before} before, {test.after} after: {test.after.how}."
        )
        optimistic = test.by == "place" or test.after.value < test.before.value
        set_tone(self.test_note, "warning" if optimistic else "plain")

    def _show_trial(self) -> None:
        trial = self.control.trial
        appears = trial is not None and self.comparison.isHidden()
        self.comparison.setVisible(trial is not None)
        if appears:
            # It stands below the fold; laid out first, then shown.
            QTimer.singleShot(0, partial(self.reveal, self.comparison))
        if trial is not None:
            after = trial.metrics.get("balanced accuracy")
            figure = "" if after is None else f", held-out balanced accuracy {after}"
            self.trial_note.setText(
                f"<b>{escape(trial.title)}</b> has not been accepted yet{figure}. Performance on "
                "other slides is unknown."
            )
        self._show_changes()

    def _show_changes(self) -> None:
        rows = self.control.rows
        self.changes_table.setVisible(bool(rows))
        for key, button in self.views.items():
            button.setVisible(bool(self.control.pairs))
            with QSignalBlocker(button):
                button.setChecked(key == self._seen())
        self.changes_table.fill(
            [
                (
                    r.title,
                    f"{r.before_mm2:.3f}",
                    f"{r.after_mm2:.3f}",
                    f"{r.after_mm2 - r.before_mm2:+.3f}",
                    f"{r.changed:,}",
                )
                for r in rows
            ],
        )

    def _seen(self) -> str:
        if not self.control.pairs:
            return ""
        old, new = self.control.pairs[0]
        return "both" if old.visible and new.visible else "before" if old.visible else "after"

    def release(self) -> None:
        """Stop what runs and let go of the viewer; calling it again does nothing."""
        if self._released:
            return
        self._released = True
        halt(self._clock)
        state = self.controller.state
        state.model.events.card.disconnect(self._on_card)
        state.slide.events.facts.disconnect(self._on_slide)
        state.run.events.status.disconnect(self._show_progress)
        state.events.settings.disconnect(self.control.measure)
        self.control.close()


def _summary_text(card: ModelCard, summary: AnnotationSummary) -> str:
    lines = []
    for c in card.classes:
        tiles, area = summary.tiles[c.name], summary.areas_mm2[c.name]
        if tiles or area:
            word = "tile" if tiles == 1 else "tiles"
            lines.append(f"{c.title}: {tiles} {word}, {area:.3f} mm² drawn")
    regions = f"{summary.regions} {'region' if summary.regions == 1 else 'regions'}"
    corrected = f"{summary.corrected} {'tile' if summary.corrected == 1 else 'tiles'} reviewed"
    slides = f"{summary.slides} {'slide' if summary.slides == 1 else 'slides'}"
    lines.append(f"{regions} and {corrected} on {slides}")
    if summary.slides == 1:
        lines.append("From one slide the test result is optimistic: annotate more slides.")
    if summary.left_out:
        lines.append(f"No longer found: {', '.join(summary.left_out)}")
    return "\n".join(lines)
