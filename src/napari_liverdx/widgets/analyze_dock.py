"""The dock: panels over one state."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QTabWidget, QToolButton, QVBoxLayout, QWidget

from napari_liverdx.core.errors import PlanError
from napari_liverdx.inference.device import DeviceChoice, choose_device
from napari_liverdx.models.ood import ood_rule
from napari_liverdx.results.manifest import SUFFIX
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.plan import blocking_reason
from napari_liverdx.session.state import AnalysisRegion, ChosenModel, RunState, SessionState
from napari_liverdx.viewer.layers.base import RESULT_KEY, name_events
from napari_liverdx.viewer.layers.slide_source import bare, is_slide_layer
from napari_liverdx.viewer.preferences import Preferences, preferences
from napari_liverdx.widgets.main.controller import DockController
from napari_liverdx.widgets.main.findings_panel import FindingsPanel
from napari_liverdx.widgets.main.model_panel import CardDialog, ModelPanel
from napari_liverdx.widgets.main.page import Tab
from napari_liverdx.widgets.main.run_panel import RunPanel, progress_text
from napari_liverdx.widgets.main.tissue_controller import TissueController
from napari_liverdx.widgets.main.tissue_panel import TissuePanel
from napari_liverdx.widgets.pages.compare_page import ComparePage
from napari_liverdx.widgets.pages.explain_page import ExplainPage
from napari_liverdx.widgets.pages.finetune_page import FinetunePage
from napari_liverdx.widgets.pages.measure_page import MeasurePage
from napari_liverdx.widgets.pages.review_page import ReviewPage
from napari_liverdx.widgets.parts.keys_dialog import KeysDialog
from napari_liverdx.widgets.parts.notice import NOTICE, NoticeBar
from napari_liverdx.widgets.parts.panel import fill_dock, scroll_column
from napari_liverdx.widgets.parts.qt_host import QtHost
from napari_liverdx.widgets.parts.releasing_dock import ReleasableDock
from napari_liverdx.widgets.slide.slide_dialogs import SlideDialogs
from napari_liverdx.widgets.slide.slide_panel import SlidePanel

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LiverDxDock"]

_PAGES: tuple[type[Tab], ...] = (ReviewPage, MeasurePage, ExplainPage, FinetunePage, ComparePage)
_MODELS = "Models (*.safetensors);;All files (*)"


def _over(column: QWidget, foot: QWidget) -> QWidget:
    """Build a page that scrolls but for its foot."""
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    layout.addWidget(column, 1)
    layout.addWidget(foot)
    return page


def _device(wanted: str) -> DeviceChoice:
    try:
        return choose_device(wanted)
    except PlanError as error:
        show_warning(f"{error}; the device is chosen automatically")
        return choose_device()


class LiverDxDock(ReleasableDock):
    """Open a slide, analyze it, move thresholds, read areas.

    Parameters
    ----------
    napari_viewer : napari.components.ViewerModel
        napari hands its viewer in under this name.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = napari_viewer
        notices: list[str] = []
        chosen = preferences(notices)
        for notice in notices:
            show_warning(notice)
        self.state = SessionState(
            model=ChosenModel(first_threshold=chosen.threshold),
            run=RunState(device=_device(chosen.device)),
            view=ViewState(opacity=chosen.opacity, colormap=chosen.colormap_name),
        )
        self.controller = DockController(napari_viewer, self.state, QtHost(self))
        self.notice = NoticeBar()
        self.slide_panel = SlidePanel()
        self.asking = SlideDialogs(self, self.controller.opener, self.state.slide)
        self.model_panel = ModelPanel()
        self.tissue_panel = TissuePanel()
        self.tissue = TissueController(self.controller)
        self.run_panel = RunPanel()
        self.findings_panel = FindingsPanel()
        self._build()
        self._connect_panels()
        self._connect_state()
        self._connect_viewer()
        # napari deletes a dock without closing it; a run must not go on unseen.
        self.destroyed.connect(self.controller.stop.throw)
        self._begin(chosen)
        self.model_panel.set_models(self.controller.models(), self.state.model.name)
        self.run_panel.show_device(self.state.run.device)
        self._show_status()
        self._on_layers_changed()
        for layer in list(self.viewer.layers):
            self.controller.reopener.adopt(layer)

    def _begin(self, chosen: Preferences) -> None:
        """Take over what the person prefers."""
        if not self.controller.choose_model(chosen.model):
            self.controller.choose_model(Preferences().model)
        if chosen.results_folder:
            self.controller.choose_folder(Path(chosen.results_folder).expanduser())
        self.state.hide_names = chosen.hide_names

    def _build(self) -> None:
        panels = (
            self.slide_panel,
            self.model_panel,
            self.tissue_panel,
            self.run_panel,
            self.findings_panel,
        )
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setStyleSheet("QTabBar::tab { padding: 5px 7px; }")
        self.tabs.addTab(_over(scroll_column(panels), self.run_panel.foot), "Analyze")
        self.pages: list[Tab] = [page(self.controller) for page in _PAGES]
        for page in self.pages:
            self.tabs.setTabToolTip(self.tabs.addTab(page, page.title), page.tip)
        self.keys_button = QToolButton()
        self.keys_button.setText("Keys")
        self.keys_button.setToolTip("Which key does what")
        self.keys_button.clicked.connect(self._show_keys)
        fill_dock(self, (self.notice, self.tabs), NOTICE, self.keys_button)
        self.setAcceptDrops(True)

    def _connect_panels(self) -> None:
        control = self.controller
        slide = self.slide_panel
        slide.open_requested.connect(self.asking.file)
        slide.folder_requested.connect(self.asking.folder)
        slide.address_requested.connect(self.asking.address)
        slide.properties_requested.connect(self.asking.properties)
        slide.layer_chosen.connect(self._choose_by_name)
        slide.scene_chosen.connect(self._choose_scene)
        slide.mpp_given.connect(control.set_mpp)
        slide.option_chosen.connect(control.opener.choose_mpp)
        self.model_panel.model_chosen.connect(self._choose_model)
        self.model_panel.file_requested.connect(self._ask_model)
        self.model_panel.card_requested.connect(self._show_card)
        self.run_panel.analyze_requested.connect(control.analyze)
        self.run_panel.cancel_requested.connect(control.cancel)
        self.run_panel.draw_requested.connect(control.draw_regions)
        self.run_panel.folder_requested.connect(self._ask_folder)
        self.run_panel.analysis_region_chosen.connect(self._choose_analysis_region)
        self.run_panel.overlap_chosen.connect(self._choose_overlap)
        self.findings_panel.threshold_moved.connect(control.findings.set_threshold)
        self.findings_panel.error_rate_chosen.connect(control.findings.set_error_rate)
        self.findings_panel.report_requested.connect(self._save_report)
        self.findings_panel.result_chosen.connect(self._choose_result)
        self.findings_panel.open_requested.connect(self._ask_result)
        self._connect_tissue()
        look = self.findings_panel.look
        look.shown.connect(lambda on: control.findings.set_view(visible=on))
        look.opacity_chosen.connect(lambda value: control.findings.set_view(opacity=value))
        look.colormap_chosen.connect(lambda name: control.findings.set_view(colormap=name))
        control.findings.changed.connect(self._on_result)
        control.findings.viewed.connect(lambda: look.show_view(self.state.view))
        look.show_view(self.state.view)
        control.keys.bind("H", "Show or hide the overlay", control.findings.toggle)

    def _connect_tissue(self) -> None:
        tissue, panel = self.tissue, self.tissue_panel
        panel.shown.connect(tissue.show)
        panel.edit_toggled.connect(tissue.edit)
        panel.brush_chosen.connect(tissue.choose_brush)
        panel.reset_requested.connect(tissue.reset)
        panel.kept.connect(tissue.keep)
        tissue.read_anew.connect(panel.show_map)
        tissue.layer_changed.connect(panel.show_layer)

    def _connect_state(self) -> None:
        state = self.state
        state.slide.events.facts.connect(self._on_slide)
        state.model.events.card.connect(self._on_card)
        state.run.events.status.connect(self._show_status)
        state.run.events.message.connect(self._show_status)
        state.run.events.progress.connect(self._on_progress)
        state.events.measures.connect(self._on_measures)
        state.slide.events.ood.connect(self._on_ood)
        state.run.events.out_folder.connect(self._on_folder)
        state.events.settings.connect(
            lambda s: self.findings_panel.show_thresholds(dict(s.thresholds))
        )
        state.run.events.analysis_region.connect(self._on_analysis_region)

    def _connect_viewer(self) -> None:
        self.viewer.layers.events.inserted.connect(self._on_layers_changed)
        self.viewer.layers.events.removed.connect(self._on_layers_changed)
        for event in name_events(self.viewer):
            event.connect(self._list_slides)
        self.viewer.cursor.events.position.connect(self._on_cursor)

    # -- intentions that need a dialog --

    def _ask_result(self) -> None:
        start = str(self.state.run.out_folder or Path.home())
        title = "Open a result (a folder NAME.liverdx.zarr)"
        path = QFileDialog.getExistingDirectory(self, title, start)
        if path:
            self.controller.open_result(Path(path))

    def _ask_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Use a model file", "", _MODELS)
        if path:
            self._choose_model(path)

    def _ask_folder(self) -> None:
        start = str(self.state.run.out_folder or Path.home())
        path = QFileDialog.getExistingDirectory(self, "Folder for results", start)
        if path:
            self.controller.choose_folder(Path(path))

    def _show_card(self) -> None:
        if self.state.model.card is not None:
            dialog = CardDialog(self.state.model.card, self)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open()

    def _show_keys(self) -> None:
        dialog = KeysDialog(self.controller.keys.listed, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    # -- intentions --

    def show_page(self, key: str) -> None:
        """Bring a page to the front: ``analyze``, or one by its `Tab.key`."""
        keys = ["analyze", *(page.key for page in self.pages)]
        self.tabs.setCurrentIndex(keys.index(key))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what is dropped: slides, and stored results."""
        for url in event.mimeData().urls():
            if not url.isLocalFile():
                self.controller.open_path(url.toString())
                continue
            path = Path(url.toLocalFile())
            if path.name.endswith(SUFFIX):
                self.controller.open_result(path)
            else:
                self.controller.open_path(path)
        event.acceptProposedAction()

    def _choose_by_name(self, name: str) -> None:
        if name in self.viewer.layers:
            self.controller.choose_layer(self.viewer.layers[name])
        self._on_layers_changed()

    def _choose_scene(self, index: int) -> None:
        self.controller.opener.choose_scene(index)
        # The list shows what is open, also where the other scene could not be read.
        self.slide_panel.show_facts(self.state.slide.facts)

    def _choose_model(self, name: str) -> None:
        self.controller.choose_model(name)
        self.model_panel.set_models(self.controller.models(), self.state.model.name)

    def _choose_analysis_region(self, region: AnalysisRegion) -> None:
        self.state.run.analysis_region = region

    def _choose_overlap(self, overlap: float) -> None:
        self.state.run.overlap = overlap

    def _save_report(self) -> None:
        self.controller.findings.save_report(self.controller.slide, hide_name=self.state.hide_names)

    def _choose_result(self, position: int) -> None:
        found = self.controller.findings.of_layer(self.controller.layer)
        if position < len(found):
            self.controller.reopener.show(found[position])

    # -- what changed --

    def _on_layers_changed(self, event: Any = None) -> None:
        layers = self.controller.slide_layers()
        inserted = getattr(event, "type", "") == "inserted"
        if inserted and is_slide_layer(event.value):
            self.controller.choose_layer(event.value)
        elif inserted and RESULT_KEY in event.value.metadata:
            # Layers of a run are on the shelf by then; those of a dropped result are not.
            QTimer.singleShot(0, partial(self.controller.reopener.adopt, event.value))
        elif layers and self._is_idle() and (event is None or is_slide_layer(event.value)):
            selected = bare(self.viewer.layers.selection.active)
            self.controller.choose_layer(selected if selected in layers else layers[0])
        self._list_slides()

    def _list_slides(self, event: Any = None) -> None:
        current = self.controller.layer
        self.slide_panel.set_choices(
            [layer.name for layer in self.controller.slide_layers()],
            None if current is None else current.name,
        )

    def _is_idle(self) -> bool:
        """Return whether nothing is chosen or shown; a result without its slide is shown too."""
        return self.controller.layer is None and self.controller.results is None

    def _on_slide(self) -> None:
        self.slide_panel.show_facts(self.state.slide.facts)
        self._on_ood()
        self._show_status()

    def _on_card(self) -> None:
        card = self.state.model.card
        self.model_panel.show_card(card)
        self.model_panel.set_models(self.controller.models(), self.state.model.name)
        self._show_scheme()
        self.findings_panel.allow_error_rate(card is not None and bool(card.conformal))
        self._on_ood()
        self._show_status()

    def _on_result(self) -> None:
        shown = self.controller.findings.results
        found = self.controller.findings.of_layer(self.controller.layer)
        titles = [r.title for r in found]
        self.findings_panel.set_results(titles, found.index(shown) if shown in found else -1)
        self._show_scheme()
        self.findings_panel.show_error_rate(self.state.settings.error_rate)
        self.findings_panel.show_measures(self.state.measures)

    def _show_scheme(self) -> None:
        shown, card = self.controller.findings.results, self.state.model.card
        scheme = None if card is None else card.scheme
        if shown is not None:
            scheme = shown.store.manifest.scheme
        self.findings_panel.set_scheme(scheme, dict(self.state.settings.thresholds))

    def _show_status(self) -> None:
        state = self.state
        self.run_panel.show_status(state.run.status, blocking_reason(state), state.run.message)

    def _on_progress(self) -> None:
        progress = self.state.run.progress
        self.run_panel.show_progress(progress)
        if progress is not None and progress.ood is not None and progress.ood.tiles:
            self.state.slide.ood = progress.ood
        if progress is not None and self.state.run.status.is_active:
            self.state.run.message = progress_text(progress)

    def _on_ood(self) -> None:
        card, looked_at = self.state.model.card, self.state.slide.facts is not None
        known = card is None or ood_rule(card) is not None
        self.model_panel.ood.show_reading(
            self.state.slide.ood, has_statistics=known or not looked_at
        )

    def _on_measures(self) -> None:
        self.findings_panel.show_measures(self.state.measures)

    def _on_folder(self) -> None:
        self.run_panel.show_folder(self.state.run.out_folder)

    def _on_analysis_region(self) -> None:
        self.run_panel.analysis_region.show_choice(self.state.run.analysis_region)

    def _on_cursor(self, event: Any) -> None:
        results = self.controller.results
        if results is not None:
            text = results.describe(tuple(event.source.position))
            self.findings_panel.hover.setText(text or "Point at a tile to read its probabilities")

    def release(self) -> None:
        """Stop workers and let go of the viewer; calling it again does nothing."""
        if self.controller.closed:
            return
        for page in self.pages:
            page.release()
        self.tissue.release()
        self.controller.close()
        self.viewer.layers.events.inserted.disconnect(self._on_layers_changed)
        self.viewer.layers.events.removed.disconnect(self._on_layers_changed)
        for event in name_events(self.viewer):
            event.disconnect(self._list_slides)
        self.viewer.cursor.events.position.disconnect(self._on_cursor)
