"""Pictures with a binary mask of fat each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.tissue import grow
from napari_liverdx.slides.csv_table import is_file, read_table
from napari_liverdx.training.data.base import (
    IMAGES,
    Example,
    TileDataset,
    opened_picture,
    read_rgb,
    split_name,
)
from napari_liverdx.training.data.config import DataConfig, DataLayout, DataRequest

__all__ = ["LAYOUT", "FatMaskDataset", "LabelRule", "blank_pixels"]

_NARROWEST_BLANK = 40


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How masks of fat become classes (background, liver, fat).

    Between ``low`` and ``high`` the target passes linearly from one class to the other, so that
    borderline fields are trained as borderline.

    Attributes
    ----------
    tile_low, tile_high : float
        Fat as a share of the tissue in a tile.
    subtile_low, subtile_high : float
        Fat as a share of the tissue in a subtile.
    blank_low, blank_high : float
        Share of glass or empty lumen; a half-blank tile is background.
    """

    tile_low: float = 0.005
    tile_high: float = 0.02
    subtile_low: float = 0.005
    subtile_high: float = 0.04
    blank_low: float = 0.4
    blank_high: float = 0.6

    def targets(
        self, blank: NDArray[np.float32], fat: NDArray[np.float32], *, subtile: bool
    ) -> NDArray[np.float32]:
        """Compute target distributions from area fractions.

        Parameters
        ----------
        blank, fat : ndarray of float32, any shape
            Fractions of the area; vacuoles of fat are not blank.
        subtile : bool
            Use the limits for subtiles.

        Returns
        -------
        ndarray of float32, shape (3, ...)
        """
        low, high = (
            (self.subtile_low, self.subtile_high) if subtile else (self.tile_low, self.tile_high)
        )
        share = fat / np.maximum(1 - blank, 0.05)
        background = _ramp(blank, self.blank_low, self.blank_high)
        fatty = _ramp(share, low, high)
        return np.stack(
            [background, (1 - background) * (1 - fatty), (1 - background) * fatty]
        ).astype(np.float32)


def _ramp(value: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.float32]:
    return np.asarray(np.clip((value - low) / (high - low), 0, 1), np.float32)


