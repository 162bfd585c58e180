"""Where a result lies on its slide."""

from __future__ import annotations

from napari_liverdx.core.mpp import Mpp
from napari_liverdx.io.manifest import RunManifest

__all__ = ["Placed"]


class Placed:
    """The place of a map of cells, as its manifest tells it.

    Attributes
    ----------
    manifest : RunManifest
    """

    manifest: RunManifest

    @property
    def cell_size(self) -> tuple[float, float]:
        """Width and height of a cell of `probabilities` in level-0 pixels."""
        grid, k = self.manifest.grid, self.manifest.cells
        return grid.tile_width * grid.scale_x / k, grid.tile_height * grid.scale_y / k

    @property
    def origin(self) -> tuple[float, float]:
        """Upper-left corner (x, y) of the map in level-0 pixels."""
        region = self.manifest.grid.region
        return region.x, region.y

    @property
    def cell_area_um2(self) -> float:
        """Area of a cell in µm²."""
        width, height = self.cell_size
        return width * self.manifest.mpp[0] * height * self.manifest.mpp[1]

    @property
    def mpp(self) -> Mpp:
        """Level-0 resolution and its source."""
        return Mpp(*self.manifest.mpp, self.manifest.mpp_source)
