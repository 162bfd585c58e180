"""Classify liver tissue: whole-slide classification with a CNN and a recurrent network.

For research use, not for diagnosis.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from napari_liverdx._version import __version__

_LAZY = {
    "Result": "napari_liverdx.session.result",
    "analyze_slide": "napari_liverdx.api",
    "explain": "napari_liverdx.api",
    "open_result": "napari_liverdx.session.result",
    "Mpp": "napari_liverdx.core.resolution",
    "open_slide": "napari_liverdx.slides.open",
    "read_annotations": "napari_liverdx.slides.annotations.read",
    "read_table": "napari_liverdx.slides.csv_table",
    "Slide": "napari_liverdx.slides.slide",
    "find_tissue": "napari_liverdx.core.tissue",
    "measure": "napari_liverdx.core.measure",
    "load_model": "napari_liverdx.models.zoo",
    "plan_run": "napari_liverdx.inference.plan",
    "predict": "napari_liverdx.inference.predict",
    "ResultStore": "napari_liverdx.results.store",
}

__all__ = ["__version__", *_LAZY]

if TYPE_CHECKING:
    from napari_liverdx.api import analyze_slide, explain
    from napari_liverdx.core.measure import measure
    from napari_liverdx.core.resolution import Mpp
    from napari_liverdx.core.tissue import find_tissue
    from napari_liverdx.inference.plan import plan_run
    from napari_liverdx.inference.predict import predict
    from napari_liverdx.models.zoo import load_model
    from napari_liverdx.results.store import ResultStore
    from napari_liverdx.session.result import Result, open_result
    from napari_liverdx.slides.annotations.read import read_annotations
    from napari_liverdx.slides.csv_table import read_table
    from napari_liverdx.slides.open import open_slide
    from napari_liverdx.slides.slide import Slide


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that importing the package stays cheap."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
