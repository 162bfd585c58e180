"""Resolution as OME-Zarr states it: every unit, scales on both levels, and what is missing."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import LiverDxError, NotASlideError
from napari_liverdx.slides.formats.ngff.images import NgffImage, ngff_images
from napari_liverdx.slides.formats.ngff.scale import NGFF_UM
from napari_liverdx.slides.formats.ngff.source import FolderSource
from tests.support.ome_zarr import write_ome_zarr

PIXELS = np.ones((8, 8, 3), np.uint8)
SPELLED = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "MICROMETERS": 1.0,
    "micromet" + "re": 1.0,
    "micrometers": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
}


def image(path: Path) -> NgffImage:
    (found,) = ngff_images(FolderSource(path)) or ()
    return found


@pytest.mark.parametrize("unit", [*NGFF_UM, *SPELLED])
def test_every_unit_of_length(unit: str, tmp_path: Path) -> None:
    um = NGFF_UM.get(unit) or SPELLED[unit]
    found = image(write_ome_zarr(tmp_path / "a.zarr", PIXELS, levels=1, scale=0.25 / um, unit=unit))
    assert found.mpp is not None
    assert found.mpp.x == found.mpp.y == pytest.approx(0.25)


UNITS = (
    "angstrom attometer centimeter decimeter exameter femtometer foot gigameter hectometer inch "
    "kilometer megameter meter micrometer mile millimeter nanometer parsec petameter picometer "
    "terameter yard yoctometer yottameter zeptometer zettameter"
)
"""As section 3.1 of the format lists them."""


def test_the_units_are_those_of_the_format() -> None:
    assert set(UNITS.split()) <= set(NGFF_UM)
    assert (NGFF_UM["yoctometer"], NGFF_UM["nanometer"]) == pytest.approx((1e-18, 1e-3))


def test_scales_of_all_levels_and_of_one_are_multiplied(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", PIXELS, scale=2.0, outer=0.125)
    mpp = image(path).mpp
    assert mpp is not None
    assert mpp.mean == 0.25


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"unit": None}, "no unit of length"),
        ({"unit": "furlong"}, "'furlong', which is no known unit"),
        ({"scale": 300.0}, "300 µm/px .* cannot be true"),
        ({"scale": 0.0}, "0 µm/px .* cannot be true"),
        ({"scale": float("nan")}, "nan µm/px .* cannot be true"),
    ],
)
def test_what_is_not_stated_or_cannot_be_is_said(
    change: dict[str, Any], note: str, tmp_path: Path
) -> None:
    found = image(write_ome_zarr(tmp_path / "a.zarr", PIXELS, levels=1, **change))
    assert found.mpp is None
    with pytest.raises(AssertionError, match=note):
        raise AssertionError(found.mpp_note)


def test_no_scale_is_no_resolution(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", PIXELS, version="0.4", levels=1)
    attributes = json.loads((path / ".zattrs").read_text())
    (dataset,) = attributes["multiscales"][0]["datasets"]
    for transforms in (None, [], [{"type": "identity"}], [{"type": "scale", "path": "x"}]):
        dataset["coordinateTransformations"] = transforms
        (path / ".zattrs").write_text(json.dumps(attributes))
        found = image(path)
        assert (found.mpp, found.mpp_note) == (None, "the file states no pixel size")


def test_axes_of_older_versions(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", PIXELS, version="0.4", axes="tczyx", levels=1)
    attributes = json.loads((path / ".zattrs").read_text())
    for axes in (["t", "c", "z", "y", "x"], None):
        attributes["multiscales"][0]["axes"] = axes
        if axes is None:
            del attributes["multiscales"][0]["axes"]
        (path / ".zattrs").write_text(json.dumps(attributes))
        found = image(path)
        assert (found.axes, found.size) == ("tczyx", (8, 8))
        assert found.mpp_note == "the file states no unit of length"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("named", [False, True])
def test_a_macro_in_colors_does_not_make_another_image_a_slide(named: bool, tmp_path: Path) -> None:
    write_ome_zarr(tmp_path, np.zeros((90, 80, 3), np.uint8), version="0.4", levels=1, group="0")
    write_ome_zarr(tmp_path, np.zeros((30, 50, 3), np.uint8), version="0.4", levels=1, group="1")
    (tmp_path / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    names = "".join(f'<Image Name="{n}"/>' for n in ("slide", "macro image" if named else "s1"))
    (tmp_path / "OME").mkdir()
    (tmp_path / "OME" / "METADATA.ome.xml").write_text(f"<OME>{names}</OME>")
    images = ngff_images(FolderSource(tmp_path))
    assert images is not None
    assert [i.associated for i in images] == ["", "macro" if named else ""]
    array = tmp_path / "0" / "0" / ".zarray"
    array.write_text(json.dumps(json.loads(array.read_text()) | {"dtype": "<f4"}))
    with pytest.raises(NotASlideError, match="0: an image of float32 values"):
        ngff_images(FolderSource(tmp_path))


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [path, *(p for key in keys for p in places(node[key], (*path, key)))]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_in_the_metadata_ends_well(data: st.DataObject, tmp_path: Path) -> None:
    """Of the group and of the array, of both versions."""
    version, file = data.draw(
        st.sampled_from(
            [("0.4", ".zattrs"), ("0.4", "0/.zarray"), ("0.5", "zarr.json"), ("0.5", "0/zarr.json")]
        )
    )
    path = tmp_path / version
    if not path.exists():
        colors = [{"color": c, "window": {"max": 255}} for c in ("FF0000", "00FF00", "0000FF")]
        shards = {} if version == "0.4" else {"chunks": (3, 4, 4), "shards": (3, 8, 8)}
        omero = {"channels": colors}
        write_ome_zarr(path, PIXELS, version=version, levels=1, omero=omero, **shards)
    kept = (path / file).read_bytes()
    document = json.loads(kept)
    place = data.draw(st.sampled_from(places(document)[1:]))
    node = document
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = data.draw(JSON)
    (path / file).write_text(json.dumps(document))
    with contextlib.suppress(LiverDxError):
        for found in ngff_images(FolderSource(path)) or ():
            everything = tuple(slice(None) for _ in found.axes)
            assert found.levels[0].read(everything, 255).size
    (path / file).write_bytes(kept)
