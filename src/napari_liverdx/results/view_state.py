"""How a result was last looked at, kept beside it so that it opens as it was left."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_liverdx.core.errors import storage_errors
from napari_liverdx.results.measurement_map import MapKind

__all__ = ["COLORMAPS", "ViewState"]

_FILE = "view.json"

COLORMAPS = ("", "viridis", "cividis", "inferno", "magma")
"""Choices for probability layers: the class' own colour, or a perceptually uniform map that reads
the same with every kind of colour vision (Nuñez et al. 2018 for cividis)."""


class ViewState(BaseModel):
    """Settings of the view of one result.

    Attributes
    ----------
    thresholds : dict of str to float
        Per pathological class.
    error_rate : float or None
        See `SessionState`.
    opacity : float
        Of the probability layers.
    colormap : str
        Empty for the colours of the classes.
    visible : bool
        Whether the probability layers are shown.
    map_kind : str
        What is measured: cells or tiles.
    slide : str
        Where the slide lies as seen from the result's folder; empty if that is not known.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    thresholds: dict[str, float] = {}
    error_rate: float | None = Field(default=None, gt=0, lt=1)
    opacity: float = Field(default=0.6, ge=0, le=1)
    colormap: str = ""
    visible: bool = True
    map_kind: str = Field(default="", alias="basis")
    slide: str = ""

    @field_validator("thresholds")
    @classmethod
    def _are_probabilities(cls, thresholds: dict[str, float]) -> dict[str, float]:
        if not all(0 <= value <= 1 for value in thresholds.values()):
            raise ValueError("a threshold lies between 0 and 1")
        return thresholds

    @field_validator("map_kind")
    @classmethod
    def _is_a_basis(cls, map_kind: str) -> str:
        return MapKind(map_kind).value if map_kind else ""

    @field_validator("colormap")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in COLORMAPS:
            raise ValueError(f"no colormap {name!r}")
        return name

    @classmethod
    def load(cls, result: Path) -> ViewState:
        """The state kept with a result; the default where none is kept or it cannot be read.

        A lost view costs nothing, so damage is not an error.
        """
        try:
            return cls.model_validate_json((result / _FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, ValidationError):
            return cls()

    def save(self, result: Path) -> None:
        """Keep the state with a result.

        Raises
        ------
        StorageFullError
            If the disk is full.
        ResultError
            If it cannot be written.
        """
        partial = result / f"{_FILE}.partial"
        with storage_errors(result, "the result is whole, only its view was not kept"):
            partial.write_text(self.model_dump_json(indent=1), encoding="utf-8")
            os.replace(partial, result / _FILE)
