"""Files of microscopes and scanners that are not read here, and how to convert them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["UNSUPPORTED", "UnsupportedFormat", "unsupported_format"]

_BIO_FORMATS = (
    "convert it to OME-TIFF or OME-Zarr, with QuPath (File, Export images, OME TIFF) or with "
    "bioformats2raw"
)
_ISYNTAX = (
    "convert it to DICOM or OME-TIFF with the Philips SDK or with isyntax2raw and raw2ometiff"
)
_VENDOR = "export it as SVS, pyramidal TIFF or DICOM with the scanner's own viewer"


@dataclass(frozen=True, slots=True)
class UnsupportedFormat:
    """A kind of file that people have and that is not read.

    Attributes
    ----------
    title : str
        For people.
    suffixes : tuple of str
        Endings of such files.
    advice : str
        What to do, as the end of a sentence.
    magic : bytes
        How such files begin, where that tells them from all others.
    """

    title: str
    suffixes: tuple[str, ...]
    advice: str
    magic: bytes = b""


_DOWNLOAD = "download the slide itself; what came instead may be a page to log in or of an error"

UNSUPPORTED = (
    UnsupportedFormat(
        "Git LFS pointer, not the file it stands for",
        (),
        "fetch the file with 'git lfs pull'",
        b"version https://git-lfs",
    ),
    UnsupportedFormat("web page", (".html", ".htm"), _DOWNLOAD, b"<!doctype html"),
    UnsupportedFormat("web page", (), _DOWNLOAD, b"<html"),
    UnsupportedFormat("Leica LIF project", (".lif", ".lof", ".xlef"), _BIO_FORMATS),
    UnsupportedFormat("Olympus or Evident slide", (".vsi", ".ets"), _BIO_FORMATS),
    UnsupportedFormat("Olympus microscope file", (".oir", ".oib", ".oif"), _BIO_FORMATS),
    UnsupportedFormat("Nikon ND2 file", (".nd2",), _BIO_FORMATS, b"\xda\xce\xbe\x0a"),
    UnsupportedFormat("Zeiss ZVI file", (".zvi",), _BIO_FORMATS),
    UnsupportedFormat("Zeiss CZI file", (".czi",), _BIO_FORMATS, b"ZISRAWFILE\0\0"),
    UnsupportedFormat("Imaris file", (".ims",), _BIO_FORMATS),
    UnsupportedFormat("Philips iSyntax slide", (".isyntax", ".i2syntax"), _ISYNTAX),
    UnsupportedFormat("KFBio slide", (".kfb", ".kfbf"), _VENDOR),
    UnsupportedFormat("UNIC slide", (".tmap",), _VENDOR),
    UnsupportedFormat("TEKSQRAY slide", (".sdpc", ".sdpcx", ".dyqx"), _VENDOR),
    UnsupportedFormat("Motic slide", (".mds", ".mdsx"), _VENDOR),
    UnsupportedFormat("Aperio fused image", (".afi",), "open one of the SVS files that it lists"),
    UnsupportedFormat(
        "QuPath project", (".qpproj", ".qpdata"), "open the slide itself that it was made of"
    ),
    UnsupportedFormat(
        "packed file", (".zip", ".rar", ".7z", ".tar", ".tar.gz", ".tgz", ".gz"), "unpack it first"
    ),
    UnsupportedFormat(
        "table or annotation file",
        (".csv", ".tsv", ".xlsx", ".xls", ".ods", ".geojson", ".xml", ".ndpa", ".json"),
        "open the slide first; tables of slides go into a batch or a training",
    ),
)
"""The kinds; the first that fits counts."""


def unsupported_format(path: Path) -> UnsupportedFormat | None:
    """Return which kind a file is of by its first bytes, else by its name; None for no known one.

    Parameters
    ----------
    path : Path
        A file that no slide format reads.
    """
    try:
        with path.open("rb") as file:
            head = file.read(32).lower()
    except OSError:
        head = b""
    for kind in UNSUPPORTED:
        if kind.magic and head.startswith(kind.magic.lower()):
            return kind
    name = path.name.lower()
    return next((kind for kind in UNSUPPORTED if name.endswith(kind.suffixes)), None)
