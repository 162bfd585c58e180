"""Splits and folds as tables that are read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import ResultError
from napari_liverdx.training.data.split_table import (
    numbered_folds,
    shared_splits,
    write_split_table,
)
from napari_liverdx.training.data.table import TableDataset


def test_a_written_split_is_read_again(clean_tiles: Path) -> None:
    samples = TableDataset(clean_tiles, ("a", "b"))
    names = shared_splits(samples, samples.groups, {"test": 0.25, "val": 0.25}, 0)
    path = clean_tiles / "new" / "split.csv"
    write_split_table(path, samples, samples.groups, "split", names)
    again = TableDataset(path, ("a", "b"))
    assert again.splits.tolist() == names.tolist()
    assert set(names) == {"train", "val", "test"}
    assert again.groups.tolist() == samples.groups.tolist()
    assert again.labels.tolist() == samples.labels.tolist()
    with pytest.raises(ResultError, match="cannot be written"):
        write_split_table(clean_tiles / "t0.png" / "s.csv", samples, samples.groups, "split", names)


def test_folds_are_numbered_by_group(clean_tiles: Path) -> None:
    samples = TableDataset(clean_tiles, ("a", "b"))
    folds = numbered_folds(samples, samples.groups, 4, 0)
    assert set(folds) == set("1234")
    for group in np.unique(samples.groups):
        assert len(set(folds[samples.groups == group])) == 1
