"""Driving docks in a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QElapsedTimer, QEventLoop, Qt, QTimer
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QWidget

from napari_liverdx._ids import Choice
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.parts.choice_box import ChoiceBox
from napari_liverdx.widgets.parts.curve_plot import CurvePlot

Dock = TypeVar("Dock", bound=QWidget)


def choose(box: ChoiceBox[Any], choice: Choice) -> None:
    """Choose as a person does."""
    box.show_choice(choice)
    box.activated.emit(box.currentIndex())


def grabbed(widget: CurvePlot) -> np.ndarray:
    """The pixels of a widget."""
    wait_paint()
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    buffer = np.frombuffer(image.constBits(), np.uint8, image.sizeInBytes())
    return buffer.reshape(image.height(), image.bytesPerLine() // 4, 4)[..., :3].astype(float)


def orange(plot: CurvePlot) -> int:
    """Pixels in the color of the validation curve."""
    pixels = grabbed(plot)
    return int(np.count_nonzero(pixels[..., 2] - pixels[..., 0] > 90))


def wait(condition: Callable[[], bool]) -> None:
    """Let Qt work until the condition holds; the limit only ends a hanging test."""
    loop, timer = QEventLoop(), QTimer()
    reached = False

    def look() -> None:
        # Asked once: what holds now may not hold when the loop has ended.
        nonlocal reached
        reached = reached or condition()
        if reached or clock.elapsed() > 200_000:
            loop.quit()

    clock = QElapsedTimer()
    clock.start()
    timer.timeout.connect(look)
    timer.start(5)
    loop.exec()
    timer.stop()
    assert reached, "the dock did not get there"


def show(qtbot: QtBot, dock: Dock) -> Dock:
    """Show a dock by itself, without a napari window; it is closed after the test."""
    qtbot.addWidget(dock)
    dock.resize(380, 900)
    dock.show()
    return dock


def open_in(dock: LiverDxDock, path: Path) -> None:
    dock.controller.open_path(path)
    wait(lambda: not dock.controller.is_busy)
    dock.state.run.out_folder = path.parent / "results"


def click(button: object) -> None:
    from qtpy.QtTest import QTest

    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def analyze(dock: LiverDxDock) -> None:
    click(dock.run_panel.analyze_button)
    wait(lambda: not dock.controller.is_busy and not dock.state.run.status.is_active)


@contextmanager
def notes() -> Iterator[list[str]]:
    """What the user is told meanwhile."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def keep(notification: object) -> None:
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(keep)
    yield messages
    notification_manager.notification_ready.disconnect(keep)


def canvas(viewer: ViewerModel) -> np.ndarray:
    wait_paint()
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def wait_paint() -> None:
    """Let pending paints happen.

    Between taking layers away and adding others there must be one: Mesa's software renderer
    crashes in napari's draw otherwise.
    """
    for _ in range(20):
        QApplication.processEvents()
