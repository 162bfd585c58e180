"""Forms made from the fields of a dataclass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from magicgui.types import Undefined
from magicgui.widgets import CheckBox, FileEdit, create_widget
from qtpy.QtWidgets import QFormLayout, QLayout, QWidget

__all__ = ["Form"]

T = TypeVar("T")


class Form(Generic[T]):
    """One row for each field, with a widget that suits its type; its default is shown at first.

    Parameters
    ----------
    kind : type
        The dataclass.
    **rows : mapping
        For each field that is asked for, in the order of the rows: options of magicgui's widget,
        among them ``label`` and ``tooltip``; a ``placeholder`` for paths. The other fields are
        given to `value`.

    Attributes
    ----------
    native : QWidget
        What stands in a panel.
    """

    def __init__(self, kind: type[T], **rows: Mapping[str, Any]) -> None:
        self._kind = kind
        hints, defaults = get_type_hints(kind), {f.name: f.default for f in fields(kind)}  # type: ignore[arg-type]
        self._widgets: dict[str, Any] = {}
        for name, options in rows.items():
            given = dict(options)
            kept = get_args(hints[name]) or (hints[name],)
            # A field that may be left out is asked for all the same.
            annotation = next(t for t in kept if t is not type(None))
            default = Undefined if defaults[name] in (MISSING, None) else defaults[name]
            label, hint = given.pop("label", None), given.pop("placeholder", "")
            self._widgets[name] = create_widget(
                default, annotation, name=name, label=label, options=given
            )
            if hint:
                self._widgets[name].line_edit.native.setPlaceholderText(hint)
        self.native = QWidget()
        layout = self._layout = QFormLayout(self.native)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(4)
        for widget in self._widgets.values():
            if isinstance(widget, FileEdit):
                widget.margins = (0, 0, 0, 0)
                widget.choose_btn.text = "…"
                widget.choose_btn.max_width = 28
            layout.addRow("" if isinstance(widget, CheckBox) else widget.label, widget.native)

    def __getitem__(self, name: str) -> Any:
        """Return magicgui's widget of a field."""
        return self._widgets[name]

    def add_above(self, label: str, row: QLayout) -> None:
        """Put a row of other widgets above the fields."""
        self._layout.insertRow(0, label, row)

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
        given = {name: widget.value for name, widget in self._widgets.items()}
        return self._kind(**given, **others)
