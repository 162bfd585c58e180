"""Make the pictures in docs/images by driving the real dock in a real napari window.

Usage: python scripts/screenshots.py [OUT_FOLDER]   (needs a display, for example xvfb-run)
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.session.state import RunStatus
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.viewer.layers.camera import fly_to, place_of
from napari_liverdx.widgets.parts.keys_dialog import KeysDialog
from napari_liverdx.widgets.slide.slide_properties import SlideProperties

_ANNOTATIONS = (
    ("fat", 1120, 291, 448, 269),
    ("fat", 1120, 896, 448, 224),
    ("background", 0, 0, 672, 224),
    ("background", 0, 1120, 672, 224),
)
"""Class, left, top, width and height in µm."""


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


class Stage:
    """A viewer with the dock on the sample slide, and the folder for pictures."""

    def __init__(self, folder: Path, size: tuple[int, int] = (1440, 900)) -> None:
        self.folder = folder
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*size)
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")
        self.viewer.open_sample("napari-liverdx", "liver")
        wait(
            lambda: (
                self.dock.state.slide.facts is not None
                and self.dock.state.slide.facts.tissue is not None
            )
        )
        results = Path(tempfile.mkdtemp()) / "a-study" / "slides" / "liverdx-results"
        self.dock.state.run.out_folder = results
        settle()
        self.viewer.reset_view()

    def picture(self, name: str) -> None:
        """Save a picture of the whole window."""
        settle()
        path = self.folder / f"{name}.png"
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        shrink(path)

    def analyze(self) -> None:
        """Run to the end."""
        self.dock.run_panel.analyze_button.click()
        wait(lambda: self.dock.state.run.status is RunStatus.FINISHED)

    def page(self, key: str) -> Any:
        """Bring a page to the front."""
        self.dock.show_page(key)
        settle()
        return self.dock.tabs.currentWidget()

    def quiet(self) -> None:
        """Let the workers finish."""
        wait(lambda: not self.dock.controller.is_busy)

    def close(self) -> None:
        """Leave nothing behind."""
        self.dock.release()
        self.quiet()
        self.viewer.close()


def shrink(path: Path) -> None:
    """Store a picture without transparency, as small as that goes without loss."""
    with Image.open(path) as image:
        opaque = image.convert("RGB")
    opaque.save(path, optimize=True)


def main(folder: Path) -> None:
    """Every state of the docks, one picture each."""
    os.environ.setdefault("LIVERDX_MODELS", tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    analyzing(folder)
    reviewing(folder)
    finetuning(folder)
    small_screen(folder)
    batch(folder)
    training(folder)


def analyzing(folder: Path) -> None:
    """Open, tissue, run, finish, threshold, tiles."""
    stage = Stage(folder)
    dock = stage.dock
    stage.picture("open")
    dock.notice.hide()
    dock.tissue_panel.edit_button.click()
    stage.picture("tissue")
    dock.tissue_panel.show_box.setChecked(False)
    stage.viewer.layers.selection.active = stage.viewer.layers["liver-sample"]
    dock.run_panel.analyze_button.click()
    wait(lambda: (p := dock.state.run.progress) is not None and p.done > p.total * 0.45)
    stage.picture("running")
    wait(lambda: dock.state.run.status is RunStatus.FINISHED)
    stage.picture("finished")
    dock.findings_panel.sliders["fat"].setValue(0.85)
    stage.picture("threshold")
    dock.controller.results.tiles.visible = True
    stage.picture("tiles")
    properties(stage)
    stage.close()


def properties(stage: Stage) -> None:
    """Everything a slide's file says, with its macro image."""
    slide = Path(__file__).parents[1] / "tests" / "data" / "CMU-1-Small-Region.svs"
    stage.dock.controller.open_path(slide)
    stage.quiet()
    stage.dock.slide_panel.properties_button.click()
    settle()
    dialog = stage.dock.findChildren(SlideProperties)[0]
    position = dialog.beside.findText("macro")
    dialog.beside.setCurrentIndex(position)
    dialog.beside.activated.emit(position)
    wait(dialog.picture.isVisible)
    settle()
    path = stage.folder / "slide-properties.png"
    dialog.grab().save(str(path))
    shrink(path)
    dialog.reject()
    settle()
    stage.quiet()


def reviewing(folder: Path) -> None:
    """Review, measure, explain, compare, keys, preferences."""
    stage = Stage(folder)
    dock, viewer = stage.dock, stage.viewer
    dock.notice.hide()
    stage.analyze()
    review = stage.page("review")
    wait(lambda: review.gallery.count() > 0)
    wait(lambda: review.gallery.has_picture(review.gallery.tiles[-1]))
    review.gallery.setCurrentRow(1)
    for button in (review.accept, review.reject, review.accept):
        button.click()
    stage.picture("review")
    viewer.reset_view()
    measuring(stage)
    explaining(stage)
    viewer.reset_view()
    comparing(stage)
    dock.keys_button.click()
    settle()
    dialog = dock.findChildren(KeysDialog)[0]
    dialog.grab().save(str(folder / "keys.png"))
    dialog.reject()
    settle()
    stage.close()


