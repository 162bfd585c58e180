"""Reading slides: parity with OpenSlide, formats, damage."""

from __future__ import annotations

import itertools
import pickle
import shutil
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_liverdx.core.errors import NotASlideError, SlideReadError, TileReadError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.cache import TileCache
from napari_liverdx.slides.lazy import dask_levels
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.pixels import to_rgb8
from napari_liverdx.slides.slide import Slide

from .conftest import CMU, write_pyramid

RNG = np.random.default_rng(0)


def picture(height: int = 300, width: int = 420) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / 17 + k) * np.cos(y / 23 + 2 * k) for k in range(3)]
    return np.stack(waves, axis=2).astype(np.uint8)


def openslide_level(path: Path, level: int) -> np.ndarray:
    with openslide.OpenSlide(path) as peer:
        region = peer.read_region((0, 0), level, peer.level_dimensions[level])
        return np.asarray(region.convert("RGB"))


def whole(slide: Slide, level: int = 0) -> np.ndarray:
    shape = slide.levels[level]
    return slide.read_region(level, 0, 0, shape.width, shape.height)


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    x=st.integers(-300, 2400),
    y=st.integers(-300, 3200),
    w=st.integers(1, 700),
    h=st.integers(1, 700),
)
def test_any_region_is_a_cut_of_the_whole_on_white(
    cmu: Slide, x: int, y: int, w: int, h: int
) -> None:
    full = np.full((h, w, 3), 255, np.uint8)
    level = cmu.levels[0]
    x0, x1, y0, y1 = max(x, 0), min(x + w, level.width), max(y, 0), min(y + h, level.height)
    if x0 < x1 and y0 < y1:
        full[y0 - y : y1 - y, x0 - x : x1 - x] = whole(cmu)[y0:y1, x0:x1]
    assert (cmu.read_region(0, x, y, w, h) == full).all()


def test_lazy_levels_equal_regions_and_shrink(sample: Slide) -> None:
    levels = dask_levels(sample)
    assert len(levels) == 4
    for index, array in enumerate(levels):
        assert array.dtype == np.uint8
        assert max(array.chunksize[:2]) <= 1024
        assert (array.compute() == whole(sample, index)).all()
    for finer, coarser in itertools.pairwise(levels):
        assert coarser.shape[0] < finer.shape[0]
        assert coarser.shape[1] < finer.shape[1]


def test_overview_is_the_mean_of_the_slide(cmu: Slide) -> None:
    overview = cmu.overview(16)
    assert overview.rgb.shape[:2] == (185, 139)
    assert overview.unreadable == 0
    assert np.abs(overview.rgb.mean((0, 1)) - whole(cmu).mean((0, 1))).max() < 1


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
    pixels = picture()
    path = tmp_path / "a.tif"
    file_options = {k: options.pop(k) for k in ("bigtiff", "byteorder") if k in options}
    with tifffile.TiffWriter(path, **file_options) as writer:
        writer.write(pixels, tile=(64, 96), photometric="rgb", metadata=None, **options)
    with open_slide(path) as slide:
        assert (whole(slide) == pixels).all()
        assert slide.mpp is None


def test_planar_tiff(tmp_path: Path) -> None:
    pixels = picture()
    path = tmp_path / "planar.tif"
    tifffile.imwrite(
        path, np.moveaxis(pixels, 2, 0), tile=(64, 64), photometric="rgb", planarconfig="separate"
    )
    with open_slide(path) as slide:
        assert (whole(slide) == pixels).all()


def test_ome_tiff_with_channel_pages_and_pyramid(tmp_path: Path) -> None:
    pixels = picture(512, 640)
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
    write_pyramid(path, picture(), mpp=0.5, levels=3)
    with open_slide(path) as slide:
        assert [v.downsample for v in slide.levels] == pytest.approx([1, 2, 4], rel=0.02)
        assert slide.mpp == Mpp(0.5, 0.5, "TIFF resolution tag")


def test_absurd_resolution_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "dpi.tif"
    tifffile.imwrite(
        path, picture(), tile=(64, 64), photometric="rgb", resolution=(72, 72), resolutionunit=2
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
    ids=["grey", "16 bit", "transparent"],
)
def test_other_pixels_become_rgb(tmp_path: Path, array: np.ndarray, expected: int) -> None:
    path = tmp_path / "a.tif"
    kind = "minisblack" if array.ndim == 2 else "rgb"
    extra = {"extrasamples": ["unassalpha"]} if array.shape[-1] == 4 else {}
    tifffile.imwrite(path, array, tile=(64, 64), photometric=kind, **extra)
    with open_slide(path) as slide:
        assert (whole(slide) == expected).all()
        assert whole(slide).shape == (70, 80, 3)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
