"""Reading an annotation file, whatever program wrote it."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.annotations.asap import asap_regions
from napari_liverdx.slides.annotations.base import Annotations, Units
from napari_liverdx.slides.annotations.geojson import ANNOTATION_BYTES, geojson_regions
from napari_liverdx.slides.annotations.imagescope import imagescope_regions
from napari_liverdx.slides.annotations.ndpa import GlassFrame, ndpa_regions
from napari_liverdx.slides.annotations.shapes_csv import read_shapes_csv
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.text.plain import is_file, plain_name, read_plain
from napari_liverdx.slides.xml import looks_like_xml, parse_xml

__all__ = ["ANNOTATION_SUFFIXES", "ANNOTATION_TITLES", "class_in_name", "read_annotations"]

ANNOTATION_SUFFIXES = (".geojson", ".json", ".xml", ".annotations", ".ndpa", ".csv")
"""Endings of annotation files, each also with ``.gz`` behind it."""

ANNOTATION_TITLES = (
    "GeoJSON (QuPath), XML of ImageScope, HALO or ASAP, NDPA (NDP.view), or napari's shapes as CSV"
)
_REMEDY = f"give {ANNOTATION_TITLES}"


def read_annotations(
    path: str | Path,
    *,
    name: str | None = None,
    units: Units = "px",
    mpp: Mpp | None = None,
    slide: Slide | str | Path | None = None,
) -> Annotations:
    """Read regions that people drew; the content decides in which form, not the file's ending.

    GeoJSON as QuPath exports it, XML of Aperio ImageScope, HALO and ASAP, NDPA of NDP.view, and
    napari's Shapes layers as CSV; each compressed by gzip or not. What is no region is left out
    and counted.

    Parameters
    ----------
    path : str or Path
        The file.
    name : str, optional
        Class of napari's shapes, which have none; by default what stands before the ending, as
        ``fat`` in ``A12.fat.csv``.
    units : {"px", "um"}
        Unit of napari's shapes; see `read_shapes_csv`.
    mpp : Mpp, optional
        Level-0 resolution, for napari's shapes in µm.
    slide : Slide, str or Path, optional
        The slide, for NDPA, whose places are relative to the glass; by default ``A12.ndpi`` beside
        ``A12.ndpi.ndpa``. Without it such regions are in nm from the center of the glass, as
        their ``unit`` says. ASAP and ImageScope count from the first pixel of the file: with the
        slide, their regions lie right where it opens at a scanner's bounds or a scene.

    Returns
    -------
    Annotations
        Regions in level-0 pixels, where (0, 0) is the upper-left corner of the first pixel; how
        many objects are left out, and why.

    Raises
    ------
    DataError
        If the file cannot be read, or is in none of these forms.
    SlideReadError, NotASlideError
        If the slide cannot be opened.
    """
    path = Path(path)
    content = read_plain(path, "the annotation", ANNOTATION_BYTES, _REMEDY)
    head = content[:200].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if not head:
        raise DataError(f"{path}: the annotation is empty; {_REMEDY}")
    if looks_like_xml(content[:200]):
        return _xml_regions(parse_xml(content, path), path, slide)
    if head[:1] in (b"{", b"["):
        return geojson_regions(content, path)
    del content
    return read_shapes_csv(path, name or class_in_name(path), units=units, mpp=mpp)


def class_in_name(path: Path) -> str:
    """Return the class that a file's name states: ``fat`` of ``A12.fat.csv``.

    >>> class_in_name(Path("A12.fat.csv.gz"))
    'fat'
    """
    return Path(plain_name(path)).stem.rpartition(".")[2]


def _xml_regions(root: Element, path: Path, slide: Slide | str | Path | None) -> Annotations:
    for element in root.iter():
        # Programs that rewrite such files put names into a namespace.
        element.tag = str(element.tag).rpartition("}")[2]
    if root.tag == "ASAP_Annotations":
        return _in_slide(asap_regions(root), slide)
    if root.tag == "Annotations":
        return _in_slide(imagescope_regions(root), slide)
    if root.tag == "annotations":
        return ndpa_regions(root, path, _frame(path, slide))
    raise DataError(f"{path}: XML of another kind (<{root.tag[:60]}>); {_REMEDY}")


def _in_slide(found: Annotations, slide: Slide | str | Path | None) -> Annotations:
    """Return regions that count from the file's first pixel as they lie on the opened slide."""
    if slide is None:
        return found
    if isinstance(slide, Slide):
        x, y = slide.info.origin
        return found.moved(-x, -y)
    with open_slide(slide) as opened:
        return _in_slide(found, opened)


def _frame(path: Path, slide: Slide | str | Path | None) -> GlassFrame | None:
    if isinstance(slide, Slide):
        return GlassFrame.of(slide)
    beside = path.with_name(Path(plain_name(path)).stem)
    if slide is None and not is_file(beside):
        return None
    with open_slide(beside if slide is None else slide) as opened:
        return GlassFrame.of(opened)
