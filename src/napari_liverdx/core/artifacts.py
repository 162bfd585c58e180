"""What lies on or in the tissue that no model should judge: pen marks, folds, blur.

All detectors look at small pictures and know sizes only in µm, so that they find alike at any
resolution. Colors are compared as optical densities, in which light that passes two things adds
(Ruifrok & Johnston 2001).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_liverdx.core.tissue import drop_small, grow, row_bands, smoothing_margin

__all__ = [
    "BLUR_BLOCK_UM",
    "FINE_MPP",
    "block_means",
    "find_blur",
    "find_folds",
    "find_pen",
    "octave_energies",
    "optical_density",
]

FINE_MPP = 2.0
"""Resolution at which focus is judged, µm/px."""

BLUR_BLOCK_UM = 64.0
"""Side of the blocks whose focus is judged."""

_SMALLEST_PEN_UM2 = 5_000.0
_PEN_FRINGE_UM = 40.0
_PEN_RIM_UM = 16.0
_BLACK_BESIDE_UM = 300.0
_LEAST_WITHOUT_INK = 0.05

_INKS = 4
_BLACK = 2

_FOLD_SMOOTHING_UM = 12.0
_FOLD_SURROUNDINGS_UM = 200.0
_FOLD_REFERENCE_PERCENTILE = 80
_FOLD_GLOBAL = 1.35
_FOLD_LOCAL = 1.5
_FOLD_UNEVENNESS = 1.4
_FOLD_FRINGE_UM = 32.0
_SMALLEST_FOLD_UM2 = 10_000.0

_NOISE_ENERGY = 1.0
_BLUR_LIMIT = 1.0
_BLUR_SHARE_OF_SHARPEST = 0.4
_BLUR_RIM = 1.6
_SHARPEST_PERCENTILE = 90
_LEAST_TISSUE_IN_BLOCK = 0.25
_SMALLEST_BLUR_BLOCKS = 8


def optical_density(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return each color channel's absorption: 0 for white, 1 for a tenth of the light.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (rows, columns, 3)
        A picture.

    Returns
    -------
    ndarray of float32, same shape
    """
    table = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)
    return np.asarray(table[rgb], dtype=np.float32)


def find_pen(
    overview: NDArray[np.uint8], tissue: NDArray[np.bool_], *, mpp: float
) -> NDArray[np.bool_]:
    """Find ink of a marker: colors that hematoxylin, eosin and blood do not make.

    Hematoxylin and eosin absorb green most and blue about half as much, in whatever mixture.
    Green and turquoise ink absorb more red than green; blue ink as much red as green and little
    blue; black ink all three alike; red ink next to no red while it is dense in green and blue,
    denser than blood in a section of usual thickness.

    Parameters
    ----------
    overview : ndarray of uint8, shape (rows, columns, 3)
        RGB picture of the slide, about 8 µm/px.
    tissue : ndarray of bool, shape (rows, columns)
        What looks colored. Of ink outside of it only black ink beside it is returned.
    mpp : float
        Resolution of the picture, µm/px.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        Ink with its soft rim.
    """
    if not tissue.any():
        return np.zeros_like(tissue)
    cores, fringes = _inks(overview)
    # Black ink is gray and so no tissue by its color, even where it lies on tissue.
    allowed = tissue | (_has(cores, _BLACK) & grow(tissue, _BLACK_BESIDE_UM / mpp))
    ink = np.zeros_like(tissue)
    for color in range(_INKS):
        core, fringe = _has(cores, color), _has(fringes, color)
        seed = drop_small(core & allowed, 0.2 * _SMALLEST_PEN_UM2 / mpp**2, 2)
        ink |= seed | (grow(seed, _PEN_FRINGE_UM / mpp) & fringe & tissue)
    ink = drop_small(ink, _SMALLEST_PEN_UM2 / mpp**2, 2)
    if np.count_nonzero(tissue & ~ink) < _LEAST_WITHOUT_INK * np.count_nonzero(tissue):
        # A slide that has hardly any other color is stained so.
        return np.zeros_like(tissue)
    return ink | (grow(ink, _PEN_RIM_UM / mpp) & tissue)


