"""Threads that read tiles, and that nobody has to wait for where the storage does not answer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from typing import Any

__all__ = ["Readers", "are_done"]

_Task = tuple[Future[None], Callable[..., None], tuple[Any, ...]]


class Readers:
    """A few threads that work off tasks in the order in which they come.

    Other than those of an executor they do not keep the program from ending: a read from a network
    folder that is away may never return, and nothing can interrupt it.

    Parameters
    ----------
    count : int
        How many.
    """

    def __init__(self, count: int) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"liverdx-read-{n}", daemon=True)
            for n in range(count)
        ]
        self._closed = False
        self._lock, self._alive = threading.Lock(), count
        self._at_end: Callable[[], None] | None = None
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[..., None], *arguments: Any) -> Future[None]:
        """Have a task done; returns what tells when it is."""
        future: Future[None] = Future()
        self._tasks.put((future, task, arguments))
        return future

    def close(self, patience: float) -> bool:
        """End the threads; tasks that nobody began are dropped.

        Parameters
        ----------
        patience : float
            Seconds to wait for threads that are at work; after that they are left to themselves.

        Returns
        -------
        bool
            Whether all have ended.
        """
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        end = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def when_ended(self, action: Callable[[], None]) -> None:
        """Have something done once all threads have ended, at once if they have."""
        with self._lock:
            if self._alive:
                self._at_end = action
                return
        action()

    def _work(self) -> None:
        self._work_off()
        with self._lock:
            self._alive -= 1
            action = None if self._alive else self._at_end
        if action is not None:
            action()

    def _work_off(self) -> None:
        while (given := self._tasks.get()) is not None:
            future, task, arguments = given
            if self._closed or not future.set_running_or_notify_cancel():
                continue
            try:
                task(*arguments)
            except BaseException as error:  # noqa: BLE001 - whoever waits for the task raises it
                future.set_exception(error)
            else:
                future.set_result(None)
            # While the thread waits for the next task it holds no pixels of this one.
            del given, future, task, arguments


def are_done(futures: Collection[Future[None]], seconds: float) -> bool:
    """Wait until all are done, or so long; returns whether they are."""
    return not wait(futures, timeout=seconds).not_done
