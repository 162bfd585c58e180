"""What is set on the plugin's page of napari's preferences."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from napari_liverdx.viewer.preferences import Preferences, preferences
from tests.support.golden import GOLDEN

STORED = GOLDEN / "preferences.json"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The preferences as 0.1.0 stored them; changes count."""
    settings = pytest.importorskip("napari.settings")
    found: dict[str, dict[str, Any]] = json.loads(STORED.read_text(encoding="utf-8"))

    def page(name: str) -> Any:
        parts = {
            part: SimpleNamespace(model_dump=lambda values=values: dict(values))
            for part, values in found.items()
        }
        return SimpleNamespace(**parts)

    monkeypatch.setattr(settings, "get_plugin_settings", page, raising=False)
    return found


def test_preferences_of_0_1_0_are_read(told: dict[str, dict[str, Any]]) -> None:
    notices: list[str] = []
    found = preferences(notices)
    assert notices == []
    assert found == Preferences(
        model="tiny",
        device="cpu",
        threshold=0.35,
        opacity=0.45,
        colormap="class colour",
        hide_names=True,
    )
    assert found.colormap_name == ""


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("analysis", "device", "abacus"),
        ("analysis", "threshold", 1.5),
        ("display", "opacity", "much"),
        ("display", "colormap", "turbo"),
        ("sharing", "hide_names", "perhaps"),
    ],
)
def test_an_unknown_value_costs_only_itself(
    told: dict[str, dict[str, Any]], part: str, name: str, value: object
) -> None:
    whole = preferences()
    told[part][name] = value
    notices: list[str] = []
    found = preferences(notices)
    assert found == whole.model_copy(update={name: getattr(Preferences(), name)})
    (notice,) = notices
    assert name in notice


def test_both_spellings_of_the_color_of_a_class_are_read(told: dict[str, dict[str, Any]]) -> None:
    notices: list[str] = []
    for name in ("class color", "class colour"):
        told["display"]["colormap"] = name
        assert preferences(notices).colormap_name == ""
    assert notices == []
