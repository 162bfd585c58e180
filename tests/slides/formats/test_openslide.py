"""Slides that OpenSlide reads, written as their scanners write them."""

from __future__ import annotations

import builtins
import contextlib
import threading
from pathlib import Path

import numpy as np
import openslide
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_liverdx.core.errors import LiverDxError, SlideReadError, TileReadError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.backend import SlideRequest
from napari_liverdx.slides.formats.openslide import open_with_openslide
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from tests.support.slides import waves, whole
from tests.support.vendors.mirax import write_mirax
from tests.support.vendors.ndpi import write_ndpi
from tests.support.vendors.registry import PIXELS, WRITTEN, Written

LEFT_COLUMN = tuple((row, 0) for row in range(4))


def on_white(image: Image.Image) -> np.ndarray:
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("written")
    found = {}
    for kind in WRITTEN:
        inside = folder / kind.name.replace(".", "_")
        inside.mkdir()
        found[kind.name] = kind.into(inside)
    return found


by_name = pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.name)


@by_name
def test_every_level_of_a_written_slide_equals_openslide(
    written: dict[str, Path], kind: Written
) -> None:
    path = written[kind.name]
    assert openslide.OpenSlide.detect_format(path) == kind.vendor
    assert path.stat().st_size < 200_000
    with openslide.OpenSlide(path) as peer, open_slide(path) as slide:
        x, y = slide.info.origin
        assert len(slide.levels) > 1
        for index, level in enumerate(slide.levels):
            peer_level = peer.get_best_level_for_downsample(level.downsample + 1e-6)
            left, top = round(x / level.downsample), round(y / level.downsample)
            box = (left, top, left + level.width, top + level.height)
            size = peer.level_dimensions[peer_level]
            shown = on_white(peer.read_region((0, 0), peer_level, size).crop(box))
            assert np.abs(whole(slide, index).astype(int) - shown).max() <= 1


@by_name
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_region_of_a_written_slide_equals_openslide(
    written: dict[str, Path], kind: Written, data: st.DataObject
) -> None:
    path = written[kind.name]
    with openslide.OpenSlide(path) as peer, open_slide(path) as slide:
        width, height = slide.size
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        size = data.draw(st.tuples(st.integers(1, width - x), st.integers(1, height - y)))
        place = slide.info.origin[0] + x, slide.info.origin[1] + y
        mine = slide.read_region(0, x, y, *size)
        assert np.abs(mine.astype(int) - on_white(peer.read_region(place, 0, size))).max() <= 1


def test_written_pixels_come_back(tmp_path: Path) -> None:
    mrxs, ndpi = tmp_path / "a.mrxs", tmp_path / "a.ndpi"
    write_mirax(mrxs, PIXELS)
    write_ndpi(ndpi, PIXELS)
    with open_slide(mrxs) as slide:
        assert (whole(slide) == PIXELS).all()
        assert slide.info.format == "3DHISTECH MRXS"
        assert slide.mpp == Mpp(0.25, 0.25, "3DHISTECH MRXS")
        assert slide.info.objective_power == 20
    with open_slide(ndpi) as slide:
        assert np.abs(whole(slide).astype(int) - PIXELS).mean() < 2
        assert slide.mpp == Mpp(0.25, 0.25, "Hamamatsu")


