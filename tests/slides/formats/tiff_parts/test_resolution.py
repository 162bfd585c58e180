"""Resolution in every legal spelling; contradictions and what cannot be are asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.backend import SlideInfo
from napari_liverdx.slides.open import open_slide
from tests.support.tiffs import page, write_tiff

WHITE = np.full((64, 64, 3), 240, np.uint8)


def told(path: Path, **tags: Any) -> SlideInfo:
    with open_slide(write_tiff(path / "a.tif", [page(WHITE, 32, **tags)])) as slide:
        return slide.info


def per_unit(x: tuple[int, int], y: tuple[int, int] | None = None, unit: int | None = 3) -> dict:
    tags: dict[str, Any] = {"t282": (5, [x]), "t283": (5, [y or x])}
    return tags if unit is None else tags | {"t296": unit}


def ome(pixels: str = "", rest: str = "") -> dict[str, str]:
    return {
        "t270": '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name="s">{rest}<Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        f'Type="uint8" SizeX="64" SizeY="64" SizeC="3" SizeZ="1" SizeT="1" {pixels}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    }


def aperio(fields: str) -> dict[str, str]:
    return {"t270": f"Aperio Image Library v12.0.15\n64x64 (32x32) JPEG/RGB Q=70|{fields}"}


GOOD = {
    "per cm": (per_unit((20_000, 1)), (0.5, 0.5)),
    "per inch": (per_unit((50_800, 1), unit=2), (0.5, 0.5)),
    "no unit is the inch": (per_unit((50_800, 1), unit=None), (0.5, 0.5)),
    "per millimeter": (per_unit((2000, 1), unit=4), (0.5, 0.5)),
    "anisotropic": (per_unit((20_000, 1), (40_000, 1)), (0.5, 0.25)),
    "a fraction": (per_unit((4_294_967_295, 214_748)), (0.5, 0.5)),
    "a float": ({"t282": (11, 20_000.0), "t283": (12, 20_000.0), "t296": 3}, (0.5, 0.5)),
    "x alone": ({"t282": (5, [(20_000, 1)]), "t296": 3}, (0.5, 0.5)),
    "Aperio": (aperio("AppMag = 20|MPP = 0.2527|Left = 1"), (0.2527, 0.2527)),
    "Aperio with a comma": (aperio("MPP = 0,2527"), (0.2527, 0.2527)),
    "Aperio with an exponent": (aperio("MPP = 2.527E-01"), (0.2527, 0.2527)),
    "Aperio with a unit": (aperio("mpp = 252.7 nm"), (0.2527, 0.2527)),
    "Aperio beside a placeholder": (
        aperio("MPP = 0.25") | per_unit((72, 1), unit=2),
        (0.25, 0.25),
    ),
    "nearly the same": (aperio("MPP = 0.2527") | per_unit((40_000, 1)), (0.2527, 0.2527)),
    "ImageJ": (
        {"t270": "ImageJ=1.54f\nunit=micron\n"} | per_unit((2, 1), unit=1),
        (0.5, 0.5),
    ),
    "ImageJ, escaped": (
        {"t270": "ImageJ=1.54f\nunit=\\u00B5m\n"} | per_unit((4, 1), unit=None),
        (0.25, 0.25),
    ),
    "ImageJ in Latin-1": (
        {"t270": (2, b"ImageJ=1.54f\nunit=\xb5m\n\0")} | per_unit((2, 1), unit=1),
        (0.5, 0.5),
    ),
    "ImageJ in nm": (
        {"t270": "ImageJ=1.54f\nunit=nm\n"} | per_unit((1, 250), unit=1),
        (0.25, 0.25),
    ),
    "ImageJ in cm": ({"t270": "ImageJ=1.54f\nunit=cm\n"} | per_unit((20_000, 1)), (0.5, 0.5)),
    "ImageJ without a unit": ({"t270": "ImageJ=1.54f\n"} | per_unit((20_000, 1)), (0.5, 0.5)),
    "a description": ({"t270": "scanner=x; MPP_X=0.25; mpp_y=0.26"}, (0.25, 0.26)),
    "a description in JSON": ({"t270": '{"mpp": 0.25, "objective": 40}'}, (0.25, 0.25)),
    "a pixel size": ({"t270": "PixelSize: 250 nm"}, (0.25, 0.25)),
    "a pixel size, with a comma": ({"t270": "PixelSize = 0,25 \u00b5m"}, (0.25, 0.25)),
    "libvips": (
        {
            "t270": '<?xml version="1.0"?><image xmlns="http://www.vips.ecs.soton.ac.uk/">'
            "<properties><property><name>openslide.mpp-x</name><value>0.25</value></property>"
            "<property><name>openslide.mpp-y</name><value>0,26</value></property></properties>"
            "</image>"
        },
        (0.25, 0.26),
    ),
    "OME, a character by its name": (
        ome('PhysicalSizeX="0.25" PhysicalSizeXUnit="&micro;m" PhysicalSizeYUnit="&mu;m"'),
        (0.25, 0.25),
    ),
    "OME": (ome('PhysicalSizeX="0.25" PhysicalSizeY="0.5"'), (0.25, 0.5)),
    "OME, a reference": (
        ome('PhysicalSizeX="0.25" PhysicalSizeXUnit="&#181;m" PhysicalSizeYUnit="&#xb5;m"'),
        (0.25, 0.25),
    ),
    "OME in nm": (ome("PhysicalSizeX='250' PhysicalSizeXUnit='nm'"), (0.25, 0.25)),
    "OME in mm": (
        ome('PhysicalSizeX="2.5E-4" PhysicalSizeXUnit="mm" PhysicalSizeY="0.25"'),
        (0.25, 0.25),
    ),
    "OME, a comma": (ome('PhysicalSizeX="0,25"'), (0.25, 0.25)),
    "OME beside another program's unit": (
        ome('PhysicalSizeX="0.25"') | per_unit((1, 1), unit=1),
        (0.25, 0.25),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_legal_spelling_is_read(tmp_path: Path, name: str) -> None:
    tags, (x, y) = GOOD[name]
    info = told(tmp_path, **tags)
    assert info.mpp is not None, info.mpp_note
    assert (info.mpp.x, info.mpp.y) == pytest.approx((x, y), rel=1e-4)
    assert info.mpp_note == ""
    assert info.mpp_options == ()


NONE = {
    "nothing": ({}, "no resolution"),
    "no absolute unit": (per_unit((20_000, 1), unit=1), "no resolution"),
    "a zero": (per_unit((0, 1)), "no resolution"),
    "a zero below": (per_unit((1, 0)), "no resolution"),
    "ImageJ in pixels": (
        {"t270": "ImageJ=1.54f\nunit=pixel\n"} | per_unit((1, 1), unit=1),
        "no resolution",
    ),
    "OME in pixels": (
        ome('PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeYUnit="pixel"'),
        "no resolution",
    ),
    "OME in a frame": (
        ome('PhysicalSizeX="1" PhysicalSizeXUnit="reference frame"'),
        "no resolution",
    ),
    "broken XML": ({"t270": "<OME><Image></OME>"}, "OME-XML cannot be read"),
    "72 dpi": (per_unit((72, 1), unit=2), "352.8 µm/px"),
    "96 dpi": (per_unit((96, 1), unit=None), "264.6 µm/px"),
    "300 dpi": (per_unit((300, 1), unit=2), "84.67 µm/px"),
    "zero": (aperio("MPP = 0"), "0 µm/px (Aperio MPP), which cannot be true"),
    "negative": (aperio("MPP = -0.5"), "-0.5 µm/px"),
    "far from square": (per_unit((20_000, 1), (2000, 1)), "0.5 × 5 µm/px"),
    "not a number": (aperio("MPP = nan"), "no resolution"),
}


@pytest.mark.parametrize("name", NONE)
def test_what_cannot_be_is_never_used(tmp_path: Path, name: str) -> None:
    tags, note = NONE[name]
    info = told(tmp_path, **tags)
    assert info.mpp is None
    assert note in info.mpp_note


def test_contradictions_are_shown_and_asked_about(tmp_path: Path) -> None:
    info = told(tmp_path, **aperio("MPP = 0.25|AppMag = 40"), **per_unit((20_000, 1)))
    assert info.mpp is None
    assert "0.25 µm/px (Aperio MPP)" in info.mpp_note
    assert "0.5 µm/px (TIFF resolution tag)" in info.mpp_note
    assert info.mpp_options == (
        Mpp(0.25, 0.25, "Aperio MPP"),
        Mpp(0.5, 0.5, "TIFF resolution tag"),
    )
    assert info.mpp_question == info.mpp_note
    info = told(tmp_path, **ome('PhysicalSizeX="0.5"'), **per_unit((40_000, 1)))
    assert [option.x for option in info.mpp_options] == [0.5, 0.25]


OBJECTIVE = (
    '<Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="40"/>'
    "</Instrument>"
)


@pytest.mark.parametrize(
    ("tags", "power"),
    [
        (aperio("AppMag = 20"), 20),
        (aperio("AppMag = 20|MPP = "), 20),
        (aperio("AppMag = 40x"), 40),
        ({"t270": "Objective = 40x; Stain = HE"}, 40),
        (ome("", '<ObjectiveSettings ID="Objective:0"/>' + OBJECTIVE), 40),
    ],
)
def test_the_objective_is_the_last_resort_and_says_so(
    tmp_path: Path, tags: dict[str, Any], power: float
) -> None:
    info = told(tmp_path, **tags)
    assert info.objective_power == power
    assert info.mpp == Mpp.square(10 / power, f"estimated from objective power {power}x")


@pytest.mark.parametrize(
    ("power", "mpp", "likely"),
    [(40, 0.9, True), (40, 1.1, False), (5, 0.6, True), (5, 0.4, False), (None, 19, True)],
)
def test_a_resolution_that_the_objective_makes_unlikely_is_asked_about(
    tmp_path: Path, power: int | None, mpp: float, likely: bool
) -> None:
    info = told(tmp_path, **aperio(f"MPP = {mpp}" + (f"|AppMag = {power}" if power else "")))
    assert (info.mpp is not None) == likely
    if not likely:
        assert f"objective power {power}x makes that unlikely" in info.mpp_note
        assert [option.x for option in info.mpp_options] == [mpp, 10 / (power or 1)]


def test_an_estimate_is_offered_where_the_file_cannot_be_right(tmp_path: Path) -> None:
    info = told(tmp_path, **aperio("AppMag = 40|MPP = 0"))
    assert info.mpp is None
    assert [option.x for option in info.mpp_options] == [0.25]
    assert info.mpp_question.endswith(
        "be true; perhaps 0.25 µm/px (estimated from objective power 40x)"
    )
