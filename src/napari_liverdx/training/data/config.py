"""The part of a recipe that says what the data look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.annotations import Units
from napari_liverdx.slides.csv_table import is_file
from napari_liverdx.training.data._all import (
    FatMaskDataset,
    FolderDataset,
    SlideDataset,
    TableDataset,
    TileDataset,
)
from napari_liverdx.training.data.annotated import TileRule

__all__ = ["DataConfig", "DataKind", "guess_kind"]

DataKind = Literal["masks", "folders", "table", "slides"]


class DataConfig(BaseModel):
    """What the data look like and which of them teach.

    Attributes
    ----------
    kind : {"masks", "folders", "table", "slides"}
        See `FatMaskDataset`, `FolderDataset`, `TableDataset` and `SlideDataset`.
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

    kind: DataKind = "masks"
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

    def samples(
        self,
        source: Path,
        class_names: Sequence[str],
        *,
        mpp: float | None = None,
        tile_size: int | None = None,
        attributes: Sequence[str] = (),
    ) -> TileDataset:
        """The data in ``source``.

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
        if attributes and self.kind != "table":
            raise DataError(
                f"properties beside the class ({', '.join(attributes)}) must stand in a table; use "
                'kind = "table"'
            )
        patterns = {"group_pattern": self.group_pattern, "source_pattern": self.source_pattern}
        if self.kind == "masks":
            return FatMaskDataset(source)
        if self.kind == "folders":
            return FolderDataset(
                source,
                class_names,
                **patterns,
                group_blocks=self.group_blocks,
                labels=self.labels,
                leave_out=self.leave_out,
            )
        if self.kind == "table":
            return TableDataset(
                source,
                class_names,
                **patterns,
                group_blocks=self.group_blocks,
                labels=self.labels,
                columns=self.columns,
                attributes=attributes,
            )
        if mpp is None or tile_size is None:
            raise DataError("tiles of slides need a resolution (mpp) and a tile size")
        return SlideDataset(
            source,
            class_names,
            mpp=mpp,
            tile_size=tile_size,
            **patterns,
            labels=self.labels,
            columns=self.columns,
            slide_mpp=self.slide_mpp,
            rule=self.tiles,
            units=self.units,
        )


def guess_kind(source: Path) -> DataKind:
    """What the data in a folder or file most likely are.

    Raises
    ------
    DataError
        If there is nothing.
    """
    if is_file(source):
        return "slides" if source.name == "slides.csv" else "table"
    if not source.is_dir():
        raise DataError(f"{source}: no such folder or file; give the data to look at")
    if is_file(source / "tiles.csv"):
        return "masks" if (source / "masks").is_dir() else "table"
    annotated = is_file(source / "slides.csv") or any(
        p.suffix.lower() in (".geojson", ".csv") for p in source.iterdir()
    )
    return "slides" if annotated else "folders"
