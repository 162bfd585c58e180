"""Data in: tables, folders, annotated slides, and splits that keep groups together."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect, Region, covered
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.annotations import read_geojson, read_shapes_csv
from napari_liverdx.slides.csv_table import read_table
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile
from napari_liverdx.training.data._all import FolderSamples, SlideSamples, TableSamples
from napari_liverdx.training.data.annotated import TileRule
from napari_liverdx.training.data.config import DataConfig, guess_kind
from napari_liverdx.training.data.splits import (
    assigned_split,
    folds_of,
    joined_groups,
    of_sources,
    shares_of,
)

from .conftest import write_pyramid

BROKEN = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    """A closed GeoJSON ring."""
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]


def feature(name: str | None, kind: str, coordinates: Any) -> dict[str, Any]:
    """A feature as QuPath writes it."""
    properties: dict[str, Any] = {"objectType": "annotation"}
    if name is not None:
        properties["classification"] = {"name": name, "color": [200, 0, 0]}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


def collection(*features: dict[str, Any]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features)})


def shapes_csv(path: Path, *shapes: tuple[str, list[tuple[float, float]]]) -> None:
    """The table that napari 0.9 writes for a Shapes layer."""
    lines = ["index,shape-type,vertex-index,axis-0,axis-1"]
    for index, (kind, corners) in enumerate(shapes):
        lines += [f"{index},{kind},{v},{y},{x}" for v, (y, x) in enumerate(corners)]
    path.write_text("\n".join(lines) + "\n")


# -- regions --


def test_holes_are_outside() -> None:
    outer, hole = np.array(box(0, 0, 100, 100)[:-1]), np.array(box(25, 25, 50, 50)[:-1])
    ring = Region("a", (outer, hole))
    assert covered([ring], Rect(0, 0, 100, 100)) == pytest.approx(0.75)
    assert covered([ring], Rect(30, 30, 40, 40)) == 0
    assert covered([ring], Rect(-50, 0, 100, 25)) == pytest.approx(0.5)
    assert covered([ring, Region("a", (hole,))], Rect(0, 0, 100, 100)) == 1


def test_overlapping_regions_count_once() -> None:
    regions = [Region("a", (np.array(box(x, 0, 60, 100)[:-1]),)) for x in (0, 20)]
    assert covered(regions, Rect(0, 0, 100, 100)) == pytest.approx(0.8, abs=0.02)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=3, max_size=9, unique=True),
    st.integers(1, 40),
)
def test_a_polygon_is_filled_as_matplotlib_fills_it(
    corners: list[tuple[float, float]], step: int
) -> None:
    from skimage.measure import points_in_poly

    ring = np.array(corners)
    xs = np.arange(0.5, 100, step) + 0.123
    ys = np.arange(0.5, 100, step) + 0.321
    found = Region("a", (ring,)).contains(xs, ys)
    points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    expected = points_in_poly(points, ring).reshape(len(ys), len(xs))
    # Both may call a point that lies on an edge to the last bit either way.
    ends = np.roll(ring, -1, axis=0)
    span = ends - ring
    length = np.maximum(np.hypot(*span.T), 1e-12)
    offset = points[:, None] - ring[None]
    away = np.abs(span[:, 0] * offset[..., 1] - span[:, 1] * offset[..., 0]) / length
    clear = (away > 1e-6).all(axis=1).reshape(found.shape)
    assert (found == expected)[clear].all()


# -- annotations --


def test_qupath_export(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    ring, hole = box(0, 0, 100, 100), box(10, 10, 20, 20)
    features = [
        feature("Tumor", "Polygon", [ring, hole]),
        feature("Stroma", "MultiPolygon", [[box(200, 0, 10, 10)], [box(300, 0, 10, 10), hole]]),
        feature(None, "Polygon", [ring]),
        feature("Tumor", "Point", [3, 4]),
        {"type": "Feature", "geometry": None, "properties": {"classification": {"name": "a"}}},
    ]
    path.write_text(collection(*features))
    found = read_geojson(path)
    assert [r.name for r in found.regions] == ["Tumor", "Stroma", "Stroma"]
    assert [len(r.rings) for r in found.regions] == [2, 1, 2]
    assert found.regions[0].rings[0].shape == (4, 2)
    assert found.skipped == 3
    path.write_text(json.dumps(features[:1]))
    assert read_geojson(path).regions[0].bounds == Rect(0, 0, 100, 100)
    path.write_text(json.dumps(features[0]))
    assert len(read_geojson(path).regions) == 1
    features[0]["properties"]["classification"] = {"names": ["Tumor", "Positive"]}
    path.write_text(json.dumps(features[:1]))
    assert read_geojson(path).regions[0].name == "Tumor: Positive"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not GeoJSON"),
        ("[" * 100_000, "not GeoJSON"),
        ("{}", "neither"),
        ("[3]", "not a GeoJSON feature"),
        (collection(feature("a", "Polygon", [])).replace("[]", "{}"), "without coordinates"),
        (collection(feature("a", "Polygon", [[[0, 0], [1, 1]]])), "fewer than three"),
        (collection(feature("a", "Polygon", [[[0, 0], [1, 1], ["x", 2]]])), "pair of numbers"),
        (collection(feature("a", "Polygon", [[[0, 0], [1, 1], [1e999, 2]]])), "no place"),
        (collection(feature("a", "MultiPolygon", [[]])), "no corners"),
    ],
)
def test_broken_geojson_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_geojson(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "features", "geometry", "coordinates", "properties", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@BROKEN
@given(content=JSON, kind=st.sampled_from(["Polygon", "MultiPolygon", "Nonsense"]))
def test_any_json_is_read_or_refused(tmp_path: Path, content: Any, kind: str) -> None:
    path = tmp_path / "a.geojson"
    one = feature("a", kind, content)
    named = {**one, "properties": {"classification": content}}
    for whole in (content, [one], [content], [named]):
        path.write_text(json.dumps(whole))
        try:
            found = read_geojson(path)
        except DataError:
            continue
        assert all(np.isfinite(ring).all() for r in found.regions for ring in r.rings)


@BROKEN
@given(data=st.binary(max_size=200), header=st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, header: bool) -> None:
    path = tmp_path / "a.csv"
    for columns in ("index,shape-type,vertex-index,axis-0,axis-1", "path,label,split"):
        path.write_bytes((columns.encode() + b"\n" if header else b"") + data)
        for read in (
            lambda: read_geojson(path),
            lambda: read_shapes_csv(path, "a"),
            lambda: TableSamples(path),
        ):
            try:
                read()
            except DataError:
                continue


def test_napari_shapes(tmp_path: Path) -> None:
    """In napari (0, 0) is the centre of the first pixel."""
    path = tmp_path / "s.Tumor.csv"
    corners = [(0.0, 0.0), (0.0, 20.0), (10.0, 20.0), (10.0, 0.0)]
    shapes_csv(path, ("rectangle", corners), ("ellipse", corners), ("path", corners))
    found = read_shapes_csv(path, "Tumor")
    assert found.skipped == 1
    assert found.regions[0].bounds == Rect(0.5, 0.5, 20, 10)
    assert found.regions[1].bounds.width == pytest.approx(20)
    ellipse = covered([found.regions[1]], Rect(0.5, 0.5, 20, 10))
    assert ellipse == pytest.approx(np.pi / 4, abs=0.02)
    in_um = read_shapes_csv(path, "Tumor", units="um", mpp=Mpp.square(0.5))
    assert in_um.regions[0].bounds == Rect(0.5, 0.5, 40, 20)
    with pytest.raises(DataError, match="resolution"):
        read_shapes_csv(path, "Tumor", units="um")
    shapes_csv(path, ("blob", corners))
    with pytest.raises(DataError, match="blob"):
        read_shapes_csv(path, "Tumor")


def test_shapes_as_napari_itself_saves_them(tmp_path: Path) -> None:
    from napari.layers import Shapes
    from napari_builtins.io import napari_write_shapes

    layer = Shapes(scale=(0.5, 0.5))
    layer.add_rectangles(np.array([[2.0, 4], [2, 24], [12, 24], [12, 4]]))
    path = tmp_path / "s.Tumor.csv"
    data, attributes, _ = layer.as_layer_data_tuple()
    assert napari_write_shapes(str(path), data, attributes) == str(path)
    (region,) = read_shapes_csv(path, "Tumor").regions
    assert region.bounds == Rect(4.5, 2.5, 20, 10)


# -- tables and folders --


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures of two classes and six patients, in folders, and a table of them."""
    rng = np.random.default_rng(0)
    lines = ["file;diagnosis;patient;part"]
    for i in range(12):
        name = ("HCC", "healthy")[i % 2]
        (tmp_path / "tiles" / name).mkdir(parents=True, exist_ok=True)
        path = tmp_path / "tiles" / name / f"p{i // 2}_{i}.png"
        Image.fromarray(rng.integers(0, 255, (32, 40, 3), dtype=np.uint8)).save(path)
        part = ("Training", "valid", "TEST")[min(2, i // 4)]
        lines.append(f"tiles/{name}/{path.name};{name};p{i // 2};{part}")
    (tmp_path / "table.csv").write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


COLUMNS = {"path": "file", "label": "diagnosis", "group": "patient", "split": "part"}


def test_a_table_with_its_own_names(pictures: Path) -> None:
    config = DataConfig(kind="table", columns=COLUMNS, labels={"HCC": "tumour"})
    samples = config.samples(pictures / "table.csv", ("healthy", "tumour"))
    assert samples.classes == ("healthy", "tumour")
    assert samples.labels.tolist() == [1, 0] * 6
    assert sorted(set(samples.groups)) == [f"p{i}" for i in range(6)]
    assert samples.splits.tolist() == ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    assert samples.sizes.tolist() == [[40, 32]] * 12
    stored = np.asarray(Image.open(pictures / samples.names[3]))
    assert np.array_equal(samples.picture(3), stored)
    (example,) = samples.fixed(3, 24, 7)
    assert example.tile.shape == (24, 24, 3)
    assert example.target.tolist() == [1, 0]
    split = assigned_split(samples, 2, 0)
    assert [p.tolist() for p in split.parts.values()] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


def test_tables_are_checked(pictures: Path) -> None:
    table = pictures / "tiles.csv"

    def refused(text: str, **more: Any) -> str:
        table.write_text(text)
        with pytest.raises(DataError) as caught:
            TableSamples(pictures, **more)
        return str(caught.value)

    good = "tiles/HCC/p0_0.png,HCC\n"
    assert "there is no picture" in refused("path,label\nnone.png,a\nb.png,b\n")
    assert "column label" in refused("path\nx\n")
    assert "at least two classes" in refused(f"path,label\n{good}")
    assert "no label" in refused(f"path,label\n{good}tiles/HCC/p1_2.png,\n")
    assert "'HCC' is none of" in refused(f"path,label\n{good}", classes=("a", "b"))
    assert "no picture of class b" in refused(f"path,label\n{good}", classes=("HCC", "b"))
    assert "split 'x'" in refused(
        f"path,label,split\n{good[:-1]},train\ntiles/healthy/p0_1.png,b,x\n"
    )
    assert "'colour' is unknown" in refused(f"path,label\n{good}", columns={"colour": "x"})
    assert "no regular expression" in refused(
        f"path,label\n{good}tiles/healthy/p0_1.png,b\n", group_pattern="("
    )
    with pytest.raises(DataError, match="cannot be read"):
        read_table(pictures / "none.csv", ())


def test_folders_under_other_names(pictures: Path) -> None:
    samples = FolderSamples(
        pictures / "tiles", ("healthy", "tumour"), r"^(p\d)", labels={"HCC": "tumour"}
    )
    assert samples.labels.tolist() == [0] * 6 + [1] * 6
    (pictures / "tiles" / "other").mkdir()
    samples = FolderSamples(pictures / "tiles", ("healthy", "HCC"))
    assert samples.notes == ("folder other is no class and is left out",)
    assert (samples.splits == "").all()


def test_what_data_look_like(pictures: Path) -> None:
    assert guess_kind(pictures / "tiles") == "folders"
    assert guess_kind(pictures / "table.csv") == "table"
    (pictures / "tiles.csv").touch()
    assert guess_kind(pictures) == "table"
    (pictures / "masks").mkdir()
    assert guess_kind(pictures) == "masks"
    with pytest.raises(DataError, match="no such folder"):
        guess_kind(pictures / "none")


# -- splits --


def test_splits_that_are_not_stated_keep_groups_together(pictures: Path) -> None:
    samples = FolderSamples(pictures / "tiles", group_pattern=r"^(p\d)")
    split = assigned_split(samples, 2, 0, test_folds=3)
    sides = [set(samples.groups[i]) for i in split.parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 6
    samples.splits = np.array(["train", "test"] * 6)
    samples.groups = np.array([f"{p}{i % 2}" for i, p in enumerate(samples.groups)])
    split = assigned_split(samples, 2, 0)
    assert split.test.tolist() == list(range(1, 12, 2))
    assert sorted([*split.train, *split.val]) == list(range(0, 12, 2))
    assert not set(samples.groups[split.train]) & set(samples.groups[split.val])
    samples.splits[3] = ""
    with pytest.raises(DataError, match="1 of 12 samples state no split"):
        assigned_split(samples, 2, 0)
    samples.splits[:] = "test"
    with pytest.raises(DataError, match="no sample is for training"):
        assigned_split(samples, 2, 0)
    with pytest.raises(DataError, match="of source x"):
        of_sources(samples, ["x"])


@settings(max_examples=8)
@given(
    seed=st.integers(0, 1000),
    n_groups=st.integers(12, 60),
    test=st.floats(0, 0.4),
    val=st.floats(0, 0.4),
)
def test_shares_never_split_a_group(seed: int, n_groups: int, test: float, val: float) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"g{i}" for i in range(n_groups)], rng.integers(1, 6, n_groups))
    labels = rng.integers(0, 2, len(groups))
    parts = shares_of(labels, groups, {"test": test, "val": val}, seed)
    a, b = parts["test"], parts["val"]
    rest = np.setdiff1d(np.arange(len(groups)), [*a, *b])
    assert len(rest)
    assert not set(a) & set(b)
    for one, other in ((a, b), (a, rest), (b, rest)):
        assert not set(groups[one]) & set(groups[other])
    again = shares_of(labels, groups, {"test": test, "val": val}, seed)
    assert np.array_equal(again["test"], a)


def test_folds_cover_everything_once() -> None:
    groups = np.repeat([f"g{i}" for i in range(10)], 3)
    parts = [part for _, part in folds_of(np.arange(30) % 2, groups, np.arange(30), 5, 0)]
    assert sorted(np.concatenate(parts)) == list(range(30))
    with pytest.raises(DataError, match="shares"):
        shares_of(np.zeros(30, int), groups, {"test": 0.7, "val": 0.5}, 0)


def test_groups_are_joined_through_pairs() -> None:
    groups = np.array(["a", "b", "c", "d", "d"])
    joined = joined_groups(groups, np.array([[0, 2], [2, 3]]))
    assert joined.tolist() == ["a", "b", "a", "a", "a"]
    assert joined_groups(groups, np.empty((0, 2), int)).tolist() == groups.tolist()


# -- annotated slides --

RULE = TileRule()


@pytest.fixture
def slides(tmp_path: Path, small_slide: Path) -> Path:
    """A folder with one slide (1120 × 896 px): fat on the left half, liver on the right."""
    marks = collection(
        feature("Fat", "Polygon", [box(0, 0, 560, 896), box(0, 0, 224, 224)]),
        feature("Liver", "Polygon", [box(672, 0, 448, 896)]),
        feature("Odd", "Point", [1, 1]),
    )
    (tmp_path / "small.geojson").write_text(marks)
    return tmp_path


LABELS = {"Fat": "fat", "Liver": "liver"}


def drawn(slides: Path, **more: Any) -> SlideSamples:
    options = {"mpp": 0.5, "tile_size": 224, "labels": LABELS, **more}
    return SlideSamples(slides, ("liver", "fat"), **options)


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
            "small.geojson: 1 objects without an area or a class are left out",
        )
        index = samples.names.index("small.tif (224, 448)")
        whole = sample.read_region(0, 1900, 500, 1120, 896)
        assert np.array_equal(samples.picture(index), whole[448:672, 224:448])
        (example,) = samples.fixed(index, 224, 7)
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
            place = samples._moved(slide, samples._places[index].tile, samples.labels[index], rng)
            corners.add(place)
            assert slide.label_of(Rect(*place), RULE) == samples.labels[index]
    assert len(corners) > 40
    one = samples.draw(3, 128, 7, np.random.default_rng(5))
    copy = pickle.loads(pickle.dumps(samples))  # noqa: S301
    again = copy.draw(3, 128, 7, np.random.default_rng(5))
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


def test_slides_are_closed_while_nothing_is_read(slides: Path) -> None:
    samples = drawn(slides)
    assert not samples._open
    samples.picture(0)
    assert len(samples._open) == 1
    samples.close()
    assert not samples._open
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
