"""The manifest holds no folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Slide
from tests.support.runs import run_into


def test_manifest_holds_no_folder(tmp_path: Path, opened_slide: Slide, tiny: LoadedModel) -> None:
    store = run_into(opened_slide, tiny, tmp_path / "a.liverdx.zarr")
    text = json.dumps(store.manifest.model_dump(mode="json"))
    assert os.fspath(tmp_path) not in text
    assert store.manifest.slide_name == "small.tif"
    assert store.manifest.mpp_source == "TIFF resolution tag"


@pytest.mark.parametrize(
    "change",
    [
        {"mpp": [1e308, 0.5]},
        {"mpp": [0.5, 0]},
        {"slide_size": [0, 10]},
        {"cells": 0},
        {"cells": 2000},
        {"overlap": 1.0},
        {"classes": []},
        {"timings": {"seconds": float("nan")}},
        {"grid": {"scale_x": float("inf")}},
        {"grid": {"width": 10**12}},
        {"grid": {"stride_x": 0}},
    ],
)
def test_numbers_of_a_damaged_manifest_are_refused(
    twelve_tiles: ResultStore, change: dict[str, object]
) -> None:
    stored = twelve_tiles.manifest.model_dump(mode="json")
    assert RunManifest.model_validate(stored) == twelve_tiles.manifest
    spoiled = {k: {**stored[k], **v} if isinstance(v, dict) else v for k, v in change.items()}
    with pytest.raises(ValidationError):
        RunManifest.model_validate({**stored, **spoiled})
