"""Slides that OpenSlide reads, written as their scanners write them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_liverdx.core.errors import LiverDxError, SlideReadError, TileReadError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.backend import SlideRequest
from napari_liverdx.slides.formats.openslide import open_with_openslide
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.paths import CMU
from tests.support.slides import waves, whole
from tests.support.vendors.czi import PLAIN, write_czi
from tests.support.vendors.hamamatsu import write_vms
from tests.support.vendors.mirax import write_mirax
from tests.support.vendors.ndpi import write_ndpi
from tests.support.vendors.registry import PIXELS, TWO_PLACES, WRITTEN, Written
from tests.support.vendors.sakura import write_sakura
from tests.support.vendors.tiffs import reduced, write_philips, write_scn, write_trestle

by_name = pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)
any_region = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def on_white(image: Image.Image) -> np.ndarray:
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB")).astype(int)


def peer_levels(path: Path) -> list[np.ndarray]:
    """Every level as OpenSlide shows it in one go, on white."""
    with openslide.OpenSlide(path) as peer:
        return [
            on_white(peer.read_region((0, 0), index, size))
            for index, size in enumerate(peer.level_dimensions)
        ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for kind in WRITTEN:
        found[kind.name] = kind.into(tmp_path_factory.mktemp("written"))
    return found


@pytest.fixture(scope="module")
def shown(written: dict[str, Path]) -> dict[str, list[np.ndarray]]:
    return {name: peer_levels(path) for name, path in written.items()}


def cut(levels: list[np.ndarray], slide: Slide, index: int) -> np.ndarray:
    """The part of a level of the file that is the slide."""
    x, y = (round(v / slide.levels[index].downsample) for v in slide.info.origin)
    return levels[index][y : y + slide.levels[index].height, x : x + slide.levels[index].width]


# -- the same pixels as OpenSlide --


@by_name
def test_every_level_of_a_written_slide_equals_openslide(
    written: dict[str, Path], shown: dict[str, list[np.ndarray]], kind: Written
) -> None:
    path = written[kind.name]
    assert openslide.OpenSlide.detect_format(path) == kind.vendor
    with open_slide(path) as slide:
        assert len(slide.levels) == len(shown[kind.name]) > 1
        for index in range(len(slide.levels)):
            difference = whole(slide, index) - cut(shown[kind.name], slide, index)
            assert np.abs(difference).max() <= 1


@by_name
@any_region
@given(data=st.data())
def test_any_region_of_a_written_slide_equals_openslide(
    written: dict[str, Path], shown: dict[str, list[np.ndarray]], kind: Written, data: st.DataObject
) -> None:
    with open_slide(written[kind.name]) as slide:
        index = data.draw(st.integers(0, len(slide.levels) - 1))
        level = slide.levels[index]
        x, y = (data.draw(st.integers(0, n - 1)) for n in (level.width, level.height))
        width = data.draw(st.integers(1, level.width - x))
        height = data.draw(st.integers(1, level.height - y))
        mine = slide.read_region(index, x, y, width, height)
        theirs = cut(shown[kind.name], slide, index)[y : y + height, x : x + width]
        assert np.abs(mine - theirs).max() <= 1


def test_tiles_of_a_written_slide_join_without_a_seam(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    pixels = np.random.default_rng(0).integers(0, 255, (700, 1100, 3), np.uint8)
    write_czi(path, [((7, 3), pixels)], compression=PLAIN, tile=300)
    with open_slide(path) as slide:
        assert slide.levels[0].tile_shape == (2, 3)
        assert (whole(slide) == pixels).all()
        assert (whole(slide, 1) == pixels[::2, ::2]).all()


def test_a_real_slide_is_the_same_through_both_readers(cmu: Slide) -> None:
    backend = open_with_openslide(SlideRequest(CMU))
    assert backend is not None
    with Slide(CMU, backend) as slide:
        assert (whole(slide) == whole(cmu)).all()
        assert slide.info.format == "Aperio SVS"
        assert slide.mpp is not None
        assert slide.mpp.mean == 0.499
        assert slide.info.objective_power == 20
        assert set(slide.info.associated) == {"label", "macro", "thumbnail"}
        assert slide.read_associated("label").shape == (463, 387, 3)


@any_region
@given(data=st.data())
def test_any_region_of_real_slides_equals_openslide(data_root: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["CMU-1-Small-Region.svs", "tcga-cr-7395.svs"]))
    path = data_root / "slides" / name
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        width, height = slide.size
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        size = min(300, width - x), min(200, height - y)
        assert (
            slide.read_region(0, x, y, *size) == on_white(peer.read_region((x, y), 0, size))
        ).all()


# -- the pixels that were written --


def test_written_pixels_come_back(tmp_path: Path) -> None:
    kinds = {
        "a.mrxs": (lambda p: write_mirax(p, PIXELS), "3DHISTECH MRXS", 0.25, 20, 0),
        "a.ndpi": (lambda p: write_ndpi(p, PIXELS), "Hamamatsu NDPI", 0.25, 40, 4),
        "a.vms": (lambda p: write_vms(p, PIXELS), "Hamamatsu VMS", 0.5, 20, 4),
        "a.tiff": (lambda p: write_philips(p, PIXELS), "Philips TIFF", 0.25, 40, 0),
        "a.svslide": (lambda p: write_sakura(p, PIXELS), "Sakura SVSLIDE", 0.5, 20, 2),
    }
    for name, (write, maker, mpp, power, error) in kinds.items():
        write(tmp_path / name)
        with open_slide(tmp_path / name) as slide:
            assert np.abs(whole(slide).astype(int) - PIXELS).mean() <= error
            assert slide.info.format == maker
            assert slide.mpp is not None
            assert (slide.mpp.mean, slide.mpp.source) == (pytest.approx(mpp), maker)
            assert slide.info.objective_power == power


def test_overlaps_of_a_written_trestle_tiff_are_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_trestle(path, PIXELS, overlap=6)
    with open_slide(path) as slide:
        height, width = whole(slide).shape[:2]
        assert (height, width) == (180, 238)
        assert (whole(slide) == PIXELS[:height, :width]).all()


# -- gaps, bounds, regions --


def test_a_written_mrxs_opens_at_the_tissue_and_its_gaps_are_white(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    write_mirax(path, PIXELS, missing=((0, 0), (1, 0), (2, 0), (1, 2)), moved={})
    with open_slide(path) as slide:
        assert slide.info.origin == (64, 0)
        assert slide.size == (192, 192)
        assert [(v.width, v.height) for v in slide.levels] == [(192, 192), (96, 96)]
        expected = PIXELS[:, 64:].copy()
        expected[64:128, 64:128] = 255
        assert (whole(slide) == expected).all()
        assert (whole(slide, 1)[32:64, 32:64] == 255).all()


def test_positions_of_a_written_mrxs_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    write_mirax(path, PIXELS, moved={(2, 3): (9, 5)}, missing=((0, 1),))
    with open_slide(path) as slide:
        assert (whole(slide)[133:192, 201:256] == PIXELS[128:187, 192:247]).all()
        assert (whole(slide)[128:133, 192:256] == 255).all()


@pytest.mark.parametrize("kind", ["a.scn", "a.czi"])
def test_regions_of_a_written_slide_are_scenes_the_largest_first(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    (write_scn if kind == "a.scn" else write_czi)(path, TWO_PLACES)
    prints = set()
    for scene, (_, pixels) in [(None, TWO_PLACES[1]), *enumerate(TWO_PLACES)]:
        with open_slide(path, scene=scene) as slide:
            assert [(s.width, s.height) for s in slide.info.scenes] == [(128, 128), (256, 192)]
            assert slide.info.scene == (1 if scene is None else scene)
            assert (whole(slide) == pixels).all()
            assert (whole(slide, 1) == pixels[::2, ::2]).all()
            prints.add(slide.fingerprint())
    assert len(prints) == 2
    with pytest.raises(SlideReadError, match=r"no scene 2.*0 \(region 1\)"):
        open_slide(path, scene=2)


@pytest.mark.parametrize("place", [(0, 0), (67, 43)])
def test_levels_that_are_no_whole_part_of_a_written_slide(
    tmp_path: Path, place: tuple[int, int]
) -> None:
    """Sizes do not divide: a coarse pixel is 1.997 wide, and the region may begin within one."""
    path = tmp_path / "a.scn"
    pixels = waves(1101, 1301) & np.uint8(0xF0)
    write_scn(path, [(place, pixels)], (1400, 1200))
    with open_slide(path) as slide:
        assert slide.info.origin == place
        assert slide.levels[1].downsample == pytest.approx(1.997, abs=0.001)
        assert slide.levels[1].tile_shape == (2, 2)
        assert (whole(slide) == pixels).all()
        coarse = reduced(pixels, 2)[1]
        height, width = coarse.shape[:2]
        # OpenSlide gives the ratio of stage sizes, which asks for one more column.
        assert whole(slide, 1).shape == (height, width + 1, 3)
        assert (whole(slide, 1)[:, :width] == coarse).all()


# -- what is told of them --


def test_a_slide_is_known_by_its_pixels_not_its_small_file(tmp_path: Path) -> None:
    """An MRXS file itself is a small picture that many slides share."""
    prints = []
    for name, pixels in (("a", PIXELS), ("b", PIXELS[::-1]), ("c", PIXELS)):
        path = tmp_path / f"{name}.mrxs"
        write_mirax(path, np.ascontiguousarray(pixels))
        path.write_bytes(b"\xff\xd8 the same in all")
        with open_slide(path) as slide:
            prints.append(slide.fingerprint())
    assert prints[0] == prints[2] != prints[1]


def test_pictures_beside_written_slides_can_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    write_mirax(path, PIXELS)
    with open_slide(path) as slide:
        assert set(slide.info.associated) == {"label", "macro"}
        assert slide.read_associated("label").shape == (16, 24, 3)
        macro = slide.read_associated("macro")
        assert np.abs(macro.astype(int) - PIXELS[::4, ::4]).mean() < 12


@pytest.mark.parametrize(
    ("mpp", "power", "expected", "told"),
    [
        (0.25, 40, Mpp(0.25, 0.25, "3DHISTECH MRXS"), ""),
        (0.0, 20, Mpp(0.5, 0.5, "estimated from objective power 20x"), ""),
        (0.0, 0, None, "no resolution"),
        (250.0, 40, None, "cannot be true"),
        (2.5, 40, None, "objective power"),
    ],
)
def test_resolution_of_a_written_mrxs(
    tmp_path: Path, mpp: float, power: int, expected: Mpp | None, told: str
) -> None:
    path = tmp_path / "a.mrxs"
    write_mirax(path, PIXELS, mpp=mpp, power=power)
    with open_slide(path) as slide:
        assert slide.mpp == expected
        assert told in slide.info.mpp_note
        assert bool(slide.info.mpp_note) == (expected is None)
        if told == "objective power":
            assert [option.mean for option in slide.info.mpp_options] == [2.5, 0.25]


# -- damage --


def test_a_damaged_stored_tile_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    pixels = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), np.uint8)
    write_mirax(path, pixels, tile=512, levels=1)
    stored = bytearray((tmp_path / "a" / "Data0000.dat").read_bytes())
    at = stored.index(b"IDAT", stored.index(b"IEND"))
    stored[at + 4 : at + 400] = b"\0" * 396
    (tmp_path / "a" / "Data0000.dat").write_bytes(stored)
    with open_slide(path) as slide:
        for _ in range(2):
            with pytest.raises(TileReadError, match=r"row 0, column 1.*level 0"):
                slide.read_tile(0, 0, 1)
            assert (slide.read_tile(0, 0, 0) == pixels[:512, :512]).all()
            assert (slide.read_tile(0, 1, 1) == pixels[512:, 512:]).all()
        assert slide.overview(16).unreadable == 1


def test_what_is_missing_or_foreign_is_told(tmp_path: Path) -> None:
    alone = tmp_path / "alone.mrxs"
    Image.fromarray(PIXELS).save(alone, "JPEG")
    with pytest.raises(SlideReadError, match="its folder alone is not beside it"):
        open_slide(alone)
    foreign = tmp_path / "foreign.ndpi"
    foreign.write_bytes(b"II*\0" + b"\0" * 60)
    with pytest.raises(SlideReadError, match="ndpi"):
        open_slide(foreign)
    gray = tmp_path / "gray.czi"
    write_czi(gray, TWO_PLACES, pixel_type=0)
    with pytest.raises(SlideReadError, match=r"GRAY8.*convert it to OME-TIFF"):
        open_slide(gray)


def test_without_the_library_only_files_that_need_it_fail(
    tmp_path: Path, written: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name that is None in the table of modules cannot be imported.
    monkeypatch.setitem(sys.modules, "openslide", None)
    for name in ("slide.ndpi", "slide.mrxs", "slide.scn", "trestle.tif"):
        with pytest.raises(SlideReadError, match=r"pip install.*openslide-bin"):
            open_slide(written[name])
    plain = tmp_path / "plain.png"
    Image.fromarray(PIXELS).save(plain)
    with open_slide(plain) as slide:
        assert (whole(slide) == PIXELS).all()


def damage(folder: Path, seed: int) -> None:
    """Cut one of the files off, or change bytes of it."""
    rng = np.random.default_rng(seed)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    path = files[rng.integers(len(files))]
    data = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        del data[rng.integers(1, len(data)) :]
    else:
        for at in rng.integers(
            0, rng.choice([len(data), min(len(data), 2000)]), rng.integers(1, 9)
        ):
            data[at] = rng.integers(256)
    path.write_bytes(data)


@by_name
def test_damaged_written_slides_end_in_our_errors(tmp_path: Path, kind: Written) -> None:
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = kind.into(folder)
        damage(folder, seed)
        with contextlib.suppress(LiverDxError), open_slide(path) as slide:
            for index, level in enumerate(slide.levels):
                rows, cols = level.tile_shape
                for row, col in np.ndindex(min(rows, 4), min(cols, 4)):
                    slide.read_tile(index, row, col)
            for name in slide.info.associated:
                slide.read_associated(name)


def test_a_written_slide_larger_than_any_stage_is_refused(tmp_path: Path) -> None:
    """Each of its thousands of tiles would fail in turn."""
    path = tmp_path / "a.ndpi"
    write_ndpi(path, PIXELS)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        length = tif.pages.first.tags["ImageLength"].valueoffset
    data[length : length + 4] = (1 << 24).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(SlideReadError, match="it claims to be"):
        open_slide(path)
