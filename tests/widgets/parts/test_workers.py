"""Work in the background and the tickets that tell what is waited for."""

from __future__ import annotations

from napari_liverdx.widgets.parts.workers import CancelToken, Tickets, Workers, once
from tests.support.host import StepHost


def test_a_new_ticket_makes_the_ones_before_worthless() -> None:
    line = Tickets()
    first = line.take()
    assert first.holds
    second = line.take()
    assert not first.holds
    assert second.holds
    line.void()
    assert not second.holds
    assert second.number == 2


def test_workers_tell_when_the_last_one_has_left() -> None:
    host = StepHost()
    workers = Workers(host, CancelToken())
    told: list[object] = []
    workers.idle.connect(lambda: told.append("idle"))
    workers.start(once(int, "7"), told.append, told.append, lambda: told.append("end"))
    workers.start(iter((1, 2)), told.append, told.append)
    assert workers.are_busy
    host.settle()
    assert told == [7, 1, "end", 2, "idle"]
    assert not workers.are_busy
