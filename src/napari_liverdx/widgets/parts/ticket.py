"""Numbers that tell the answer that is waited for from those that come too late."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Ticket", "Tickets"]


class Tickets:
    """One line of work: each new ticket, and `void`, makes those before it worthless."""

    def __init__(self) -> None:
        self._newest = 0

    @property
    def newest(self) -> int:
        """Number of the newest ticket; it only grows."""
        return self._newest

    def take(self) -> Ticket:
        """Return the ticket of work that begins."""
        self._newest += 1
        return Ticket(self._newest, self)

    def void(self) -> None:
        """Let no ticket hold any more; nothing is waited for."""
        self._newest += 1


@dataclass(frozen=True, slots=True)
class Ticket:
    """Work that was begun.

    Attributes
    ----------
    number : int
    """

    number: int
    _line: Tickets

    @property
    def holds(self) -> bool:
        """Whether the work is still the one that is waited for."""
        return self.number == self._line.newest
