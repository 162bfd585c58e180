"""A virtual screen of its own for each process that opens windows.

Two processes on one screen take focus and clipboard from each other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

_SIZE = "1600x1000x24"


def prepare_screen(config: pytest.Config, windows: bool) -> subprocess.Popen[bytes] | None:
    """See to it that Qt finds a screen.

    Parameters
    ----------
    config : pytest.Config
        Tells whether this process is one of several.
    windows : bool
        Whether windows with OpenGL will be opened; widgets alone need no screen. Where none can be
        had, they fail and say so.

    Returns
    -------
    subprocess.Popen or None
        The virtual screen, to be ended with the process.
    """
    if not sys.platform.startswith("linux") or "QT_QPA_PLATFORM" in os.environ:
        return None
    if _only_distributes(config):
        return None
    has_screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if windows and shutil.which("Xvfb") and (not has_screen or hasattr(config, "workerinput")):
        return _start()
    if not has_screen:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    return None


def _only_distributes(config: pytest.Config) -> bool:
    """Whether this process gives its tests to workers and runs none."""
    return not hasattr(config, "workerinput") and bool(config.getoption("numprocesses", None))


def _start() -> subprocess.Popen[bytes]:
    ours, its = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(its), "-screen", "0", _SIZE, "-nolisten", "tcp"],
        pass_fds=[its],
        stderr=subprocess.DEVNULL,
    )
    os.close(its)
    with os.fdopen(ours) as told:
        number = told.readline().strip()
    if not number:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        return screen
    os.environ.pop("WAYLAND_DISPLAY", None)
    os.environ["DISPLAY"] = f":{number}"
    os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")
    return screen


def end_screen(screen: subprocess.Popen[bytes] | None) -> None:
    """End what `prepare_screen` started."""
    if screen is not None:
        screen.terminate()
        screen.wait()
