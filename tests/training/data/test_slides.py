"""Tiles of annotated slides are exactly those of a run."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile
from napari_liverdx.training.data.annotated import TileRule
from napari_liverdx.training.data.config import DataConfig, guess_kind
from napari_liverdx.training.data.slides import SlideDataset
from tests.support.annotations import box, feature, shapes_csv
from tests.support.leaks import DESCRIPTORS, open_files
from tests.support.slides import write_pyramid
from tests.support.vendors.hamamatsu import write_vms
from tests.support.vendors.registry import PIXELS

RULE = TileRule()


LABELS = {"Fat": "fat", "Liver": "liver"}


def drawn(slides: Path, **more: Any) -> SlideDataset:
    options = {"mpp": 0.5, "tile_size": 224, "labels": LABELS, **more}
    return SlideDataset(slides, ("liver", "fat"), **options)


def test_tiles_are_exactly_those_of_a_run(slides: Path, sample: Slide) -> None:
    with drawn(slides) as samples:
        # 5 × 4 tiles; the first is the hole; of column 2 half is fat, and 224 px² of 448 are.
        corners = [name.split("(")[1][:-1] for name in samples.names]
        places = dict(zip(corners, samples.labels.tolist(), strict=True))
        assert places["224, 0"] == 1
        assert places["448, 224"] == 1
        assert places["672, 0"] == 0
        assert "0, 0" not in places
        assert len(places) == 5 * 4 - 1
        assert samples.groups.tolist() == ["small.tif"] * 19
        assert samples.notes == (
            "small.geojson: 2 objects are left out: 1 without an area (points, lines, specks), "
            "1 without a class",
        )
        index = samples.names.index("small.tif (224, 448)")
        whole = sample.read_region(0, 1900, 500, 1120, 896)
        assert np.array_equal(samples.picture(index), whole[448:672, 224:448])
        (example,) = samples.eval_tiles(index, 224, 7)
        assert np.array_equal(example.tile, whole[448:672, 224:448])
        assert example.target.tolist() == [0, 1]


def test_tiles_of_the_packaged_slide_are_read_at_the_models_resolution(
    tmp_path: Path, sample: Slide
) -> None:
    link = tmp_path / sample_path().name
    link.symlink_to(sample_path())
    marks = [feature(n, "Polygon", [box(x, 400, 1500, 1500)]) for n, x in (("Fat", 0), ("L", 2000))]
    (tmp_path / "liver-sample.ome.geojson").write_text(json.dumps(marks))
    samples = drawn(tmp_path, mpp=1.3, tile_size=96, labels={"Fat": "fat", "L": "liver"})
    grid = samples.slides[0].grid
    assert grid.tile_width != 96, "it is resampled"
    expected = np.empty((96, 96, 3), np.uint8)
    x, y = (float(v) for v in samples.names[0].split("(")[1][:-1].split(","))
    tile = TileIndex(
        round(y / grid.scale_y / grid.stride_y), round(x / grid.scale_x / grid.stride_x)
    )
    read_tile(sample, grid, tile, expected)
    assert np.array_equal(samples.picture(0), expected)


def test_drawn_tiles_stay_in_their_region(slides: Path, sample: Slide) -> None:
    samples = drawn(slides)
    rng = np.random.default_rng(0)
    slide = samples.slides[0]
    corners = set()
    for index in range(len(samples)):
        for _ in range(4):
            place = samples.drawn_place(index, rng)
            corners.add(place)
            assert slide.label_of(Rect(*place), RULE) == samples.labels[index]
    assert len(corners) > 40
    one = samples.sample_train(3, 128, 7, np.random.default_rng(5))
    copy = pickle.loads(pickle.dumps(samples))  # noqa: S301
    again = copy.sample_train(3, 128, 7, np.random.default_rng(5))
    assert one.tile.shape == (128, 128, 3)
    assert np.array_equal(one.tile, again.tile)


def test_tiles_in_doubt_belong_to_no_class(slides: Path) -> None:
    marks = [
        feature("Fat", "Polygon", [box(0, 0, 672, 896)]),
        feature("Liver", "Polygon", [box(448, 0, 672, 896)]),
    ]
    (slides / "small.geojson").write_text(json.dumps(marks))
    samples = drawn(slides)
    assert not [n for n in samples.names if "(448," in n]
    assert len(samples) == 16
    strict = drawn(slides, rule=TileRule(min_share=0.99))
    assert len(strict) == 16
    (slides / "small.geojson").write_text(json.dumps(marks[:1]))
    with pytest.raises(DataError, match="no tile of class liver"):
        drawn(slides)


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="the system does not tell what is open")
def test_slides_are_closed_while_nothing_is_read(slides: Path) -> None:
    samples = drawn(slides)
    path = str(samples.slides[0].path)
    assert path not in open_files()
    samples.picture(0)
    assert path in open_files()
    samples.close()
    assert path not in open_files()
    samples.picture(0)


def test_shapes_beside_a_slide_and_a_table_of_slides(slides: Path) -> None:
    (slides / "small.geojson").unlink()
    corners = [(-0.5, -0.5), (-0.5, 447.5), (895.5, 447.5), (895.5, -0.5)]
    shapes_csv(slides / "small.fat.csv", ("polygon", corners))
    shapes_csv(slides / "small.liver.csv", ("polygon", [(y, x + 672) for y, x in corners]))
    assert guess_kind(slides) == "slides"
    samples = drawn(slides, labels=None)
    assert len(samples) == 16
    (slides / "slides.csv").write_text(
        "path,group,split,source,mpp\nsmall.tif,patient 7,train,lab,0.25\n"
    )
    listed = drawn(slides, labels=None)
    assert set(listed.groups) == {"patient 7"}
    assert set(listed.splits) == {"train"}
    assert set(listed.sources) == {"lab"}
    # At 0.25 µm/px a tile covers 448 px: 3 × 2 tiles.
    assert len(listed) == 6
    by_name = drawn(slides / "slides.csv", labels=None, group_pattern="^sm")
    assert set(by_name.groups) == {"patient 7"}


def test_slides_are_checked(slides: Path) -> None:
    with pytest.raises(DataError, match="'Fat' is none of"):
        drawn(slides, labels=None)
    write_pyramid(slides / "bare.tif", np.full((600, 600, 3), 200, np.uint8), mpp=None)
    (slides / "bare.geojson").write_text((slides / "small.geojson").read_text())
    with pytest.raises(DataError, match="states no resolution"):
        drawn(slides)
    assert {"bare.tif", "small.tif"} == set(drawn(slides, slide_mpp=0.5).groups)
    with pytest.raises(DataError, match="plausible"):
        drawn(slides, slide_mpp=900.0)
    (slides / "slides.csv").write_text("path,mpp\nsmall.tif,wide\n")
    with pytest.raises(DataError, match="not a number"):
        drawn(slides)
    (slides / "slides.csv").write_text("path\nnone.tif\n")
    with pytest.raises(DataError, match="there is no slide"):
        drawn(slides)
    (slides / "slides.csv").unlink()
    (slides / "small.png").touch()
    with pytest.raises(DataError, match="several files are called 'small'"):
        drawn(slides)
    for path in slides.glob("*.geojson"):
        path.unlink()
    with pytest.raises(DataError, match="no slide with an annotation"):
        drawn(slides)
    with pytest.raises(DataError, match="resolution"):
        DataConfig(kind="slides").samples(slides, ())


def test_parts_of_an_annotated_written_slide_are_no_slides(tmp_path: Path) -> None:
    write_vms(tmp_path / "a.vms", PIXELS)
    assert (tmp_path / "a.jpg").is_file()
    marks = [feature(n, "Polygon", [box(x, 0, 128, 128)]) for n, x in (("Fat", 0), ("Liver", 128))]
    (tmp_path / "a.geojson").write_text(json.dumps(marks))
    with drawn(tmp_path, tile_size=64) as samples:
        assert set(samples.groups) == {"a.vms"}
        assert len(samples.names) == 8
