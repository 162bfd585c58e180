"""A lost view is the default, a lost value only itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.view_state import ViewState

KEPT = ViewState(
    thresholds={"fat": 0.3, "tumor": 0.7},
    error_rate=0.1,
    opacity=0.4,
    colormap="cividis",
    visible=False,
    map_kind=MapKind.TILES_AVERAGED,
    slide="../a.svs",
)


def stored(folder: Path, **changes: object) -> Path:
    KEPT.save(folder)
    file = folder / "view.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**fields, **changes}), encoding="utf-8")
    return folder


def test_a_view_comes_back(tmp_path: Path) -> None:
    notices: list[str] = []
    KEPT.save(tmp_path)
    assert ViewState.load(tmp_path, notices) == KEPT
    assert notices == []
    fields = json.loads((tmp_path / "view.json").read_text(encoding="utf-8"))
    assert fields["basis"] == "tiles_averaged", "an id, no text for people"


def test_a_lost_view_is_the_default(tmp_path: Path) -> None:
    notices: list[str] = []
    assert ViewState.load(tmp_path, notices) == ViewState()
    assert notices == [], "where none was kept nothing was lost"
    for text in ("{broken", "[1]", "null"):
        (tmp_path / "view.json").write_text(text, encoding="utf-8")
        assert ViewState.load(tmp_path, notices) == ViewState()
        assert "cannot be read" in notices.pop()


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("basis", "droplets", "map_kind"),
        ("colormap", "turbo", "colormap"),
        ("opacity", 7, "opacity"),
        ("error_rate", "never", "error_rate"),
        ("visible", {}, "visible"),
        ("slide", 3, "slide"),
        ("thresholds", [], "thresholds"),
    ],
)
def test_an_unknown_value_costs_only_itself(
    tmp_path: Path, name: str, value: object, field: str
) -> None:
    notices: list[str] = []
    found = ViewState.load(stored(tmp_path, **{name: value}), notices)
    expected = KEPT.model_copy(update={field: getattr(ViewState(), field)})
    assert found == expected
    (notice,) = notices
    assert name in notice
    assert tmp_path.name in notice


def test_one_bad_threshold_costs_only_itself(tmp_path: Path) -> None:
    notices: list[str] = []
    kept = {"fat": 0.3, "tumor": 7, "necrosis": None}
    found = ViewState.load(stored(tmp_path, thresholds=kept, opacity=-1), notices)
    assert found.thresholds == {"fat": 0.3}
    assert found.opacity == ViewState().opacity
    assert found.error_rate == KEPT.error_rate
    assert len(notices) == 3
    assert any("thresholds tumor" in n for n in notices)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Cells", MapKind.SUBTILES),
        ("Tiles", MapKind.TILES),
        ("Tiles, overlaps averaged", MapKind.TILES_AVERAGED),
        ("", MapKind.SUBTILES),
        ("subtiles", MapKind.SUBTILES),
    ],
)
def test_the_words_of_0_1_0_are_read(tmp_path: Path, text: str, kind: MapKind) -> None:
    notices: list[str] = []
    assert ViewState.load(stored(tmp_path, basis=text), notices).map_kind is kind
    assert notices == []


@pytest.mark.parametrize(
    "stored",
    [
        "[" * 5000 + "]" * 5000,
        '{"thresholds": ' + "[" * 800 + "]" * 800 + "}",
        '{"thresholds": {"fat": {"deep": 1}}}',
        '{"thresholds": 5, "opacity": {"a": {}}}',
        '{"opacity": NaN, "error_rate": 1e999}',
    ],
)
def test_a_view_of_any_shape_is_lost_alone(tmp_path: Path, stored: str) -> None:
    (tmp_path / "view.json").write_text(stored)
    notices: list[str] = []
    assert ViewState.load(tmp_path, notices).thresholds == {}
    assert notices
