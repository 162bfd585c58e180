"""Generators that work in the background, for the docks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from psygnal import Signal

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.widgets.parts.host import Host

__all__ = ["CancelToken", "Ticket", "Tickets", "Workers", "once"]

_LOG = logging.getLogger(__name__)


class CancelToken:
    """The stop event of the current run; it outlives the widgets that share it."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def renew(self) -> threading.Event:
        """Create a fresh event for a new run."""
        self.event = threading.Event()
        return self.event

    def throw(self) -> None:
        """End the current run between two batches, with its tiles written."""
        self.event.set()


class Workers:
    """The workers of one dock.

    A generator is always taken to its end, also when the program wants to quit: the stop switch
    ends it instead, so that what it holds open is written and closed.

    Signals: ``idle()`` when the last one has left.

    Parameters
    ----------
    host : Host
        Runs them.
    stop : CancelToken
        Thrown when the program wants to quit.
    """

    idle = Signal()

    def __init__(self, host: Host, stop: CancelToken) -> None:
        self._host = host
        self._stop = stop
        self._active = 0

    @property
    def are_busy(self) -> bool:
        """Whether any is at work."""
        return self._active > 0

    def start(
        self,
        work: Iterator[Any],
        received: Callable[[Any], object],
        failed: Callable[[str], object],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a generator in the background; its values, its error and its end come back here."""

        def take(value: Any) -> None:
            if isinstance(value, _Problem):
                failed(value.text)
            elif isinstance(value, _End):
                ended()
            else:
                received(value)

        def left() -> None:
            self._active -= 1
            if not self._active:
                self.idle.emit()

        self._active += 1
        self._host.run_in_background(_guarded(work), take, left, self._stop.throw)


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


@dataclass(frozen=True)
class _Problem:
    text: str


class _End:
    """Said after the last value of work that went well."""


def _guarded(work: Iterator[Any]) -> Iterator[Any]:
    """Hand an error over as text.

    An exception that leaves a worker shows the user a traceback, and one that is kept holds the
    slide and its file through its frames.
    """
    try:
        yield from work
    except LiverDxError as error:
        yield _Problem(str(error))
    # A bug must reach the user as a message and the log as a traceback, never end the session.
    except Exception as error:  # noqa: BLE001
        _LOG.exception("unexpected error in a worker")
        yield _Problem(f"Unexpected problem: {error!r}")
    else:
        yield _End()


def once(work: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """Yield what ``work`` returns, as a generator of one value."""
    yield work(*arguments)
