"""Slides, results, exports and reports on disk; no torch, no Qt."""

from napari_liverdx.io.slide import Slide, open_slide

__all__ = ["Slide", "open_slide"]
