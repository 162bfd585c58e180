"""How one image directory stores its pixels: sizes, segments, samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_liverdx.core.errors import NotASlideError, SlideReadError
from napari_liverdx.slides.formats.tiff_parts.directory import Directory

__all__ = ["SEGMENT_BYTES", "Layout", "read_layout"]

SEGMENT_BYTES = 256 << 20
"""Largest tile or strip that is decoded whole, as samples or as RGB."""

_LONGEST_SIDE = 1_000_000
_LARGEST_AREA = 1 << 38
_MAX_U32 = 0xFFFFFFFF
_SUBFILE_TYPE = {2: 1, 3: 2}  # of the older tag, as bits of the newer


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One stored image.

    Attributes
    ----------
    directory : Directory
        Where it was read from.
    width, height, depth : int
        In pixels; depth is 1 but in volumes.
    samples : int
        Values of a pixel.
    bits : tuple of int
        Of each sample.
    sample_format : int
        1 for unsigned integers.
    photometric : int
        Meaning of the samples, as TIFF numbers it.
    compression, predictor, fill_order, subfile_type : int
        As TIFF numbers them.
    planar : bool
        Whether each sample is stored for itself.
    tiled : bool
        Whether segments are tiles; strips otherwise.
    segment_width, segment_height : int
        Of a tile or strip; the last strip may be lower.
    offsets, counts : ndarray of int64, shape (segments,)
        Where the segments lie and their length in bytes.
    extra : tuple of int
        Kinds of the samples beyond the colors: 1 and 2 are transparency.
    subsampling : tuple of int
        Luma samples per chroma sample, across and down.
    """

    directory: Directory
    width: int
    height: int
    depth: int
    samples: int
    bits: tuple[int, ...]
    sample_format: int
    photometric: int
    compression: int
    predictor: int
    fill_order: int
    subfile_type: int
    planar: bool
    tiled: bool
    segment_width: int
    segment_height: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    extra: tuple[int, ...]
    subsampling: tuple[int, int]
    jpeg_tables: bytes | None

    @property
    def across(self) -> int:
        """Segments side by side."""
        return -(-self.width // self.segment_width)

    @property
    def down(self) -> int:
        """Segments one below the other."""
        return -(-self.height // self.segment_height)

    @property
    def segment_samples(self) -> int:
        """Values of a pixel within a segment."""
        return 1 if self.planar else self.samples

    @property
    def dtype(self) -> np.dtype[Any]:
        """Kind of a decoded sample, in this machine's byte order."""
        return np.dtype(np.uint8 if max(self.bits) <= 8 else np.uint16)

    def rows_of(self, segment: int) -> int:
        """Return the rows that a segment holds, which is fewer for a last strip."""
        if self.tiled:
            return self.segment_height
        top = segment % self.down * self.segment_height
        return min(self.segment_height, self.height - top)

    @property
    def row_bytes(self) -> int:
        """Bytes of one uncompressed row of a segment."""
        bits = sum(self.bits) if not self.planar else self.bits[0]
        return -(-self.segment_width * bits // 8)


def read_layout(directory: Directory) -> Layout | None:
    """Return how a directory stores its image; None if it holds none.

    Raises
    ------
    SlideReadError
        If what it says cannot be.
    NotASlideError
        If its parts are too large to be read.
    """
    width, height = directory.number(256, 0), directory.number(257, 0)
    if width < 1 or height < 1:
        return None
    if max(width, height) > _LONGEST_SIDE or width * height > _LARGEST_AREA:
        raise _damaged(directory, f"an image of {width} × {height} px")
    samples = directory.number(277, 0) or max(1, directory.numbers(258).size)
    if not 1 <= samples <= 64:
        raise _damaged(directory, f"{samples} samples in a pixel")
    bits = tuple(int(b) for b in directory.numbers(258)[:samples]) or (1,)
    bits = (*bits, *[bits[-1]] * (samples - len(bits)))
    if not all(1 <= b <= 128 for b in bits):
        raise _damaged(directory, f"{max(bits)} bits in a sample")
    tiled = 322 in directory or 324 in directory
    if tiled:
        seg_width, seg_height = directory.number(322, 0), directory.number(323, 0)
    else:
        rows = directory.number(278, 0) or _rows_by_number(directory, height)
        seg_width, seg_height = width, rows if 0 < rows < height else height
    if not (0 < seg_width <= max(2 * width, 4096) and 0 < seg_height <= max(2 * height, 4096)):
        raise _damaged(directory, f"tiles of {seg_width} × {seg_height} px")
    planar = directory.number(284, 1) == 2 and samples > 1
    needed = -(-width // seg_width) * -(-height // seg_height) * (samples if planar else 1)
    offsets = _positions(directory, (324, 273), needed)
    compression = directory.number(259, 1)
    found = Layout(
        directory=directory,
        width=width,
        height=height,
        depth=max(1, directory.number(32997, 1)),
        samples=samples,
        bits=bits,
        sample_format=directory.number(339, 1),
        photometric=directory.number(262, _photometric(samples)),
        compression=compression,
        predictor=directory.number(317, 1),
        fill_order=directory.number(266, 1),
        subfile_type=_subfile_type(directory),
        planar=planar,
        tiled=tiled,
        segment_width=seg_width,
        segment_height=seg_height,
        offsets=offsets,
        counts=_counts(directory, offsets, needed, compression),
        extra=tuple(int(v) for v in directory.numbers(338)[:samples]),
        subsampling=_subsampling(directory),
        jpeg_tables=directory.raw(347) or None,
    )
    # Rows of uncompressed strips are read as they are needed.
    pixel_bytes = max(3, (1 if planar else samples) * found.dtype.itemsize)
    if (tiled or compression != 1) and seg_width * seg_height * pixel_bytes > SEGMENT_BYTES:
        kind = "tiles" if tiled else "strips"
        raise NotASlideError(
            f"{directory.source.path}: its pixels are stored in {kind} of {seg_width} × "
            f"{seg_height} px, too large to be read in parts; convert it to a tiled pyramidal "
            "TIFF, for example with 'vips tiffsave IN OUT --tile --pyramid'"
        )
    return found


def _rows_by_number(directory: Directory, height: int) -> int:
    """Return the rows of each strip where the tag that says so is missing."""
    strips = directory.numbers(273).size if directory.number(284, 1) == 1 else 1
    return -(-height // max(1, strips))


def _damaged(directory: Directory, claim: str) -> SlideReadError:
    return SlideReadError(
        f"{directory.source.path}: the TIFF structure is damaged, an image directory claims "
        f"{claim}; copy the file again from its source"
    )


def _positions(directory: Directory, codes: tuple[int, int], needed: int) -> NDArray[np.int64]:
    found = directory.numbers(codes[0])
    if not found.size:
        found = directory.numbers(codes[1])
    if found.size < needed or found.dtype.kind == "f":
        raise _damaged(directory, f"{needed} tiles or strips and lists {found.size}")
    # What does not fit 63 bits turns negative, and negative is beyond every file.
    return found[:needed].astype(np.int64)


def _counts(
    directory: Directory, offsets: NDArray[np.int64], needed: int, compression: int
) -> NDArray[np.int64]:
    has_counts = 325 in directory or 279 in directory
    if not has_counts and (compression == 1 or needed == 1):
        # As some plain writers leave them out: up to the next segment, or the end.
        ends = np.append(offsets[1:], directory.source.size)
        return np.where(ends > offsets, ends - offsets, directory.source.size - offsets)
    return _positions(directory, (325, 279), needed)


def _photometric(samples: int) -> int:
    return 2 if samples >= 3 else 1


def _subfile_type(directory: Directory) -> int:
    newer = directory.number(254, 0)
    return newer or _SUBFILE_TYPE.get(directory.number(255, 0), 0)


def _subsampling(directory: Directory) -> tuple[int, int]:
    found = [int(v) for v in directory.numbers(530)[:2]]
    # TIFF's default; writers of JPEG often leave the tag out, and JPEG knows its own.
    return (found[0], found[1]) if len(found) == 2 else (2, 2)
