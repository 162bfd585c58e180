"""What stands on a tile's thumbnail, for the review and its gallery."""

from __future__ import annotations

from dataclasses import dataclass

from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.review_log import Verdict

__all__ = ["THUMBNAIL", "VERDICT_COLORS", "Card"]

THUMBNAIL = 96
"""Side of a thumbnail in pixels."""

VERDICT_COLORS = {Verdict.ACCEPTED: "#009e73", Verdict.REJECTED: "#d55e00"}
"""Okabe & Ito 2008: told apart with every kind of color vision."""


@dataclass(frozen=True, slots=True)
class Card:
    """What stands on a thumbnail.

    Attributes
    ----------
    tile : TileIndex
    caption : str
        A few letters under the picture.
    color : str
        Of the predicted class.
    tip : str
        All that is known, for the tooltip.
    verdict : Verdict or None
    """

    tile: TileIndex
    caption: str
    color: str
    tip: str
    verdict: Verdict | None = None