def _inks(overview: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return of which inks a pixel has the color, and of which it could be the soft rim, as bits.

    Bit by bit teal, navy, black, crimson.
    """
    cores, fringes = np.empty((2, *overview.shape[:2]), np.uint8)
    for part, _, _ in row_bands(overview.shape, 0):
        red, green, blue = np.moveaxis(optical_density(overview[part]), 2, 0)
        least = np.minimum(np.minimum(red, green), blue)
        most = np.maximum(np.maximum(red, green), blue)
        teal = (red > 1.25 * green + 0.1) & (red > 0.35)
        # Hematoxylin alone is nearly as blue, but over some 30 µm never as dense as ink.
        navy = (blue < 0.5 * green) & (red > 1.0 * green) & (green > 0.5)
        navy |= (blue < 0.45 * green) & (red > 0.85 * green) & (green > 0.8)
        black = (least > 0.8 * most) & (least > 0.5)
        crimson = (green > 1.0) & (red < 0.2 * green) & (blue > 0.62 * green)
        rims = (
            red > 1.1 * green + 0.05,
            (blue < 0.55 * green) & (red > 0.8 * green),
            (least > 0.7 * most) & (least > 0.25),
            (green > 0.4) & (red < 0.25 * green) & (blue > 0.6 * green),
        )
        cores[part] = sum(c * np.uint8(1 << i) for i, c in enumerate((teal, navy, black, crimson)))
        fringes[part] = sum(c * np.uint8(1 << i) for i, c in enumerate(rims))
    return cores, fringes


def _has(bits: NDArray[np.uint8], color: int) -> NDArray[np.bool_]:
    return np.asarray((bits & np.uint8(1 << color)) != 0, dtype=np.bool_)


def find_folds(
    overview: NDArray[np.uint8], tissue: NDArray[np.bool_], *, mpp: float
) -> NDArray[np.bool_]:
    """Find tissue folds: all colors absorbed twice as much as around.

    After the idea of Bautista & Yagi 2010 and Kothari et al. 2013, that a fold is both darker and
    more saturated than its slide. It is asked here in optical density, where two layers are twice
    one layer in *every* channel: crowded nuclei and blood are dense in some channels only.

    Parameters
    ----------
    overview : ndarray of uint8, shape (rows, columns, 3)
        RGB picture of the slide, about 8 µm/px.
    tissue : ndarray of bool, shape (rows, columns)
        Where tissue is, without ink.
    mpp : float
        Resolution of the picture, µm/px.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
    """
    if not tissue.any():
        return np.zeros_like(tissue)
    core, fringe = np.empty((2, *tissue.shape), np.bool_)
    usual = _usual_density(overview, tissue, mpp)
    near, far = _FOLD_SMOOTHING_UM / mpp, _FOLD_SURROUNDINGS_UM / mpp
    for part, around, inner in row_bands(
        tissue.shape, smoothing_margin(near) + smoothing_margin(far)
    ):
        inside = tissue[around]
        density = _smoothed(optical_density(overview[around]), inside, near)
        times = density / np.maximum(usual, 0.02)
        thickness = times.min(axis=2)
        # Folding keeps the color: a layer of another stain (epidermis, pigment) is no fold.
        alike = times.max(axis=2) < _FOLD_UNEVENNESS * thickness
        suspect = (thickness > 0.85 * _FOLD_GLOBAL) & inside
        layers = density / np.maximum(_smoothed(density, inside & ~suspect, far), 0.02)
        fewest = layers.min(axis=2)
        even = layers.max(axis=2) < _FOLD_UNEVENNESS * fewest
        folded = (thickness > _FOLD_GLOBAL) & (fewest > _FOLD_LOCAL) & even & alike & inside
        core[part] = folded[inner]
        rim = (thickness > 0.85 * _FOLD_GLOBAL) & (fewest > 0.85 * _FOLD_LOCAL)
        fringe[part] = rim[inner]
    folds = core | (grow(core, _FOLD_FRINGE_UM / mpp) & fringe & tissue)
    return drop_small(folds, _SMALLEST_FOLD_UM2 / mpp**2, 2)


def _usual_density(
    overview: NDArray[np.uint8], tissue: NDArray[np.bool_], mpp: float
) -> NDArray[np.float32]:
    """Return the density of each channel that most of the tissue stays below."""
    usual = np.empty(3, np.float32)
    sigma = _FOLD_SMOOTHING_UM / mpp
    values = np.empty(np.count_nonzero(tissue), np.float32)
    for channel in range(3):
        filled = 0
        for part, around, inner in row_bands(tissue.shape, smoothing_margin(sigma)):
            density = optical_density(overview[around, :, channel : channel + 1])
            found = _smoothed(density, tissue[around], sigma)[inner, :, 0][tissue[part]]
            values[filled : filled + len(found)] = found
            filled += len(found)
        usual[channel] = np.percentile(values, _FOLD_REFERENCE_PERCENTILE, overwrite_input=True)
    return usual


def octave_energies(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure how much detail there is of the finest kind and of the next coarser kind.

    Two bands of a Laplacian pyramid (Burt & Adelson 1983), squared.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns, 3)
        RGB at `FINE_MPP`.

    Returns
    -------
    fine, coarse : ndarray of float32, shape (rows, columns)
        Gray values squared.
    """
    gray = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    once = ndimage.gaussian_filter(gray, 1.0, truncate=3)
    twice = ndimage.gaussian_filter(gray, 2.0, truncate=3)
    return (gray - once) ** 2, (once - twice) ** 2


def block_means(values: NDArray[np.generic], side: int) -> NDArray[np.float64]:
    """Average over square blocks; rows and columns must be multiples of ``side``."""
    rows, cols = values.shape
    blocks = values.reshape(rows // side, side, cols // side, side)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64))


def find_blur(
    fine: NDArray[np.float64], coarse: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Find blocks out of focus in a slide that is sharp elsewhere.

    Defocus takes the finest detail first. The share of the finest octave in the detail does not
    depend on how much detail there is: a vacuole's smooth inside counts as little as its edge
    counts much, and a pale block is not taken for a blurred one. A block is blurred if that share
    is low in itself and low beside the sharpest tenth of its slide: a scanner that draws softly,
    or a slide out of focus everywhere, is not cut to pieces.

    Parameters
    ----------
    fine, coarse : ndarray of float64, shape (rows, columns)
        Means over each block of `octave_energies`, taken as 0 outside the tissue.
    weight : ndarray of float64, shape (rows, columns)
        Share of each block that is tissue.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
    """
    # Blocks are judged with their neighbors, twice as steadily and at the same fineness.
    fine, coarse, weight = (_binomial(v) for v in (fine, coarse, weight))
    enough = weight >= _LEAST_TISSUE_IN_BLOCK
    if not enough.any():
        return np.zeros(weight.shape, np.bool_)
    # A floor as of the noise of a camera keeps empty blocks from having any ratio at all.
    floor = _NOISE_ENERGY * np.maximum(weight, 1e-6)
    ratio = (fine + floor) / (coarse + floor)
    sharpest = float(np.percentile(ratio[enough], _SHARPEST_PERCENTILE))
    limit = min(_BLUR_LIMIT, _BLUR_SHARE_OF_SHARPEST * sharpest)
    blurred = enough & (ratio < limit)
    blurred = drop_small(blurred, _SMALLEST_BLUR_BLOCKS - 1, 2)
    # Where a blurred region ends, blocks are half sharp.
    rim = ndimage.binary_dilation(blurred, np.ones((3, 3), bool))
    blurred |= rim & (weight > 0) & (ratio < _BLUR_RIM * limit)
    return np.asarray(blurred, dtype=np.bool_)


def _binomial(values: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    return np.asarray(ndimage.convolve(values, kernel, mode="constant"))


def _smoothed(
    values: NDArray[np.float32], where: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32]:
    """Average with a Gaussian over the pixels ``where`` is true, 0 where none is near."""
    weight = ndimage.gaussian_filter(where.astype(np.float32), sigma)
    sums = ndimage.gaussian_filter(values * where[..., None], (sigma, sigma, 0))
    return np.asarray(
        np.where(weight[..., None] > 1e-3, sums / np.maximum(weight, 1e-3)[..., None], 0)
    )
