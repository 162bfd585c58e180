"""What a slide-level model made of a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_liverdx.core.errors import ResultError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.results.arrays import CHECKED, fitting_chunks

__all__ = ["SlidePrediction", "TopAttentionTile", "read_slide_prediction", "write_slide_prediction"]

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
