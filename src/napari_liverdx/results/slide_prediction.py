"""What a slide-level model made of a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_liverdx.core.errors import ResultError, storage_errors
from napari_liverdx.core.geometry import Rect
from napari_liverdx.results.arrays import CHECKED, fitting_chunks, read_array
from napari_liverdx.results.layout import TileState

__all__ = [
    "Refined",
    "SlidePrediction",
    "TopAttentionTile",
    "read_slide_prediction",
    "write_slide_prediction",
]

_ATTRIBUTE = "liverdx_slide_call"


class TopAttentionTile(BaseModel):
    """A tile that counts much for the slide-level prediction.

    Attributes
    ----------
    row, col : int
        In the tile grid.
    rect : Rect
        Its place, level-0 pixels.
    weight : float
        Share of the attention, 0 to 1.
    probabilities : tuple of float
        Refined, in the order of the tile model's classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int
    col: int
    rect: Rect
    weight: float
    probabilities: tuple[float, ...]


class SlidePrediction(BaseModel):
    """The slide-level prediction and which tiles decided it.

    Attributes
    ----------
    context_name, context_version, context_sha256 : str
        The slide-level model's file.
    learned_from : str
        ``"tiles"``, ``"slides"`` or ``"both"``.
    tiles : int
        Number of tiles that were judged.
    classes : tuple of str
        Slide classes; empty if the context learned from tile labels alone and predicts none.
    probabilities : tuple of float
        In the order of ``classes``.
    deciding : tuple of TopAttentionTile
        Those with the most attention, most first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_name: str
    context_version: str
    context_sha256: str
    learned_from: str
    tiles: int
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    deciding: tuple[TopAttentionTile, ...] = Field(default=())

    @property
    def called(self) -> str:
        """The most probable slide class; empty without a prediction."""
        if not self.classes:
            return ""
        return self.classes[max(range(len(self.classes)), key=self.probabilities.__getitem__)]

    def lines(self) -> list[tuple[str, str]]:
        """Return the prediction as rows of name and value, for a table."""
        rows = [("slide-level model", f"{self.context_name}, version {self.context_version}")]
        if self.classes:
            rows.append(("slide-level prediction", self.called))
            rows += [
                (f"probability {name}", f"{value:.3f}")
                for name, value in zip(self.classes, self.probabilities, strict=True)
            ]
        else:
            rows.append(
                ("slide-level prediction", "none: this context learned from tile labels alone")
            )
        return rows


def write_slide_prediction(
    group: zarr.Group,
    call: SlidePrediction,
    refined: NDArray[np.float32],
    attention: NDArray[np.float32],
) -> None:
    """Write arrays ``tiles_refined`` and ``attention`` and the prediction into a result's group.

    The prediction is removed first and written last, so it never speaks of other values.
    """
    group.attrs.update({_ATTRIBUTE: None})
    for name, values in (("tiles_refined", refined), ("attention", attention)):
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=fitting_chunks((*values.shape[:-2], 256, 256), values.shape),
            dtype="f4",
            compressors=CHECKED,
            overwrite=True,
        )
        array[...] = values
    group.attrs.update({_ATTRIBUTE: call.model_dump(mode="json")})


def read_slide_prediction(group: zarr.Group, path: Path) -> SlidePrediction | None:
    """Read the slide-level prediction in a result's group; None if there is none.

    Raises
    ------
    ResultError
        If it is damaged.
    """
    stored = dict(group.attrs).get(_ATTRIBUTE)
    if stored is None:
        return None
    try:
        return SlidePrediction.model_validate(stored)
    except ValidationError as error:
        raise ResultError(
            f"{path}: the stored slide-level prediction is damaged ({error.errors()[0]['msg']}); "
            f"apply the "
            "slide-level model again"
        ) from error


class Refined:
    """What a result knows of a slide-level model's view of it.

    Attributes
    ----------
    path : Path
    state : ndarray of uint8, shape (tile rows, tile columns)
    tile_probabilities : ndarray of float32, shape (classes, tile rows, tile columns)
    """

    path: Path
    state: NDArray[np.uint8]
    tile_probabilities: NDArray[np.float32]
    _group: zarr.Group

    def save_slide_prediction(
        self, call: SlidePrediction, refined: NDArray[np.float32], attention: NDArray[np.float32]
    ) -> None:
        """Store what a slide-level model made of the result, beside the tile model's own.

        Parameters
        ----------
        call : SlidePrediction
            Of the slide.
        refined, attention : ndarray of float32
            Refined tile probabilities, shape (classes, tile rows, tile columns), and how much
            each tile counts.

        Raises
        ------
        ResultError, StorageFullError
            If writing fails, or the disk is full.
        """
        with storage_errors(self.path, "the tiles are kept"):
            write_slide_prediction(self._group, call, refined, attention)

    @property
    def slide_prediction(self) -> SlidePrediction | None:
        """The slide-level prediction, if made from the tiles that are done now."""
        call = read_slide_prediction(self._group, self.path)
        done = int(np.count_nonzero(self.state == TileState.DONE))
        return call if call is not None and call.tiles == done else None

    def refined(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return refined tile probabilities and attention that belong to `slide_prediction`.

        Raises
        ------
        ResultError
            If no slide-level model was applied to the tiles that are done now, or what it gave is
            damaged.
        """
        if self.slide_prediction is None:
            raise ResultError(f"{self.path}: no slide-level model was applied to these tiles")
        shape = self.tile_probabilities.shape
        refined = read_array(self._group, "tiles_refined", self.path, shape)
        attention = read_array(self._group, "attention", self.path, shape[1:])
        if not (np.isfinite(refined).all() and np.isfinite(attention).all()):
            raise ResultError(
                f"{self.path}: what the slide-level model gave is damaged; apply it again"
            )
        return refined, attention
