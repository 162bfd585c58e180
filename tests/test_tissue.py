"""Tissue and what spoils it: found, left out, edited in a real window."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.artifacts import find_blur, find_folds, find_pen
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.core.tissue import ARTEFACTS, TissueLabel, TissueMap, find_tissue
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.inference.run import make_manifest, result_location
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_overview, slide_tissue, slide_tissue_map
from napari_liverdx.viewer.layers.slide_source import is_slide_layer
from napari_liverdx.viewer.layers.tissue import TISSUE_COLOURS, find_tissue_layer
from napari_liverdx.widgets.analyze_dock import LiverDxDock

from .conftest import CMU, write_pyramid
from .test_slides import corrupt_tile
from .window import analyze, canvas, click, open_in, wait, wait_paint

INKS = {
    "blue": (35, 60, 170),
    "green": (20, 120, 70),
    "turquoise": (0, 150, 160),
    "black": (25, 25, 28),
    "red": (205, 25, 45),
}


def inked(
    rgb: np.ndarray, ink: tuple[int, int, int], where: tuple[slice, ...] | slice
) -> np.ndarray:
    """Ink over tissue lets through what both let through."""
    out = rgb.copy()
    out[where] = out[where] * (np.array(ink) / 255)
    return out


def blurred(rgb: np.ndarray, sigma: float, where: tuple[slice, slice]) -> np.ndarray:
    out = rgb.copy()
    out[where] = ndimage.gaussian_filter(rgb.astype(np.float32), (sigma, sigma, 0))[where]
    return out


def folded(rgb: np.ndarray, where: tuple[slice, slice], shift: int) -> np.ndarray:
    """Tissue from ``shift`` rows below lies on the tissue."""
    out = rgb.copy()
    out[where] = (rgb[where] * (np.roll(rgb, -shift, 0)[where] / 243.0)).clip(0, 255)
    return out


def written(path: Path, rgb: np.ndarray) -> Path:
    write_pyramid(path, rgb)
    return path


def labels_at(found: TissueMap, where: tuple[slice, slice]) -> np.ndarray:
    """The labels in a rectangle of level-0 pixels, without its rim."""
    scales = (found.scale_y, found.scale_x)
    edges = [
        (int(v.start / s) + 2, int(v.stop / s) - 2) for v, s in zip(where, scales, strict=True)
    ]
    return found.labels[tuple(slice(*e) for e in edges)]


@pytest.fixture
def liver(sample: Slide) -> np.ndarray:
    """Fatty liver, 1400 × 1200 px at 0.5 µm/px, tissue everywhere."""
    return sample.read_region(0, 2000, 600, 1400, 1200)


# -- detectors --


@pytest.mark.parametrize("ink", INKS)
def test_ink_over_tissue_is_found(liver: np.ndarray, ink: str, tmp_path: Path) -> None:
    stroke = np.s_[500:740, 100:1300]
    path = written(tmp_path / "inked.tif", inked(liver, INKS[ink], stroke))
    with open_slide(path) as slide:
        found = slide_tissue_map(slide)
    inside = labels_at(found, stroke)
    assert (inside == TissueLabel.PEN).mean() > 0.9
    assert not found.analysed.mask[35:42, 10:70].any()
    apart = np.r_[found.labels[:24], found.labels[54:]]
    assert not np.isin(apart, list(ARTEFACTS)).any(), "nothing else is ink"


STAINS = {
    "eosin": (230, 150, 190),
    "haematoxylin": (110, 80, 150),
    "dark nuclei": (60, 45, 110),
    "bile and pigment": (120, 80, 40),
    "blood": (190, 70, 85),
    "dense blood": (150, 40, 50),
    "thick H&E": (120, 20, 70),
}


@pytest.mark.parametrize("stain", STAINS)
def test_stains_and_blood_are_not_ink(stain: str) -> None:
    picture = np.full((120, 120, 3), 243, np.uint8)
    picture[20:100, 20:100] = STAINS[stain]
    tissue = find_tissue(picture, mpp=8, scale_x=1, scale_y=1).mask
    assert not find_pen(picture, tissue, mpp=8).any()


def test_another_stain_is_not_ink_all_over() -> None:
    picture = np.full((100, 100, 3), (40, 130, 80), np.uint8)
    tissue = np.ones((100, 100), bool)
    assert not find_pen(picture, tissue, mpp=8).any()
    picture[:20] = STAINS["eosin"]
    assert find_pen(picture, tissue, mpp=8)[22:].all()


def test_a_fold_is_found_where_tissue_lies_on_itself(liver: np.ndarray, tmp_path: Path) -> None:
    # Where no vacuoles thin it out, as in most livers.
    solid = np.where((liver.min(axis=2) > 200)[..., None], (205, 150, 190), liver).astype(np.uint8)
    band = np.s_[560:740, 100:1300]
    with open_slide(written(tmp_path / "folded.tif", folded(solid, band, 300))) as slide:
        found = slide_tissue_map(slide)
    assert (labels_at(found, band) == TissueLabel.FOLD).mean() > 0.8
    assert not (np.r_[found.labels[:28], found.labels[54:]] == TissueLabel.FOLD).any()


def test_crowded_nuclei_are_no_fold() -> None:
    picture = np.full((100, 100, 3), (214, 150, 190), np.uint8)
    picture[40:60] = (105, 80, 150)
    tissue = np.ones((100, 100), bool)
    assert not find_folds(picture, tissue, mpp=8).any()
    thick = picture.copy()
    thick[40:60] = np.square(thick[:20] / 255.0) * 255
    assert find_folds(thick, tissue, mpp=8)[45:55, 10:90].all()


@pytest.mark.parametrize("sigma", [4, 8])
def test_blur_is_found_and_vacuoles_are_not_blur(
    liver: np.ndarray, sigma: float, tmp_path: Path
) -> None:
    half = np.s_[:, :700]
    with open_slide(written(tmp_path / "blurred.tif", blurred(liver, sigma, half))) as slide:
        found = slide_tissue_map(slide)
    columns = np.arange(found.labels.shape[1]) * found.scale_x
    inside, outside = found.labels[:, columns < 600], found.labels[:, columns > 800]
    assert (inside == TissueLabel.BLUR).mean() > 0.9
    assert not (outside == TissueLabel.BLUR).any()


def test_a_slide_soft_everywhere_is_not_thrown_away(liver: np.ndarray, tmp_path: Path) -> None:
    soft = blurred(liver, 5, np.s_[:, :])
    with open_slide(written(tmp_path / "soft.tif", soft)) as slide:
        assert not (slide_tissue_map(slide).labels == TissueLabel.BLUR).any()


def test_blocks_without_detail_are_not_blurred() -> None:
    fine, coarse, weight = np.full((6, 6), 200.0), np.full((6, 6), 80.0), np.ones((6, 6))
    assert not find_blur(fine, coarse, weight).any()
    fine[:, :3], coarse[:, :3] = 0, 0
    assert not find_blur(fine, coarse, weight).any()
    fine[:, :3], coarse[:, :3] = 10, 40
    assert find_blur(fine, coarse, weight)[:, :2].all()
    assert not find_blur(fine, coarse, weight)[:, 4:].any()


def test_clean_slides_stay_whole(sample: Slide) -> None:
    found = slide_tissue_map(sample)
    overview = slide_overview(sample)
    plain = find_tissue(overview.rgb, mpp=8, scale_x=overview.scale_x, scale_y=overview.scale_y)
    assert (found.analysed.mask == plain.mask).all()
    assert (slide_tissue(sample).mask == plain.mask).all()


def test_real_slides_lose_little(data_root: Path, tmp_path: Path) -> None:
    paths = [*sorted((data_root / "liver_he").glob("*.jpg")), data_root / "slides/tcga-cr-7395.svs"]
    tiles = sorted((data_root / "liver_steatosis" / "images").iterdir())[:80:5]
    pictures = [np.asarray(Image.open(p).convert("RGB"))[:416, :416] for p in tiles]
    rows = [np.concatenate(pictures[i : i + 4], axis=1) for i in range(0, 16, 4)]
    Image.fromarray(np.concatenate(rows)).save(tmp_path / "tiles.png")
    for path in (*paths, tmp_path / "tiles.png"):
        with open_slide(path, mpp=Mpp.square(0.5)) as slide:
            found = slide_tissue_map(slide)
        share = np.isin(found.labels, list(ARTEFACTS)).sum() / (found.labels > 0).sum()
        assert share < 0.02, path.name


def test_a_damaged_tile_does_not_end_the_look(tmp_path: Path) -> None:
    path = tmp_path / "corrupt.svs"
    path.write_bytes(CMU.read_bytes())
    corrupt_tile(path, 54)
    with open_slide(path) as slide:
        assert slide_tissue_map(slide).analysed.mask.any()


# -- decisions --


def some_map(**more: object) -> TissueMap:
    labels = np.zeros((60, 80), np.uint8)
    labels[5:55, 5:75] = TissueLabel.TISSUE
    labels[5:55, 40:60] = TissueLabel.PEN
    return TissueMap(labels, 16.0, 16.0, **more)


def test_kept_artefacts_count_as_tissue() -> None:
    found = some_map()
    assert found.analysed.mask.sum() == 50 * 50
    assert found.keeping({TissueLabel.PEN}).analysed.mask.sum() == 50 * 70
    assert found.keeping({TissueLabel.FOLD, TissueLabel.GLASS}).analysed.mask.sum() == 50 * 50
    assert found.areas_mm2(0.25)[TissueLabel.PEN] == pytest.approx(50 * 20 * 64e-6)
    other = found.labels.copy()
    other[0, 0] = 9
    assert dataclasses.replace(found, labels=other).analysed.mask[0, 0], "any other label is tissue"


def test_other_tissue_lies_elsewhere_and_is_recorded(small_slide: Path, tiny: LoadedModel) -> None:
    with open_slide(small_slide) as slide:

        def plan(tissue: TissueMap) -> RunPlan:
            return plan_run(slide.levels, slide.mpp, tissue, tiny.card)

        def place(tissue: TissueMap) -> str:
            return result_location(Path("x"), plan(tissue), slide, tiny).name

        found = some_map()
        plain = f"{slide.name}.tiny.liverdx.zarr"
        assert place(found) == place(found.keeping({TissueLabel.BLUR})) == plain
        kept = found.keeping({TissueLabel.PEN})
        edited = dataclasses.replace(found, labels=np.minimum(found.labels, 1), edited=True)
        assert len({place(found), place(edited)}) == 2
        assert place(kept) == place(edited), "the same tissue is the same result"
        manifest = make_manifest(plan(found), slide, tiny)
        assert manifest.tissue == {"edited": False, "excluded": {"pen": 0.064}, "kept": {}}
        manifest = make_manifest(plan(kept), slide, tiny)
        assert manifest.tissue == {"edited": False, "excluded": {}, "kept": {"pen": 0.064}}
        old = {k: v for k, v in manifest.model_dump(mode="json").items() if k != "tissue"}
        assert RunManifest.model_validate(old).tissue == {}


def test_commands_leave_artefacts_out_unless_told(
    liver: np.ndarray, tiny_file: Path, tmp_path: Path
) -> None:
    path = written(tmp_path / "inked.tif", inked(liver[:700, :700], INKS["green"], np.s_[:300]))
    told = CliRunner().invoke(app, ["info", str(path)]).output
    assert "pen marks" in told
    assert "left out by default" in told
    command = ["analyze", str(path), "-m", str(tiny_file), "--device", "cpu", "-o"]
    counts = {}
    for name, more in (("out", []), ("kept", ["--keep-artefacts"])):
        outcome = CliRunner().invoke(app, [*command, str(tmp_path / name), *more])
        assert outcome.exit_code == 0, outcome.output
        (result,) = (tmp_path / name).glob("*.zarr")
        store = ResultStore.open(result)
        counts[name] = store.count(TileState.DONE)
        assert ("pen" in store.manifest.tissue["excluded"]) is (name == "out")
        json.dumps(store.manifest.tissue)
    assert counts["out"] < counts["kept"]


# -- in the window --


@pytest.fixture
def marked(liver: np.ndarray, tmp_path: Path) -> Path:
    """A slide with a bar of green ink on tissue, and glass at its right."""
    rgb = np.concatenate([liver, np.full((1200, 600, 3), 243, np.uint8)], axis=1)
    return written(tmp_path / "marked.tif", inked(rgb, INKS["green"], np.s_[500:800, 100:1300]))


def tissue_of(dock: LiverDxDock) -> Labels:
    layer = find_tissue_layer(dock.viewer, dock.controller.layer)
    assert layer is not None
    return layer


def square(layer: Labels, rows: slice, cols: slice, label: int) -> None:
    """Paint a rectangle with napari's own brush, as one stroke."""
    layer.brush_size = 4
    with layer.block_history():
        for row in range(rows.start, rows.stop, 2):
            for col in range(cols.start, cols.stop, 2):
                layer.paint((row, col), label)


