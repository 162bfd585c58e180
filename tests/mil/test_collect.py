"""Bags from slides and annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.inference.device import choose_device
from napari_liverdx.mil.bags import UNKNOWN, load_bag
from napari_liverdx.mil.collect import extract_bags, labeled_slides
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.slides.listing import SlideEntry
from tests.support.mil import write_square


def test_annotated_tiles_are_labeled(tmp_path: Path, small_slide: Path, tiny: LoadedModel) -> None:
    drawn = tmp_path / "a.geojson"
    write_square(drawn, "fat", 224, 224, 448)
    row = SlideEntry(small_slide, group="p1", label="fat", annotations=(drawn,))
    (made,) = extract_bags([row], tiny, tmp_path / "bags", device=choose_device("cpu"))
    assert not made.error
    bag = load_bag(tmp_path / "bags" / "small.bag.npz")
    assert len(bag) == made.tiles
    inside = np.zeros(bag.mask.shape, bool)
    inside[1:3, 1:3] = True
    assert (bag.tile_labels[bag.mask & inside] == 2).all()
    assert (bag.tile_labels[~(bag.mask & inside)] == UNKNOWN).all()
    assert (bag.slide_label, bag.group, bag.tile_sha256) == (1, "p1", tiny.sha256)
    write_square(drawn, "tumor", 224, 224, 448)
    (made,) = extract_bags([row], tiny, tmp_path / "bags", device=choose_device("cpu"))
    assert "'tumor'" in made.error


def test_tables_of_slides_are_checked(tmp_path: Path) -> None:
    table = tmp_path / "slides.csv"
    table.write_text("slide,label,group\na.svs,tumor,p1\n")
    with pytest.raises(DataError, match="line 2: label 'tumor'"):
        labeled_slides(table, ("normal", "fat"))
    table.write_text("slide,label,group\na.svs,fat,p1\nb/a.tif,,\n")
    with pytest.raises(DataError, match="called 'a'"):
        labeled_slides(table, ("normal", "fat"))
    table.write_text("path;label;group;mpp\na.svs;fat;p1;0,25\nb.tif;;;\n")
    rows = labeled_slides(table, ("normal", "fat"))
    assert [(r.label, r.group, r.mpp) for r in rows] == [("fat", "p1", 0.25), ("", "b", None)]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no slide in"):
        labeled_slides(empty, ("normal",))