def test_a_written_mrxs_opens_at_the_tissue_and_its_gaps_are_white(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    write_mirax(path, PIXELS, missing=(*LEFT_COLUMN, (1, 2)), moved={(0, 1): (0, 0)})
    with open_slide(path) as slide:
        assert slide.info.origin == (64, 0)
        assert slide.size == (320, 256)
        assert [(v.width, v.height) for v in slide.levels] == [(320, 256), (160, 128)]
        expected = PIXELS[:, 64:].copy()
        expected[64:128, 64:128] = 255
        assert (whole(slide) == expected).all()
        assert (whole(slide, 1)[32:64, 32:64] == 255).all()


def test_positions_of_a_written_mrxs_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    write_mirax(path, PIXELS, moved={(3, 5): (9, 5)}, missing=((0, 1),))
    with open_slide(path) as slide:
        assert (whole(slide)[197:256, 329:384] == PIXELS[192:251, 320:375]).all()
        assert (whole(slide)[192:197, 320:384] == 255).all()


def test_a_slide_is_known_by_its_pixels_not_its_small_file(tmp_path: Path) -> None:
    """An MRXS file itself is a small picture that many slides share."""
    prints = []
    for name, pixels in (("a", waves(128, 128)), ("b", waves(128, 128)[::-1]), ("c", None)):
        path = tmp_path / f"{name}.mrxs"
        write_mirax(path, np.ascontiguousarray(waves(128, 128) if pixels is None else pixels))
        path.write_bytes(b"\xff\xd8 the same in all")
        with open_slide(path) as slide:
            prints.append(slide.fingerprint())
    assert prints[0] == prints[2] != prints[1]


def test_label_and_macro_of_a_written_mrxs_can_be_looked_at(tmp_path: Path) -> None:
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
    write_mirax(path, waves(128, 128), mpp=mpp, power=power)
    with open_slide(path) as slide:
        assert slide.mpp == expected
        assert told in slide.info.mpp_note
        assert bool(slide.info.mpp_note) == (expected is None)
        if told == "objective power":
            assert [option.mean for option in slide.info.mpp_options] == [2.5, 0.25]


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


def test_closing_while_others_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    write_mirax(path, waves(1024, 1024), tile=128)
    backend = open_with_openslide(SlideRequest(path))
    assert backend is not None
    started, failures = threading.Barrier(5), []

    def read() -> None:
        started.wait()
        try:
            for i in range(200):
                backend.read_tile(0, i % 2, i // 2 % 2)
        except TileReadError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    backend.close()
    for thread in threads:
        thread.join()
    assert all("closed" in told for told in failures)
    with pytest.raises(TileReadError, match="closed"):
        backend.read_tile(0, 0, 0)
    backend.close()


def test_what_is_missing_or_foreign_is_told(tmp_path: Path) -> None:
    alone = tmp_path / "alone.mrxs"
    Image.fromarray(waves(64, 64)).save(alone, "JPEG")
    with pytest.raises(SlideReadError, match="its folder alone is not beside it"):
        open_slide(alone)
    foreign = tmp_path / "foreign.ndpi"
    foreign.write_bytes(b"II*\0" + b"\0" * 60)
    with pytest.raises(SlideReadError, match="ndpi"):
        open_slide(foreign)


@pytest.fixture
def no_openslide(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name == "openslide":
            raise ModuleNotFoundError("Couldn't locate OpenSlide shared library")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_without_the_library_only_files_that_need_it_fail(
    tmp_path: Path, written: dict[str, Path], no_openslide: None
) -> None:
    with pytest.raises(SlideReadError, match=r"pip install.*openslide-bin"):
        open_slide(written["slide.ndpi"])
    plain = tmp_path / "plain.png"
    Image.fromarray(PIXELS).save(plain)
    with open_slide(plain) as slide:
        assert (whole(slide) == PIXELS).all()


def damaged(folder: Path, seed: int) -> None:
    """Cut one of the files off, or change bytes of it."""
    rng = np.random.default_rng(seed)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    path = files[rng.integers(len(files))]
    data = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        del data[rng.integers(1, len(data)) :]
    else:
        for at in rng.integers(0, len(data), rng.integers(1, 9)):
            data[at] = rng.integers(256)
    path.write_bytes(data)


def read_all(slide: Slide) -> None:
    for index, level in enumerate(slide.levels):
        for row in range(level.tile_shape[0]):
            for col in range(level.tile_shape[1]):
                slide.read_tile(index, row, col)
    for name in slide.info.associated:
        slide.read_associated(name)


@by_name
def test_damaged_written_slides_end_in_our_errors(tmp_path: Path, kind: Written) -> None:
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = kind.into(folder)
        damaged(folder, seed)
        with contextlib.suppress(LiverDxError), open_slide(path) as slide:
            read_all(slide)
