"""A result of a batch, shown in the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_warning
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.measure import stored_settings
from napari_liverdx.viewer.layers.result import ResultLayers
from napari_liverdx.viewer.result_reader import open_slide_layer, placeholder_layer
from napari_liverdx.widgets.analyze_dock import LiverDxDock

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["main_dock", "open_result", "share_place"]


def main_dock(widget: QWidget) -> LiverDxDock | None:
    """Return the dock that analyzes single slides in the same window; None if it is not open."""
    docks = _above(widget)[-1].findChildren(LiverDxDock)
    return next((d for d in docks if not d.controller.closed), None)


def _above(widget: QWidget) -> list[QWidget]:
    """Return a widget and all that hold it, up to its window."""
    chain = [widget]
    while (above := chain[-1].parentWidget()) is not None:
        chain.append(above)
    return chain


def share_place(widget: QWidget) -> None:
    """Put the dock that holds a widget into one place with the main dock, as tabs.

    Two tall docks above each other leave neither enough room.
    """
    main = main_dock(widget)
    if main is None:
        return
    chain = _above(widget)
    mine, other = (
        next((w for w in c if isinstance(w, QDockWidget)), None) for c in (chain, _above(main))
    )
    window = next((w for w in chain if isinstance(w, QMainWindow)), None)
    if window is None or mine is None or other is None:
        return
    if mine.isFloating() or other.isFloating():
        return
    if window.dockWidgetArea(mine) == window.dockWidgetArea(other):
        window.tabifyDockWidget(other, mine)
        mine.raise_()


def open_result(
    widget: QWidget, viewer: ViewerModel, path: Path, slide: Path, thresholds: Mapping[str, float]
) -> bool:
    """Show a result over its slide: in the main dock where it is open, as plain layers otherwise.

    Parameters
    ----------
    widget : QWidget
        Any widget of the viewer's window.
    viewer : napari.components.ViewerModel
        The viewer.
    path : Path
        The result.
    slide : Path
        Its slide.
    thresholds : mapping of str to float
        Where the result keeps none.

    Returns
    -------
    bool
        False, and a notification, if it cannot be shown.
    """
    dock = main_dock(widget)
    if dock is not None:
        return dock.controller.open_result(path, slide)
    try:
        store = ResultStore.open(path)
        layer = open_slide_layer(viewer, store, slide)
    except LiverDxError as error:
        show_error(str(error))
        return False
    if layer is None:
        show_warning(f"{slide.name} is not there any more; its result is shown without it")
        layer = placeholder_layer(store)
    view = ViewState.load(path)
    settings, quantiles = stored_settings(store, view)
    for name, value in thresholds.items():
        if name not in view.thresholds:
            settings = settings.with_threshold(name, value)
    ResultLayers(viewer, store, layer, settings, view, quantiles)
    return True
