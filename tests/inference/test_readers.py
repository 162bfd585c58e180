"""Threads that read, with tasks that fail, are dropped, or never return."""

from __future__ import annotations

import threading

import pytest

from napari_liverdx.inference.readers import Readers, are_done


def fail() -> None:
    raise ValueError("no tile")


def test_tasks_are_done_and_their_failures_kept() -> None:
    readers, seen = Readers(3), []
    futures = [readers.submit(seen.append, n) for n in range(50)]
    broken = readers.submit(fail)
    assert are_done([*futures, broken], 60)
    assert sorted(seen) == list(range(50))
    with pytest.raises(ValueError, match="no tile"):
        broken.result()
    assert readers.close(60)


def test_what_never_returns_holds_nobody_up() -> None:
    readers, answer, seen = Readers(2), threading.Event(), []
    held = [readers.submit(answer.wait) for _ in range(2)]
    waiting = readers.submit(seen.append, 1)
    assert not are_done(held, 0.01)
    assert not readers.close(0.0)
    readers.when_ended(lambda: seen.append("ended"))
    assert not seen
    answer.set()
    assert are_done(held, 60)
    assert readers.close(60)
    assert not waiting.done()
    assert seen == ["ended"]
    readers.when_ended(lambda: seen.append("at once"))
    assert seen == ["ended", "at once"]
