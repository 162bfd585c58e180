"""Where the tissue is, from a small picture of the slide."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon
from skimage.filters import threshold_otsu

from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.geometry import Rect

__all__ = [
    "ARTIFACTS",
    "BAND_PIXELS",
    "OVERVIEW_MPP",
    "TissueLabel",
    "TissueMap",
    "TissueMask",
    "bounding_rect",
    "drop_small",
    "find_tissue",
    "grow",
    "restrict",
    "row_bands",
    "smoothing_margin",
]

OVERVIEW_MPP = 8.0
"""Resolution at which tissue is sought, µm/px."""

BAND_PIXELS = 2**20
"""Pictures with more pixels are worked on band by band, so that memory does not grow with them."""

_SMOOTHING_UM = 8.0
_CLOSING_UM = 24.0
_SMALLEST_PIECE_UM2 = 10_000.0
_LARGEST_FILLED_HOLE_UM2 = 10_000.0
_CHROMA_LIMITS = (0.05, 0.12)


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """A boolean picture of where tissue is.

    Attributes
    ----------
    mask : ndarray of bool, shape (rows, columns)
        True on tissue.
    scale_x, scale_y : float
        Level-0 pixels per mask pixel.
    """

    mask: NDArray[np.bool_]
    scale_x: float
    scale_y: float

    def fraction(self, rect: Rect) -> float:
        """Return the share of ``rect`` (level-0 pixels) that is tissue, to the nearest pixel."""
        window = rect.scaled(1 / self.scale_x, 1 / self.scale_y)
        rows, cols = self.mask.shape
        x0 = min(max(int(window.x), 0), cols)
        y0 = min(max(int(window.y), 0), rows)
        x1 = min(max(int(np.ceil(window.right)), x0 + 1), cols)
        y1 = min(max(int(np.ceil(window.bottom)), y0 + 1), rows)
        part = self.mask[y0:y1, x0:x1]
        full = max(1.0, np.ceil(window.width)) * max(1.0, np.ceil(window.height))
        return min(1.0, float(np.count_nonzero(part)) / full) if part.size else 0.0

    def sample(self, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return mask values at the crossings of ``xs`` and ``ys`` (level-0 pixels).

        Returns
        -------
        ndarray of bool, shape (len(ys), len(xs))
            False outside the mask.
        """
        cols = np.floor(xs / self.scale_x).astype(np.intp)
        rows = np.floor(ys / self.scale_y).astype(np.intp)
        height, width = self.mask.shape
        inside = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))[None, :]
        values = self.mask[np.clip(rows, 0, height - 1)[:, None], np.clip(cols, 0, width - 1)]
        return np.asarray(values & inside, dtype=np.bool_)

    @property
    def area_px(self) -> float:
        """Tissue area in level-0 pixels squared."""
        return float(np.count_nonzero(self.mask)) * self.scale_x * self.scale_y


class TissueLabel(IntEnum):
    """What a pixel of a `TissueMap` shows."""

    GLASS = 0
    TISSUE = 1
    PEN = 2
    FOLD = 3
    BLUR = 4

    @property
    def id(self) -> str:
        """By which it is stored."""
        return _IDS[self]

    @property
    def title(self) -> str:
        """For people."""
        return _TITLES[self]


_IDS = {
    TissueLabel.GLASS: "glass",
    TissueLabel.TISSUE: "tissue",
    TissueLabel.PEN: "pen",
    TissueLabel.FOLD: "fold",
    TissueLabel.BLUR: "blur",
}
_TITLES = {
    TissueLabel.GLASS: "Glass",
    TissueLabel.TISSUE: "Tissue",
    TissueLabel.PEN: "Pen marks",
    TissueLabel.FOLD: "Folds",
    TissueLabel.BLUR: "Out of focus",
}

