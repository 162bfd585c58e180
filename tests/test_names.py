"""Names of slides, folders and models as people and systems give them, all the way through."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

import napari_liverdx as liverdx
from napari_liverdx.exports.registry import EXPORTS
from napari_liverdx.session.batch import BatchEnded, BatchRequest, run_batch
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.slide import Slide
from tests.support.slides import write_pyramid

NAMES = {
    "letters": "..two  ünï–çødé 🧫🔬 <b>&'\" ",
    "long": "é" * 120,
    "sharp": "-o#1?x=1&y=%2e%20",
    "line": "new\nline\tand \x1b[31m",
    "no text": "ni\udcf1",
}

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other systems refuse such names themselves"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_goes_from_slide_to_export_and_back(
    tmp_path: Path, sample: Slide, tiny_file: Path, name: str
) -> None:
    folder = tmp_path / name[:100]
    slide = folder / f"{name}.tif"
    folder.mkdir()
    write_pyramid(slide, sample.read_region(0, 1900, 700, 448, 224))
    # A model's file is opened by a library that takes no names but text.
    called = "m" if "\udcf1" in name else name[:50]
    model = Path(shutil.copyfile(tiny_file, tmp_path / f"{called}.safetensors"))
    result = liverdx.analyze_slide(slide, model, out=folder / "out", device="cpu")
    written = list(result.report(formats=("html", "csv", "pdf")).values())
    written += [result.export(kind) for kind in EXPORTS]
    assert all(path.exists() for path in written)
    again = liverdx.open_result(result.path, model=model)
    assert again.to_rows() == result.to_rows()
    with again.opened_slide() as found:
        assert found is not None
        assert found.path.samefile(slide)
    same = liverdx.analyze_slide(slide, model, out=folder / "out", device="cpu")
    assert same.path == result.path
    assert "\x1b" not in "".join(p.name for p in (folder / "out").iterdir())


@pytest.mark.slow
def test_a_batch_tells_slides_of_long_and_odd_names_apart(
    tmp_path: Path, sample: Slide, tiny_file: Path
) -> None:
    write_pyramid(tmp_path / "form.tiff", sample.read_region(0, 1900, 700, 448, 224))
    form = (tmp_path / "form.tiff").read_bytes()
    (tmp_path / "form.tiff").unlink()
    names = ["a" * 246, "a" * 245 + "b", "x\ny", "x_y", "ni\udcf1"]
    for n, name in enumerate(names):
        # Other slides: their ends differ.
        data = form + bytes([n] * 9)
        Path(os.fsdecode(os.fsencode(tmp_path / f"{name}.tif"))).write_bytes(data)
    request = BatchRequest(find_slides(tmp_path), str(tiny_file), tmp_path / "out")
    (*_, ended) = run_batch(request, threading.Event())
    assert isinstance(ended, BatchEnded)
    assert ended.summary.done == len(names), ended.rows
    assert len(list((tmp_path / "out").glob("*.liverdx.zarr"))) == len(names)
    with (tmp_path / "out" / "cohort.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 1 + len(names)