def blank_pixels(image: NDArray[np.uint8], fat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find glass and the empty lumen of vessels: bright, colorless, wide, and not fat.

    Gaps narrower than `_NARROWEST_BLANK` pixels, such as sinusoids and the meshes of frayed
    connective tissue, belong to the tissue.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w, 3)
        RGB picture.
    fat : ndarray of bool, shape (h, w)
        Mask of the fat vacuoles.

    Returns
    -------
    ndarray of bool, shape (h, w)
    """
    values = image.astype(np.float32) / 255
    pale = (values.max(axis=2) - values.min(axis=2) < 0.10) & (values.min(axis=2) > 0.78)
    clean = ndimage.uniform_filter(pale.astype(np.float32), 9) > 0.5
    radius = _NARROWEST_BLANK / 2
    # An opening with a disc, by distance transforms; the image's edge does not narrow a gap.
    padded = np.pad(clean, int(radius) + 1, mode="edge")
    core = ndimage.distance_transform_edt(padded) >= radius
    opened = grow(core, radius)
    inner = slice(int(radius) + 1, -int(radius) - 1)
    return np.asarray(opened[inner, inner] & clean & ~fat)


class FatMaskDataset(TileDataset):
    """Pictures with a binary mask each, listed in ``tiles.csv``.

    Parameters
    ----------
    folder : Path
        Holds ``images/``, ``masks/`` and ``tiles.csv`` with columns tile, group, source and, if
        the parts are given, split.
    rule : LabelRule
        How fractions become classes.

    Raises
    ------
    DataError
        If a file or column is missing or a mask does not fit its picture.
    """

    classes = ("background", "liver", "fat")

    def __init__(self, folder: Path, rule: LabelRule | None = None) -> None:
        self.rule = rule or LabelRule()
        table = folder / "tiles.csv"
        rows = read_table(table, ("tile", "group", "source"))
        self.splits = np.array(
            [split_name(row.get("split"), f"{table}, line {row.line}") for row in rows]
        )
        self.names = [row["tile"] for row in rows]
        self.groups = np.array([row["group"] for row in rows])
        self.sources = np.array([row["source"] for row in rows])
        self._images, self._fat, self._blank = [], [], []
        for name in self.names:
            image = read_rgb(_find_image(folder / "images", name))
            fat = _read_mask(_find_image(folder / "masks", name))
            if fat.shape != image.shape[:2]:
                raise DataError(
                    f"{folder}: mask of {name} is {fat.shape}, its image {image.shape[:2]}; "
                    "both must have the same size"
                )
            self._images.append(image)
            self._fat.append(fat)
            self._blank.append(blank_pixels(image, fat))
        self.fat_share = np.array(
            [
                f.mean() / max(0.05, 1 - b.mean())
                for f, b in zip(self._fat, self._blank, strict=True)
            ]
        )
        self.labels = np.array(
            [self._tile_target(f, b).argmax() for f, b in zip(self._fat, self._blank, strict=True)]
        )

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return picture ``index`` as it is, RGB, shape (h, w, 3); do not write to it."""
        return self._images[index]

    def _tile_target(self, fat: NDArray[np.bool_], blank: NDArray[np.bool_]) -> NDArray[np.float32]:
        return self.rule.targets(
            np.asarray(blank.mean(), np.float32), np.asarray(fat.mean(), np.float32), subtile=False
        )

    def example(
        self, index: int, box: tuple[float, float, float, float], size: int, subtiles: int
    ) -> Example:
        """Return the tile of ``size`` px over ``box`` (left, top, right, bottom) of a picture."""
        image = Image.fromarray(self._images[index]).resize(
            (size, size), Image.Resampling.BILINEAR, box=box
        )
        tile, parts = self._fractions(index, box, 1), self._fractions(index, box, subtiles)
        return Example(
            np.asarray(image),
            self.rule.targets(*tile, subtile=False)[:, 0, 0],
            self.rule.targets(*parts, subtile=True),
        )

    def _fractions(
        self, index: int, box: tuple[float, float, float, float], n: int
    ) -> list[NDArray[np.float32]]:
        """Return shares of blank and of fat in ``n`` by ``n`` parts of ``box``.

        Computed in floating point: the limit for a tile with fat is 0.5 %, 8 bits step by 0.4 %.
        """
        masks = (self._blank[index], self._fat[index])
        return [
            np.asarray(
                Image.fromarray(mask.astype(np.float32)).resize(
                    (n, n), Image.Resampling.BOX, box=box
                )
            )
            for mask in masks
        ]

    def sample_train(
        self, index: int, size: int, subtiles: int, rng: np.random.Generator
    ) -> Example:
        """Return a random tile at 0.8 to 1.25 times the scale."""
        height, width = self._images[index].shape[:2]
        side = min(size * np.exp(rng.uniform(np.log(0.8), np.log(1.25))), height, width)
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        return self.example(index, (left, top, left + side, top + side), size, subtiles)

    def eval_tiles(self, index: int, size: int, subtiles: int) -> list[Example]:
        """Return tiles in the four corners; they overlap if the picture is under two tiles wide."""
        height, width = self._images[index].shape[:2]
        lefts = sorted({0, max(0, width - size)})
        tops = sorted({0, max(0, height - size)})
        return [
            self.example(index, (left, top, left + size, top + size), size, subtiles)
            for top in tops
            for left in lefts
        ]


def _find_image(folder: Path, name: str) -> Path:
    for suffix in sorted(IMAGES):
        if is_file(path := folder / f"{name}{suffix}"):
            return path
    raise DataError(f"{folder}: no image for tile {name!r}")


def _read_mask(path: Path) -> NDArray[np.bool_]:
    with opened_picture(path, "mask") as image:
        return np.asarray(image.convert("L")) > 0


def _open(_: DataConfig, request: DataRequest) -> FatMaskDataset:
    return FatMaskDataset(request.source)


def _fits(source: Path) -> float:
    return 0.9 if is_file(source / "tiles.csv") and (source / "masks").is_dir() else 0


LAYOUT = DataLayout("masks", _open, _fits)
