"""What controllers ask of the program around them, whatever toolkit draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

__all__ = ["Host", "Timer"]


class Timer(Protocol):
    """Calls an action when its time is over.

    Attributes
    ----------
    interval : int
        In milliseconds.
    """

    interval: int

    @property
    def is_running(self) -> bool:
        """Whether the action is still to come."""
        ...

    def start(self) -> None:
        """Begin to count, anew if it runs."""
        ...

    def stop(self) -> None:
        """Call nothing any more; it may be gone with its window already."""
        ...


class Host(Protocol):
    """Time, work in the background and words for the user."""

    def timer(self, ms: int, action: Callable[[], object], *, repeats: bool = False) -> Timer:
        """Return a timer that does not run yet."""
        ...

    def run_later(self, ms: int, action: Callable[[], object]) -> None:
        """Call an action once, after ``ms`` milliseconds."""
        ...

    def run_in_background(
        self,
        work: Iterator[Any],
        received: Callable[[Any], None],
        ended: Callable[[], None],
        asked_to_quit: Callable[[], None],
    ) -> None:
        """Take all values of a generator that raises nothing.

        Parameters
        ----------
        work : iterator
            Advanced in a thread of its own where there are threads.
        received : callable
            Called with each value where the user interface runs.
        ended : callable
            Called there after the last value.
        asked_to_quit : callable
            Called after each value once the program wants to end.
        """
        ...

    def show_error(self, text: str) -> None:
        """Tell what failed."""
        ...

    def show_warning(self, text: str) -> None:
        """Tell what to look at."""
        ...

    def show_info(self, text: str) -> None:
        """Tell what is done."""
        ...
