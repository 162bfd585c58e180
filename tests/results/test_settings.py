"""Settings are read value by value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_liverdx.results.settings import read_settings


class Look(BaseModel):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    size: int = Field(default=3, gt=0)
    color: str = Field(default="red", alias="colour", max_length=6)
    cuts: dict[str, float] = {}


class Strict(Look):
    model_config = ConfigDict(extra="forbid")


class Whole(Look):
    @model_validator(mode="after")
    def _fits(self) -> Whole:
        if self.size == 4 and self.color == "blue":
            raise ValueError("four are never blue")
        return self


class Needy(BaseModel):
    name: str


def test_the_name_and_the_alias_of_a_bad_value() -> None:
    for name in ("color", "colour"):
        notices: list[str] = []
        found = read_settings(Look, {name: "ultramarine", "size": 5}, "Look", notices)
        assert found == Look(size=5)
        (notice,) = notices
        assert notice.startswith(f"Look: {name} cannot be used")


def test_what_no_value_alone_is_guilty_of_gives_the_defaults() -> None:
    notices: list[str] = []
    assert read_settings(Whole, {"size": 4, "color": "blue"}, "Look", notices) == Whole()
    assert "four are never blue" in notices[0]


def test_what_is_stored_stays_as_it_is() -> None:
    stored = {"cuts": {"a": 1.0, "b": "x"}}
    assert read_settings(Look, stored, "Look").cuts == {"a": 1.0}
    assert stored == {"cuts": {"a": 1.0, "b": "x"}}


def test_a_name_that_is_not_known_costs_only_itself() -> None:
    assert read_settings(Strict, {"size": 9, "shape": "round"}, "Look").size == 9


def test_settings_need_defaults() -> None:
    with pytest.raises(ValidationError):
        read_settings(Needy, {"name": 3}, "Needy")


ANYTHING = st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers())


@given(
    st.dictionaries(
        st.sampled_from(["size", "color", "colour", "cuts", "other"]),
        ANYTHING | st.dictionaries(st.text(), ANYTHING),
    )
)
def test_whatever_is_stored_something_is_read(stored: dict[str, Any]) -> None:
    """What is good alone is kept, whatever stands beside it."""
    found = read_settings(Look, stored, "Look")
    for name in stored:
        try:
            alone = Look.model_validate({name: stored[name]})
        except ValidationError:
            continue
        if name in ("size", "cuts"):
            assert getattr(found, name) == getattr(alone, name) or found.cuts != found.cuts
