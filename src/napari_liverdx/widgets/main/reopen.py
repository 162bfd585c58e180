"""Results that are on disk or on the shelf, shown again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.models.zoo import find_by_hash
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.state import SessionState
from napari_liverdx.viewer.layers.base import RESULT_KEY
from napari_liverdx.viewer.layers.result import ResultLayers
from napari_liverdx.viewer.result_reader import find_layer, open_slide_layer, placeholder_layer
from napari_liverdx.widgets.main.results_controller import FindingsController
from napari_liverdx.widgets.parts.host import Host
from napari_liverdx.widgets.slide.slide_opener import SlideOpener

__all__ = ["Reopener"]


class SlideHolder(Protocol):
    """What is needed of the dock's controller: the chosen slide and what is found on it."""

    viewer: ViewerModel
    state: SessionState
    findings: FindingsController
    host: Host
    opener: SlideOpener
    closed: bool

    def slide_layers(self) -> list[Image]: ...

    def choose_layer(self, layer: Image | None) -> None: ...

    def take_mpp(self, mpp: Mpp) -> None: ...


class Reopener:
    """Opens stored results and brings results of the chosen slide back.

    Parameters
    ----------
    control : SlideHolder
        The dock's logic.
    """

    def __init__(self, control: SlideHolder) -> None:
        self._control = control

    def open(self, path: Path, slide: Path | None = None) -> bool:
        """Show a stored result over its slide as it was left.

        Parameters
        ----------
        path : Path
            A ``.liverdx.zarr`` folder.
        slide : Path, optional
            Where the slide lies, if that is known.

        Returns
        -------
        bool
            False, and a notification, if it cannot be shown.
        """
        control = self._control
        if control.state.run.status.is_active:
            control.host.show_warning("A run is under way; open results when it has finished")
            return False
        try:
            store = ResultStore.open(path)
            layer = open_slide_layer(control.viewer, store, slide)
        except LiverDxError as error:
            control.host.show_error(str(error))
            return False
        notices: list[str] = []
        view = ViewState.load(path, notices)
        notices += [store.damage_note] if store.damaged else []
        for notice in notices:
            control.host.show_warning(notice)
        if layer is None:
            control.host.show_warning(
                f"{store.manifest.slide_name} was not found beside the result; open it to see "
                "tissue and to review tiles"
            )
            # Whatever slide was chosen, it is not the one of this result.
            control.choose_layer(None)
            layer = placeholder_layer(store)
        else:
            control.choose_layer(layer)
            control.take_mpp(store.mpp)
            control.opener.set_color_managed(store.manifest.color_managed)
        self._restore_model(store, view)
        control.findings.show(store, layer, view)
        control.state.run.message = f"Opened {path.name}"
        return True

    def _restore_model(self, store: ResultStore, view: ViewState) -> None:
        """Choose the very model that made a result, and the thresholds it was left with."""
        state, manifest = self._control.state, store.manifest
        # What is shown until now keeps its own view.
        self._control.findings.save_view()
        found = find_by_hash(
            manifest.model_name, manifest.model_version, manifest.model_sha256, state.model.name
        )
        # Another model's card must not speak for this result.
        key, card = found or ("", None)
        if card is None or state.model.card is None or key != state.model.name:
            state.choose_card(key, card)
        settings = view.settings.of_scheme(manifest.scheme)
        if card is None or not card.conformal:
            settings = replace(settings, error_rate=None)
        state.settings = settings

    def show(self, results: ResultLayers) -> None:
        """Show a result from the shelf."""
        self._restore_model(results.store, results.view.with_settings(results.settings))
        self._control.findings.activate(results)

    def restore(self, layer: Image) -> None:
        """Show the newest result of a slide, if there is one on the shelf."""
        found = self._control.findings.of_layer(layer)
        if found:
            self.show(found[-1])

    def adopt(self, layer: Layer) -> None:
        """Take over a layer that a dropped result brought into the viewer."""
        control = self._control
        path = layer.metadata.get(RESULT_KEY)
        if path is None or control.closed or layer not in control.viewer.layers:
            return
        known = control.findings.at(path)
        if known is not None and layer in known.layers:
            return
        if known is None or not known.is_in(control.viewer):
            if self.open(Path(path)):
                self._drop_copies()
            return
        # It is shown already: the copies go, and it comes to the front.
        for copy in list(control.viewer.layers):
            if copy.metadata.get(RESULT_KEY) == path and copy not in known.layers:
                control.viewer.layers.remove(copy)
        if known.reference in control.viewer.layers:
            control.choose_layer(known.reference)
        self.show(known)
        self._drop_copies()

    def _drop_copies(self) -> None:
        """Take the slide away that came with the result, if it was open before."""
        control = self._control
        results = control.findings.results
        if results is None:
            return
        for layer in control.slide_layers():
            if layer is results.reference or control.findings.of_layer(layer):
                continue
            if find_layer([layer], results.store) is not None:
                control.viewer.layers.remove(layer)
