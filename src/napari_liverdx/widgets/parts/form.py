"""Forms made from the fields of a dataclass."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from magicgui.types import Undefined
from magicgui.widgets import CheckBox, FileEdit, create_widget
from magicgui.widgets.bases import RangedWidget
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QPushButton, QWidget

__all__ = ["Form", "RowAbove"]

T = TypeVar("T")

_BUTTON_WIDTH = 28
"""Of the buttons at the right that open a dialog, in pixels."""

_BUTTON_GAP = 6
"""Left of these buttons, in pixels."""


@dataclass(frozen=True, slots=True)
class RowAbove:
    """A row that no field makes, above all others, with a button that opens a dialog.

    Attributes
    ----------
    label : str
        At the left.
    widget : QWidget
        What fills the row.
    tip : str
        Of the button.
    action : callable
        What a click on the button does.
    """

    label: str
    widget: QWidget
    tip: str
    action: Callable[[], object]


class Form(Generic[T]):
    """One row for each field, with a widget that suits its type; its default is shown at first.

    Parameters
    ----------
    kind : type
        The dataclass.
    above : RowAbove, optional
        The first row; the Tab key comes to it first.
    **rows : mapping
        For each field that is asked for, in the order of the rows: options of magicgui's widget,
        among them ``label`` and ``tooltip``; a ``placeholder`` for paths; for numbers that may be
        left out, what is shown at the smallest value, as ``unset``, which stands for None; a
        ``text`` for check boxes, which have their label at the right otherwise. The other fields
        are given to `value`.

    Attributes
    ----------
    native : QWidget
        What stands in a panel.
    """

    def __init__(
        self, kind: type[T], above: RowAbove | None = None, /, **rows: Mapping[str, Any]
    ) -> None:
        self._kind = kind
        hints, defaults = get_type_hints(kind), {f.name: f.default for f in fields(kind)}  # type: ignore[arg-type]
        self.native = QWidget()
        layout = self._layout = QFormLayout(self.native)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(4)
        if above is not None:
            layout.addRow(above.label, _with_button(above))
        self._widgets: dict[str, Any] = {}
        self._optional = {n for n in rows if type(None) in get_args(hints[n])}
        self._unset: set[str] = set()
        for name, options in rows.items():
            kept = get_args(hints[name]) or (hints[name],)
            # A field that may be left out is asked for all the same.
            annotation = next(t for t in kept if t is not type(None))
            default = Undefined if defaults[name] in (MISSING, None) else defaults[name]
            self._add_field(name, annotation, default, dict(options))
        self._fixed_rows = layout.rowCount()

    def _add_field(self, name: str, annotation: Any, default: Any, given: dict[str, Any]) -> None:
        label, text = given.pop("label", None), given.pop("text", "")
        hint, unset = given.pop("placeholder", ""), given.pop("unset", "")
        widget: Any = create_widget(default, annotation, name=name, label=label, options=given)
        title = widget.label
        if hint:
            widget.line_edit.native.setPlaceholderText(hint)
        if unset:
            widget.native.setSpecialValueText(unset)
            self._unset.add(name)
        if isinstance(widget, FileEdit):
            widget.margins = (0, 0, 0, 0)
            widget.choose_btn.text = "…"
            widget.choose_btn.native.setFixedWidth(_BUTTON_WIDTH)
            widget.native.layout().setSpacing(_BUTTON_GAP)
        if isinstance(widget, CheckBox):
            title, widget.text = (title, text) if text else ("", title)
        self._widgets[name] = widget
        self._layout.addRow(title, widget.native)

    def __getitem__(self, name: str) -> Any:
        """Return magicgui's widget of a field."""
        return self._widgets[name]

    def show_below(self, rows: Sequence[tuple[str, QWidget]]) -> None:
        """Show labeled widgets below the fields, in place of those shown there before."""
        while self._layout.rowCount() > self._fixed_rows:
            self._layout.removeRow(self._fixed_rows)
        for label, widget in rows:
            self._layout.addRow(label, widget)

    def on_changed(self, action: Callable[[], object]) -> None:
        """Call an action whenever a person or the program changes a field."""
        for widget in self._widgets.values():
            widget.changed.connect(lambda _: action())

    def is_filled(self) -> bool:
        """Return whether each path that is asked for is given."""
        files = (w for w in self._widgets.values() if isinstance(w, FileEdit))
        return all(str(w.line_edit.value).strip() for w in files)

    def value(self, **others: Any) -> T:
        """Return what is filled in.

        Parameters
        ----------
        **others : object
            The fields that the form does not ask for.
        """
        given = {name: self._given(name) for name in self._widgets}
        return self._kind(**given, **others)

    def _given(self, name: str) -> Any:
        widget = self._widgets[name]
        if isinstance(widget, FileEdit) and isinstance(widget.value, Path):
            text = str(widget.line_edit.value).strip()
            if not text and name in self._optional:
                return None
            # While a person types ~name there is no such home yet.
            return Path(os.path.expanduser(text))
        if name in self._unset and isinstance(widget, RangedWidget) and widget.value == widget.min:
            return None
        return widget.value


def _with_button(above: RowAbove) -> QHBoxLayout:
    button = QPushButton("…")
    button.setFixedWidth(_BUTTON_WIDTH)
    button.setToolTip(above.tip)
    button.clicked.connect(lambda _: above.action())
    row = QHBoxLayout()
    row.setSpacing(_BUTTON_GAP)
    row.addWidget(above.widget, 1)
    row.addWidget(button)
    return row
