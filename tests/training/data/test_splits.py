"""Splits and folds keep groups together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.training.data.masks import FatMaskDataset
from napari_liverdx.training.data.splits import (
    assigned_split,
    folds_of,
    grouped_folds,
    joined_groups,
    of_sources,
    shares_of,
)


def test_splits_that_are_not_stated_keep_groups_together(pictures: Path) -> None:
    samples = FolderDataset(pictures / "tiles", group_pattern=r"^(p\d)")
    split = assigned_split(samples, 2, 0, test_folds=3)
    sides = [set(samples.groups[i]) for i in split.parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 6
    samples.splits = np.array(["train", "test"] * 6)
    samples.groups = np.array([f"{p}{i % 2}" for i, p in enumerate(samples.groups)])
    split = assigned_split(samples, 2, 0)
    assert split.test.tolist() == list(range(1, 12, 2))
    assert sorted([*split.train, *split.val]) == list(range(0, 12, 2))
    assert not set(samples.groups[split.train]) & set(samples.groups[split.val])
    samples.splits[3] = ""
    with pytest.raises(DataError, match="1 of 12 samples state no split"):
        assigned_split(samples, 2, 0)
    samples.splits[:] = "test"
    with pytest.raises(DataError, match="no sample is for training"):
        assigned_split(samples, 2, 0)
    with pytest.raises(DataError, match="of source x"):
        of_sources(samples, ["x"])


@settings(max_examples=8)
@given(
    seed=st.integers(0, 1000),
    n_groups=st.integers(12, 60),
    test=st.floats(0, 0.4),
    val=st.floats(0, 0.4),
)
def test_shares_never_split_a_group(seed: int, n_groups: int, test: float, val: float) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"g{i}" for i in range(n_groups)], rng.integers(1, 6, n_groups))
    labels = rng.integers(0, 2, len(groups))
    parts = shares_of(labels, groups, {"test": test, "val": val}, seed)
    a, b = parts["test"], parts["val"]
    rest = np.setdiff1d(np.arange(len(groups)), [*a, *b])
    assert len(rest)
    assert not set(a) & set(b)
    for one, other in ((a, b), (a, rest), (b, rest)):
        assert not set(groups[one]) & set(groups[other])
    again = shares_of(labels, groups, {"test": test, "val": val}, seed)
    assert np.array_equal(again["test"], a)


def test_folds_cover_everything_once() -> None:
    groups = np.repeat([f"g{i}" for i in range(10)], 3)
    parts = [part for _, part in folds_of(np.arange(30) % 2, groups, np.arange(30), 5, 0)]
    assert sorted(np.concatenate(parts)) == list(range(30))
    with pytest.raises(DataError, match="shares"):
        shares_of(np.zeros(30, int), groups, {"test": 0.7, "val": 0.5}, 0)


def test_groups_are_joined_through_pairs() -> None:
    groups = np.array(["a", "b", "c", "d", "d"])
    joined = joined_groups(groups, np.array([[0, 2], [2, 3]]))
    assert joined.tolist() == ["a", "b", "a", "a", "a"]
    assert joined_groups(groups, np.empty((0, 2), int)).tolist() == groups.tolist()


def test_folds_never_split_a_group(masked_samples: FatMaskDataset) -> None:
    seen: list[int] = []
    for rest, part in grouped_folds(masked_samples, np.arange(16), 4, 0):
        assert not set(masked_samples.groups[rest]) & set(masked_samples.groups[part])
        assert sorted([*rest, *part]) == list(range(16))
        seen += part.tolist()
    assert sorted(seen) == list(range(16))
    with pytest.raises(DataError, match="at least 99 groups"):
        grouped_folds(masked_samples, np.arange(16), 99, 0)
