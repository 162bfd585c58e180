"""Open handles of OpenSlide: none is closed while a thread reads it, none stays broken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from openslide import OpenSlide

__all__ = ["OpenSlideHandles"]

T = TypeVar("T")


@dataclass(slots=True)
class _Handle:
    """An open file of OpenSlide and how many threads read through it."""

    slide: OpenSlide
    users: int = 0
    dropped: bool = False


class OpenSlideHandles:
    """Lends open handles; one that failed is replaced, none is closed while it is read.

    After a failure OpenSlide answers every call on that handle with the same error.

    Parameters
    ----------
    open_handle : callable
        Opens the file.
    """

    def __init__(self, open_handle: Callable[[], OpenSlide]) -> None:
        self._open = open_handle
        self._lock = threading.Lock()
        self._current: _Handle | None = None
        self._closed = False

    def read(self, read: Callable[[OpenSlide], T]) -> T:
        """Return what ``read`` makes of a handle; once more, on a new one, where it fails.

        The failure may be that of another thread on the same handle.
        """
        from openslide import OpenSlideError

        try:
            with self._lent() as slide:
                return read(slide)
        except OpenSlideError:
            with self._lent(alone=True) as slide:
                return read(slide)

    @contextmanager
    def _lent(self, *, alone: bool = False) -> Iterator[OpenSlide]:
        handle = self._take(alone)
        try:
            yield handle.slide
        except BaseException:
            with self._lock:
                handle.dropped = True
                if self._current is handle:
                    self._current = None
            raise
        finally:
            with self._lock:
                handle.users -= 1
                last = handle.dropped and handle.users == 0
            if last:
                handle.slide.close()

    def _take(self, alone: bool) -> _Handle:
        with self._lock:
            if self._closed:
                raise ValueError("the slide is closed")
            if not alone:
                if self._current is None:
                    self._current = _Handle(self._open())
                self._current.users += 1
                return self._current
        return _Handle(self._open(), users=1, dropped=True)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            handle, self._current = self._current, None
            if handle is None:
                return
            handle.dropped = True
            last = handle.users == 0
        if last:
            handle.slide.close()
