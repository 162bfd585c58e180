"""What a person set on the plugin's page of napari's preferences."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_liverdx.results.settings import read_settings
from napari_liverdx.results.view_state import COLORMAPS

__all__ = ["Preferences", "preferences"]

_PLUGIN = "napari-liverdx"
_CLASS_COLOR = "class colour"
"""As it is stored; see ``napari.yaml``."""
_SPELLED = {"class color": _CLASS_COLOR}


class Preferences(BaseModel):
    """Where new docks and new runs begin; each can be changed in the dock.

    Attributes
    ----------
    model : str
        Name or path of the model.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    results_folder : str
        Where results go; empty for a folder beside each slide.
    threshold : float
        Initial minimum probability for a map pixel to be counted.
    opacity : float
        Of probability layers.
    colormap : str
        See `napari_liverdx.viewer.layers.base.COLORMAPS`; ``class color`` for the empty name.
    hide_names : bool
        Whether reports and exports carry a code instead of the slide's name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str = "liver-steatosis"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    results_folder: str = ""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    opacity: float = Field(default=0.6, ge=0.05, le=1)
    colormap: str = _CLASS_COLOR
    hide_names: bool = False

    @field_validator("colormap")
    @classmethod
    def _is_known(cls, name: str) -> str:
        name = _SPELLED.get(name, name)
        if name != _CLASS_COLOR and name not in COLORMAPS:
            raise ValueError(f"no colormap {name!r}")
        return name

    @property
    def colormap_name(self) -> str:
        """As the layers know it."""
        return "" if self.colormap == _CLASS_COLOR else self.colormap


def preferences(notices: list[str] | None = None) -> Preferences:
    """Return the preferences as they are now; the defaults where napari is older than 0.9.

    Parameters
    ----------
    notices : list of str, optional
        Takes in which of them cannot be used, for people.
    """
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return Preferences()
    fields: dict[str, Any] = {}
    try:
        settings = get_plugin_settings(_PLUGIN)
        for part in ("analysis", "display", "sharing"):
            fields |= getattr(settings, part).model_dump()
    # The plugin is used without being registered, for example from a script.
    except (KeyError, AttributeError):
        return Preferences()
    return read_settings(Preferences, fields, "Preferences of napari-liverdx", notices)
