"""The small picture of a slide that stands beside the canvas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.reports.html import overlay_picture
from napari_liverdx.results.findings import Findings
from napari_liverdx.slides.slide import Overview, Slide

__all__ = ["draw_overview", "read_overview"]

_SIDE = 700


def read_overview(slide: Slide) -> Overview:
    """Read a picture of the slide, about 700 px on its longer side."""
    return slide.overview(max(1.0, max(slide.size) / _SIDE))


def draw_overview(overview: Overview, findings: Findings | None) -> NDArray[np.uint8]:
    """Draw the findings on the picture, RGB, shape (rows, columns, 3).

    Parameters
    ----------
    overview : Overview
        The slide.
    findings : Findings or None
        What was found on it, if it was analyzed.
    """
    if findings is None:
        return overview.rgb
    return overlay_picture(overview, findings.on, findings.assignment, opacity=0.85)
