"""Programs that are killed at a chosen moment: the Nth step towards the disk.

No clock is involved. In a process of its own, forked from one that has loaded everything, calls of
what writes, renames, removes and makes are counted before and after they happen, in all threads;
at the chosen count the process kills itself, as a power cut would.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["run_killed", "steps_of"]

KILLED = -9

NAMES = frozenset({"fsync", "link", "mkdir", "open", "rename", "replace", "rmdir", "unlink"})
"""Built-in functions that change what a folder holds, or open a file."""

CONTENT = frozenset({"close", "flush", "truncate", "write", "writelines", "write_record"})
"""Those that fill files: there are many more calls of them."""

Work = Callable[[Path, Path], None]
"""Takes a folder of inputs, which it leaves as they are, and one to work in."""


class _Counter:
    def __init__(self, last: int, content: bool) -> None:
        self.last, self.count, self.lock = last, 0, threading.Lock()
        self.counted = NAMES | CONTENT if content else NAMES

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event not in ("c_call", "c_return") or getattr(arg, "__name__", "") not in self.counted:
            return
        with self.lock:
            self.count += 1
            if self.count == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


def _child(work: Work, inputs: Path, folder: Path, last: int, content: bool, told: Path) -> None:
    os.environ["LIVERDX_MODELS"] = str(folder / "models")
    counter = _Counter(last, content)
    threading.setprofile(counter)
    sys.setprofile(counter)
    try:
        work(inputs, folder)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    told.write_text(str(counter.count))


def _run(work: Work, inputs: Path, folder: Path, last: int, content: bool) -> tuple[int, int]:
    """Return the exit status of the process, and how many steps it counted if it was not killed."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder.with_suffix(".steps")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.kill_jobs"])
    process = context.Process(target=_child, args=(work, inputs, folder, last, content, told))
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    assert code in (0, -signal.SIGKILL), f"the work failed by itself, exit status {code}"
    return code, int(told.read_text()) if code == 0 else last


def steps_of(work: Work, inputs: Path, folder: Path, *, content: bool = True) -> int:
    """Do the work undisturbed; returns how many steps it took."""
    code, steps = _run(work, inputs, folder, 0, content)
    assert code == 0
    return steps


def run_killed(work: Work, inputs: Path, folder: Path, step: int, *, content: bool = True) -> bool:
    """Do the work until a step; returns whether it was killed there, and not done before."""
    return _run(work, inputs, folder, step, content)[0] != 0
