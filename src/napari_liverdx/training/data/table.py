"""Pictures listed in a table, each of one class and one tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_liverdx.core.errors import DataError
from napari_liverdx.slides.address import named_path
from napari_liverdx.slides.csv_table import Row, is_file, read_table
from napari_liverdx.training.data.base import class_order, column_names, matched, split_name
from napari_liverdx.training.data.config import DataConfig, DataLayout, DataRequest
from napari_liverdx.training.data.folders import ImageDataset, group_of

__all__ = ["LAYOUT", "TableDataset"]


class TableDataset(ImageDataset):
    """Pictures listed in a CSV file.

    Parameters
    ----------
    source : Path
        The file, or a folder that holds ``tiles.csv``. Columns path (relative to the file) and
        label; where present also group (patient or slide), split (train, val or test) and source.
    classes : sequence of str, optional
        Order of the classes; by default that of the table.
    group_pattern, source_pattern, group_blocks, labels
        See `FolderDataset`; patterns are used where the table lacks the column.
    columns : mapping of str to str, optional
        What path, label, group, split and source are called in this table.
    attributes : sequence of str, optional
        Columns with yes-or-no properties beside the class, such as mutated genes: 1, 0, or empty
        where it is not known.

    Raises
    ------
    DataError
        If the table is broken, a picture is missing or a label is no class.
    """

    def __init__(
        self,
        source: Path,
        classes: Sequence[str] = (),
        group_pattern: str | None = None,
        *,
        source_pattern: str | None = None,
        group_blocks: int | None = None,
        labels: Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        attributes: Sequence[str] = (),
    ) -> None:
        table = source / "tiles.csv" if source.is_dir() else source
        called = column_names(columns, ("path", "label", "group", "split", "source"))
        rows = read_table(table, (called["path"], called["label"], *attributes))
        if group_blocks is not None and group_pattern is None:
            raise DataError("group_blocks needs a group_pattern whose last group is a number")
        found = dict.fromkeys(row[called["label"]] for row in rows)
        if "" in found:
            raise DataError(f"{table}: a row has no label; remove it or give it one")
        self.classes, numbers = class_order(found, classes, labels, table)
        self.paths, self.names = [], []
        numbered, groups, sources, splits = [], [], [], []
        known: list[list[float]] = []
        for row in rows:
            number = numbers[row[called["label"]]]
            if number is None:
                continue
            path = _picture(table, row, called["path"])
            if not is_file(path):
                raise DataError(f"{table}, line {row.line}: there is no image {path}")
            group = row.get(called["group"]) or group_of(
                path, self.classes[number], group_pattern, group_blocks
            )
            group = group or row[called["path"]]
            lab = row.get(called["source"]) or "-".join(
                matched(path.name, source_pattern, "source_pattern", path)
            )
            self.paths.append(path)
            self.names.append(row[called["path"]])
            numbered.append(number)
            groups.append(group)
            sources.append(lab or table.parent.name)
            known.append([_yes_or_no(row[a], f"{table}, line {row.line}, {a}") for a in attributes])
            splits.append(split_name(row.get(called["split"]), f"{table}, line {row.line}"))
        self.labels = np.array(numbered, np.intp)
        self.groups, self.sources = np.array(groups), np.array(sources)
        self.splits = np.array(splits)
        if attributes:
            self.attributes = np.array(known, np.float32)
        if left := len(rows) - len(self.paths):
            self.notes = (f"{left} rows are left out by [data.labels]",)
        _check_classes(self.classes, self.labels, table)


def _check_classes(classes: Sequence[str], labels: np.ndarray, table: Path) -> None:
    missing = [name for i, name in enumerate(classes) if not (labels == i).any()]
    if missing:
        raise DataError(f"{table}: no image of class {', '.join(missing)}")


def _picture(table: Path, row: Row, column: str) -> Path:
    try:
        return named_path(row[column], table.parent)
    except ValueError as error:
        raise DataError(f"{table}, line {row.line}: {error}; check the path") from error


def _yes_or_no(text: str | None, where: str) -> float:
    values = {"1": 1.0, "0": 0.0, "": float("nan")}
    try:
        return values[(text or "").strip()]
    except KeyError:
        raise DataError(f"{where}: {text!r} is neither 1, 0 nor empty") from None


def _open(config: DataConfig, request: DataRequest) -> TableDataset:
    return TableDataset(
        request.source,
        request.class_names,
        group_pattern=config.group_pattern,
        source_pattern=config.source_pattern,
        group_blocks=config.group_blocks,
        labels=config.labels,
        columns=config.columns,
        attributes=request.attributes,
    )


def _fits(source: Path) -> float:
    if is_file(source):
        return 0.5
    return 0.8 if is_file(source / "tiles.csv") else 0


LAYOUT = DataLayout("table", _open, _fits, has_attributes=True)
