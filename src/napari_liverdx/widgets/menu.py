"""Entries in napari's Layers menu."""

from __future__ import annotations

from napari.utils.notifications import show_info
from napari.viewer import Viewer

from napari_liverdx.viewer.layers.slide_source import bare, is_slide_layer
from napari_liverdx.widgets.analyze_dock import LiverDxDock

__all__ = ["classify_layer", "measure_layer", "review_layer"]

_PLUGIN, _WIDGET = "napari-liverdx", "Analyze slide"


def _dock(viewer: Viewer) -> LiverDxDock:
    """Return the dock, opened if need be, with the selected slide chosen."""
    # Before the dock opens: it selects the slide that it chooses.
    layer = bare(viewer.layers.selection.active)
    _, dock = viewer.window.add_plugin_dock_widget(_PLUGIN, _WIDGET)
    if layer is not None and is_slide_layer(layer):
        dock.controller.choose_layer(layer)
    elif not dock.controller.slide_layers():
        show_info("Open a slide, or select an RGB image layer, to analyze it")
    found: LiverDxDock = dock
    return found


def classify_layer(viewer: Viewer) -> None:
    """Open the dock with the selected slide (Layers ▸ Classify)."""
    _dock(viewer).show_page("analyze")


def measure_layer(viewer: Viewer) -> None:
    """Open the dock where it measures (Layers ▸ Measure)."""
    _dock(viewer).show_page("measure")


def review_layer(viewer: Viewer) -> None:
    """Open the dock where tiles are reviewed (Layers ▸ Annotate)."""
    _dock(viewer).show_page("review")
