"""The layer on which a person annotates: shapes that carry a class, with undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.colormaps import rgb
from napari_liverdx.core.geometry import Region
from napari_liverdx.viewer.layers.base import on_slide

__all__ = ["ANNOTATION_KEY", "AnnotationLayer", "annotation_layer_name"]

ANNOTATION_KEY = "liverdx_teach"
"""Metadata that marks a layer one teaches on."""

_CLASS = "class"
_CLOSED = ("polygon", "rectangle", "ellipse")
_UNKNOWN = "#888888"
_FILL = 0.25
_DEPTH = 100
_ELLIPSE_CORNERS = 72


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """All shapes at one moment."""

    corners: tuple[NDArray[np.float64], ...]
    kinds: tuple[str, ...]
    classes: tuple[str, ...]

    def is_same(self, other: _Drawn) -> bool:
        return (
            self.kinds == other.kinds
            and self.classes == other.classes
            and all(
                a.shape == b.shape and np.array_equal(a, b)
                for a, b in zip(self.corners, other.corners, strict=True)
            )
        )


def annotation_layer_name(reference: Image) -> str:
    """Return the name of the layer on which a slide is annotated."""
    return f"Annotations · {reference.name}"


class AnnotationLayer:
    """A Shapes layer over a slide in which every shape has a class.

    Its data are level-0 pixels, so that napari's own CSV export says where things are. Ctrl+Z and
    Ctrl+Shift+Z undo and redo adding, deleting, moving and naming shapes; keys 1 to 9 choose the
    class.

    Parameters
    ----------
    reference : Image
        The slide's layer.
    scheme : ClassScheme
        Classes to annotate.
    changed : callable
        Called with this object after each change.
    chosen : callable
        Called with the name of a class when it is chosen.
    regions : sequence of Region
        What is there already.
    """

    def __init__(
        self,
        reference: Image,
        scheme: ClassScheme,
        changed: Callable[[AnnotationLayer], None],
        chosen: Callable[[str], None],
        regions: Sequence[Region] = (),
    ) -> None:
        self.reference, self.scheme = reference, scheme
        self._changed, self._chosen = changed, chosen
        self.current = scheme.names[-1]
        self._past: list[_Drawn] = []
        self._future: list[_Drawn] = []
        self._restoring = False
        side = max(reference.extent.data[1][-2:] - reference.extent.data[0][-2:])
        self.layer = Shapes(
            ndim=2,
            name=annotation_layer_name(reference),
            features={_CLASS: np.array([], dtype=str)},
            feature_defaults={_CLASS: self.current},
            edge_width=max(1.0, side / 800),
            units=tuple(reference.units)[-2:],
            metadata=on_slide(reference, **{ANNOTATION_KEY: True}),
        )
        self._place()
        reference.events.scale.connect(self._place)
        self._restore(_drawn_of(regions))
        self._now = self._read()
        self.layer.events.data.connect(self._on_data)
        self.layer.events.features.connect(self._on_features)
        self._bind()
        self.choose(self.current)

    def _place(self, event: Any = None) -> None:
        """Lie on the slide, whatever its scale becomes."""
        for name in ("scale", "rotate", "shear", "translate", "affine"):
            setattr(self.layer, name, getattr(self.reference, name))
        self.layer.units = tuple(self.reference.units)[-2:]

    def _bind(self) -> None:
        self.layer.bind_key("Control-Z", lambda _: self.undo(), overwrite=True)
        self.layer.bind_key("Control-Shift-Z", lambda _: self.redo(), overwrite=True)
        for number, tissue_class in enumerate(self.scheme.classes[:9], 1):
            name = tissue_class.name

            def take(_: Shapes, name: str = name) -> None:
                self.draw(name)

            self.layer.bind_key(str(number), take, overwrite=True)

    # -- drawing --

    def choose(self, name: str) -> None:
        """Set the class of the next shape, and of the selected ones while selecting."""
        self.current = name
        selected = sorted(self.layer.selected_data) if self.layer.mode == "select" else []
        # A shape just drawn stays selected and must not take the next one's class.
        if not selected:
            self.layer.selected_data = set()
        self.layer.feature_defaults = {_CLASS: name}
        color = self._color(name)
        self.layer.current_edge_color = color
        self.layer.current_face_color = (*rgb(color), _FILL)
        if selected:
            classes = np.array(self.layer.features[_CLASS], dtype=object)
            classes[selected] = name
            self.layer.features = {_CLASS: classes}
        self._chosen(name)

    def draw(self, name: str) -> None:
        """Choose a class and take the lasso up, unless shapes of another kind are being drawn."""
        self.choose(name)
        if not str(self.layer.mode).startswith("add_") and not self.layer.selected_data:
            self.layer.mode = "add_polygon_lasso"

    def _color(self, name: str) -> str:
        known = name in self.scheme.names
        return self.scheme[self.scheme.index(name)].color if known else _UNKNOWN

    # -- what is there --

    def regions(self) -> tuple[Region, ...]:
        """Return the closed shapes, level-0 pixels."""
        found = []
        for corners, kind, name in zip(
            self._now.corners, self._now.kinds, self._now.classes, strict=True
        ):
            if kind not in _CLOSED or not name:
                continue
            outline = _ellipse(corners) if kind == "ellipse" else corners
            # A data coordinate is a pixel's center, a region's corner is a pixel's edge.
            found.append(Region(name, (np.asarray(outline[:, ::-1] + 0.5, np.float64),)))
        return tuple(found)

    def _read(self) -> _Drawn:
        corners = tuple(np.array(d, np.float64)[:, -2:] for d in self.layer.data)
        classes = [str(c) for c in self.layer.features[_CLASS]][: len(corners)]
        classes += [self.current] * (len(corners) - len(classes))
        return _Drawn(corners, tuple(self.layer.shape_type), tuple(classes))

    def _on_data(self, event: Any) -> None:
        # While a shape is being drawn its corners are not final.
        if str(getattr(event, "action", "")).rpartition(".")[2].upper() in _FINAL:
            self._note()

    def _on_features(self, event: Any = None) -> None:
        if not self.layer._is_creating:
            self._note()

    def _note(self) -> None:
        if self._restoring:
            return
        now = self._read()
        if now.is_same(self._now):
            return
        named = now.classes != self._now.classes and len(now.classes) == len(self._now.classes)
        self._past = [*self._past, self._now][-_DEPTH:]
        self._future = []
        self._now = now
        if named:
            self._paint()
        self._changed(self)

    # -- undo --

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether a change was taken back."""
        return bool(self._future)

    def undo(self) -> None:
        """Take the last change back."""
        if self._past:
            self._future.append(self._now)
            self._go_to(self._past.pop())

    def redo(self) -> None:
        """Make the last change that was taken back again."""
        if self._future:
            self._past.append(self._now)
            self._go_to(self._future.pop())

    def _go_to(self, drawn: _Drawn) -> None:
        self._restore(drawn)
        self._now = drawn
        self._changed(self)

    def _restore(self, drawn: _Drawn) -> None:
        self._restoring = True
        try:
            self.layer.selected_data = set()
            self.layer.data = []
            if drawn.corners:
                self.layer.add(list(drawn.corners), shape_type=list(drawn.kinds))
            self.layer.features = {_CLASS: np.array(drawn.classes, dtype=object)}
            self.layer.feature_defaults = {_CLASS: self.current}
            self._paint()
            self.layer.selected_data = set()
        finally:
            self._restoring = False

    def _paint(self) -> None:
        """Color every shape by its class."""
        colors = [self._color(str(c)) for c in self.layer.features[_CLASS]]
        if colors:
            self.layer.edge_color = colors
            self.layer.face_color = [(*rgb(c), _FILL) for c in colors]

    def close(self) -> None:
        """Let go of the slide's layer."""
        self.reference.events.scale.disconnect(self._place)


_FINAL = ("ADDED", "REMOVED", "CHANGED")


def _drawn_of(regions: Sequence[Region]) -> _Drawn:
    """Return regions as shapes; holes are left out, napari has none."""
    corners = tuple(r.rings[0][:, ::-1] - 0.5 for r in regions)
    return _Drawn(corners, ("polygon",) * len(regions), tuple(r.name for r in regions))


def _ellipse(box: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)[:, None]
    across, along = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    return np.asarray(box.mean(axis=0) + np.cos(angle) * across + np.sin(angle) * along)
