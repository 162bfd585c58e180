"""TIFFs: parity with OpenSlide, layouts, damage."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_liverdx.core.errors import SlideReadError, TileReadError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.lazy import dask_levels
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.paths import CMU
from tests.support.slides import corrupt_tile, waves, whole, write_pyramid
from tests.support.tiffs import shrunk


def openslide_level(path: Path, level: int) -> np.ndarray:
    with openslide.OpenSlide(path) as peer:
        region = peer.read_region((0, 0), level, peer.level_dimensions[level])
        return np.asarray(region.convert("RGB"))


def test_jpeg_svs_equals_openslide(cmu: Slide) -> None:
    assert (whole(cmu) == openslide_level(CMU, 0)).all()
    assert cmu.info.format == "Aperio SVS"
    assert cmu.mpp == Mpp(0.499, 0.499, "Aperio MPP")
    assert cmu.size_mm == pytest.approx((1.10778, 1.480533))


def test_jpeg2000_svs_equals_openslide(data_root: Path) -> None:
    path = data_root / "slides" / "tcga-cr-7395.svs"
    with open_slide(path) as slide:
        assert [(v.width, v.height) for v in slide.levels] == [(4443, 3567), (2221, 1783)]
        for level in (0, 1):
            assert (whole(slide, level) == openslide_level(path, level)).all()
        assert slide.mpp is None
        assert "no resolution" in slide.info.mpp_note


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "zstd"},
        {},
        {"compression": "zlib", "bigtiff": True},
        {"compression": "zlib", "byteorder": ">"},
    ],
    ids=str,
)
def test_lossless_tiled_tiffs_come_back_exactly(tmp_path: Path, options: dict) -> None:
    pixels = waves()
    path = tmp_path / "a.tif"
    file_options = {k: options.pop(k) for k in ("bigtiff", "byteorder") if k in options}
    with tifffile.TiffWriter(path, **file_options) as writer:
        writer.write(pixels, tile=(64, 96), photometric="rgb", metadata=None, **options)
    with open_slide(path) as slide:
        assert (whole(slide) == pixels).all()
        assert slide.mpp is None


def test_planar_tiff(tmp_path: Path) -> None:
    pixels = waves()
    path = tmp_path / "planar.tif"
    tifffile.imwrite(
        path, np.moveaxis(pixels, 2, 0), tile=(64, 64), photometric="rgb", planarconfig="separate"
    )
    with open_slide(path) as slide:
        assert (whole(slide) == pixels).all()


def test_ome_tiff_with_channel_pages_and_pyramid(tmp_path: Path) -> None:
    pixels = waves(512, 640)
    planes = np.moveaxis(pixels, 2, 0)
    path = tmp_path / "pages.ome.tif"
    metadata = {"axes": "CYX", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm"}
    metadata |= {"PhysicalSizeY": 250, "PhysicalSizeYUnit": "nm"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(planes, tile=(64, 64), subifds=1, metadata=metadata, photometric="minisblack")
        writer.write(planes[:, ::2, ::2], tile=(64, 64), subfiletype=1, photometric="minisblack")
    with open_slide(path) as slide:
        assert (whole(slide) == pixels).all()
        assert (whole(slide, 1) == pixels[::2, ::2]).all()
        assert slide.mpp == Mpp(0.25, 0.25, "OME PhysicalSize")


def test_generic_pyramid_and_its_resolution(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    write_pyramid(path, waves(), mpp=0.5, levels=3)
    with open_slide(path) as slide:
        assert [v.downsample for v in slide.levels] == pytest.approx([1, 2, 4], rel=0.02)
        assert slide.mpp == Mpp(0.5, 0.5, "TIFF resolution tag")


def test_absurd_resolution_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "dpi.tif"
    tifffile.imwrite(
        path, waves(), tile=(64, 64), photometric="rgb", resolution=(72, 72), resolutionunit=2
    )
    with open_slide(path) as slide:
        assert slide.mpp is None
        assert "352.8" in slide.info.mpp_note


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((70, 80), 100, np.uint8), 100),
        (np.full((70, 80, 3), 25_700, np.uint16), 100),
        (np.dstack([np.full((70, 80, 3), 100, np.uint8), np.zeros((70, 80), np.uint8)]), 255),
    ],
    ids=["gray", "16 bit", "transparent"],
)
def test_other_pixels_become_rgb(tmp_path: Path, array: np.ndarray, expected: int) -> None:
    path = tmp_path / "a.tif"
    kind = "minisblack" if array.ndim == 2 else "rgb"
    extra = {"extrasamples": ["unassalpha"]} if array.shape[-1] == 4 else {}
    tifffile.imwrite(path, array, tile=(64, 64), photometric=kind, **extra)
    with open_slide(path) as slide:
        assert (whole(slide) == expected).all()
        assert whole(slide).shape == (70, 80, 3)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_truncated_slide_says_so(tmp_path: Path, keep: float) -> None:
    data = CMU.read_bytes()
    path = tmp_path / "cut.svs"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(SlideReadError, match=r"truncated|cut off|damaged"):
        open_slide(path)


def test_one_corrupt_tile_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "corrupt.svs"
    shutil.copyfile(CMU, path)
    corrupt_tile(path, 12)
    with open_slide(path) as slide, open_slide(CMU) as good:
        with pytest.raises(TileReadError, match=r"row 1, column 2.*level 0"):
            slide.read_tile(0, 1, 2)
        assert (slide.read_tile(0, 1, 3) == good.read_tile(0, 1, 3)).all()
        shown = dask_levels(slide)[0].compute()
        assert (shown[240:480, 480:720] == 255).all()
        assert (shown[:240] == whole(good)[:240]).all()
        assert slide.overview(16).unreadable == 1


def test_planar_and_palette_strips(tmp_path: Path) -> None:
    pixels = waves()
    planar = tmp_path / "planar.tif"
    tifffile.imwrite(planar, np.moveaxis(pixels, 2, 0), photometric="rgb", planarconfig="separate")
    with open_slide(planar) as slide:
        assert (whole(slide) == pixels).all()
    palette = tmp_path / "palette.tif"
    Image.fromarray(pixels).quantize(32).save(palette)
    with open_slide(palette) as slide:
        assert (whole(slide) == np.asarray(Image.open(palette).convert("RGB"))).all()


def test_sparse_tiles_are_white(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    tiles = iter([np.full((64, 64, 3), 9, np.uint8), None, None, None])
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            tiles,
            shape=(128, 128, 3),
            dtype=np.uint8,
            tile=(64, 64),
            photometric="rgb",
            compression="zlib",
        )
    with open_slide(path) as slide:
        pixels = whole(slide)
        assert (pixels[:64, :64] == 9).all()
        assert (pixels[64:] == 255).all()


@pytest.mark.parametrize(
    "name",
    [
        "cmyk_tiled.tif",
        "decimal_comma.svs",
        "extra_sample_not_alpha.tif",
        "macro_first.tif",
        "ome_unit_entity.ome.tif",
        "palette_tiled.tif",
        "planes_in_strips.ome.tif",
        "thumbnail_first.tif",
    ],
)
def test_odd_files_are_read_right(data_root: Path, name: str) -> None:
    folder = data_root / "cases"
    with (folder / "cases.csv").open() as file:
        (right,) = (row for row in csv.DictReader(file) if row["file"] == name)
    tolerance = float(right["tolerance"])
    with open_slide(folder / name) as slide:
        assert slide.mpp is not None
        assert slide.mpp.x == pytest.approx(float(right["mpp"]))
        assert slide.size == (int(right["width"]), int(right["height"]))
        assert len(slide.levels) == int(right["levels"])
        pixels = whole(slide)
    places = {"mean_rgb": pixels}
    for x, y in ((100, 100), (511, 300), (900, 700)):
        places[f"rgb_{x}_{y}"] = pixels[y - 4 : y + 5, x - 4 : x + 5]
    for key, part in places.items():
        rgb = [float(v) for v in right[key].split("/")]
        assert np.abs(part.mean((0, 1)) - rgb).max() < tolerance, key


@pytest.fixture(scope="module")
def written_pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three levels of JPEG tiles that do not divide the sizes."""
    path = tmp_path_factory.mktemp("pyramid") / "a.tif"
    pixels = waves(701, 915)
    with tifffile.TiffWriter(path) as writer:
        for factor in (1, 2, 4):
            writer.write(
                shrunk(pixels, factor),
                tile=(128, 96),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(factor > 1),
                metadata=None,
            )
    return path


