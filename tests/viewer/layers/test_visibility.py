"""One slide in sight: what is drawn on a slide belongs to it, whatever layers are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.tissue import TissueMap
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.compare import Side, compare
from napari_liverdx.viewer.layers.annotation import AnnotationLayer
from napari_liverdx.viewer.layers.base import SLIDE_ID_KEY, slide_id
from napari_liverdx.viewer.layers.drawing import drawing_layer, find_drawing
from napari_liverdx.viewer.layers.explain import ExplainLayers
from napari_liverdx.viewer.layers.result import ResultLayers
from napari_liverdx.viewer.layers.review import ReviewLayer
from napari_liverdx.viewer.layers.swipe import Swipe, difference_layer
from napari_liverdx.viewer.layers.tissue import tissue_layer
from napari_liverdx.viewer.layers.visibility import Stage
from tests.support.results import square_result


def slide(viewer: ViewerModel, name: str) -> Image:
    """A slide's layer as any reader makes it."""
    layer = Image(np.full((672, 896, 3), 200, np.uint8), rgb=True, name=name)
    viewer.add_layer(layer)
    return layer


def everything_on(
    viewer: ViewerModel, reference: Image, store: ResultStore
) -> tuple[list[Layer], list[object]]:
    """All kinds of layers over a slide, and what keeps them."""
    before = set(viewer.layers)
    results = ResultLayers(viewer, store, reference, MeasureSettings({"fat": 0.4}))
    found = TissueMap(np.ones((21, 28), np.uint8), 32.0, 32.0)
    viewer.add_layer(tissue_layer(found, reference))
    drawn = AnnotationLayer(reference, store.manifest.scheme, lambda _: None, lambda _: None)
    viewer.add_layer(drawn.layer)
    review = ReviewLayer(viewer, store, reference, {}, {})
    review.show({}, TileIndex(0, 0))
    drawing_layer(viewer, reference, f"Regions · {reference.name}", "measure", of_slide=True)
    outline = ExplainLayers(viewer)
    outline.show_outline(Rect(0, 0, 224, 224), reference)
    side = Side(store, "fat", MeasureSettings({"fat": 0.4}))
    swipe = Swipe(viewer, reference, side, side, lambda _: None)
    viewer.add_layer(difference_layer(compare(side, side), side, reference))
    kept = [results, drawn, review, outline, swipe]
    return [layer for layer in viewer.layers if layer not in before], kept


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return square_result(tmp_path / "s.liverdx.zarr")


def test_renamed_layers_stay_with_their_slide(store: ResultStore) -> None:
    viewer = ViewerModel()
    stage = Stage(viewer)
    a, b = slide(viewer, "a"), slide(viewer, "b")
    on_a, kept_a = everything_on(viewer, a, store)
    assert len(on_a) >= 10
    # The layers of a result are shown once; those of the other slide are of another result.
    on_b = [drawing_layer(viewer, b, "Regions · b", "measure", of_slide=True)]
    were_visible = {layer: layer.visible for layer in on_a}
    a.name, b.name = "renamed", "a"
    for number, layer in enumerate(on_a):
        layer.name = f"any {number} · a"
    stage.show(b)
    assert b.visible
    assert not a.visible
    assert not [layer.name for layer in on_a if layer.visible]
    assert all(layer.visible for layer in on_b)
    stage.show(a)
    assert a.visible
    assert not b.visible
    assert {layer: layer.visible for layer in on_a} == were_visible
    assert not on_b[0].visible
    del kept_a


def test_a_copy_of_a_slide_is_a_slide_for_itself(store: ResultStore) -> None:
    viewer = ViewerModel()
    stage = Stage(viewer)
    a = slide(viewer, "a")
    on_a = ResultLayers(viewer, store, a, MeasureSettings({"fat": 0.4})).probabilities["fat"]
    data, meta, _ = a.as_layer_data_tuple()
    copy = Image(data, **meta)
    viewer.add_layer(copy)
    assert copy.metadata[SLIDE_ID_KEY] == slide_id(a)
    stage.show(a)
    assert (a.visible, copy.visible, on_a.visible) == (True, False, True)
    stage.show(copy)
    assert (a.visible, copy.visible, on_a.visible) == (False, True, True)


def test_regions_are_found_under_any_name() -> None:
    viewer = ViewerModel()
    a, b = slide(viewer, "a"), slide(viewer, "b")
    shared = drawing_layer(viewer, a, "Regions", "analyze")
    own = drawing_layer(viewer, a, "Mine", "measure", of_slide=True)
    shared.name, own.name, b.name = "Mine", "Regions", "a"
    assert drawing_layer(viewer, b, "Regions", "analyze") is shared
    assert drawing_layer(viewer, a, "Mine", "measure", of_slide=True) is own
    other = drawing_layer(viewer, b, "Mine", "measure", of_slide=True)
    assert other is not own
    assert find_drawing(viewer, "measure", b) is other
    assert find_drawing(viewer, "draw") is None
