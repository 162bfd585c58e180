"""OME-TIFF: planes, pyramids, several images, and what is no brightfield slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_liverdx.core.errors import NotASlideError
from napari_liverdx.slides.open import open_slide
from tests.support.slides import whole
from tests.support.tiffs import Page, page, shrunk, tissue, write_tiff

SLIDE = tissue(256, 384, seed=3)
HALF = shrunk(SLIDE, 2)
OTHER = tissue(192, 300, seed=8)
LABEL = np.full((60, 64, 3), 230, np.uint8)
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
SPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def image(
    pixels: np.ndarray, channels: str = '<Channel ID="C:0" SamplesPerPixel="3"/>', **more: Any
) -> str:
    """One ``Image``; keywords are attributes of its ``Pixels``, or its name or data."""
    name, data = more.pop("name", "s"), more.pop("data", '<TiffData IFD="0"/>')
    attributes = {"SizeC": 3, "SizeZ": 1, "SizeT": 1, "DimensionOrder": "XYCZT"} | more
    attributes |= {"SizeX": pixels.shape[1], "SizeY": pixels.shape[0]}
    told = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f'<Image ID="I" Name="{name}"><Pixels ID="P" {told}>{channels}{data}</Pixels></Image>'


def ome(*images: str, head: str = HEAD, rest: str = "") -> str:
    return f"{head}<OME {SPACE}>{rest}{''.join(images)}</OME>"


def three(*names: str, extra: str = "") -> str:
    names = names or ("", "", "")
    return "".join(
        f'<Channel ID="C:{k}" SamplesPerPixel="1" Name="{n}" {extra}/>' for k, n in enumerate(names)
    )


def planes(text: str | None = None, tile: int | None = 64, order: str = "RGB") -> list[Page]:
    found = [page(SLIDE[..., "RGB".index(letter)], tile) for letter in order]
    if text is not None:
        found[0].tags = {**found[0].tags, 270: (2, text)}
    return found


def check(path: Path, *pages: Page) -> None:
    with open_slide(write_tiff(path, pages)) as slide:
        assert (whole(slide) == SLIDE).all()
        assert slide.info.format == "OME-TIFF"


def refused(path: Path, *pages: Page) -> str:
    with pytest.raises(NotASlideError) as told:
        open_slide(write_tiff(path, pages))
    return str(told.value)


SPELLINGS = {
    "plain": ome(image(SLIDE)),
    "no declaration": ome(image(SLIDE), head=""),
    "blanks first": ome(image(SLIDE), head="\n  "),
    "a mark first": ome(image(SLIDE), head="\ufeff"),
    "a comment first": ome(image(SLIDE), head=HEAD + "<!-- Warning: this comment -->"),
    "no namespace": ome(image(SLIDE)).replace(SPACE, ""),
    "older": ome(image(SLIDE)).replace("2016-06", "2011-06"),
    "a prefix": ome(image(SLIDE))
    .replace("<", "<ome:")
    .replace("<ome:/", "</ome:")
    .replace("<ome:?", "<?")
    .replace("xmlns=", "xmlns:ome="),
    "no channels": ome(image(SLIDE, channels="")),
    "four samples": ome(image(SLIDE, channels="", SizeC=4)),
    "no data": ome(image(SLIDE, data="")),
    "a named character": ome(image(SLIDE, name="0.5 &micro;m &Aring;")),
    "other characters": ome(image(SLIDE, name="Gewebe \u00e4\u00f6 \u00b5 &amp; &#xe4;")),
}


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("tile", [64, None])
def test_xml_of_any_writer(tmp_path: Path, name: str, tile: int | None) -> None:
    check(tmp_path / "a.ome.tif", page(SLIDE, tile, t270=SPELLINGS[name]))


@pytest.mark.parametrize("tile", [64, None])
@pytest.mark.parametrize(
    ("data", "order"),
    [
        ('<TiffData IFD="0" PlaneCount="3"/>', "RGB"),
        ("<TiffData/>", "RGB"),
        ("", "RGB"),
        ('<TiffData FirstC="2" IFD="0"/><TiffData FirstC="1" IFD="1"/><TiffData IFD="2"/>', "BGR"),
        ('<TiffData IFD="1" PlaneCount="2"/><TiffData FirstC="2" IFD="0"/>', "BRG"),
    ],
)
def test_planes_where_the_xml_says(tmp_path: Path, data: str, order: str, tile: int | None) -> None:
    text = ome(image(SLIDE, three(), data=data))
    check(tmp_path / "a.ome.tif", *planes(text, tile, order))


def colored(*colors: int) -> str:
    return "".join(
        f'<Channel ID="C:{k}" SamplesPerPixel="1" Color="{c}"/>' for k, c in enumerate(colors)
    )


@pytest.mark.parametrize(
    ("channels", "order"),
    [
        (three("Blue", "Green", "Red"), "BGR"),
        (three("g", "B", "r"), "GBR"),
        (three("Gr\u00fcn", "rot", "Blau"), "GRB"),
        (colored(0x0000FFFF, 0x00FF00FF, 0xFF0000FF - (1 << 32)), "BGR"),
        (three("Red", "Red", "Blue"), "RGB"),
        (colored(-1, -1, -1), "RGB"),
    ],
)
def test_planes_are_the_colors_that_channels_say(tmp_path: Path, channels: str, order: str) -> None:
    text = ome(image(SLIDE, channels, data='<TiffData IFD="0" PlaneCount="3"/>'))
    check(tmp_path / "a.ome.tif", *planes(text, 64, order))


def test_samples_of_one_page_stay_as_they_are_whatever_channels_are_called(tmp_path: Path) -> None:
    text = ome(image(SLIDE, three("Blue", "Green", "Red"), data=""))
    check(tmp_path / "a.ome.tif", page(SLIDE, 64, t270=text))


@pytest.mark.parametrize("sub", [False, True])
def test_planes_have_levels(tmp_path: Path, sub: bool) -> None:
    pages = planes(ome(image(SLIDE, three("R", "G", "B"))))
    small = [page(HALF[..., k], 64, t254=(4, 1)) for k in range(3)]
    for k in range(3):
        pages[k].children = [small[k]] if sub else []
    path = write_tiff(tmp_path / "a.ome.tif", pages if sub else pages + small)
    with open_slide(path) as slide:
        assert (whole(slide) == SLIDE).all()
        assert len(slide.levels) == 2
        assert (whole(slide, 1) == HALF).all()


def test_samples_apart_in_one_page(tmp_path: Path) -> None:
    one = page(SLIDE, t284=2, t270=ome(image(SLIDE, three())))
    one.segments = [SLIDE[..., k].tobytes() for k in range(3)]
    check(tmp_path / "a.ome.tif", one)


def test_a_page_beside_a_page_of_three_samples_is_kept(tmp_path: Path) -> None:
    text = ome(image(SLIDE, channels="", data=""))
    pages = [page(SLIDE, 64, t270=text), page(LABEL, t270="label")]
    with open_slide(write_tiff(tmp_path / "a.ome.tif", pages)) as slide:
        assert slide.info.associated == ("label",)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_label_and_macro_are_images_by_name(tmp_path: Path, position: int) -> None:
    kinds = [(LABEL, "label image", 99), (OTHER[:80], "Macro", 99)]
    kinds.insert(position, (SLIDE, "S12-345 HE", 0.5))
    text = ome(
        *(
            image(p, name=name, data=f'<TiffData IFD="{k}"/>', PhysicalSizeX=size)
            for k, (p, name, size) in enumerate(kinds)
        )
    )
    pages = [page(p, 32) for p, _, _ in kinds]
    pages[0].tags = {**pages[0].tags, 270: (2, text)}
    with open_slide(write_tiff(tmp_path / "a.ome.tif", pages)) as slide:
        assert (whole(slide) == SLIDE).all()
        assert sorted(slide.info.associated) == ["label", "macro"]
        assert slide.info.scenes == ()
        assert slide.mpp is not None
        assert slide.mpp.x == 0.5


def test_levels_as_images_of_their_own(tmp_path: Path) -> None:
    text = ome(
        image(SLIDE, name="a #1", PhysicalSizeX=0.5),
        image(HALF, name="a #2", data='<TiffData IFD="1"/>', PhysicalSizeX=1.0),
    )
    path = write_tiff(tmp_path / "a.ome.tif", [page(SLIDE, 64, t270=text), page(HALF, 64)])
    with open_slide(path) as slide:
        assert len(slide.levels) == 2
        assert slide.mpp is not None
        assert slide.mpp.x == 0.5


def test_several_slides_are_scenes(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for pixels, name, size in ((OTHER, "left", 0.25), (SLIDE, "right", 0.5)):
            metadata = {"axes": "YXS", "Name": name, "PhysicalSizeX": size, "PhysicalSizeY": size}
            writer.write(pixels, photometric="rgb", tile=(64, 64), subifds=1, metadata=metadata)
            writer.write(shrunk(pixels, 2), photometric="rgb", tile=(64, 64), subfiletype=1)
    for scene, pixels, size in ((None, SLIDE, 0.5), (0, OTHER, 0.25), (1, SLIDE, 0.5)):
        with open_slide(path, scene=scene) as slide:
            assert [s.name for s in slide.info.scenes] == ["left", "right"]
            assert (whole(slide) == pixels).all()
            assert len(slide.levels) == 2
            assert slide.mpp is not None
            assert slide.mpp.x == size


def test_significant_bits(tmp_path: Path) -> None:
    deep = SLIDE.astype(np.uint16) << 4
    check(
        tmp_path / "a.ome.tif",
        page(deep, 64, t270=ome(image(SLIDE, SignificantBits=12, Type="uint16"))),
    )


NO_SLIDE = {
    "focal planes": (image(SLIDE, SizeZ=5), "5 focal planes"),
    "times": (image(SLIDE, SizeT=7), "time series of 7"),
    "four channels": (image(SLIDE, three("a", "b", "c", "d"), SizeC=4), "4 channels (a, b, c, d)"),
    "names": (image(SLIDE, three("DAPI", "FITC", "Cy5")), "fluorescence image (DAPI, FITC, Cy5)"),
    "emission": (image(SLIDE, three(extra='EmissionWavelength="520"')), "emission"),
    "method": (image(SLIDE, three(extra='ContrastMethod="Fluorescence"')), "fluorescence"),
    "mode": (
        image(SLIDE, three(extra='AcquisitionMode="LaserScanningConfocalMicroscopy"')),
        "fluorescence",
    ),
}


@pytest.mark.parametrize("name", NO_SLIDE)
def test_what_is_no_slide_is_told_as_what_it_is(tmp_path: Path, name: str) -> None:
    text, words = NO_SLIDE[name]
    assert words in refused(tmp_path / "a.ome.tif", *planes(ome(text)))


def test_one_fluorescent_channel_and_a_dark_ground(tmp_path: Path) -> None:
    one = '<Channel ID="C" Name="DAPI" SamplesPerPixel="1"/>'
    text = ome(image(SLIDE, one, SizeC=1))
    assert "DAPI" in refused(tmp_path / "a.ome.tif", page(SLIDE[..., 0], 64, t270=text))
    dark = [page(SLIDE[..., k] // 8, 64) for k in range(3)]
    dark[0].tags = {**dark[0].tags, 270: (2, ome(image(SLIDE, three())))}
    assert "dark ground" in refused(tmp_path / "b.ome.tif", *dark)


@pytest.mark.parametrize(
    "channels",
    [
        three("Red", "Green", "Blue", extra='EmissionWavelength="600"'),
        three(extra='ContrastMethod="Brightfield" EmissionWavelength="600"'),
        three("TL 1", "TL 2", "TL 3", extra='IlluminationType="Transmitted"'),
    ],
)
def test_brightfield_that_says_so_is_read(tmp_path: Path, channels: str) -> None:
    check(tmp_path / "a.ome.tif", *planes(ome(image(SLIDE, channels))))


def test_pixels_in_another_file_are_named(tmp_path: Path) -> None:
    data = "".join(
        f'<TiffData FirstC="{k}" IFD="0"><UUID FileName="part_{k}.tif">u</UUID></TiffData>'
        for k in range(3)
    )
    text = ome(image(SLIDE, three(), data=data))
    told = refused(tmp_path / "a.ome.tif", page(SLIDE[..., 0], 64, t270=text))
    assert "part_" in told
    renamed = '<TiffData IFD="0"><UUID FileName="old name.tif">urn:uuid:1</UUID></TiffData>'
    check(tmp_path / "b.ome.tif", page(SLIDE, 64, t270=ome(image(SLIDE, data=renamed))))


BROKEN = {
    "cut off": SPELLINGS["plain"][:-20],
    "entities": HEAD
    + '<!DOCTYPE OME [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    + ome(image(SLIDE, name="&b;"), head=""),
    "no images": ome(),
    "negative": ome(image(SLIDE, SizeC=-3, SizeZ=0)),
    "directories that are not there": ome(image(SLIDE, data='<TiffData IFD="77"/>')),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_xml_costs_only_what_it_says(tmp_path: Path, name: str) -> None:
    path = write_tiff(tmp_path / "a.ome.tif", [page(SLIDE, 64, t270=BROKEN[name])])
    with open_slide(path) as slide:
        assert (whole(slide) == SLIDE).all()


def test_planes_without_number_are_refused(tmp_path: Path) -> None:
    text = ome(image(SLIDE, SizeC=3, SizeZ=2_000_000_000))
    assert "2000000000 focal planes" in refused(tmp_path / "a.ome.tif", page(SLIDE, 64, t270=text))
