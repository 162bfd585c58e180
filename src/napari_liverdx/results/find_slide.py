"""The slide of a stored result, found again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from napari_liverdx._files import readable_name
from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.slides.address import remote_address
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide

__all__ = ["find_slide", "relative_place"]

_NEAR = 2
"""Most folders up in which a slide is looked for."""


def find_slide(store: ResultStore, given: Path | None = None) -> Slide | None:
    """Find the slide of a result and open it at the result's resolution; None if not found.

    It is searched for where it lay when the result was last open, beside the result and in
    the folder above, and taken only if it is the very file that was analyzed.

    Parameters
    ----------
    store : ResultStore
        The result.
    given : Path, optional
        Look here first; an address too.
    """
    manifest, folder = store.manifest, store.path.parent
    kept = ViewState.load(store.path).slide
    places = [given] if given is not None else []
    places += [folder / kept] if kept else []
    for near in (folder, folder.parent, folder.parent.parent):
        places += [near / manifest.slide_name, *_spelled_otherwise(near, manifest.slide_name)]
    for place in places:
        # A result that somebody handed on must not name an address that is then asked.
        is_remote = place is given and remote_address(place) is not None
        if not (is_remote or os.path.exists(place)):
            continue
        try:
            slide = open_slide(
                place if is_remote else place.resolve(),
                scene=manifest.scene,
                color_managed=manifest.color_managed,
            )
        except LiverDxError:
            continue
        if slide.fingerprint() == manifest.slide_fingerprint:
            if slide.mpp is None or not np.allclose(_pair(slide.mpp), manifest.mpp, rtol=1e-6):
                return slide.with_mpp(store.mpp)
            return slide
        slide.close()
    return None


def _spelled_otherwise(folder: Path, name: str) -> list[Path]:
    """Return files whose name holds bytes that are no text, and reads like ``name`` without."""
    if "\N{REPLACEMENT CHARACTER}" not in name:
        return []
    try:
        return [path for path in sorted(folder.iterdir()) if readable_name(path) == name]
    except OSError:
        return []


def _pair(mpp: Mpp) -> tuple[float, float]:
    return mpp.x, mpp.y


def relative_place(slide: Path, result: Path) -> str:
    """Return where a slide lies as seen from a result's folder; empty for what is far away.

    Results are handed on, so that folders above their common surroundings must not be named.
    """
    if not os.path.exists(slide):
        return ""
    try:
        place = Path(os.path.relpath(slide.resolve(), result.parent.resolve()))
    except ValueError:  # another drive
        return ""
    text = place.as_posix()
    is_text = text.encode(errors="replace") == text.encode(errors="surrogatepass")
    return text if is_text and place.parts.count("..") <= _NEAR else ""
