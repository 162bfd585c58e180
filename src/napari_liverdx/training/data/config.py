"""The part of a recipe that says what the data look like."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_liverdx._registry import Registry
from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.annotations.base import Units
from napari_liverdx.slides.csv_table import is_file
from napari_liverdx.training.data.annotated import TileRule
from napari_liverdx.training.data.base import TileDataset

__all__ = ["LAYOUTS", "DataConfig", "DataLayout", "DataRequest", "guess_kind"]


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What is wanted of data, beside what a recipe says of their form.

    Attributes
    ----------
    source : Path
        A folder or a file.
    class_names : tuple of str
        Names of the classes in order; empty to take them from the data.
    mpp, tile_size : float and int, or None
        Resolution and side of the tiles, for data that are cut to them.
    attributes : tuple of str
        Yes-or-no properties beside the class.
    """

    source: Path
    class_names: tuple[str, ...]
    mpp: float | None = None
    tile_size: int | None = None
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataLayout:
    """A way to lay out training data.

    Attributes
    ----------
    name : str
        Its key in `LAYOUTS`.
    open : callable
        Takes the `DataConfig` of a recipe and the request; returns the data.
    fits : callable
        Takes a file or folder; returns from 0 to 1 how surely it holds such data.
    has_attributes : bool
        Whether it can tell yes-or-no properties beside the class.
    """

    name: str
    open: Callable[[DataConfig, DataRequest], TileDataset]
    fits: Callable[[Path], float]
    has_attributes: bool = False


_HERE = "napari_liverdx.training.data"

LAYOUTS: Registry[DataLayout] = Registry(
    "napari_liverdx.data_layouts",
    DataLayout,
    {
        "masks": f"{_HERE}.masks:LAYOUT",
        "folders": f"{_HERE}.folders:LAYOUT",
        "table": f"{_HERE}.table:LAYOUT",
        "slides": f"{_HERE}.slides:LAYOUT",
    },
)
"""The layouts by the name that recipes state. A new one is one module and one line here."""


class DataConfig(BaseModel):
    """What the data look like and which of them train.

    Attributes
    ----------
    kind : str
        Key of `LAYOUTS`: "masks", "folders", "table", "slides" or what other packages add; see
        `FatMaskDataset`, `FolderDataset`, `TableDataset` and
        `SlideDataset`.
    train_sources, second_sources : tuple of str
        Sources to train on, and to test on only; all and none by default.
    group_pattern : str, optional
        See `FolderDataset`.
    source_pattern : str, optional
        See `FolderDataset`.
    group_blocks : int, optional
        See `FolderDataset`.
    labels : dict of str to str
        From a name in the data to a class, where they differ; to the empty string to leave it
        out.
    leave_out : tuple of str
        Pictures of folders to leave out; see `FolderDataset`.
    columns : dict of str to str
        What the columns of a table are called; see `TableDataset` and `SlideDataset`.
    slide_mpp : float, optional
        Level-0 resolution of slides that state none, µm/px.
    tiles : TileRule
        When a tile of a slide is of a class.
    units : {"px", "um"}
        Unit of napari's shapes; see `read_shapes_csv`.
    val_folds : int
        One of so many parts of the training samples chooses the epoch and the temperature.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = "masks"
    train_sources: tuple[str, ...] = ()
    second_sources: tuple[str, ...] = ()
    group_pattern: str | None = None
    source_pattern: str | None = None
    group_blocks: int | None = Field(default=None, ge=1)
    labels: dict[str, str] = {}
    leave_out: tuple[str, ...] = ()
    columns: dict[str, str] = {}
    slide_mpp: float | None = Field(default=None, gt=0)
    tiles: TileRule = TileRule()
    units: Units = "px"
    val_folds: int = Field(default=6, ge=2)

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in LAYOUTS:
            raise ValueError(f"{kind!r} is none of {', '.join(LAYOUTS)}")
        return kind

    def samples(
        self,
        source: Path,
        class_names: Sequence[str],
        *,
        mpp: float | None = None,
        tile_size: int | None = None,
        attributes: Sequence[str] = (),
    ) -> TileDataset:
        """Open the data in ``source``.

        Parameters
        ----------
        source : Path
            A folder, or a CSV file for tables and slides.
        class_names : sequence of str
            Names of the classes in order; empty to take them from the data.
        mpp, tile_size
            Resolution and side of the tiles that are drawn from slides.
        attributes : sequence of str
            Columns of a table with yes-or-no properties beside the class; see `TableDataset`.

        Raises
        ------
        DataError
            If it is not in the stated form.
        """
        layout = LAYOUTS[self.kind]
        if attributes and not layout.has_attributes:
            able = [name for name, other in LAYOUTS.items() if other.has_attributes]
            raise DataError(
                f"properties beside the class ({', '.join(attributes)}) must stand in a table; use "
                f"kind = {' or '.join(json.dumps(name) for name in able)}"
            )
        request = DataRequest(source, tuple(class_names), mpp, tile_size, tuple(attributes))
        return layout.open(self, request)


def guess_kind(source: Path) -> str:
    """Return the key in `LAYOUTS` of what the data in a folder or file most likely are.

    Raises
    ------
    DataError
        If there is nothing, or no layout knows it.
    """
    if not is_file(source) and not source.is_dir():
        raise DataError(f"{source}: no such folder or file; give the data to look at")
    fits = {name: layout.fits(source) for name, layout in LAYOUTS.items()}
    best = max(fits, key=lambda name: fits[name])
    if fits[best] <= 0:
        raise DataError(
            f"{source}: neither of {', '.join(LAYOUTS)}; say in the recipe's [data] what it is"
        )
    return best
