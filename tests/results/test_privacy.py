"""Names and folders are taken out of texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_liverdx.results.privacy import redact, without_folders


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("'/data/a b/x.svs' is cut", "'x.svs' is cut"),
        ("no /home/me/model.bin (3 tiles/s, µm/px)", "no model.bin (3 tiles/s, µm/px)"),
        ("see https://a.b/c/d", "see https://a.b/c/d"),
        (r"C:\Users\me\x.tif is cut", "x.tif is cut"),
        ("out/x.zarr and about/y", "x.zarr and about/y"),
    ],
)
def test_folders_are_taken_out_of_texts(text: str, left: str) -> None:
    assert without_folders(text, Path("/data/a b"), Path("out"), Path("/")) == left


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Doe_John.ome.tif is coarse", "CODE is coarse"),
        ("level 2 of DOE_JOHN is damaged", "level 2 of CODE is damaged"),
        ("Doe_John.ome: cut off", "CODE: cut off"),
        ("Doe_John_2.tif, /a/Doe_John.tiny.html", "CODE_2.tif, /a/CODE.tiny.html"),
        ("Doe_Johnson and McDoe_John", "Doe_Johnson and McDoe_John"),
    ],
)
def test_a_name_is_hidden_word_by_word(text: str, hidden: str) -> None:
    assert redact(text, "Doe_John.ome.tif", "CODE") == hidden


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_a_name_with_any_signs_is_hidden(before: str, name: str, after: str) -> None:
    hidden = redact(f"{before} {name} {after}", name, "#")
    assert not name.strip() or "#" in hidden


def test_names_of_zipped_stores_and_addresses_are_hidden() -> None:
    assert redact("Doe and Doe.ome.zarr", "Doe.ome.zarr.zip", "CODE") == "CODE and CODE"
    place = Path("https:/host/secret/Doe.zarr")
    told = without_folders("https://host/secret/Doe.zarr: it is gone", place.parent)
    assert told == "Doe.zarr: it is gone"