@pytest.mark.gui
def test_ink_is_seen_on_the_slide(viewer: ViewerModel, dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    wait(lambda: dock.state.tissue is not None)
    layer = tissue_of(dock)
    assert layer.visible, "what is left out is shown without asking"
    assert not is_slide_layer(layer)
    assert dock.controller.layer is viewer.layers.selection.active
    assert dock.tissue_panel.show_box.isChecked()
    areas = {k: v.text() for k, v in dock.tissue_panel.areas.items()}
    assert areas[TissueLabel.PEN].endswith("mm²")
    assert areas[TissueLabel.FOLD] == areas[TissueLabel.BLUR] == "none"
    orange = [int(TISSUE_COLOURS[TissueLabel.PEN][i : i + 2], 16) for i in (1, 3, 5)]
    layer.opacity = 1.0

    def share(rgb: list[int]) -> float:
        return float((np.abs(canvas(viewer) - rgb).max(axis=2) < 12).mean())

    viewer.reset_view()
    shown = share(orange)
    height, width = canvas(viewer).shape[:2]
    zoom = viewer.scene.camera.zoom
    expected = (np.isin(layer.data, TissueLabel.PEN).sum() * 64) * zoom**2 / (height * width)
    assert shown == pytest.approx(expected, rel=0.1)
    click(dock.tissue_panel.show_box)
    assert not layer.visible
    assert share(orange) == 0
    click(dock.tissue_panel.show_box)
    click(dock.tissue_panel.excluded[TissueLabel.PEN])
    assert share(orange) == 0, "what is kept looks like tissue"
    assert dock.state.tissue.kept == {TissueLabel.PEN}


@pytest.mark.gui
def test_layer_lies_exactly_over_the_slide(dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    layer, slide = tissue_of(dock), dock.controller.layer
    found = dock.state.slide.tissue_map
    rows, cols = layer.data.shape
    for corner in ((0, 0), (rows, cols), (10, 40)):
        world = layer.data_to_world(np.subtract(corner, 0.5))
        place = np.asarray(slide.world_to_data(world)) + 0.5
        assert place == pytest.approx(np.multiply(corner, (found.scale_y, found.scale_x)))
    assert layer.units == slide.units


@pytest.mark.gui
def test_the_edited_tissue_is_analysed(dock: LiverDxDock, marked: Path) -> None:
    open_in(dock, marked)
    analyze(dock)
    first = dock.controller.results.store
    layer = tissue_of(dock)
    click(dock.tissue_panel.erase_button)
    assert layer.mode == "erase"
    assert layer.unique_id == dock.viewer.layers.selection.active.unique_id
    square(layer, slice(0, 30), slice(0, 40), 0)
    click(dock.tissue_panel.brush_button)
    assert layer.mode == "paint"
    assert layer.selected_label == TissueLabel.TISSUE
    square(layer, slice(50, 74), slice(100, 124), layer.selected_label)
    # Read at the click, however soon it comes.
    analyze(dock)
    store = dock.controller.results.store
    assert store.path != first.path, "both results stand side by side"
    assert store.manifest.tissue["edited"]
    assert store.state[0, 1] == TileState.NO_TISSUE
    assert first.state[0, 1] == TileState.DONE
    assert store.state[4, 8] == TileState.DONE
    assert first.state[4, 8] == TileState.NO_TISSUE
    click(dock.tissue_panel.reset_button)
    analyze(dock)
    assert dock.controller.results.store.path == first.path, "the first result again"


@pytest.mark.gui
def test_undo_and_reset_bring_the_found_tissue_back(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path, qtbot: object
) -> None:
    from qtpy.QtCore import Qt

    open_in(dock, marked)
    wait(lambda: dock.state.tissue is not None)
    panel, before = dock.tissue_panel, dock.state.tissue.labels.copy()
    assert not panel.reset_button.isEnabled()
    click(panel.edit_button)
    layer = tissue_of(dock)
    assert panel.edit_button.isChecked()
    drag(viewer, layer, [(60, 110), (60, 120), (70, 120)])
    wait(lambda: dock.state.tissue.edited)
    assert dock.state.tissue.labels[60, 115] == TissueLabel.TISSUE
    assert "Edited" in panel.note.text()
    canvas_widget = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas_widget, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    wait(lambda: not dock.state.tissue.edited)
    assert (dock.state.tissue.labels == before).all()
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.tissue.edited)
    click(panel.reset_button)
    assert (layer.data == before).all()
    assert not dock.state.tissue.edited
    click(panel.edit_button)
    assert layer.mode == "pan_zoom"
    assert not panel.edit_button.isChecked()


def drag(viewer: ViewerModel, layer: Labels, points: list[tuple[int, int]]) -> None:
    """Press, move and release the mouse over pixels of a layer."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    wait_paint()
    widget = viewer.window._qt_viewer.canvas.native
    camera = viewer.scene.camera
    middle = np.array([widget.height(), widget.width()]) / 2
    places = []
    for point in points:
        world = np.asarray(layer.data_to_world(point))
        row, col = (world - camera.center[-2:]) * camera.zoom + middle
        places.append(QPoint(round(col), round(row)))
    QTest.mouseMove(widget, places[0])
    QTest.mousePress(widget, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        QTest.mouseMove(widget, place)
        wait_paint()
    QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, pos=places[-1])
    wait_paint()


@pytest.mark.gui
def test_each_slide_keeps_its_tissue(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path, small_slide: Path
) -> None:
    open_in(dock, marked)
    first, layer = dock.controller.layer, tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.tissue.edited)
    open_in(dock, small_slide)
    assert find_tissue_layer(viewer, dock.controller.layer) is None, "a clean slide gets no layer"
    assert not dock.state.tissue.edited
    assert dock.state.tissue.labels.shape != layer.data.shape
    dock.controller.choose_layer(first)
    wait(lambda: not dock.controller.is_busy)
    assert dock.state.tissue.edited
    assert (dock.state.tissue.labels == layer.data).all()


@pytest.mark.gui
def test_the_layer_goes_with_its_slide(
    viewer: ViewerModel, dock: LiverDxDock, marked: Path
) -> None:
    open_in(dock, marked)
    first, layer = dock.controller.layer, tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.tissue.edited)
    viewer.layers.remove(layer)
    assert not dock.state.tissue.edited, "without the layer what was found counts"
    click(dock.tissue_panel.show_box)
    assert tissue_of(dock).visible
    viewer.layers.remove(first)
    assert not [v for v in viewer.layers if v.name.startswith("Tissue")]


@pytest.mark.gui
def test_another_resolution_moves_the_layer_and_keeps_edits(
    dock: LiverDxDock, marked: Path
) -> None:
    open_in(dock, marked)
    layer = tissue_of(dock)
    layer.paint((60, 110), 1)
    wait(lambda: dock.state.tissue.edited)
    painted = layer.data.copy()
    dock.controller.set_mpp(0.25)
    wait(lambda: not dock.controller.is_busy)
    assert dock.state.tissue.edited
    assert (layer.data == painted).all()
    extent = layer.extent.world[1] - layer.extent.world[0]
    slide = dock.controller.layer.extent.world
    assert extent == pytest.approx(slide[1] - slide[0], rel=0.05)
    click(dock.tissue_panel.reset_button)
    assert layer.data.shape != painted.shape
    assert layer.data.shape == dock.state.slide.tissue_map.labels.shape
    assert not dock.state.tissue.edited
