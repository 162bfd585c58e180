"""Deep Zoom images as OpenSlide's generator writes them."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_liverdx.core.errors import LiverDxError, SlideReadError, TileReadError
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from tests.support.deep_zoom import write_deep_zoom
from tests.support.server import serving
from tests.support.slides import waves, whole

WAVES = waves()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile=st.integers(60, 200),
    overlap=st.integers(0, 5),
)
def test_any_size_and_overlap(
    height: int, width: int, tile: int, overlap: int, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "a_files", ignore_errors=True)
    pixels = WAVES[:height, :width]
    path = write_deep_zoom(tmp_path / "a.dzi", pixels, tile=tile, overlap=overlap)
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), pixels)
        assert (slide.mpp, slide.info.mpp_note) == (None, "Deep Zoom images state no resolution")
        sizes = [(v.width, v.height) for v in slide.levels]
        assert max(sizes[-1]) <= tile or min(sizes[-1]) == 1
        with Image.open(tmp_path / "a_files" / "0" / "0_0.png") as last:
            assert last.size == (1, 1)


def test_beside_in_a_zip_and_on_a_server(tmp_path: Path) -> None:
    path = write_deep_zoom(tmp_path / "a.dzi", WAVES, kind="jpg")
    with zipfile.ZipFile(tmp_path / "b.szi", "w") as file:
        for one in [path, *sorted((tmp_path / "a_files").rglob("*.jpg"))]:
            file.write(one, f"a/{one.relative_to(tmp_path)}")
    with open_slide(path) as slide:
        found, wanted = whole(slide), slide.fingerprint()
        assert np.abs(found.astype(int) - WAVES).mean() < 5
    with serving(tmp_path) as server:
        for place in (tmp_path / "b.szi", f"{server.url}/a.dzi", f"{server.url}/b.szi"):
            with open_slide(place) as slide:
                assert np.array_equal(whole(slide), found)
                assert slide.fingerprint() == wanted
        with pytest.raises(SlideReadError, match="no such file"):
            open_slide(f"{server.url}/c.dzi")
    listed = find_slides(tmp_path, recursive=True)
    assert [s.path.name for s in listed] == ["a.dzi", "b.szi"]


def test_the_resolution_that_libvips_keeps(tmp_path: Path) -> None:
    path = write_deep_zoom(tmp_path / "a.dzi", WAVES)
    kept = "".join(
        f"<property><name>openslide.mpp-{axis}</name><value>0.25</value></property>"
        for axis in "xy"
    )
    xml = f'<image xmlns="http://www.vips.ecs.soton.ac.uk/dzsave"><properties>{kept}</properties></image>'
    (tmp_path / "a_files" / "vips-properties.xml").write_text(xml)
    with open_slide(path) as slide:
        assert str(slide.mpp) == "0.25 µm/px (slide before libvips)"


def test_missing_and_damaged_parts(tmp_path: Path) -> None:
    path = write_deep_zoom(tmp_path / "a.dzi", WAVES, tile=128)
    finest = tmp_path / "a_files" / "9"
    (finest / "0_0.png").unlink()
    (finest / "1_0.png").write_bytes((finest / "1_0.png").read_bytes()[:200])
    Image.new("RGB", (4000, 4000)).save(finest / "2_0.png")
    with open_slide(path) as slide:
        assert (slide.read_tile(0, 0, 0) == 255).all()
        for col in (1, 2):
            with pytest.raises(TileReadError, match=f"tile a_files/9/{col}_0.png is damaged"):
                slide.read_tile(0, 0, col)
        assert np.array_equal(slide.read_tile(0, 1, 1), WAVES[128:256, 128:256])
    shutil.rmtree(finest)
    with pytest.raises(SlideReadError, match="not in a_files/9; copy that folder"):
        open_slide(path)


@pytest.mark.parametrize(
    "xml",
    [
        "no XML",
        "<Collection/>",
        "<Image><Size/></Image>",
        '<Image TileSize="254" Format="jpg"><Size Width="9999999999" Height="9"/></Image>',
        '<Image TileSize="0" Format="jpg"><Size Width="9" Height="9"/></Image>',
        '<Image TileSize="254" Overlap="300" Format="jpg"><Size Width="9" Height="9"/></Image>',
        '<Image TileSize="254" Format="exe"><Size Width="9" Height="9"/></Image>',
    ],
)
def test_damaged_descriptions_end_in_our_errors(xml: str, tmp_path: Path) -> None:
    (tmp_path / "a.dzi").write_text(xml)
    with pytest.raises(LiverDxError, match=r"a\.dzi"):
        open_slide(tmp_path / "a.dzi")
