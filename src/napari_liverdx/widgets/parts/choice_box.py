"""A box to choose one of several things from."""

from __future__ import annotations

from typing import Generic, TypeVar

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_liverdx._ids import Choice

__all__ = ["ChoiceBox"]

C = TypeVar("C", bound=Choice)


class ChoiceBox(QComboBox, Generic[C]):
    """Shows the titles of a choice.

    Signal: ``chosen(Choice)`` when a person chose.

    Parameters
    ----------
    kind : type of Choice
        What there is to choose from.
    parent : QWidget, optional
        Qt parent.
    """

    chosen = Signal(object)

    def __init__(self, kind: type[C], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices = tuple(kind)
        self.addItems([choice.title for choice in self._choices])
        self.activated.connect(lambda index: self.chosen.emit(self._choices[index]))

    @property
    def choice(self) -> C:
        """What is chosen."""
        return self._choices[self.currentIndex()]

    def show_choice(self, choice: C) -> None:
        """Show what is chosen, without a signal."""
        self.setCurrentIndex(self._choices.index(choice))
