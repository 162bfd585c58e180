"""Annotations of NDP.view, whose places are relative to the glass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.annotations.ndpa import GlassFrame, ndpa_regions
from napari_liverdx.slides.annotations.read import read_annotations
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.xml import parse_xml
from tests.support.vendors.ndpi import write_ndpi
from tests.support.vendors.registry import PIXELS

CENTER = (1_000_000, -2_000_000)


def points(*corners: tuple[float, float]) -> str:
    inside = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in corners)
    return f"<pointlist>{inside}</pointlist>"


def view(title: str, *annotations: str, unit: str = "nanometers") -> str:
    return (
        f'<ndpviewstate id="1"><title>{title}</title><coordformat>{unit}</coordformat>'
        f"<lens>20</lens>{''.join(annotations)}</ndpviewstate>"
    )


def around_the_center(nm: int) -> str:
    x, y = CENTER
    return points((x - nm, y - nm), (x + nm, y - nm), (x + nm, y + nm), (x - nm, y + nm))


FREEHAND = f'<annotation type="freehand"><closed>1</closed>{around_the_center(5000)}</annotation>'
DRAWN = "<annotations>{}</annotations>".format(
    view(
        "fat",
        FREEHAND,
        f'<annotation type="rectangle">{around_the_center(2500)}</annotation>',
        f'<annotation type="freehand"><closed>0</closed>{around_the_center(9)}</annotation>',
        f'<annotation type="circle"><x>{CENTER[0]}</x><y>{CENTER[1]}</y><radius>5000</radius>'
        "</annotation>",
        '<annotation type="pin"><x>0</x><y>0</y></annotation>',
    )
)


def test_places_on_the_glass_are_pixels_of_the_slide() -> None:
    frame = GlassFrame(1000, 600, Mpp(0.25, 0.5, "given"), CENTER)
    found = ndpa_regions(parse_xml(DRAWN, "a.ndpa"), Path("a.ndpa"), frame)
    outline, box, circle = found.regions
    assert outline.bounds == Rect(480, 290, 40, 20)
    assert box.bounds == Rect(490, 295, 20, 10)
    assert circle.area == pytest.approx(np.pi * 20 * 10, rel=0.01)
    assert found.skipped == 2
    with pytest.raises(DataError, match="not in nanometers"):
        ndpa_regions(parse_xml(f"<a>{view('', unit='pixels')}</a>", "a"), Path("a.ndpa"), frame)


def test_the_slide_beside_it_or_the_one_that_is_named(tmp_path: Path, cmu: Path) -> None:
    file = tmp_path / "a.ndpi.ndpa"
    file.write_text(DRAWN)
    alone = read_annotations(file)
    assert alone.unit == alone.classified.unit == "nm"
    assert alone.regions[0].bounds == Rect(CENTER[0] - 5000, CENTER[1] - 5000, 10_000, 10_000)
    assert (len(alone.regions), alone.skipped) == (3, 2)
    slide = tmp_path / "a.ndpi"
    write_ndpi(slide, PIXELS, center_nm=CENTER)
    height, width = PIXELS.shape[:2]
    middle = Rect(width / 2 - 20, height / 2 - 20, 40, 40)
    assert read_annotations(file).regions[0].bounds == middle
    assert read_annotations(file).unit == "px"
    slide = slide.rename(tmp_path / "renamed.ndpi")
    assert read_annotations(file, slide=slide).regions[0].bounds == middle
    with open_slide(slide, mpp=Mpp.square(0.5)) as opened:
        bounds = read_annotations(file, slide=opened).regions[0].bounds
    assert bounds.width == 20
    with pytest.raises(DataError, match="where on the glass"):
        read_annotations(file, slide=cmu)
