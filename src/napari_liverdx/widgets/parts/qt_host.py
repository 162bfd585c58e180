"""Time, threads and notifications of a napari window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from types import MethodType
from typing import Any
from weakref import WeakMethod

from napari.qt.threading import thread_worker
from napari.utils import notifications
from qtpy.QtCore import QObject, QTimer, Signal

__all__ = ["QtHost"]


def _weakly(action: Callable[[], object]) -> Callable[[], object]:
    """Call a method as long as its object is there: Qt must not keep a controller alive."""
    if not isinstance(action, MethodType):
        return action
    method = WeakMethod(action)

    def call() -> None:
        alive = method()
        if alive is not None:
            alive()

    return call


class _QtTimer:
    """A timer that lives as long as its parent."""

    def __init__(
        self, parent: QObject, ms: int, action: Callable[[], object], *, repeats: bool
    ) -> None:
        self._timer = QTimer(parent)
        self._timer.setSingleShot(not repeats)
        self._timer.setInterval(ms)
        self._timer.timeout.connect(_weakly(action))

    @property
    def interval(self) -> int:
        return int(self._timer.interval())

    @interval.setter
    def interval(self, ms: int) -> None:
        self._timer.setInterval(ms)

    @property
    def is_running(self) -> bool:
        return bool(self._timer.isActive())

    def start(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        # It belongs to the window and may be gone with it.
        with suppress(RuntimeError):
            self._timer.stop()


class _Bridge(QObject):
    """Carries values from a worker thread to the thread it was made in."""

    value = Signal(object)


class QtHost:
    """What a dock's controllers ask of napari and Qt.

    Parameters
    ----------
    parent : QObject
        Owns the timers.
    """

    def __init__(self, parent: QObject) -> None:
        self._parent = parent

    def timer(self, ms: int, action: Callable[[], object], *, repeats: bool = False) -> _QtTimer:
        """Return a timer that does not run yet and dies with the parent."""
        return _QtTimer(self._parent, ms, action, repeats=repeats)

    def run_later(self, ms: int, action: Callable[[], object]) -> None:
        """Call an action once, from Qt's event loop."""
        QTimer.singleShot(ms, lambda: action())

    def run_in_background(
        self,
        work: Iterator[Any],
        received: Callable[[Any], None],
        ended: Callable[[], None],
        asked_to_quit: Callable[[], None],
    ) -> None:
        """Advance a generator in one of napari's workers; its values and its end come back here.

        The generator is pumped to its end even when napari asks the worker to quit, so that what
        it holds open is written and closed.
        """
        # Taken out by the worker: nothing must hold the generator once it is done.
        job = [work]
        bridge = _Bridge()

        def pump() -> None:
            for value in job.pop():
                # The window, and the bridge with it, may be gone already.
                with suppress(RuntimeError):
                    bridge.value.emit(value)
                if worker.abort_requested:
                    asked_to_quit()

        bridge.value.connect(received)
        worker = thread_worker(pump)()
        worker.finished.connect(ended)
        worker.start()

    def show_error(self, text: str) -> None:
        """Tell what failed as a notification."""
        notifications.show_error(text)

    def show_warning(self, text: str) -> None:
        """Tell what to look at as a notification."""
        notifications.show_warning(text)

    def show_info(self, text: str) -> None:
        """Tell what is done as a notification."""
        notifications.show_info(text)
