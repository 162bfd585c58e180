"""Make the pictures in docs/images by driving the real dock in a real napari window.

Usage: python scripts/screenshots.py [OUT_FOLDER]   (needs a display, for example xvfb-run)
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

from napari_liverdx.session.state import RunStatus


def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Process events until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the window did not reach the expected state")
        QApplication.processEvents()
        time.sleep(0.01)


def settle() -> None:
    """Let pending paints happen."""
    end = time.monotonic() + 0.7
    wait(lambda: time.monotonic() > end)


def main(folder: Path) -> None:
    """Open, run, finish, and take a picture of each."""
    folder.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1440, 900)
    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")

    def picture(name: str) -> None:
        settle()
        viewer.screenshot(str(folder / f"{name}.png"), canvas_only=False, flash=False)

    viewer.open_sample("napari-liverdx", "liver")
    wait(lambda: dock.state.slide is not None and dock.state.slide.tissue is not None)
    folder_for_results = Path(tempfile.mkdtemp()) / "a-study" / "slides" / "liverdx-results"
    dock.state.out_folder = folder_for_results
    settle()
    viewer.reset_view()
    picture("open")
    dock.notice.hide()
    dock.run_panel.analyze_button.click()
    wait(lambda: (p := dock.state.progress) is not None and p.done > p.total * 0.45)
    picture("running")
    wait(lambda: dock.state.status is RunStatus.FINISHED)
    picture("finished")
    dock.findings_panel.sliders["fat"].setValue(0.85)
    picture("threshold")
    dock.controller.results.tiles.visible = True
    picture("tiles")
    dock.release()
    viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
