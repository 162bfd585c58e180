"""Why a model says what it says of one tile."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_liverdx.core.classes import TissueClass
from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import TileGrid, TileIndex
from napari_liverdx.inference.grad_cam import grad_cam
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.architectures.recurrent_grid import RecurrentContext
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile

__all__ = [
    "AloneContext",
    "AroundTile",
    "Explanation",
    "around_tile",
    "explain_pixels",
    "explain_tile",
    "predict_subtiles_alone",
    "sentences",
    "tile_at",
]

_HARDLY = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class AloneContext:
    """What the model says when no map pixel hears of the others.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (classes,)
        Of the tile.
    subtiles : ndarray of float32, shape (classes, k, k), or None
    """

    probabilities: NDArray[np.float32]
    subtiles: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class AroundTile:
    """What a slide-level model made of a tile, from a stored result.

    Attributes
    ----------
    alone, refined : ndarray of float32, shape (classes,)
        Of the tile model, and with the slide around the tile.
    context_name : str
    """

    alone: NDArray[np.float32]
    refined: NDArray[np.float32]
    context_name: str


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What can be shown of one tile.

    Attributes
    ----------
    tile : TileIndex
    rect : Rect
        Level-0 pixels; empty for a tile that is not from a slide.
    pixels : ndarray of uint8, shape (size, size, 3)
        The tile as the model sees it, before normalization.
    model_name : str
    classes : tuple of TissueClass
    class_index : int
        The class that is explained.
    probabilities : ndarray of float32, shape (classes,)
    subtiles : ndarray of float32, shape (classes, k, k), or None
        None for a model without map pixels.
    cam : ndarray of float32, shape (size, size), or None
        Grad-CAM, 0 to 1 within this tile; see `grad_cam`.
    cam_note : str
        Layer that was used, or why there is no map.
    alone : AloneContext or None
        Without the recurrent context; see `predict_subtiles_alone`.
    alone_note : str
        What was left out, or why there is nothing to leave out.
    around : AroundTile or None
        With the slide around it, where a result holds that.
    """

    tile: TileIndex
    rect: Rect
    pixels: NDArray[np.uint8]
    model_name: str
    classes: tuple[TissueClass, ...]
    class_index: int
    probabilities: NDArray[np.float32]
    subtiles: NDArray[np.float32] | None
    cam: NDArray[np.float32] | None
    cam_note: str
    alone: AloneContext | None
    alone_note: str
    around: AroundTile | None = None

    @property
    def title(self) -> str:
        """Of the explained class."""
        return self.classes[self.class_index].title

    @property
    def difference(self) -> NDArray[np.float32] | None:
        """What the neighbors add to each map pixel's probability of the class, shape (k, k)."""
        if self.subtiles is None or self.alone is None or self.alone.subtiles is None:
            return None
        alone = self.alone.subtiles[self.class_index]
        added: NDArray[np.float32] = self.subtiles[self.class_index] - alone
        return added

    @property
    def called(self) -> int:
        """Index of the most probable class."""
        return int(self.probabilities.argmax())


def explain_tile(
    slide: Slide,
    grid: TileGrid,
    tile: TileIndex,
    model: LoadedModel,
    class_index: int | None = None,
) -> Explanation:
    """Explain one tile of a slide; see `explain_pixels`.

    Parameters
    ----------
    slide : Slide
        The slide to read.
    grid : TileGrid
        The grid of tiles.
    tile : TileIndex
        Which tile.
    model : LoadedModel
        The model.
    class_index : int, optional
        Class to explain; the most probable one by default.

    Raises
    ------
    PlanError
        If there is no such tile or class.
    TileReadError
        If the slide is damaged there.
    """
    rows, cols = grid.shape
    if not (0 <= tile.row < rows and 0 <= tile.col < cols):
        raise PlanError(
            f"there is no tile {tile.row}, {tile.col}; the slide has rows 0 to {rows - 1} and "
            f"columns 0 to {cols - 1}"
        )
    pixels = np.empty((grid.tile_size, grid.tile_size, 3), np.uint8)
    read_tile(slide, grid, tile, pixels)
    return explain_pixels(pixels, model, class_index, tile=tile, rect=grid.rect(tile))


def explain_pixels(
    pixels: NDArray[np.uint8],
    model: LoadedModel,
    class_index: int | None = None,
    *,
    tile: TileIndex = TileIndex(0, 0),  # noqa: B008 (frozen)
    rect: Rect = Rect(0, 0, 0, 0),  # noqa: B008
) -> Explanation:
    """Explain one tile.

    All is computed in float32 (float64 for a network that gives probabilities, whose gradient
    nearly vanishes where it is sure) on the CPU, on a copy of the network: the model's own may be
    in use by a run.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (size, size, 3)
        RGB, at the model's resolution and size.
    model : LoadedModel
        The model.
    class_index : int, optional
        Class to explain; the most probable one by default.
    tile, rect
        Where it stands on its slide.

    Raises
    ------
    PlanError
        If there is no such class.
    """
    card = model.card
    if class_index is not None and not 0 <= class_index < len(card.classes):
        raise PlanError(
            f"there is no class {class_index}; {card.name} has {len(card.classes)}, from 0"
        )
    network = _own_copy(model)
    x = network.normalize(torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous())
    probabilities, subtiles = _answer(model, network, x)
    index = int(probabilities.argmax()) if class_index is None else class_index
    cam: NDArray[np.float32] | None = None
    try:
        cam, note = grad_cam(network, x, index, pixels.shape[0])
        if not cam.any():
            note += f"; no evidence in this tile for {card.classes[index].title}"
    except PlanError as error:
        note = str(error)
    alone = None
    if predict_subtiles_alone(network):
        alone = AloneContext(*_answer(model, network, x))
        alone_note = "Without: the recurrent network sees each map pixel by itself"
    else:
        alone_note = "This model has no recurrent network, so there is none to leave out"
    return Explanation(
        tile,
        rect,
        pixels,
        card.name,
        card.classes,
        index,
        probabilities,
        subtiles,
        cam,
        note,
        alone,
        alone_note,
    )


