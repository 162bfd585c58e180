"""Keeps the state's tissue, the tissue layer and its panel together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from psygnal import Signal

from napari_liverdx.core.tissue import ARTIFACTS, TissueLabel
from napari_liverdx.viewer.layers.tissue import (
    brush_size,
    color_kept,
    find_tissue_layer,
    map_of_layer,
    reset_tissue_layer,
    tissue_layer,
    was_edited,
)

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.controller import DockController

__all__ = ["TissueController"]


class TissueController:
    """The tissue of the chosen slide: found, shown, edited, and read when a run starts.

    Each slide keeps a layer of its own; without one, what was found is analyzed.

    Signals: ``read_anew(TissueMap | None, float | None)`` with what is analyzed and the area of a
    level-0 pixel in µm², where it is known; ``layer_changed(bool, TissueLabel | None)`` with
    whether the layer is seen and what its brush paints, if anything.

    Parameters
    ----------
    control : DockController
        The dock's logic.
    """

    read_anew = Signal(object, object)
    layer_changed = Signal(bool, object)

    def __init__(self, control: DockController) -> None:
        self.control = control
        self.viewer = control.viewer
        self.state = control.state
        self.kept: frozenset[TissueLabel] = frozenset()
        self.layer: Labels | None = None
        # One reading for the many events of a stroke.
        self._timer = control.host.timer(30, self.read)
        self.state.slide.events.facts.connect(self._on_slide)
        # Last, so that the viewer is done with one layer before another goes.
        self.viewer.layers.events.removed.connect(self._on_removed, position="last")
        control.about_to_run.connect(self.read)

    # -- intentions --

    def show(self, visible: bool = True) -> None:
        """Show the layer, made if need be, or hide it."""
        if visible and self.layer is None:
            self._add_layer()
        if self.layer is not None:
            self.layer.visible = visible

    def edit(self, on: bool = True) -> None:
        """Take up the brush on the tissue layer, or put it down."""
        if on:
            self.choose_brush(TissueLabel.TISSUE)
        elif self.layer is not None:
            self.layer.mode = "pan_zoom"
        self._show_layer()

    def choose_brush(self, label: TissueLabel) -> None:
        """Paint tissue, or glass to erase."""
        self.show()
        if self.layer is None:
            return
        self.viewer.layers.selection.active = self.layer
        self.layer.brush_size = brush_size(self.viewer, self.layer)
        self.layer.selected_label = int(TissueLabel.TISSUE)
        self.layer.mode = "paint" if label else "erase"
        self._show_layer()

    def reset(self) -> None:
        """Go back to what was found."""
        facts = self.state.slide.facts
        if self.layer is None or facts is None or facts.tissue_map is None:
            return
        reset_tissue_layer(self.layer, facts.tissue_map, self.control.layer)
        self.read()

    def keep(self, labels: frozenset[TissueLabel]) -> None:
        """Analyze these artifacts like tissue, on every slide."""
        self.kept = labels
        if self.layer is not None:
            color_kept(self.layer, labels)
        self.read()

    def read(self) -> None:
        """Take the tissue as it is now for the next run."""
        self._timer.stop()
        facts = self.state.slide.facts
        if facts is None or facts.tissue_map is None:
            self.state.slide.tissue = None
        elif self.layer is None:
            self.state.slide.tissue = facts.tissue_map.keeping(self.kept)
        else:
            self.state.slide.tissue = map_of_layer(self.layer, self.kept)
        mpp = None if facts is None else facts.mpp
        self.read_anew.emit(self.state.slide.tissue, None if mpp is None else mpp.x * mpp.y)
        self._show_layer()

    # -- what changed --

    def _on_slide(self) -> None:
        facts, reference = self.state.slide.facts, self.control.layer
        self._follow(find_tissue_layer(self.viewer, reference))
        found = None if facts is None else facts.tissue_map
        if found is not None and reference is not None:
            if self.layer is not None:
                edited = was_edited(self.layer)
                reset_tissue_layer(self.layer, found, reference, keep_edits=edited)
                color_kept(self.layer, self.kept)
            # What is left out must be seen without asking; a clean slide stays as it is.
            elif any(found.area_px(label) for label in ARTIFACTS):
                self._add_layer()
        self.read()

    def _add_layer(self) -> None:
        facts, reference = self.state.slide.facts, self.control.layer
        layers = self.viewer.layers
        if facts is None or facts.tissue_map is None or reference not in layers:
            return
        active = layers.selection.active
        layer = tissue_layer(facts.tissue_map, reference)
        color_kept(layer, self.kept)
        layers.append(layer)
        layers.selection.active = active if active in layers else reference
        self._follow(layer)

    def _follow(self, layer: Labels | None) -> None:
        if layer is self.layer:
            return
        if self.layer is not None:
            for event in self._events(self.layer):
                event.disconnect(self._on_layer)
        self.layer = layer
        if layer is not None:
            for event in self._events(layer):
                event.connect(self._on_layer)

    @staticmethod
    def _events(layer: Labels) -> tuple[Any, ...]:
        events = layer.events
        return events.paint, events.set_data, events.visible, events.mode, events.selected_label

    def _on_layer(self, event: Any = None) -> None:
        if getattr(event, "type", "") in ("paint", "set_data"):
            self._timer.start()
        else:
            self._show_layer()

    def _show_layer(self) -> None:
        brush = None
        if self.layer is not None and self.layer.mode in ("paint", "fill", "polygon", "erase"):
            erases = self.layer.mode == "erase" or self.layer.selected_label == 0
            brush = TissueLabel.GLASS if erases else TissueLabel.TISSUE
        visible = self.layer is not None and bool(self.layer.visible)
        self.layer_changed.emit(visible, brush)

    def _on_removed(self, event: Any) -> None:
        gone = event.value
        # napari hands a plugin its layers in wrappers, so that identity tells nothing.
        if self.layer is not None and gone.unique_id == self.layer.unique_id:
            self._follow(None)
            self.read()
            return
        # Without its slide a tissue layer says nothing.
        layer = find_tissue_layer(self.viewer, gone)
        if layer is not None:
            self.viewer.layers.remove(layer)

    def release(self) -> None:
        """Let go of the viewer; layers stay."""
        self._timer.stop()
        self._follow(None)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.state.slide.events.facts.disconnect(self._on_slide)
