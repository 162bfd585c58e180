"""What a person set on the plugin's page of napari's preferences."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Preferences", "preferences"]

_PLUGIN = "napari-liverdx"


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
        From which probability a cell counts at first.
    opacity : float
        Of probability layers.
    colormap : str
        See `napari_liverdx.viewer.layers.base.COLORMAPS`; ``class color`` for the empty name.
    hide_names : bool
        Whether reports and exports carry a code instead of the slide's name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str = "liver-steatosis"
    device: str = "auto"
    results_folder: str = ""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    opacity: float = Field(default=0.6, ge=0.05, le=1)
    colormap: str = "class colour"
    hide_names: bool = False

    @property
    def colormap_name(self) -> str:
        """As the layers know it."""
        return "" if self.colormap == "class colour" else self.colormap


def preferences() -> Preferences:
    """The preferences as they are now; the defaults where napari is older than 0.9."""
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
    return Preferences.model_validate(fields)
