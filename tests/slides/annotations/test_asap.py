"""Annotations of ASAP."""

from __future__ import annotations

from napari_liverdx.slides.annotations.asap import asap_regions
from napari_liverdx.slides.xml import parse_xml


def annotation(kind: str, group: str, name: str = "Annotation 0", turned: bool = False) -> str:
    corners = [(0, 0), (100, 0), (100, 100), (0, 100)]
    ordered = list(enumerate(corners))
    if turned:
        ordered = [ordered[i] for i in (2, 0, 3, 1)]
    places = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y},0"/>' for i, (x, y) in ordered)
    return (
        f'<Annotation Name="{name}" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58">'
        f"<Coordinates>{places}</Coordinates></Annotation>"
    )


def test_polygons_rectangles_and_splines_of_groups() -> None:
    parts = (
        annotation("Polygon", "Tumor", turned=True),
        annotation("Rectangle", "None", "normal"),
        annotation("Spline", "Tumor"),
        annotation("Dot", "Tumor"),
        annotation("PointSet", "Tumor"),
        annotation("Polygon", "None"),
    )
    text = (
        f"<ASAP_Annotations><Annotations>{''.join(parts)}</Annotations><AnnotationGroups>"
        '<Group Name="Tumor" PartOfGroup="None" Color="#64FE2E"/></AnnotationGroups>'
        "</ASAP_Annotations>"
    )
    found = asap_regions(parse_xml(text, "a.xml"))
    assert [(r.name, r.area) for r in found.regions] == [
        ("Tumor", 10_000),
        ("normal", 10_000),
        ("Tumor", 10_000),
        ("", 10_000),
    ]
    assert found.skipped == 2
    assert found.classified.skipped == 3
    assert found.classified.reasons["without a class"] == 1
