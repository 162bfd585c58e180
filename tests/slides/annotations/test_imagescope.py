"""Annotations of Aperio ImageScope."""

from __future__ import annotations

import pytest

from napari_liverdx.core.geometry import Rect
from napari_liverdx.slides.annotations.base import Annotations
from napari_liverdx.slides.annotations.imagescope import imagescope_regions
from napari_liverdx.slides.xml import parse_xml

SQUARE = ((0, 0), (100, 0), (100, 100), (0, 100))


def region(corners: tuple[tuple[float, float], ...], **told: str) -> str:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in corners)
    words = "".join(f' {name}="{value}"' for name, value in told.items())
    return f"<Region{words}><Attributes/><Vertices>{vertices}</Vertices></Region>"


def layer(*regions: str, told: str = 'Name="fat"', about: str = "") -> str:
    return (
        f"<Annotation {told}><Attributes>{about}</Attributes>"
        f"<Regions>{''.join(regions)}</Regions></Annotation>"
    )


def read(*layers: str) -> Annotations:
    return imagescope_regions(parse_xml(f"<Annotations>{''.join(layers)}</Annotations>", "a.xml"))


def test_regions_are_cut_out_of_those_of_their_layer() -> None:
    hole = region(((10, 10), (20, 10), (20, 20), (10, 20)), NegativeROA="1")
    over_the_edge = region(((90, 90), (110, 90), (110, 110), (90, 110)), NegativeROA="1")
    other = layer(region(SQUARE), told='Name="liver"')
    found = read(layer(hole, region(SQUARE), over_the_edge), other)
    assert [(r.name, r.area) for r in found.regions] == [("fat", 9800), ("liver", 10_000)]
    assert found.skipped == 0
    lonely = read(layer(hole))
    assert (lonely.regions, dict(lonely.reasons)) == ((), {"to cut out of no region": 1})


def test_kinds_of_regions() -> None:
    corners = ((0, 0), (40, 20))
    found = read(
        layer(
            region(corners, Type="2"),
            region(corners, Type="1"),
            region(((0, 0), (40, 0), (40, 20), (0, 20)), Type="1"),
            region(SQUARE, Type="3"),
            region(corners, Type="4"),
            region(corners),
            region((("1,5", 0), (10, 0), (10, 10))),
            region((("x", 0), (10, 0), (10, 10))),
        )
    )
    ellipse, box, other_box, triangle = found.regions
    assert ellipse.area == pytest.approx(628, rel=0.01)
    assert box.bounds == other_box.bounds == Rect(0, 0, 40, 20)
    assert triangle.area == pytest.approx(42.5)
    assert found.skipped == 4


@pytest.mark.parametrize(
    ("told", "about", "text", "name"),
    [
        ('Name=" fat "', "", "portal", "fat"),
        ('Name=""', '<Attribute Name="Description" Value="liver"/>', "portal", "liver"),
        ('Name="" LineColor="65280"', "", "portal", "portal"),
        ('LineColor="65280"', "", "", "#00ff00"),
        ('Name="" LineColor="255"', "", " ", "#ff0000"),
    ],
)
def test_the_class_of_a_region(told: str, about: str, text: str, name: str) -> None:
    (found,) = read(layer(region(SQUARE, Text=text), told=told, about=about)).regions
    assert found.name == name


def test_what_halo_writes() -> None:
    def drawn(kind: str, *corners: tuple[int, int], more: str = "") -> str:
        vertices = "".join(f'<V X="{x}" Y="{y}"/>' for x, y in corners)
        return f'<Region Type="{kind}" {more}><Vertices>{vertices}</Vertices><Comments/></Region>'

    found = read(
        layer(
            drawn("Polygon", *SQUARE, more='NegativeROA="0"'),
            drawn("Rectangle", (10, 10), (20, 20), more='NegativeROA="1"'),
            drawn("Ellipse", (200, 0), (240, 20)),
            drawn("Ruler", (0, 0), (9, 9)),
        )
    )
    polygon, ellipse = found.regions
    assert polygon.area == 9900
    assert ellipse.bounds == Rect(200, 0, 40, 20)
    assert found.skipped == 1


def test_without_any_name_it_has_none() -> None:
    found = read(layer(region(SQUARE), told=""))
    assert [r.name for r in found.regions] == [""]
    assert found.classified.reasons == {"without a class": 1}
