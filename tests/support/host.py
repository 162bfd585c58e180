"""A host without a window: work goes on in steps, and time passes when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

STEP_MS = 50
"""Time that passes while a generator gives one value."""


@dataclass
class _Work:
    values: Iterator[Any]
    received: Callable[[Any], None]
    ended: Callable[[], None]
    asked_to_quit: Callable[[], None]


class StepTimer:
    """Rings by the host's clock."""

    def __init__(
        self, host: StepHost, ms: int, action: Callable[[], object], *, repeats: bool
    ) -> None:
        self._host, self._action, self._repeats = host, action, repeats
        self._starts = 0
        self.interval = ms
        self.is_running = False

    def start(self) -> None:
        self.is_running = True
        self._starts += 1
        started = self._starts
        self._host.call_at(self.interval, lambda: self._ring(started), idle=self._repeats)

    def stop(self) -> None:
        self.is_running = False

    def _ring(self, started: int) -> None:
        if not self.is_running or started != self._starts:
            return
        self.is_running = self._repeats
        self._action()
        if self.is_running:
            self.start()


class StepHost:
    """Advances generators one value at a time, in turns, all in one thread.

    A test stops between any two values and looks, or presses Cancel: nothing depends on how fast
    the machine is.

    Attributes
    ----------
    told : list of str
        What the user was told, oldest first.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.now = 0
        self._works: list[_Work] = []
        self._calls: list[tuple[int, int, bool, Callable[[], object]]] = []
        self._order = count()

    # -- what controllers ask for --

    def timer(self, ms: int, action: Callable[[], object], *, repeats: bool = False) -> StepTimer:
        return StepTimer(self, ms, action, repeats=repeats)

    def run_later(self, ms: int, action: Callable[[], object]) -> None:
        self.call_at(ms, action)

    def run_in_background(
        self,
        work: Iterator[Any],
        received: Callable[[Any], None],
        ended: Callable[[], None],
        asked_to_quit: Callable[[], None],
    ) -> None:
        self._works.append(_Work(work, received, ended, asked_to_quit))

    def show_error(self, text: str) -> None:
        self.told.append(text)

    show_warning = show_info = show_error

    # -- what tests ask for --

    def call_at(self, ms: int, action: Callable[[], object], *, idle: bool = False) -> None:
        """Call after ``ms``; one that is ``idle`` is waited for by nobody."""
        heappush(self._calls, (self.now + ms, next(self._order), idle, action))

    def step(self) -> None:
        """Let some time pass, and each piece of work give a value."""
        self._pass(STEP_MS)
        for work in list(self._works):
            try:
                value = next(work.values)
            except StopIteration:
                self._works.remove(work)
                work.ended()
            else:
                work.received(value)

    def _pass(self, ms: int) -> None:
        until = self.now + ms
        while self._calls and self._calls[0][0] <= until:
            self.now, _, _, action = heappop(self._calls)
            action()
        self.now = until

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Go on until a condition holds; fails when nothing is left that could make it true."""
        while not condition():
            assert self.is_waiting, "nothing is left to do, and the condition does not hold"
            self.step()

    def settle(self) -> None:
        """Go on until nothing is at work and nobody waits for a call."""
        while self.is_waiting:
            self.step()

    @property
    def is_waiting(self) -> bool:
        """Whether something is at work or still to be called."""
        return bool(self._works) or any(not idle for _, _, idle, _ in self._calls)

    def quit(self) -> None:
        """Do what a program does that ends: ask all work to stop, and take it to its end."""
        for work in list(self._works):
            work.asked_to_quit()
        self.settle()