def predict_subtiles_alone(network: nn.Module) -> bool:
    """Make every recurrent context of a network see each map pixel by itself, from now on.

    The context runs over each map pixel as a grid of one map pixel, with its own weights. A map
    pixel keeps all of its own evidence, answered by the operator that answers it otherwise, and
    gets nothing of its neighbors'. Each sweep then starts and ends at the map pixel, from the
    initial state it starts from at the tile's edge, which it knows from training. Zeros or a mean
    in place of the context's output would take the map pixel's own part away with its neighbors'
    and give the heads input they never saw. What the encoder sees around a map pixel stays, and so
    does the pooling of map pixels to the tile.

    Parameters
    ----------
    network : Module
        Changed in place; give a copy.

    Returns
    -------
    bool
        Whether there was a recurrent context.
    """
    found = [
        (parent, name, child)
        for parent in network.modules()
        if not isinstance(parent, _EachSubtile)
        for name, child in parent.named_children()
        if isinstance(child, RecurrentContext)
    ]
    for parent, name, child in found:
        setattr(parent, name, _EachSubtile(child))
    return bool(found)


class _EachSubtile(nn.Module):
    """A recurrent context over grids of one map pixel."""

    def __init__(self, context: RecurrentContext) -> None:
        super().__init__()
        self.context = context

    def forward(self, grid: Tensor) -> Tensor:
        n, channels, rows, columns = grid.shape
        subtiles = grid.permute(0, 2, 3, 1).reshape(n * rows * columns, channels, 1, 1)
        swept: Tensor = self.context(subtiles)
        return swept.reshape(n, rows, columns, -1).permute(0, 3, 1, 2)


def _own_copy(model: LoadedModel) -> TileModel:
    dtype = torch.float64 if model.card.output == "probabilities" else torch.float32
    network = (
        copy.deepcopy(model.network).to("cpu", dtype).to(memory_format=torch.contiguous_format)
    )
    return network.eval()


@torch.no_grad()
def _answer(
    model: LoadedModel, network: TileModel, x: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    output = network.classify(x)
    scores = model.probabilities(output.scores)[0].float().numpy()
    if output.subtile_scores is None or model.network.subtiles == 1:
        return scores, None
    return scores, model.probabilities(output.subtile_scores)[0].float().numpy()


def tile_at(grid: TileGrid, x: float, y: float) -> TileIndex | None:
    """Return the tile over a place; of several that overlap, the one with the nearest center.

    Parameters
    ----------
    grid : TileGrid
        The grid.
    x, y : float
        Level-0 pixels.

    Returns
    -------
    TileIndex or None
        None outside the covered region.
    """
    on_x, on_y = x / grid.scale_x - grid.x, y / grid.scale_y - grid.y
    if not (0 <= on_x < grid.width and 0 <= on_y < grid.height):
        return None
    col = round((on_x - grid.tile_width / 2) / grid.stride_x)
    row = round((on_y - grid.tile_height / 2) / grid.stride_y)
    return TileIndex(min(max(row, 0), grid.n_rows - 1), min(max(col, 0), grid.n_cols - 1))


def around_tile(store: ResultStore, tile: TileIndex) -> AroundTile | None:
    """Return what a stored slide-level model made of a tile; None where there is none."""
    call = store.slide_prediction
    if call is None or store.state[tile.row, tile.col] != TileState.DONE:
        return None
    refined, _ = store.refined()
    return AroundTile(
        store.tile_probabilities[:, tile.row, tile.col].copy(),
        refined[:, tile.row, tile.col].copy(),
        call.context_name,
    )


def sentences(explanation: Explanation) -> list[str]:
    """Describe what context does in plain words: that within the tile, then that of the slide."""
    e, index = explanation, explanation.class_index
    said = []
    if e.alone is None:
        said.append(f"{e.alone_note}.")
    else:
        text = _change(
            "The neighboring map pixels",
            e.title,
            e.alone.probabilities[index],
            e.probabilities[index],
        )
        without = int(e.alone.probabilities.argmax())
        if without != e.called:
            text += f" Without them the tile would be predicted as {e.classes[without].title}."
        said.append(text)
    if e.around is not None:
        text = _change(
            "The slide around it", e.title, e.around.alone[index], e.around.refined[index]
        )
        said.append(f"{text[:-1]} (slide-level model {e.around.context_name}).")
    return said


def _change(who: str, what: str, before: float, after: float) -> str:
    if abs(after - before) < _HARDLY:
        verb = "changes" if who.startswith("The slide") else "change"
        return f"{who} hardly {verb} {what}: {before:.2f} without, {after:.2f} with."
    verb = "raise" if after > before else "lower"
    verb += "s" if who.startswith("The slide") else ""
    return f"{who} {verb} {what} from {before:.2f} to {after:.2f}."