def test_ordinary_images_are_one_level_slides(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"image.{ending}"
    Image.fromarray(picture(700, 900)).save(path)
    with open_slide(path) as slide:
        assert slide.size == (900, 700)
        assert len(slide.levels) == 1
        assert (whole(slide) == np.asarray(Image.open(path).convert("RGB"))).all()


def test_palette_and_transparency_are_composited(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    image = Image.new("RGBA", (50, 40), (10, 20, 30, 0))
    image.convert("P").save(path)
    with open_slide(path) as slide:
        assert whole(slide).shape == (40, 50, 3)


def test_an_array_is_converted_or_refused() -> None:
    assert (to_rgb8(picture(), "layer") == picture()).all()
    with pytest.raises(NotASlideError, match="float64"):
        to_rgb8(np.zeros((4, 4, 3)), "layer")


def test_a_slide_travels_by_its_path(cmu: Slide) -> None:
    with pickle.loads(pickle.dumps(cmu)) as other:  # noqa: S301
        assert other.fingerprint() == cmu.fingerprint()
        assert other.path == cmu.path


# -- damage --


def test_missing_empty_folder_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(SlideReadError, match="no such file"):
        open_slide(tmp_path / "missing.svs")
    with pytest.raises(NotASlideError, match="folder"):
        open_slide(tmp_path)
    empty = tmp_path / "empty.svs"
    empty.touch()
    with pytest.raises(SlideReadError, match="empty"):
        open_slide(empty)
    text = tmp_path / "text.svs"
    text.write_text("this is not an image" * 20)
    with pytest.raises(NotASlideError, match="not an image"):
        open_slide(text)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_truncated_slide_says_so(tmp_path: Path, keep: float) -> None:
    data = CMU.read_bytes()
    path = tmp_path / "cut.svs"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(SlideReadError, match=r"truncated|cut off|damaged"):
        open_slide(path)


def test_truncated_image_says_so(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(RNG.integers(0, 255, (200, 200, 3), np.uint8)).save(good)
    path = tmp_path / "cut.png"
    path.write_bytes(good.read_bytes()[:20_000])
    with pytest.raises(SlideReadError, match=r"damaged|cut off"):
        open_slide(path)


def corrupt_tile(path: Path, index: int) -> None:
    """Overwrite one stored tile of the first page with zeros."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        offset, size = page.dataoffsets[index], page.databytecounts[index]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0" * size)


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


def test_wild_files_end_in_our_errors(tmp_path: Path) -> None:
    wild = {
        "short.tif": b"II*\0",
        "wild.tif": b"II+\0\x08\0\0\0" + b"\xff" * 40,
        "loop.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "short.png": b"\x89PNG\r\n\x1a\n",
    }
    for name, data in wild.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises((SlideReadError, NotASlideError), match=name):
            open_slide(path)


def test_masks_are_no_slides(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, np.zeros((128, 128), np.uint32), tile=(64, 64))
    with pytest.raises(NotASlideError):
        open_slide(path)


def test_planar_and_palette_strips(tmp_path: Path) -> None:
    pixels = picture()
    planar = tmp_path / "planar.tif"
    tifffile.imwrite(planar, np.moveaxis(pixels, 2, 0), photometric="rgb", planarconfig="separate")
    with open_slide(planar) as slide:
        assert (whole(slide) == pixels).all()
    palette = tmp_path / "palette.tif"
    Image.fromarray(pixels).quantize(32).save(palette)
    with open_slide(palette) as slide:
        assert (whole(slide) == np.asarray(Image.open(palette).convert("RGB"))).all()


@pytest.mark.parametrize(
    ("file", "name"),
    [("case.1.svs", "case.1"), ("S12.3456 HE.svs", "S12.3456 HE"), ("a.ome.tif", "a")],
)
def test_names_keep_their_dots(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    shutil.copyfile(CMU, path)
    with open_slide(path) as slide:
        assert slide.name == name


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


# -- cache --


@given(st.lists(st.integers(0, 9), max_size=60))
def test_cache_is_bounded_and_faithful(keys: list[int]) -> None:
    cache = TileCache(max_bytes=350)
    for key in keys:
        value = cache.get(key, lambda key=key: np.full(100, key, np.uint8))
        assert (value == key).all()
        assert cache.nbytes <= 350


def test_cache_keeps_what_was_used_last() -> None:
    cache = TileCache(max_bytes=200)
    loads: list[str] = []

    def get(key: str) -> None:
        cache.get(key, lambda: (loads.append(key), np.zeros(100, np.uint8))[1])

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert loads == ["a", "b", "c", "b"]
