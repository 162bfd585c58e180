"""Looking at a slide: where its tissue is, and what of it no model should judge."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.artifacts import (
    BLUR_BLOCK_UM,
    FINE_MPP,
    block_means,
    find_blur,
    find_folds,
    find_pen,
    octave_energies,
)
from napari_liverdx.core.errors import TileReadError
from napari_liverdx.core.resolution import level_for_downsample
from napari_liverdx.core.tissue import (
    ARTIFACTS,
    OVERVIEW_MPP,
    TissueLabel,
    TissueMap,
    TissueMask,
    find_tissue,
)
from napari_liverdx.slides.slide import Overview, Slide

__all__ = ["slide_overview", "slide_picture", "slide_tissue", "slide_tissue_map"]

_PICTURE_SIDE = 1400
_ASSUMED_MPP = 0.5
_BLOCK_PX = round(BLUR_BLOCK_UM / FINE_MPP)
_WINDOW_BLOCKS = 16
_MARGIN_PX = 8


def slide_overview(slide: Slide) -> Overview:
    """Read the picture in which tissue is detected; without an mpp as if at 0.5 µm/px."""
    return slide.overview(max(1.0, OVERVIEW_MPP / _mpp(slide)))


def slide_picture(slide: Slide) -> Overview:
    """Read a picture to look at, about 1400 px on its longer side."""
    return slide.overview(max(1.0, max(slide.size) / _PICTURE_SIDE))


def slide_tissue(
    slide: Slide, overview: Overview | None = None, *, keep_artifacts: bool = False
) -> TissueMask:
    """Detect the tissue of a slide worth analyzing; without an mpp as if at 0.5 µm/px.

    Parameters
    ----------
    slide : Slide
        The slide to read.
    overview : Overview, optional
        From `slide_overview`, if it is there already.
    keep_artifacts : bool
        Take pen marks, folds and blur for tissue.
    """
    found = slide_tissue_map(slide, overview)
    return found.keeping(ARTIFACTS if keep_artifacts else frozenset()).analyzed


def slide_tissue_map(slide: Slide, overview: Overview | None = None) -> TissueMap:
    """Detect tissue, pen marks, folds and blur of a slide.

    Reads the overview and, where there is tissue, a level of about 2 µm/px, window by window, so
    that memory stays bounded. Without an mpp all is detected as if at 0.5 µm/px.

    Parameters
    ----------
    slide : Slide
        The slide to read.
    overview : Overview, optional
        From `slide_overview`, if it is there already.
    """
    overview = overview or slide_overview(slide)
    plain = _plain_tissue(slide, overview)
    mpp = _overview_mpp(slide, overview)
    pen = find_pen(overview.rgb, plain.mask, mpp=mpp)
    folds = find_folds(overview.rgb, plain.mask & ~pen, mpp=mpp)
    labels = plain.mask.astype(np.uint8) * np.uint8(TissueLabel.TISSUE)
    labels[_blurred(slide, overview, plain.mask & ~pen)] = TissueLabel.BLUR
    # A run reads another level, and needs the memory itself.
    slide.forget_tiles()
    labels[folds] = TissueLabel.FOLD
    labels[pen] = TissueLabel.PEN
    return TissueMap(labels, overview.scale_x, overview.scale_y)


def _mpp(slide: Slide) -> float:
    return slide.mpp.mean if slide.mpp is not None else _ASSUMED_MPP


def _overview_mpp(slide: Slide, overview: Overview) -> float:
    return _mpp(slide) * (overview.scale_x + overview.scale_y) / 2


def _plain_tissue(slide: Slide, overview: Overview) -> TissueMask:
    return find_tissue(
        overview.rgb,
        mpp=_overview_mpp(slide, overview),
        scale_x=overview.scale_x,
        scale_y=overview.scale_y,
    )


def _blurred(slide: Slide, overview: Overview, tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return overview pixels whose block is out of focus; none where there is no fine level."""
    mpp = _mpp(slide)
    if slide.levels[0].downsample * mpp > 1.25 * FINE_MPP:
        return np.zeros_like(tissue)
    step = FINE_MPP / mpp
    width, height = slide.size
    rows = max(1, -(-round(height / step) // _BLOCK_PX))
    cols = max(1, -(-round(width / step) // _BLOCK_PX))
    fine, coarse, weight = (np.zeros((rows, cols)) for _ in range(3))
    mask = TissueMask(tissue, overview.scale_x, overview.scale_y)
    for row, col, picture, inside in _windows(slide, mask, step, (rows, cols)):
        energies = octave_energies(picture)
        inner = slice(_MARGIN_PX, -_MARGIN_PX)
        place = slice(row, row + _WINDOW_BLOCKS), slice(col, col + _WINDOW_BLOCKS)
        for total, values in zip((fine, coarse), energies, strict=True):
            means = block_means(values[inner, inner] * inside, _BLOCK_PX)
            part = total[place]
            part[...] = means[: part.shape[0], : part.shape[1]]
        part = weight[place]
        part[...] = block_means(inside, _BLOCK_PX)[: part.shape[0], : part.shape[1]]
    blurred = find_blur(fine, coarse, weight)
    ys = (np.arange(tissue.shape[0]) + 0.5) * overview.scale_y / step // _BLOCK_PX
    xs = (np.arange(tissue.shape[1]) + 0.5) * overview.scale_x / step // _BLOCK_PX
    near = np.ix_(np.minimum(ys.astype(int), rows - 1), np.minimum(xs.astype(int), cols - 1))
    return np.asarray(blurred[near] & tissue, dtype=np.bool_)


def _windows(
    slide: Slide, tissue: TissueMask, step: float, shape: tuple[int, int]
) -> Iterator[tuple[int, int, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Yield first block (row, column), picture with a margin, and tissue, window by window."""
    index = level_for_downsample(slide.levels, step)
    level = slide.levels[index]
    side = _WINDOW_BLOCKS * _BLOCK_PX
    steps_x, steps_y = step / level.downsample_x, step / level.downsample_y
    for row in range(0, shape[0], _WINDOW_BLOCKS):
        ys = (row * _BLOCK_PX + np.arange(side) + 0.5) * step
        for col in range(0, shape[1], _WINDOW_BLOCKS):
            xs = (col * _BLOCK_PX + np.arange(side) + 0.5) * step
            inside = tissue.sample(xs.astype(np.float64), ys.astype(np.float64))
            if not inside.any():
                continue
            left, top = (
                (col * _BLOCK_PX - _MARGIN_PX) * steps_x,
                (row * _BLOCK_PX - _MARGIN_PX) * steps_y,
            )
            size = side + 2 * _MARGIN_PX
            x0, y0 = int(np.floor(left)), int(np.floor(top))
            x1, y1 = int(np.ceil(left + size * steps_x)), int(np.ceil(top + size * steps_y))
            try:
                pixels = slide.read_region(index, x0, y0, x1 - x0, y1 - y0)
            except TileReadError:
                # Told when the tile is to be analyzed; a window without focus counts as sharp.
                continue
            box = (left - x0, top - y0, left - x0 + size * steps_x, top - y0 + size * steps_y)
            small = Image.fromarray(pixels).resize((size, size), Image.Resampling.BOX, box)
            yield row, col, np.asarray(small), inside
