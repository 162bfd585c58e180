"""How a result was last viewed, kept beside it so that it opens as it was left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_liverdx._files import atomic_write, parse_json
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.measurement_map import MapKind
from napari_liverdx.results.settings import read_settings

__all__ = ["COLORMAPS", "ViewState"]

_FILE = "view.json"

COLORMAPS = ("", "viridis", "cividis", "inferno", "magma")
"""Choices for probability layers: the class' own color, or a perceptually uniform map that reads
the same with every kind of color vision (Nuñez et al. 2018 for cividis)."""


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
        Empty for the colors of the classes.
    visible : bool
        Whether the probability layers are shown.
    map_kind : MapKind
        What is measured.
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

    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    error_rate: float | None = Field(default=None, gt=0, lt=1)
    opacity: float = Field(default=0.6, ge=0, le=1)
    colormap: str = ""
    visible: bool = True
    map_kind: MapKind = Field(default=MapKind.SUBTILES, alias="basis")
    slide: str = ""

    @field_validator("map_kind", mode="before")
    @classmethod
    def _first_by_default(cls, map_kind: object) -> object:
        # So it stands in views of 0.1.0 in which nothing was chosen.
        return map_kind or MapKind.SUBTILES

    @field_validator("colormap")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in COLORMAPS:
            raise ValueError(f"no colormap {name!r}")
        return name

    @property
    def settings(self) -> MeasureSettings:
        """Thresholds, error rate and what is measured."""
        return MeasureSettings(self.thresholds, self.error_rate, self.map_kind)

    def with_settings(self, settings: MeasureSettings) -> ViewState:
        """Return the same view with other settings of the measurement."""
        return self.model_copy(
            update={
                "thresholds": dict(settings.thresholds),
                "error_rate": settings.error_rate,
                "map_kind": settings.map_kind,
            }
        )

    @classmethod
    def load(cls, result: Path, notices: list[str] | None = None) -> ViewState:
        """Return the state kept with a result; the default where none is kept.

        A lost view costs nothing, so damage is not an error, and a value that is not known costs
        only itself.

        Parameters
        ----------
        result : Path
            The result's folder.
        notices : list of str, optional
            Takes in what could not be read, for people.
        """
        file = result / _FILE
        try:
            stored = parse_json(file.read_text(encoding="utf-8"))
            if not isinstance(stored, dict):
                raise ValueError("settings are needed")
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            if notices is not None:
                notices.append(f"{file}: cannot be read ({error}); the view is as at first")
            return cls()
        return read_settings(cls, stored, f"View of {result.name}", notices)

    def save(self, result: Path) -> None:
        """Keep the state with a result.

        Raises
        ------
        StorageFullError
            If the disk is full.
        ResultError
            If it cannot be written.
        """
        lost = "the result is whole, only its view was not kept"
        with storage_errors(result, lost), atomic_write(result / _FILE) as partial:
            partial.write_text(self.model_dump_json(indent=1), encoding="utf-8")