def measuring(stage: Stage) -> None:
    """Drawn regions with their own figures."""
    page = stage.page("measure")
    page.draw.click()
    layer = stage.viewer.layers["Regions to measure · liver-sample"]
    layer.add_polygons([np.array([[400, 950], [500, 1300], [800, 1350], [850, 1000]])])
    layer.add_rectangles([np.array([[450, 200], [450, 460], [760, 460], [760, 200]])])
    layer.mode = "pan_zoom"
    wait(lambda: len(stage.dock.controller.findings.found.regions) == 2)
    page.plot.threshold_moved.emit(0.7)
    stage.picture("measure")
    stage.viewer.layers.remove(layer)
    page.plot.threshold_moved.emit(0.5)
    settle()


def explaining(stage: Stage) -> None:
    """Why a tile was called what it was."""
    page = stage.page("explain")
    results = stage.dock.controller.results
    fat = results.store.tile_probabilities[2]
    row, col = np.unravel_index(np.abs(fat - 0.75).argmin(), fat.shape)
    tile = TileIndex(int(row), int(col))
    fly_to(stage.viewer, results.reference, results.rect(tile))
    page.control.ask_at(tuple(place_of(results.reference, results.rect(tile)).mean(axis=0)))
    stage.quiet()
    stage.dock.controller.findings.set_view(visible=False)
    stage.picture("explain")
    stage.dock.controller.findings.set_view(visible=True)
    page.control.forget()


def comparing(stage: Stage) -> None:
    """Two thresholds, shown in three ways."""
    page = stage.page("compare")
    page.boxes[1].threshold.setValue(0.9)
    for mode, name in ((1, "swipe"), (2, "differences"), (3, "second-canvas"), (0, "")):
        list(page.buttons.values())[mode].click()
        if name == "swipe":
            page.position.setValue(640)
        if name:
            stage.picture(f"compare-{name}")
        settle()


def finetuning(folder: Path) -> None:
    """Shapes with classes, a fine-tuning, both versions on the slide."""
    stage = Stage(folder)
    stage.dock.notice.hide()
    stage.analyze()
    page = stage.page("fine_tune")
    for name, x, y, width, height in _ANNOTATIONS:
        page.class_buttons[name].click()
        corners = [(y, x), (y, x + width), (y + height, x + width), (y + height, x)]
        layer = page.control.material.current.layer
        layer.add_polygons([np.array(corners) / 0.5 - 0.5])
    page.control.material.count()
    stage.quiet()
    stage.picture("finetune")
    page.tune_button.click()
    wait(lambda: page.control.trial is not None and not page.control.work, 900)
    stage.quiet()
    page.reveal(page.accuracy)
    stage.picture("finetuned")
    page.both_button.click()
    settle()
    wait(lambda: bool(page.control.pairs) and not page.control.work, 600)
    stage.quiet()
    page.reveal(page.discard_button)
    stage.picture("finetune-compared")
    page.discard_button.click()
    settle()
    stage.close()


def small_screen(folder: Path) -> None:
    """Show a light window on a small screen."""
    stage = Stage(folder, (1366, 768))
    stage.viewer.theme = "light"
    stage.dock.notice.hide()
    stage.analyze()
    review = stage.page("review")
    wait(lambda: review.gallery.count() > 0)
    wait(lambda: review.gallery.has_picture(review.gallery.tiles[-1]))
    review.gallery.setCurrentRow(0)
    stage.picture("small-light")
    stage.close()


def batch(folder: Path) -> None:
    """Three slides, one of which states no resolution."""
    place = Path(tempfile.mkdtemp()) / "a-study"
    place.mkdir()
    with open_slide(sample_path()) as slide:
        for name, x, y, mpp in (
            ("biopsy-01", 1800, 400, 0.5),
            ("biopsy-02", 2300, 900, 0.5),
            ("biopsy-03-no-resolution", 600, 900, None),
        ):
            pixels = slide.read_region(0, x, y, 1120, 896)
            known = {"resolution": (1e4 / mpp,) * 2, "resolutionunit": "CENTIMETER"} if mpp else {}
            tifffile.imwrite(
                place / f"{name}.tif", pixels, tile=(256, 256), photometric="rgb", **known
            )
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1440, 900)
    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze many slides")
    dock.add_paths([place])
    dock.settings.folder.setText(str(place / "results"))
    settle()
    dock.run_button.click()
    wait(lambda: not dock.is_busy, 300)
    settle()
    path = folder / "batch.png"
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    shrink(path)
    dock.release()
    viewer.close()


def training(folder: Path) -> None:
    """Train a small network on pieces of the sample slide and take a picture of its curves."""
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
    dock.form["data"].value = place / "tiles"
    dock.form["out"].value = place / "two-stains.safetensors"
    dock.start_button.click()
    wait(lambda: len(dock.controller.epochs) >= 8, 600)
    settle()
    viewer.screenshot(str(folder / "training.png"), canvas_only=False, flash=False)
    shrink(folder / "training.png")
    dock.release()
    wait(lambda: not dock.controller.is_busy)
    viewer.close()


_RECIPE = """
start = "scratch"
[card]
name = "two-stains"
title = "Two stains"
summary = "Pieces of one slide, half of them with two colors exchanged: to show the dock"
architecture = "rnn-subtiles"
mpp = 0.5
tile_size = 64
arguments = { subtiles = 4, hidden = 16, projection = 32 }
[[card.classes]]
name = "stain-a"
title = "Stain A"
color = "#4c9f70"
kind = "normal"
[[card.classes]]
name = "stain-b"
title = "Stain B"
color = "#c2255c"
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
