"""The manifest holds no folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

from napari_liverdx.models.file import LoadedModel
from napari_liverdx.slides.slide import Slide
from tests.support.runs import run_into


def test_manifest_holds_no_folder(tmp_path: Path, opened_slide: Slide, tiny: LoadedModel) -> None:
    store = run_into(opened_slide, tiny, tmp_path / "a.liverdx.zarr")
    text = json.dumps(store.manifest.model_dump(mode="json"))
    assert os.fspath(tmp_path) not in text
    assert store.manifest.slide_name == "small.tif"
    assert store.manifest.mpp_source == "TIFF resolution tag"