def openslide_region(
    peer: openslide.OpenSlide, level: int, x: int, y: int, w: int, h: int
) -> np.ndarray:
    """The region at whole pixels of the level, on white."""
    scale = peer.level_downsamples[level]
    place = (round(x * scale), round(y * scale))
    region = peer.read_region(place, level, (w, h))
    white = Image.new("RGBA", region.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, region).convert("RGB"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_any_region_of_any_level_equals_openslide(
    written_pyramid: Path, data: st.DataObject
) -> None:
    with open_slide(written_pyramid) as slide, openslide.OpenSlide(written_pyramid) as peer:
        assert [(v.width, v.height) for v in slide.levels] == list(peer.level_dimensions)
        level = data.draw(st.integers(0, 2))
        width, height = peer.level_dimensions[level]
        w, h = (
            data.draw(st.integers(1, min(300, width))),
            data.draw(st.integers(1, min(300, height))),
        )
        x, y = data.draw(st.integers(0, width - w)), data.draw(st.integers(0, height - h))
        ours = slide.read_region(level, x, y, w, h)
        if level == 0:
            assert (ours == openslide_region(peer, level, x, y, w, h)).all()
        else:
            whole_level = openslide_region(peer, level, 0, 0, width, height)
            assert (ours == whole_level[y : y + h, x : x + w]).all()


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "tcga-cr-7395.svs"])
def test_random_regions_of_real_slides_equal_openslide(data_root: Path, name: str) -> None:
    path = data_root / "slides" / name
    rng = np.random.default_rng(7)
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        for _ in range(12):
            w, h = (int(n) for n in rng.integers(1, 400, 2))
            x, y = (int(rng.integers(0, n - m)) for n, m in zip(slide.size, (w, h), strict=True))
            ours = slide.read_region(0, x, y, w, h)
            assert (ours == openslide_region(peer, 0, x, y, w, h)).all()


def test_pictures_beside_a_slide_equal_openslide() -> None:
    with open_slide(CMU) as slide, openslide.OpenSlide(CMU) as peer:
        assert set(slide.info.associated) == set(peer.associated_images)
        for name, image in peer.associated_images.items():
            assert (slide.read_associated(name) == np.asarray(image.convert("RGB"))).all()
