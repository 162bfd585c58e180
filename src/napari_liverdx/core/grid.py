"""The grid of tiles that covers a region of a slide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_liverdx.core.errors import PlanError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.resolution import RESOLUTION_TOLERANCE, Level, Mpp, level_for_downsample

__all__ = ["TileGrid", "TileIndex", "plan_grid"]

_MOST_TILES = 4_000_000
_MOST_READ = 2**25
"""Pixels of a level that are read for one tile."""

_LARGEST_TILE = 4096
_LARGEST = 2**40
"""Beyond any slide: what is larger comes of a damaged file."""


@dataclass(frozen=True, slots=True, order=True)
class TileIndex:
    """Row and column of a tile in a `TileGrid`."""

    row: int
    col: int


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Tiles of equal size at a constant stride over a region of one level.

    Tiles stand on whole pixels of ``level`` so that reading needs no sub-pixel shift. The last
    row and column may reach beyond the region; what lies outside the slide reads as white.

    Attributes
    ----------
    level : int
        The level that is read.
    scale_x, scale_y : float
        Level-0 pixels per pixel of that level.
    x, y, width, height : int
        The covered region, in pixels of that level.
    tile_width, tile_height : int
        What one tile covers, in pixels of that level.
    stride_x, stride_y : int
        Distance between neighboring tiles, in pixels of that level; at most a tile.
    tile_size : int
        Side of the square the model sees, in model pixels.

    Raises
    ------
    PlanError
        If the region is empty, the stride is not between 1 pixel and a tile, or a number is out
        of all proportion.
    """

    level: int
    scale_x: float
    scale_y: float
    x: int
    y: int
    width: int
    height: int
    tile_width: int
    tile_height: int
    stride_x: int
    stride_y: int
    tile_size: int

    def __post_init__(self) -> None:
        scales = (self.scale_x, self.scale_y)
        places = (self.level, self.x, self.y, self.tile_size)
        sizes = (self.width, self.height, self.tile_width, self.tile_height)
        if (
            not all(0 < s < _LARGEST for s in scales)
            or not all(abs(n) < _LARGEST for n in (*places, *sizes))
            or not 0 < self.tile_size <= _LARGEST_TILE
        ):
            raise PlanError("a grid of tiles with impossible numbers; it comes of a damaged file")
        if self.width < 1 or self.height < 1:
            raise PlanError(
                f"the region to analyze is empty ({self.width} × {self.height} px); "
                "choose a region that lies on the slide"
            )
        if not (1 <= self.stride_x <= self.tile_width and 1 <= self.stride_y <= self.tile_height):
            raise PlanError(
                f"a stride of {self.stride_x} × {self.stride_y} px leaves gaps or never moves; "
                f"choose it between 1 and the tile, {self.tile_width} × {self.tile_height} px"
            )
        if self.n_rows * self.n_cols > _MOST_TILES:
            raise PlanError(
                f"{self.n_cols} × {self.n_rows} tiles are more than {_MOST_TILES:,}; choose a "
                "smaller overlap, or analyze a region"
            )

    @property
    def n_cols(self) -> int:
        """Number of tile columns, at least one."""
        return max(0, -(-(self.width - self.tile_width) // self.stride_x)) + 1

    @property
    def n_rows(self) -> int:
        """Number of tile rows, at least one."""
        return max(0, -(-(self.height - self.tile_height) // self.stride_y)) + 1

    @property
    def shape(self) -> tuple[int, int]:
        """Tile rows and columns."""
        return self.n_rows, self.n_cols

    def __len__(self) -> int:
        return self.n_rows * self.n_cols

    def __iter__(self) -> Iterator[TileIndex]:
        return (TileIndex(r, c) for r in range(self.n_rows) for c in range(self.n_cols))

    def level_rect(self, tile: TileIndex) -> tuple[int, int, int, int]:
        """Return corner and size ``(x, y, width, height)`` of a tile in pixels of the level."""
        return (
            self.x + tile.col * self.stride_x,
            self.y + tile.row * self.stride_y,
            self.tile_width,
            self.tile_height,
        )

    def rect(self, tile: TileIndex) -> Rect:
        """Return the place of a tile in level-0 pixels."""
        x, y, width, height = self.level_rect(tile)
        return Rect(x, y, width, height).scaled(self.scale_x, self.scale_y)

    @property
    def region(self) -> Rect:
        """The covered region in level-0 pixels."""
        return Rect(self.x, self.y, self.width, self.height).scaled(self.scale_x, self.scale_y)


def plan_grid(
    levels: Sequence[Level],
    mpp: Mpp,
    *,
    model_mpp: float,
    tile_size: int,
    region: Rect | None = None,
    overlap: float = 0.0,
) -> TileGrid:
    """Plan the grid on which a model of ``model_mpp`` and ``tile_size`` reads a slide.

    The nearest level that is not coarser than the model's resolution is read and resampled;
    within 2 % it is used as it is.

    Parameters
    ----------
    levels : sequence of Level
        Levels of the slide, finest first.
    mpp : Mpp
        Level-0 resolution.
    model_mpp : float
        Resolution the model was trained at, µm/px.
    tile_size : int
        Side of the model's input in pixels.
    region : Rect, optional
        What to cover, in level-0 pixels; the whole slide by default. Parts beyond the slide are
        left out.
    overlap : float
        Share of a tile that neighbors have in common, 0 ≤ overlap < 1.

    Raises
    ------
    PlanError
        If the region misses the slide, the overlap is out of range, or a tile of the model covers
        more of the slide than can be read at once.
    """
    if not 0 <= overlap < 1:
        raise PlanError(f"overlap must be at least 0 and below 1, not {overlap:g}")
    want_x, want_y = model_mpp / mpp.x, model_mpp / mpp.y
    index = level_for_downsample(levels, (want_x + want_y) / 2)
    level = levels[index]

    def read_size(want: float, have: float) -> int:
        ratio = want / have
        return tile_size if abs(ratio - 1) <= RESOLUTION_TOLERANCE else round(tile_size * ratio)

    tile_width = max(1, read_size(want_x, level.downsample_x))
    tile_height = max(1, read_size(want_y, level.downsample_y))
    if tile_width * tile_height > _MOST_READ:
        raise PlanError(
            f"the model sees {model_mpp:g} µm/px; one of its tiles is {tile_width} × {tile_height} "
            f"px of the slide's fitting level, more than can be read at once; use a model of a "
            "finer resolution, or check the slide's µm/px"
        )
    whole = Rect(0, 0, levels[0].width, levels[0].height)
    wanted = whole if region is None else whole.intersection(region)
    if wanted.is_empty:
        raise PlanError("the region to analyze does not touch the slide; choose one that does")
    on_level = wanted.scaled(1 / level.downsample_x, 1 / level.downsample_y)
    x, y = int(on_level.x + 1e-6), int(on_level.y + 1e-6)
    right = min(level.width, -int(-(on_level.right - 1e-6) // 1))
    bottom = min(level.height, -int(-(on_level.bottom - 1e-6) // 1))
    return TileGrid(
        level=index,
        scale_x=level.downsample_x,
        scale_y=level.downsample_y,
        x=x,
        y=y,
        width=right - x,
        height=bottom - y,
        tile_width=tile_width,
        tile_height=tile_height,
        stride_x=max(1, round(tile_width * (1 - overlap))),
        stride_y=max(1, round(tile_height * (1 - overlap))),
        tile_size=tile_size,
    )
