"""Slide formats, one file each: what is in `FORMATS` can be opened, listed and chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_liverdx._registry import Registry
from napari_liverdx.slides.backend import SlideBackend, SlideRequest
from napari_liverdx.slides.formats.deep_zoom import open_deep_zoom
from napari_liverdx.slides.formats.dicom import open_dicom
from napari_liverdx.slides.formats.dicom_parts.files import gather_dicom
from napari_liverdx.slides.formats.image import open_image
from napari_liverdx.slides.formats.ome_zarr import open_ome_zarr
from napari_liverdx.slides.formats.openslide import OPENSLIDE_SUFFIXES, open_with_openslide
from napari_liverdx.slides.formats.tiff import open_tiff

__all__ = [
    "FORMATS",
    "SlideFormat",
    "is_slide_folder",
    "is_slide_name",
    "slide_suffixes",
    "slide_titles",
]


@dataclass(frozen=True, slots=True)
class SlideFormat:
    """A format.

    Attributes
    ----------
    name : str
        Its key in `FORMATS`.
    title : str
        For people.
    suffixes : tuple of str
        Endings of such files, with their dot, in lower case.
    open : callable
        Takes a request; returns a backend, or None if the file is not of this kind.
    folders : bool
        Whether a slide may be a folder.
    remote : bool
        Whether a slide may be a remote address.
    gather : callable or None
        For slides of several files: takes the files of one folder and returns, for those that are
        of this kind, what is to be opened for each; None for a file that is no part of a slide.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    open: Callable[[SlideRequest], SlideBackend | None]
    folders: bool = False
    remote: bool = False
    gather: Callable[[Sequence[Path]], Mapping[Path, Path | None]] | None = None

    def has_name(self, path: Path) -> bool:
        """Return whether a file is called as those of this format are."""
        return path.name.lower().endswith(self.suffixes)

    def can_be(self, request: SlideRequest) -> bool:
        """Return whether such a slide may lie where the request says."""
        if request.url is not None:
            return self.remote
        return self.folders or not request.path.is_dir()


FORMATS: Registry[SlideFormat] = Registry(
    "napari_liverdx.slide_formats",
    SlideFormat,
    {
        f.name: f
        for f in (
            SlideFormat("tiff", "SVS, TIFF or OME-TIFF", (".svs", ".tif", ".tiff"), open_tiff),
            SlideFormat("dicom", "DICOM", (".dcm",), open_dicom, folders=True, gather=gather_dicom),
            SlideFormat(
                "deep-zoom",
                "Deep Zoom",
                (".dzi", ".dzi.zip", ".szi"),
                open_deep_zoom,
                remote=True,
            ),
            SlideFormat(
                "ome-zarr",
                "OME-Zarr",
                (".zarr", ".zarr.zip", ".ozx"),
                open_ome_zarr,
                folders=True,
                remote=True,
            ),
            SlideFormat(
                "openslide",
                "NDPI, MRXS, SCN, BIF, VMS, VMU, SVSLIDE or CZI",
                OPENSLIDE_SUFFIXES,
                open_with_openslide,
            ),
            SlideFormat(
                "image",
                "PNG, JPEG, BMP, WebP, JPEG 2000 or AVIF",
                (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".jp2", ".avif"),
                open_image,
            ),
        )
    },
)
"""The formats by name, in the order in which they are tried."""


def slide_suffixes() -> tuple[str, ...]:
    """Return the endings of all formats, each once."""
    return tuple(dict.fromkeys(s for kind in FORMATS.values() for s in kind.suffixes))


def slide_titles() -> str:
    """Return what people call the formats, in one line."""
    return ", ".join(kind.title for kind in FORMATS.values())


def is_slide_name(path: Path) -> bool:
    """Return whether a file's name ends as a slide's does."""
    return path.name.lower().endswith(slide_suffixes())


def is_slide_folder(path: Path) -> bool:
    """Return whether a folder is one slide by its name; stored and exported results are none."""
    name = path.name.lower()
    endings = tuple(s for kind in FORMATS.values() if kind.folders for s in kind.suffixes)
    return name.endswith(endings) and ".liverdx." not in name and path.is_dir()
