"""Exports: read back by other programs' libraries, they say the same and lie in the same place."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import ome_zarr_models
import pytest
import shapely
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from napari.components import ViewerModel
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import LiverDxError, PlanError, ResultError
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.core.measure import measure
from napari_liverdx.core.outline import label_foci, outline
from napari_liverdx.core.tissue import TissueMask
from napari_liverdx.exports.base import ExportOptions
from napari_liverdx.exports.geojson import features
from napari_liverdx.exports.registry import EXPORTS, export, export_path
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.results.review_log import Decision
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.export import write_export
from napari_liverdx.slides.annotations import read_geojson
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Overview
from napari_liverdx.viewer.layers.base import RESULT_KEY, SLIDE_KEY
from napari_liverdx.viewer.writers import save_dicom

from .conftest import CLASSES

MPP = (0.5, 0.25)
TILE, CELLS = 64, 4
CELL = TILE // CELLS
NAME = "Doe, Jane 1950.svs"


def make_store(
    folder: Path, rows: int = 6, cols: int = 8, *, cells: int = CELLS, slide: Path | None = None
) -> ResultStore:
    """A result of random probabilities, on unequal µm/px unless it is of a real slide."""
    x, y = 128, 64
    grid = TileGrid(0, 1.0, 1.0, x, y, cols * TILE, rows * TILE, TILE, TILE, TILE, TILE, TILE)
    manifest = RunManifest(
        slide_name=NAME,
        slide_format="test",
        slide_fingerprint="ab12cd34" + "0" * 56,
        slide_size=(x + cols * TILE, y + rows * TILE),
        mpp=MPP,
        mpp_source="test",
        model_name="tiny",
        model_version="3",
        model_sha256="f" * 64,
        classes=CLASSES,
        grid=grid,
        cells=cells,
        overlap=0.0,
        regions_sha256="",
    )
    if slide is not None:
        with open_slide(slide) as opened:
            told = {"mpp": (0.5, 0.5), "slide_fingerprint": opened.fingerprint()}
            manifest = manifest.model_copy(update={**told, "slide_size": opened.size})
    width, height = manifest.slide_size
    tissue = TissueMask(np.ones((height // 32, width // 32), bool), 32.0, 32.0)
    tissue.mask[:, -1] = False
    tiles = [t for t in grid if t != TileIndex(0, 0)]
    store = ResultStore.create(folder / "slide.tiny.liverdx.zarr", manifest, tissue, tiles)
    rng = np.random.default_rng(0)
    values = rng.dirichlet((1, 1, 1), (len(tiles), cells, cells)).astype(np.float32)
    values = np.moveaxis(values, -1, 1)
    domain = np.where(np.arange(len(tiles)) % 2, 0.5, np.nan).astype(np.float32)
    store.add(tiles[:-1], values.mean((2, 3))[:-1], values[:-1], [tiles[-1]], domain=domain)
    store.finish({}, device="cpu", complete=True)
    return store


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """A small result."""
    return make_store(tmp_path)


def exported(store: ResultStore, name: str, **options: object) -> Path:
    path = export_path(store, name, store.path.parent / "out")
    export(store, name, path, **options)
    return path


def counted(store: ResultStore, threshold: float) -> np.ndarray:
    return (store.probabilities[2] >= np.float32(threshold)) & store.tissue_cells()


# -- outlines --


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_are_valid_polygons_of_the_same_cells(mask: np.ndarray) -> None:
    labels, count = label_foci(mask)
    foci = list(outline(labels))
    assert [f.label for f in foci] == list(range(1, count + 1))
    rows, cols = np.mgrid[: mask.shape[0], : mask.shape[1]]
    for focus in foci:
        polygons = [shapely.Polygon(p[0], p[1:]) for p in focus.polygons]
        shape = shapely.MultiPolygon(polygons) if len(polygons) > 1 else polygons[0]
        assert shape.is_valid, shapely.is_valid_reason(shape)
        mine = labels == focus.label
        assert shape.area == mine.sum()
        assert (shapely.contains_xy(shape, cols + 0.5, rows + 0.5) == mine).all()
        for shell, *holes in focus.polygons:
            assert shapely.LinearRing(shell).is_ccw
            assert not any(shapely.LinearRing(h).is_ccw for h in holes)


def test_a_ring_that_closes_at_a_corner_keeps_its_hole() -> None:
    ring = np.ones((3, 3), bool)
    ring[0, 0] = ring[1, 1] = False
    (focus,) = outline(label_foci(ring)[0])
    assert [len(p) for p in focus.polygons] == [2]
    pair = np.eye(2, dtype=bool)
    (focus,) = outline(label_foci(pair)[0])
    assert [len(p) for p in focus.polygons] == [1, 1]


def test_outlines_of_nothing_and_of_everything() -> None:
    assert list(outline(label_foci(np.zeros((4, 5), bool))[0])) == []
    (focus,) = outline(label_foci(np.ones((4, 5), bool))[0])
    assert focus.polygons[0][0].tolist() == [[0, 0], [5, 0], [5, 4], [0, 4]]


# -- GeoJSON --


@settings(max_examples=40)
@given(data=st.data(), threshold=st.sampled_from([0.25, 0.5, 0.75]))
def test_regions_come_back_with_the_same_cells(
    shared: ResultStore, data: st.DataObject, threshold: float
) -> None:
    store = shared
    shape = store.probabilities.shape[1:]
    store.probabilities[2] = data.draw(
        hnp.arrays(np.float32, shape, elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1]))
    )
    path = exported(store, "geojson", thresholds={"fat": threshold})
    tiles = store.count(TileState.DONE)
    regions = read_geojson(path).regions[:-tiles]
    assert {r.name for r in regions} <= {"fat"}
    wanted = counted(store, threshold)
    xs = store.origin[0] + (np.arange(shape[1]) + 0.5) * CELL
    ys = store.origin[1] + (np.arange(shape[0]) + 0.5) * CELL
    covered = np.zeros(shape, bool)
    area = 0.0
    for region in regions:
        covered ^= region.contains(xs, ys)
        area += sum(_area(r) for r in region.rings)
    assert (covered == wanted).all()
    assert area == wanted.sum() * CELL * CELL


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """A result whose probabilities a property test fills anew."""
    return make_store(tmp_path_factory.mktemp("shared"), 3, 4)


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def test_geojson_has_what_qupath_reads(store: ResultStore) -> None:
    tile = TileIndex(1, 2)
    called = CLASSES[int(store.tile_probabilities[:, 1, 2].argmax())].name
    store.decisions.put(tile, Decision.reject(called, "liver"))
    content = json.loads(exported(store, "geojson", thresholds={"fat": 0.4}).read_text("utf-8"))
    assert content["type"] == "FeatureCollection"
    found = content["features"]
    ids = [uuid.UUID(f["id"]) for f in found]
    assert len(set(ids)) == len(ids)
    assert {i.version for i in ids} == {5}
    annotations = [f for f in found if f["properties"]["objectType"] == "annotation"]
    tiles = [f for f in found if f["properties"]["objectType"] == "tile"]
    assert annotations + tiles == found
    labels, count = label_foci(counted(store, 0.4))
    assert len(annotations) == count
    for n, feature in enumerate(annotations, 1):
        p = feature["properties"]
        assert p["classification"] == {"name": "fat", "color": [10, 132, 255]}
        assert p["name"] == f"Liver with fat {n}"
        assert p["isLocked"] is True
        values = store.probabilities[2][labels == n]
        assert p["measurements"]["Cells"] == len(values)
        mm2 = len(values) * CELL * CELL * MPP[0] * MPP[1] / 1e6
        assert p["measurements"]["Area mm^2"] == pytest.approx(mm2)
        assert p["measurements"]["Mean probability"] == pytest.approx(values.mean(), abs=1e-5)
    (row,) = [
        m for m in measure(
            store.probabilities, store.tissue_cells(), store.manifest.scheme,
            cell_area_um2=store.cell_area_um2, thresholds={"fat": 0.4},
        ) if m.name == "fat"
    ]  # fmt: skip
    total = sum(f["properties"]["measurements"]["Area mm^2"] for f in annotations)
    assert total == pytest.approx(row.area_mm2)


def test_geojson_tiles(store: ResultStore) -> None:
    tile = TileIndex(1, 2)
    store.decisions.put(tile, Decision.reject("fat", "liver"))
    content = json.loads(exported(store, "geojson").read_text("utf-8"))
    tiles = [f for f in content["features"] if f["properties"]["objectType"] == "tile"]
    done = [TileIndex(*p) for p in np.argwhere(store.state == TileState.DONE).tolist()]
    assert len(tiles) == len(done) == 6 * 8 - 2
    for feature, at in zip(tiles, done, strict=True):
        rect = store.manifest.grid.rect(at)
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.bounds == (rect.x, rect.y, rect.right, rect.bottom)
        p = feature["properties"]
        values = store.tile_probabilities[:, at.row, at.col]
        assert p["classification"]["name"] == CLASSES[values.argmax()].name
        numbers = p["measurements"]
        for c, value in zip(CLASSES, values, strict=True):
            assert numbers[f"Probability {c.name}"] == pytest.approx(value, abs=1e-6)
        known = np.isfinite(store.domain[at.row, at.col])
        assert numbers.get("Unlike training data") == (0.5 if known else None)
        assert ("Review accepted" in numbers) == (at == tile)
    (reviewed,) = [t["properties"] for t in tiles if "metadata" in t["properties"]]
    assert reviewed["measurements"]["Review accepted"] == 0
    assert reviewed["metadata"]["Correct class"] == "liver"


def test_exports_are_the_same_each_time(store: ResultStore) -> None:
    for name in ("geojson", "csv", "dicom"):
        path = exported(store, name)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        before = [f.read_bytes() for f in files]
        exported(store, name)
        assert [f.read_bytes() for f in files] == before, name


def test_many_tiles_stream_in_little_memory(tmp_path: Path) -> None:
    store = make_store(tmp_path, 80, 80, cells=1)
    assert store.decisions == {}
    count = written = 0
    tracemalloc.start()
    for text in features(store, ExportOptions({"fat": 1.0})):
        count, written = count + 1, written + len(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 80 * 80 - 2
    assert peak < written / 2


# -- table --


def test_table_of_tiles(store: ResultStore) -> None:
    store.decisions.put(TileIndex(1, 2), Decision.accept("fat"))
    rows = list(csv.DictReader(io.StringIO(exported(store, "csv").read_text("utf-8"))))
    assert len(rows) == 6 * 8 - 1
    assert [r["state"] for r in rows] == ["done"] * 46 + ["failed"]
    assert rows[-1]["called"] == rows[-1]["probability_fat"] == ""
    for row in rows[:-1]:
        at = TileIndex(int(row["row"]), int(row["col"]))
        rect = store.manifest.grid.rect(at)
        assert [float(row[f"{k}_px"]) for k in ("x", "y", "width", "height")] == [
            rect.x, rect.y, rect.width, rect.height,
        ]  # fmt: skip
        assert [float(row[f"{k}_um"]) for k in ("x", "y", "width", "height")] == [
            rect.x * MPP[0], rect.y * MPP[1], rect.width * MPP[0], rect.height * MPP[1],
        ]  # fmt: skip
        values = store.tile_probabilities[:, at.row, at.col]
        assert float(row["probability_fat"]) == pytest.approx(values[2], abs=1e-6)
        assert row["called"] == CLASSES[values.argmax()].name
    (reviewed,) = [r for r in rows if r["verdict"]]
    assert (reviewed["row"], reviewed["col"], reviewed["correct"]) == ("1", "2", "fat")


# -- OME --


def test_ome_tiff_has_values_names_and_place(store: ResultStore) -> None:
    path = exported(store, "ome-tiff")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        (series,) = tiff.series
        assert series.axes == "CYX"
        assert (series.asarray() == store.probabilities).all()
        assert tiff.pages[0].is_tiled
        assert tiff.pages[0].compression.name == "ADOBE_DEFLATE"
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert pixels["PhysicalSizeX"] == CELL * MPP[0]
    assert pixels["PhysicalSizeY"] == CELL * MPP[1]
    assert pixels["Plane"][0]["PositionX"] == 128 * MPP[0]
    assert pixels["Plane"][2]["PositionY"] == 64 * MPP[1]
    assert [c["Name"] for c in pixels["Channel"]] == [c.title for c in CLASSES]
    colours = [int(c["Color"]) & 0xFFFFFFFF for c in pixels["Channel"]]
    assert [f"#{c >> 8:06x}" for c in colours] == [c.colour for c in CLASSES]


def test_large_ome_tiff_is_a_pyramid_and_bytes_on_wish(tmp_path: Path) -> None:
    store = make_store(tmp_path, 3, 130, cells=8)
    with tifffile.TiffFile(exported(store, "ome-tiff", as_bytes=True)) as tiff:
        (series,) = tiff.series
        assert [v.shape for v in series.levels] == [(3, 24, 1040), (3, 12, 520), (3, 6, 260)]
        whole, half = series.levels[0].asarray(), series.levels[1].asarray()
    assert whole.dtype == np.uint8
    assert np.abs(whole / 255 - store.probabilities).max() <= 0.5 / 255 + 1e-6
    means = store.probabilities.reshape(3, 12, 2, 520, 2).mean((2, 4))
    assert np.abs(half / 255 - means).max() <= 0.5 / 255 + 1e-6


def test_ome_zarr_is_valid_and_shows_what_is_called(tmp_path: Path) -> None:
    store = make_store(tmp_path, 3, 70, cells=8)
    path = exported(store, "ome-zarr", thresholds={"fat": 0.4})
    group = zarr.open_group(path, mode="r")
    image = ome_zarr_models.open_ome_zarr(group)
    assert type(image).__name__ == "Image"
    datasets = image.attributes.ome.multiscales[0].datasets
    assert [group[d.path].shape for d in datasets] == [(3, 24, 560), (3, 12, 280), (3, 6, 140)]
    assert (group["0"][...] == store.probabilities).all()
    called = group["labels/called"]
    labels = ome_zarr_models.open_ome_zarr(called)
    assert type(labels).__name__ == "ImageLabel"
    assert (called["0"][...] > 0).sum() == store.tissue_cells().sum()
    assert ((called["0"][...] == 3) == counted(store, 0.4)).all()
    about = labels.attributes.ome.image_label
    assert about.colors[2].rgba == (10, 132, 255, 255)
    assert dict(called.attrs)["ome"]["image-label"]["properties"][2]["class"] == "fat"
    # Each level covers the same place: its first corner lies half a pixel before its first centre.
    for levels in (datasets, labels.attributes.ome.multiscales[0].datasets):
        for dataset in levels:
            scale, shift = dataset.coordinateTransformations
            corner = np.subtract(shift.translation[-2:], np.divide(scale.scale[-2:], 2))
            slide_corner = -np.array(MPP[::-1]) / 2
            assert corner - slide_corner == pytest.approx([64 * MPP[1], 128 * MPP[0]])


# -- DICOM --


def overview_of(store: ResultStore) -> Overview:
    """A picture of the slide with one black square, that of the cell in row 5, column 7."""
    width, height = store.manifest.slide_size
    rgb = np.full((height // 4, width // 4, 3), 230, np.uint8)
    top, left = (64 + 5 * CELL) // 4, (128 + 7 * CELL) // 4
    rgb[top : top + CELL // 4, left : left + CELL // 4] = 0
    return Overview(rgb, 4.0, 4.0)


def test_dicom_segmentation_and_map_come_back(store: ResultStore) -> None:
    hd = pytest.importorskip("highdicom")
    path = exported(store, "dicom", thresholds={"fat": 0.4}, overview=overview_of(store))
    segmentation = hd.seg.segread(path / "segmentation.dcm")
    planes = segmentation.get_total_pixel_matrix(segment_numbers=[1])[..., 0]
    assert (planes.astype(bool) == counted(store, 0.4)).all()
    about = segmentation.get_segment_description(1)
    assert about.segmented_property_type.value == "29185008"
    assert about.segment_label == "Liver with fat"
    assert about.algorithm_identification[0].AlgorithmName == "tiny"
    assert about.algorithm_identification[0].AlgorithmVersion == "3"
    probabilities = hd.imread(path / "parametric-map.dcm")
    frames = probabilities.get_frames(dtype=np.float32, apply_real_world_transform=False)
    rows, cols = store.probabilities.shape[1:]
    assert frames.shape[0] == 3
    assert (frames[:, :rows, :cols] == store.probabilities).all()
    source = hd.imread(path / "source.dcm")
    picture = source.get_total_pixel_matrix()
    assert picture.shape == (rows, cols, 3)
    dark = np.argwhere(picture.mean(axis=-1) < 60)
    assert dark.tolist() == [[5, 7]]


def test_dicom_images_lie_on_one_another(store: ResultStore) -> None:
    pydicom = pytest.importorskip("pydicom")
    path = exported(store, "dicom")
    read = [
        pydicom.dcmread(path / f"{n}.dcm") for n in ("source", "segmentation", "parametric-map")
    ]
    for image in read:
        origin = image.TotalPixelMatrixOriginSequence[0]
        # The centre of the first cell, in mm from the corner of the slide's first pixel.
        place = [origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem]
        assert place == pytest.approx(
            [(128 + CELL / 2) * MPP[0] / 1000, (64 + CELL / 2) * MPP[1] / 1000]
        )
        assert image.ImageOrientationSlide == [1, 0, 0, 0, 1, 0]
        spacing = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
        assert spacing == pytest.approx([CELL * MPP[1] / 1000, CELL * MPP[0] / 1000])
        assert image.PatientID == "LDX-ab12cd34"
    assert len({i.FrameOfReferenceUID for i in read}) == 1
    assert len({i.StudyInstanceUID for i in read}) == 1
    assert len({i.SOPInstanceUID for i in read}) == 3
    for image in read[1:]:
        referenced = image.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
        assert referenced.ReferencedSOPInstanceUID == read[0].SOPInstanceUID
    roots = {u for image in read for u in re.findall(r"UI: (\d[\d.]+)", str(image))}
    assert roots
    software = {i.file_meta.ImplementationClassUID for i in read}
    assert all(u.startswith("2.25.") for u in roots - software)


ACCEPTED = (
    # Study date and time may be empty: when the slide was made is not known.
    "needed to build DICOMDIR",
    # highdicom's term for maps of a quantity, which the checker's list lacks.
    "Unrecognized defined term <QUANTITY>",
)


@pytest.mark.parametrize("fractional", [False, True])
def test_dicom_is_valid(tmp_path: Path, fractional: bool) -> None:
    pytest.importorskip("highdicom")
    checker = shutil.which("dciodvfy")
    if checker is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    store = make_store(tmp_path, 3, 70, cells=8) if fractional else make_store(tmp_path)
    path = exported(store, "dicom", fractional=fractional, overview=overview_of(store))
    for name, kind in (
        ("source", "VLWholeSlideMicroscopyImage"),
        ("segmentation", "Segmentation"),
        ("parametric-map", "ParametricMap"),
    ):
        told = subprocess.run(
            [checker, path / f"{name}.dcm"], capture_output=True, text=True, check=False
        )
        lines = (told.stdout + told.stderr).splitlines()
        assert kind in lines
        left = [v for v in lines if v != kind and not any(a in v for a in ACCEPTED)]
        assert left == [], name


def test_maps_of_several_frames_come_back(tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom")
    store = make_store(tmp_path, 3, 70, cells=8)
    path = exported(store, "dicom", fractional=True)
    segmentation = hd.seg.segread(path / "segmentation.dcm")
    assert segmentation.NumberOfFrames == 3
    values = segmentation.get_total_pixel_matrix(rescale_fractional=True)[..., 0]
    wanted = np.where(store.tissue_cells(), store.probabilities[2], 0)
    assert np.abs(values - wanted).max() <= 0.5 / 255 + 1e-6
    probabilities = hd.imread(path / "parametric-map.dcm")
    frames = probabilities.get_frames(dtype=np.float32, apply_real_world_transform=False)
    whole = np.zeros((3, 256, 768), np.float32)
    seen: dict[int, int] = {}
    for frame, about in zip(frames, probabilities.PerFrameFunctionalGroupsSequence, strict=True):
        place = about.PlanePositionSlideSequence[0]
        col = place.ColumnPositionInTotalImagePixelMatrix - 1
        assert place.RowPositionInTotalImagePixelMatrix == 1
        whole[seen.setdefault(col, 0), :, col : col + 256] = frame
        seen[col] += 1
    assert (whole[:, :24, :560] == store.probabilities).all()


def test_dicom_without_its_library_says_what_to_install(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ResultError, match=re.escape('pip install "napari-liverdx[dicom]"')):
        exported(store, "dicom")
    assert not (store.path.parent / "out").exists()


# -- what can go wrong, and what must not get out --


def all_bytes(path: Path) -> bytes:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    assert files
    return b"".join(f.read_bytes() for f in files)


@pytest.mark.parametrize("name", list(EXPORTS))
def test_names_stay_hidden(store: ResultStore, name: str) -> None:
    path = export_path(store, name, store.path.parent / "out", hide_name=True)
    assert path.name.startswith("ab12cd34.tiny.")
    export(store, name, path, hide_name=True)
    assert b"Jane" not in all_bytes(path)
    assert str(store.path.parent).encode() not in all_bytes(path)
    export(store, name, path)
    assert (b"Jane" in all_bytes(path)) == (name in ("geojson", "ome-tiff", "ome-zarr"))


def test_exports_replace_their_own_and_nothing_else(store: ResultStore) -> None:
    for name in EXPORTS:
        with pytest.raises(ResultError, match="the result itself"):
            export(store, name, store.path)
        with pytest.raises(ResultError, match="the result itself"):
            export(store, name, store.path / "inside")
    assert ResultStore.open(store.path).is_complete
    for name in ("ome-zarr", "dicom"):
        other = store.path.parent / name
        other.mkdir()
        (other / "thesis.txt").write_text("years of work")
        with pytest.raises(ResultError, match="left as it is"):
            export(store, name, other)
        assert (other / "thesis.txt").read_text() == "years of work"
        path = exported(store, name)
        exported(store, name)
        assert [p.name for p in path.parent.iterdir() if p.name.startswith(path.name)] == [
            path.name
        ]


def test_names_a_person_may_have_taken_are_left_alone(store: ResultStore) -> None:
    for name in EXPORTS:
        path = exported(store, name)
        kept = [path.with_name(path.name + end) for end in (".partial", ".old")]
        for other in kept:
            other.write_text("mine")
        exported(store, name)
        assert [other.read_text() for other in kept] == ["mine", "mine"], name


def test_dicom_files_of_others_are_not_replaced(store: ResultStore) -> None:
    pydicom = pytest.importorskip("pydicom")
    path = exported(store, "dicom")
    exported(store, "dicom", fractional=True)
    foreign = pydicom.dcmread(path / "source.dcm")
    foreign.Manufacturer = "Somebody else"
    foreign.save_as(path / "source.dcm")
    for damaged in (False, True):
        if damaged:
            (path / "source.dcm").write_bytes(b"no DICOM at all")
        before = all_bytes(path)
        with pytest.raises(ResultError, match="left as it is"):
            exported(store, "dicom")
        assert all_bytes(path) == before


@pytest.mark.parametrize("name", list(EXPORTS))
def test_the_slide_itself_is_never_replaced(tmp_path: Path, small_slide: Path, name: str) -> None:
    store = make_store(tmp_path, slide=small_slide)
    before = small_slide.read_bytes()
    link = tmp_path / "link.tif"
    link.symlink_to(small_slide)
    for target in (small_slide, link):
        with pytest.raises(ResultError, match="left as it is"):
            export(store, name, target)
    assert small_slide.read_bytes() == before
    assert link.is_symlink()


def test_a_folder_that_cannot_be_moved_comes_back(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(store, "ome-zarr")
    before, rename, refused = all_bytes(path), Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        if target == path and not refused:
            refused.append(self)
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ResultError, match="kept"):
        exported(store, "ome-zarr")
    assert refused
    assert all_bytes(path) == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_full_disk_leaves_what_was_there(store: ResultStore) -> None:
    """The system refuses files beyond a size, as it refuses any file on a full disk."""
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from napari_liverdx.exports.registry import EXPORTS, export\n"
        "from napari_liverdx.results.store import ResultStore\n"
        "store = ResultStore.open(Path(sys.argv[1]))\n"
        "out = Path(sys.argv[2])\n"
        "for name in EXPORTS: export(store, name, out / name)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))\n"
        "for name in EXPORTS:\n"
        "    try:\n        export(store, name, out / name)\n"
        "    except Exception as e:\n        print(name, type(e).__name__)\n"
    )
    out = store.path.parent / "full"
    told = subprocess.run(
        [sys.executable, "-c", code, store.path, out], capture_output=True, text=True, check=True
    )
    assert told.stdout.split("\n")[:-1] == [f"{n} StorageFullError" for n in EXPORTS]
    assert sorted(p.name for p in out.iterdir()) == sorted(EXPORTS)
    assert json.loads((out / "geojson").read_text("utf-8"))["features"]
    assert len(list((out / "dicom").iterdir())) == 3


def test_a_failure_on_the_way_leaves_nothing(store: ResultStore) -> None:
    (store.path / "review.json").write_text("damaged")
    path = store.path.parent / "out" / "a.geojson"
    with pytest.raises(ResultError, match="review"):
        export(store, "geojson", path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "thresholds"), [("pdf", {}), ("csv", {"liver": 0.5}), ("csv", {"fat": 1.5})]
)
def test_senseless_wishes_are_refused(
    store: ResultStore, name: str, thresholds: dict[str, float]
) -> None:
    with pytest.raises(PlanError):
        export(store, name, store.path.parent / "a", thresholds=thresholds)


# -- the command --


def liverdx(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, ["export", *map(str, arguments)])
    if isinstance(outcome.exception, LiverDxError):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_command_writes_all_formats(store: ResultStore, tmp_path: Path) -> None:
    out = tmp_path / "many"
    told = liverdx(store.path, "-f", "all", "-o", out, "-t", "fat=0.4", "--hide-name")
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f"ab12cd34.tiny{e.suffix}" for e in EXPORTS.values()
    )
    assert "not for diagnosis" in told
    content = json.loads((out / "ab12cd34.tiny.geojson").read_text("utf-8"))
    assert content["liverdx"]["thresholds"] == {"fat": 0.4}
    assert "no error rate" in content["liverdx"]["counted"]
    with tifffile.TiffFile(out / "ab12cd34.tiny.liverdx.ome.tif") as tiff:
        assert "no error rate" in tiff.ome_metadata
    marks = dict(zarr.open_group(out / "ab12cd34.tiny.liverdx.ome.zarr", mode="r").attrs)
    assert "no error rate" in marks["liverdx_export"]["counted"]
    one = tmp_path / "one.geojson"
    liverdx(store.path, "-f", "geojson", "-o", one)
    assert json.loads(one.read_text("utf-8"))["liverdx"]["slide"] == NAME


def test_command_refuses_in_words(store: ResultStore, small_slide: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"liver=0\.5"):
        liverdx(store.path, "-f", "csv", "-o", tmp_path / "a.csv", "-t", "liver=0.5")
    with pytest.raises(PlanError, match="not the slide of this result"):
        liverdx(store.path, "-f", "dicom", "-o", tmp_path / "a", "--slide", small_slide)
    with pytest.raises(ResultError, match="no such result"):
        liverdx(tmp_path / "none.liverdx.zarr", "-f", "csv", "-o", tmp_path / "a.csv")


# -- in napari --


@pytest.fixture
def shown(
    make_napari_viewer: Callable[..., ViewerModel], small_slide: Path, tmp_path: Path
) -> Iterator[ViewerModel]:
    """A viewer with a slide, its probability layer at threshold 0.3 and its tile layer."""
    from napari_liverdx.viewer.layers.base import probability_layer, tile_layer

    result = make_store(tmp_path, slide=small_slide)
    viewer = make_napari_viewer(show=True)
    (slide,) = viewer.open(str(small_slide), plugin="napari-liverdx")
    viewer.add_layer(probability_layer(result, 2, slide, 0.3))
    viewer.add_layer(tile_layer(result, slide))
    yield viewer
    viewer.layers.clear()


@pytest.mark.gui
def test_layers_are_saved_in_every_format(shown: ViewerModel, tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom")
    for name, entry in EXPORTS.items():
        path = tmp_path / f"saved{entry.suffix}"
        assert shown.layers.save(str(path)) == [str(path)], name
        assert path.exists()
    content = json.loads((tmp_path / "saved.geojson").read_text("utf-8"))
    assert content["liverdx"]["thresholds"]["fat"] == pytest.approx(0.3)
    # The slide was saved along, so its picture is in the DICOM image; alone it is a drawing.
    shown.layers[1].save(str(tmp_path / "alone.dicom"))
    rgb, drawn = (
        hd.imread(tmp_path / n / "source.dcm").get_total_pixel_matrix().astype(int)
        for n in ("saved.dicom", "alone.dicom")
    )
    with open_slide(tmp_path / "small.tif") as slide:
        wanted = slide.overview(CELL).rgb[64 // CELL :, 128 // CELL :][: len(rgb), : rgb.shape[1]]
    assert np.abs(rgb - wanted).mean() < 12
    assert np.abs(drawn - wanted).mean() > 20


@pytest.mark.gui
def test_saving_knows_kept_thresholds_and_hides_names_on_wish(
    shown: ViewerModel, tmp_path: Path, own_settings: None
) -> None:
    from napari.settings import get_plugin_settings

    path = tmp_path / "saved.geojson"
    view = ViewState(thresholds={"fat": 0.45, "gone": 0.2, "liver": 0.3})
    view.save(tmp_path / "slide.tiny.liverdx.zarr")
    tiles_only = shown.layers[2]
    tiles_only.save(str(path))
    assert json.loads(path.read_text("utf-8"))["liverdx"]["thresholds"] == {"fat": 0.45}
    shown.layers[1].save(str(path))
    told = json.loads(path.read_text("utf-8"))["liverdx"]
    assert told["thresholds"] == {"fat": pytest.approx(0.3)}
    assert told["slide"] == NAME
    sharing = get_plugin_settings("napari-liverdx").sharing
    sharing.hide_names = True
    try:
        tiles_only.save(str(path))
    finally:
        sharing.hide_names = False
    assert json.loads(path.read_text("utf-8"))["liverdx"]["slide"] != NAME
    assert "Jane" not in path.read_text("utf-8")


def test_dock_menu_and_command_export_the_same_picture(tmp_path: Path, small_slide: Path) -> None:
    pytest.importorskip("highdicom")
    store = make_store(tmp_path, slide=small_slide)
    with open_slide(small_slide) as slide:
        write_export(store, "dicom", tmp_path / "dock", {}, slide)
        layers = [
            (None, {"metadata": {RESULT_KEY: str(store.path)}}, "labels"),
            (None, {"metadata": {SLIDE_KEY: slide}}, "image"),
        ]
        save_dicom(str(tmp_path / "menu"), layers)
    liverdx(store.path, "-f", "dicom", "-o", tmp_path / "command", "--slide", small_slide)
    dock, menu, command = (
        (tmp_path / n / "source.dcm").read_bytes() for n in ("dock", "menu", "command")
    )
    assert dock == menu == command


@pytest.mark.gui
def test_one_layer_is_saved_where_napari_draws_it(shown: ViewerModel, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="none of these layers shows"):
        shown.layers[0].save(str(tmp_path / "a.geojson"))
    assert not (tmp_path / "a.geojson").exists()
    layer = shown.layers[1]
    path = tmp_path / "saved.liverdx.ome.tif"
    layer.save(str(path))
    with tifffile.TiffFile(path) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    size = np.array([pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]])
    corner = np.array([pixels["Plane"][0]["PositionY"], pixels["Plane"][0]["PositionX"]])
    assert size == pytest.approx(layer.scale)
    # napari's world has its origin in the centre of the slide's first pixel.
    slide_pixel = np.array(shown.layers[0].scale)
    assert corner == pytest.approx(layer.data_to_world((-0.5, -0.5)) + slide_pixel / 2)
