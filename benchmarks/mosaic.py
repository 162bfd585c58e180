"""Synthetic slides: real tiles laid out by regions as tissue has them, or without any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from napari_liverdx.core.errors import DataError
from napari_liverdx.mil.bags import UNKNOWN, Bag

__all__ = ["MosaicConfig", "TilePool", "make_mosaics"]


@dataclass(frozen=True, slots=True, eq=False)
class TilePool:
    """Labeled tiles, as a tile model sees them, to lay out.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (n, features)
    logits : ndarray of float32, shape (n, classes)
    labels : ndarray of int, shape (n,)
    groups : ndarray of str, shape (n,)
    """

    embeddings: NDArray[np.float32]
    logits: NDArray[np.float32]
    labels: NDArray[np.intp]
    groups: NDArray[np.str_]

    def part(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> TilePool:
        """Return the chosen tiles."""
        return TilePool(
            self.embeddings[chosen], self.logits[chosen], self.labels[chosen], self.groups[chosen]
        )

    def blocks(self, n: int, classes: Sequence[int], seed: int) -> list[TilePool]:
        """Up to ``n`` pools without a group in common, each with tiles of all ``classes``.

        Raises
        ------
        DataError
            If not even one such pool can be made.
        """
        groups = np.random.default_rng(seed).permutation(np.unique(self.groups))
        for count in range(min(n, len(groups)), 0, -1):
            parts = [
                self.part(np.isin(self.groups, part)) for part in np.array_split(groups, count)
            ]
            if all(np.isin(classes, p.labels).all() for p in parts):
                return parts
        raise DataError(f"no tiles of every class among {', '.join(map(str, classes))}")


class MosaicConfig(BaseModel):
    """How tiles are laid out.

    Attributes
    ----------
    side : int
        Rows and columns of the grid.
    layout : {"regions", "scattered"}
        Whether diseased tiles form regions (a smooth random field above a threshold) or stand
        anywhere.
    scale : tuple of float
        Range of the field's length scale (standard deviation of its smoothing), in tiles.
    share : tuple of float
        Range of the diseased part of a diseased slide's tissue.
    tissue : tuple of float
        Range of the part of the grid that is tissue; the rest holds no tile.
    background_share : float
        Part of the tissue's tiles that are background (vessels, tears), anywhere.
    diseased : float
        Part of the slides that are diseased.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(default=16, ge=2)
    layout: Literal["regions", "scattered"] = "regions"
    scale: tuple[float, float] = (1.5, 3.0)
    share: tuple[float, float] = (0.05, 0.4)
    tissue: tuple[float, float] = (0.6, 0.9)
    background_share: float = Field(default=0.04, ge=0, lt=1)
    diseased: float = Field(default=0.5, ge=0, le=1)


def make_mosaics(
    pool: TilePool,
    count: int,
    config: MosaicConfig,
    *,
    normal: int,
    pathological: int,
    background: int | None = None,
    group: str = "mosaic",
    seed: int = 0,
) -> list[Bag]:
    """Synthetic slides from a pool; tiles are drawn with replacement.

    Parameters
    ----------
    pool : TilePool
        The tiles.
    count : int
        Number of slides; every so many are diseased as ``config.diseased`` says.
    config : MosaicConfig
        The layout.
    normal, pathological, background : int
        Classes of the tile model.
    group : str
        Group of all these slides.
    seed : int
        The same seed gives the same slides.

    Raises
    ------
    DataError
        If the pool lacks a class.
    """
    members = {
        c: np.flatnonzero(pool.labels == c)
        for c in (normal, pathological, background)
        if c is not None
    }
    if background is not None and not len(members[background]):
        background = None
    for c in (normal, pathological):
        if not len(members[c]):
            raise DataError(f"the pool holds no tile of class {c}; give it more groups")
    bags = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        diseased = int((number + 1) * config.diseased) > int(number * config.diseased)
        mask, labels = _layout(config, rng, normal, pathological if diseased else normal)
        if background is not None:
            labels[mask & (rng.random(mask.shape) < config.background_share)] = background
        if diseased and not (labels[mask] == pathological).any():
            row, col = np.argwhere(mask)[rng.integers(mask.sum())]
            labels[row, col] = pathological
        chosen = np.zeros(mask.shape, np.intp)
        for c, found in members.items():
            place = mask & (labels == c)
            chosen[place] = rng.choice(found, size=int(place.sum()))
        bags.append(
            Bag(
                f"{group}-{number}",
                group,
                np.where(mask, np.moveaxis(pool.embeddings[chosen], -1, 0), 0),
                np.where(mask, np.moveaxis(pool.logits[chosen], -1, 0), 0),
                mask,
                np.where(mask, labels, UNKNOWN),
                int(diseased),
            )
        )
    return bags


def _layout(
    config: MosaicConfig, rng: np.random.Generator, normal: int, other: int
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Where tissue is and which class stands where."""
    # One connected outline, fuller towards the middle, as a section lies on glass.
    rows, cols = np.mgrid[: config.side, : config.side] / (config.side - 1) - 0.5
    outline = _field(config.side, config.side / 5, rng) - 4 * (rows**2 + cols**2)
    mask = outline >= np.quantile(outline, 1 - rng.uniform(*config.tissue))
    if config.layout == "regions":
        field = _field(config.side, rng.uniform(*config.scale), rng)
    else:
        field = rng.random((config.side, config.side))
    share = rng.uniform(*config.share)
    field[~mask] = -np.inf
    diseased = field >= np.quantile(field[mask], 1 - share)
    return mask, np.where(diseased, other, normal).astype(np.intp)


def _field(side: int, scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a smooth Gaussian random field of unit variance."""
    margin = int(np.ceil(3 * scale))
    noise = rng.standard_normal((side + 2 * margin, side + 2 * margin))
    smooth = ndimage.gaussian_filter(noise, scale)[margin : margin + side, margin : margin + side]
    return np.asarray((smooth - smooth.mean()) / max(float(smooth.std()), 1e-9))
