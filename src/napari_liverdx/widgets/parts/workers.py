"""Generators in worker threads, for the dock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import thread_worker
from qtpy.QtCore import QObject, Signal

from napari_liverdx.core.errors import LiverDxError

__all__ = ["CancelToken", "Workers", "once"]

_LOG = logging.getLogger(__name__)


class CancelToken:
    """The stop event of the current run; it outlives the widgets that share it."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def renew(self) -> threading.Event:
        """A fresh event for a new run."""
        self.event = threading.Event()
        return self.event

    def throw(self) -> None:
        """End the current run between two batches, with its tiles written."""
        self.event.set()


class _Bridge(QObject):
    """Carries values from a worker thread to the thread it was made in."""

    value = Signal(object)


class Workers:
    """The workers of one dock.

    A worker pumps a generator to its end even when napari asks it to quit: the stop switch ends
    the generator instead, so that what it holds open is written and closed.

    Parameters
    ----------
    stop : CancelToken
        Thrown when napari quits its workers.
    """

    def __init__(self, stop: CancelToken) -> None:
        self._stop = stop
        self._active: list[Any] = []

    @property
    def are_busy(self) -> bool:
        """Whether any is at work."""
        return bool(self._active)

    def start(
        self,
        work: Iterator[Any],
        received: Callable[[Any], None],
        failed: Callable[[str], object],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a generator in a worker thread; its values, its error and its end come back here."""
        problems: list[_Problem] = []
        # Taken out by the worker: nothing must hold the generator once it is done.
        job = [work]
        bridge = _Bridge()

        def pump() -> None:
            for value in _guarded(job.pop()):
                # The window, and the bridge with it, may be gone already.
                with suppress(RuntimeError):
                    bridge.value.emit(value)
                if worker.abort_requested:
                    self._stop.throw()

        def take(value: Any) -> None:
            if isinstance(value, _Problem):
                problems.append(value)
                failed(value.text)
            else:
                received(value)

        def gone() -> None:
            with suppress(ValueError):
                self._active.remove(worker)

        bridge.value.connect(take)
        worker = thread_worker(pump)()
        worker.returned.connect(lambda _: None if problems else ended())
        worker.finished.connect(gone)
        self._active.append(worker)
        worker.start()


@dataclass(frozen=True)
class _Problem:
    text: str


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


def once(work: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """``work`` as a generator of one value."""
    yield work(*arguments)
