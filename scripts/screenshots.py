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
from PIL import Image
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
    training(folder)


def training(folder: Path) -> None:
    """Train a small network on pieces of the sample slide and take a picture of its curves."""
    from napari_liverdx.io.sample import sample_path
    from napari_liverdx.io.slide import open_slide

    place = Path(tempfile.mkdtemp()) / "a-study"
    with open_slide(sample_path()) as slide:
        for i in range(48):
            pixels = slide.read_region(0, 1800 + 110 * (i % 8), 400 + 110 * (i // 8), 96, 96)
            sub = place / "tiles" / ("stain-a", "stain-b")[i % 2]
            sub.mkdir(parents=True, exist_ok=True)
            shown = pixels if i % 2 else pixels[..., [0, 2, 1]]
            Image.fromarray(shown).save(sub / f"patient{i // 2 % 8}_{i}.png")
    recipe = place / "two-stains.toml"
    recipe.write_text(_RECIPE, encoding="utf-8")
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1440, 900)
    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Train model")
    dock.use_recipe(str(recipe))
    dock.data.setText(str(place / "tiles"))
    dock.out.setText(str(place / "two-stains.safetensors"))
    dock.start_button.click()
    wait(lambda: len(dock.epochs) >= 8, 600)
    settle()
    viewer.screenshot(str(folder / "training.png"), canvas_only=False, flash=False)
    dock.release()
    wait(lambda: not dock.is_busy)
    viewer.close()


_RECIPE = """
start = "scratch"
[card]
name = "two-stains"
title = "Two stains"
summary = "Pieces of one slide, half of them with two colours exchanged: to show the dock"
architecture = "rnn-subtiles"
mpp = 0.5
tile_size = 64
arguments = { cells = 4, hidden = 16, projection = 32 }
[[card.classes]]
name = "stain-a"
title = "Stain A"
colour = "#4c9f70"
kind = "normal"
[[card.classes]]
name = "stain-b"
title = "Stain B"
colour = "#c2255c"
kind = "pathological"
[data]
kind = "folders"
group_pattern = '^(patient\\d+)_'
val_folds = 4
[train]
epochs = 12
warmup_epochs = 0
tiles_per_epoch = 96
batch_size = 12
ema_decay = 0.8
patience = 12
"""


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
