"""Annotation files beside their slides, told by their names."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

from napari_liverdx._files import bare_name
from napari_liverdx.slides.annotations.read import ANNOTATION_SUFFIXES
from napari_liverdx.slides.text.plain import is_file, plain_name
from napari_liverdx.slides.xml import looks_like_xml

__all__ = ["annotations_beside", "may_annotate", "slide_stem"]

_SURE = (".geojson", ".ndpa", ".csv")
_HEAD = 4096
_ROOTS = (b"<Annotations", b"<ASAP_Annotations", b"<annotations", b":Annotations")


def may_annotate(path: Path) -> bool:
    """Return whether a file is called as annotations are."""
    return Path(plain_name(path)).suffix.lower() in ANNOTATION_SUFFIXES


def slide_stem(slide: Path) -> str:
    """Return a slide's name without its ending, ``.ome.tif`` too."""
    return bare_name(slide.name)


def annotations_beside(slide: Path, files: Iterable[Path]) -> tuple[Path, ...]:
    """Return those of some files that annotate a slide, by their names.

    ``NAME.geojson`` or ``NAME.svs.geojson``, the same with ``.ndpa``, and with ``.json`` and
    ``.xml`` where they hold annotations; ``NAME.CLASS.csv`` of napari; each also with ``.gz``.

    Parameters
    ----------
    slide : Path
        The slide.
    files : iterable of Path
        What lies beside it.
    """
    stems = {slide.name, slide.stem, slide_stem(slide)}
    return tuple(path for path in files if _belongs(path, stems))


def _belongs(path: Path, stems: set[str]) -> bool:
    stem, dot, ending = plain_name(path).rpartition(".")
    ending = f"{dot}{ending}".lower()
    if ending == ".csv":
        return stem.rpartition(".")[0] in stems and bool(stem.rpartition(".")[2]) and is_file(path)
    if stem not in stems or ending not in ANNOTATION_SUFFIXES or not is_file(path):
        return False
    return ending in _SURE or _holds_annotations(path)


def _holds_annotations(path: Path) -> bool:
    """Return whether XML or JSON, which may be anything, begins as annotations do."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as packed:
                head = packed.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return False
    head = head.replace(b"\0", b"")
    if looks_like_xml(head):
        return any(root in head for root in _ROOTS)
    return b'"Feature' in head
