"""Numbers and lengths in the spellings that files have."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.slides.formats.tiff_parts.lengths import read_number, um_per_unit


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.25", 0.25),
        (" 0,499000 ", 0.499),
        ("2.5e-1", 0.25),
        ("2,5E+2", 250),
        (".5", 0.5),
        ("1.", 1),
        ("-3", -3),
    ],
)
def test_numbers(text: str, number: float) -> None:
    assert read_number(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1,234.5", "0.5um", "0x10", "1_0", "½", "٣"])
def test_what_is_no_number(text: str) -> None:
    assert read_number(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_comes_back(value: float) -> None:
    assert read_number(repr(value)) == value
    assert read_number(repr(value).replace(".", ",")) == value


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("\u00b5m", 1),
        ("\u03bcm", 1),
        ("um", 1),
        ("micron", 1),
        ("Microns", 1),
        ("micrometers", 1),
        (r"\u00B5m", 1),
        ("\u00c2\u00b5m", 1),
        ("nm", 1e-3),
        ("pm", 1e-6),
        ("\u00c5", 1e-4),
        ("mm", 1e3),
        ("cm", 1e4),
        ("dm", 1e5),
        ("m", 1e6),
        ("dam", 1e7),
        ("Mm", 1e12),
        ("inch", 25_400),
        ("inches", 25_400),
        ("in", 25_400),
        ("thou", 25.4),
        ("li", 25_400 / 12),
        ("pt", 25_400 / 72),
        ("ft", 304_800),
    ],
)
def test_units(unit: str, um: float) -> None:
    assert um_per_unit(unit) == pytest.approx(um)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "px", "", "furlong"])
def test_what_is_no_length(unit: str) -> None:
    assert um_per_unit(unit) is None


def test_every_unit_of_the_ome_schema_is_known() -> None:
    schema = "Ym Zm Em Pm Tm Gm Mm km hm dam m dm cm mm \u00b5m nm pm fm am zm ym \u00c5 thou li in"
    for unit in [*schema.split(), "ft", "yd", "mi", "ua", "ly", "pc", "pt"]:
        um = um_per_unit(unit)
        assert um is not None
        assert math.isfinite(um)
