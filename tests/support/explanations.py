"""Explanations made by hand."""

from __future__ import annotations

import numpy as np

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.inference.explain import Explanation
from napari_liverdx.models.card import ModelCard
from tests.support.pictures import noise

FAT = 2


FATTY = TileIndex(4, 10)


def made_explanation(subtiles: np.ndarray, alone: np.ndarray, card: ModelCard) -> Explanation:
    from napari_liverdx.core.geometry import Rect
    from napari_liverdx.inference.explain import AloneContext

    def stacked(fat: np.ndarray) -> np.ndarray:
        return np.stack([1 - fat, fat * 0, fat]).astype(np.float32)

    def tile(fat: float) -> np.ndarray:
        return np.array([1 - fat, 0, fat], np.float32)

    return Explanation(
        TileIndex(1, 2),
        Rect(0, 0, 28, 28),
        noise(28),
        card.name,
        card.classes,
        FAT,
        tile(float(subtiles.mean())),
        stacked(subtiles),
        np.zeros((28, 28), np.float32),
        "some layer",
        AloneContext(tile(float(alone.mean())), stacked(alone)),
        "alone",
    )
