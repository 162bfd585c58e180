"""Name tests that take long: more than 20 seconds of processor time without a reason.

Processor time, as a busy machine makes every test last longer. Set ``LIVERDX_BUDGET`` to the
seconds that a test may take; what takes more is listed at the end. It fails nothing: how fast a
machine is says nothing of the code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

_KEY = "cpu seconds"


def _used() -> float:
    """Seconds of processor time that this process and its children took."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


class Budget:
    """Measures each test and names those that take more than they may."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.beyond: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        before = _used()
        try:
            return (yield)
        finally:
            mark = item.get_closest_marker("budget")
            may = mark.args[0] if mark else self.seconds
            item.user_properties.append((_KEY, (_used() - before, may)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        for key, value in report.user_properties:
            if key == _KEY and value[0] > value[1]:
                self.beyond.append(f"{report.nodeid}: {value[0]:.0f} s of {value[1]:.0f} s")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.beyond:
            terminalreporter.section("tests that take too long", yellow=True)
            for line in self.beyond:
                terminalreporter.line(line)