ARTIFACTS = frozenset({TissueLabel.PEN, TissueLabel.FOLD, TissueLabel.BLUR})
"""Labels that are left out of an analysis unless they are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class TissueMap:
    """A picture of tissue and of what spoils it.

    Attributes
    ----------
    labels : ndarray of uint8, shape (rows, columns)
        Values of `TissueLabel`; any other value counts as tissue.
    scale_x, scale_y : float
        Level-0 pixels per pixel of the picture.
    kept : frozenset of TissueLabel
        Artifacts that are analyzed all the same.
    edited : bool
        Whether a person changed the labels that were found.
    """

    labels: NDArray[np.uint8]
    scale_x: float
    scale_y: float
    kept: frozenset[TissueLabel] = frozenset()
    edited: bool = False

    @property
    def analyzed(self) -> TissueMask:
        """What is analyzed: tissue, and artifacts that are kept."""
        left_out = [TissueLabel.GLASS, *(ARTIFACTS - self.kept)]
        mask = ~np.isin(self.labels, np.array(left_out, np.uint8))
        return TissueMask(mask, self.scale_x, self.scale_y)

    def keeping(self, labels: AbstractSet[TissueLabel]) -> TissueMap:
        """Return the same map with these artifacts kept, and no others."""
        return replace(self, kept=frozenset(labels) & ARTIFACTS)

    def area_px(self, label: TissueLabel) -> float:
        """Return the area of a label in level-0 pixels squared."""
        return float(np.count_nonzero(self.labels == label)) * self.scale_x * self.scale_y

    def areas_mm2(self, um2_per_px: float) -> dict[TissueLabel, float]:
        """Return the area of each label but glass.

        Parameters
        ----------
        um2_per_px : float
            Area of a level-0 pixel in µm².
        """
        return {k: self.area_px(k) * um2_per_px / 1e6 for k in TissueLabel if k}

    @property
    def is_default(self) -> bool:
        """Whether exactly what was found is analyzed, without artifacts."""
        present = {k for k in self.kept if np.any(self.labels == k)}
        return not self.edited and not present


def find_tissue(
    overview: NDArray[np.uint8], *, mpp: float, scale_x: float, scale_y: float
) -> TissueMask:
    """Find stained tissue by its colorfulness.

    Glass, pen-free background and scanner gaps are gray, stained tissue is not: the difference
    between the largest and smallest color channel is smoothed and cut at Otsu's threshold
    (Otsu 1979), held within limits so that an empty slide stays empty.

    Parameters
    ----------
    overview : ndarray of uint8, shape (rows, columns, 3)
        RGB picture of the slide.
    mpp : float
        Its resolution in µm/px; all smoothing is in µm.
    scale_x, scale_y : float
        Level-0 pixels per overview pixel.

    Returns
    -------
    TissueMask
    """
    sigma = _SMOOTHING_UM / mpp
    smooth = np.empty(overview.shape[:2], np.float32)
    for part, around, inner in row_bands(smooth.shape, smoothing_margin(sigma)):
        rgb = overview[around]
        chroma = (rgb.max(axis=2) - rgb.min(axis=2)).astype(np.float32) / 255
        smooth[part] = ndimage.gaussian_filter(chroma, sigma)[inner]
    threshold = _CHROMA_LIMITS[0]
    if float(smooth.max()) > float(smooth.min()):
        threshold = float(np.clip(threshold_otsu(smooth), *_CHROMA_LIMITS))
    mask = smooth > threshold
    radius = _CLOSING_UM / mpp
    if radius >= 1:
        padded = np.pad(grow(mask, radius), 1, mode="edge")
        mask = mask | _deeper(padded, radius)[1:-1, 1:-1]
    pixel_um2 = mpp * mpp
    mask = ~drop_small(~mask, _LARGEST_FILLED_HOLE_UM2 / pixel_um2)
    mask = drop_small(mask, _SMALLEST_PIECE_UM2 / pixel_um2)
    return TissueMask(mask, scale_x, scale_y)


def grow(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Return a mask dilated by a true disc of ``radius`` pixels, at a cost that knows no radius."""
    if not mask.any():
        return mask
    return ~_deeper(~mask, radius)


def _deeper(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Return the pixels of a mask that are more than ``radius`` away from its outside."""
    deep = np.empty_like(mask)
    for part, around, inner in row_bands(mask.shape, math.ceil(radius) + 1):
        piece = mask[around]
        if len(piece) < len(mask) and piece.all():
            deep[part] = True
        else:
            deep[part] = (ndimage.distance_transform_edt(piece) > radius)[inner]
    return deep


def row_bands(shape: tuple[int, ...], margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut a picture into bands of rows that overlap, so that all sees its surroundings.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    margin : int
        Rows that are to be seen above and below a band.

    Yields
    ------
    part, around, inner : slice
        Rows of the band; those and the margin, as far as there are any; rows of the band within
        the latter.
    """
    rows = max(1, BAND_PIXELS // max(1, shape[1]))
    for top in range(0, shape[0], rows):
        bottom = min(shape[0], top + rows)
        first = max(0, top - margin)
        yield (
            slice(top, bottom),
            slice(first, min(shape[0], bottom + margin)),
            slice(top - first, bottom - first),
        )


def smoothing_margin(sigma: float) -> int:
    """Return how far a Gaussian of `scipy.ndimage` looks, in pixels."""
    return int(4 * sigma + 0.5)


def drop_small(mask: NDArray[np.bool_], pixels: float, connectivity: int = 1) -> NDArray[np.bool_]:
    """Return a mask without its pieces of at most so many pixels; 2 connects corners too."""
    most = max(1, int(pixels))
    pieces, number = ndimage.label(mask, ndimage.generate_binary_structure(2, connectivity))
    sizes = np.zeros(number + 1, np.int64)
    for part, _, _ in row_bands(mask.shape, 0):
        sizes += np.bincount(pieces[part].ravel(), minlength=number + 1)
    keeps = sizes > most
    keeps[0] = False
    kept = np.empty(mask.shape, np.bool_)
    for part, _, _ in row_bands(mask.shape, 0):
        kept[part] = keeps[pieces[part]]
    return kept


def restrict(tissue: TissueMask, polygons: Sequence[NDArray[np.float64]]) -> TissueMask:
    """Restrict the tissue to what lies in any of the polygons.

    Parameters
    ----------
    tissue : TissueMask
        Where tissue is.
    polygons : sequence of ndarray of float, shape (n, 2)
        Corners as (x, y) in level-0 pixels.
    """
    inside = np.zeros(tissue.mask.shape, dtype=np.bool_)
    for corners in polygons:
        rows = corners[:, 1] / tissue.scale_y - 0.5
        cols = corners[:, 0] / tissue.scale_x - 0.5
        inside[polygon(rows, cols, inside.shape)] = True
    return TissueMask(tissue.mask & inside, tissue.scale_x, tissue.scale_y)


def bounding_rect(polygons: Sequence[NDArray[np.float64]]) -> Rect:
    """Return the smallest rectangle around all polygons, level-0 pixels.

    Raises
    ------
    PlanError
        If there is no polygon.
    """
    if not polygons:
        raise PlanError("no region was drawn; draw a shape on the slide or analyze the whole slide")
    corners = np.concatenate(polygons)
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return Rect(float(x0), float(y0), float(x1 - x0), float(y1 - y0))
