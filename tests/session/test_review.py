"""Reviewing tiles: order, decisions with undo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import StorageFullError
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.results.review_log import Decision, DecisionLog, Verdict
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.review import Order, Review, rank_tiles
from tests.support.models import CLASSES
from tests.support.results import square_result


def test_orders_put_the_right_tiles_first(twelve_tiles: ResultStore) -> None:
    fat = twelve_tiles.tile_probabilities[2]
    first = rank_tiles(twelve_tiles, Order.HIGHEST_PROBABILITY, 12)
    assert [fat[t.row, t.col] for t in first] == sorted(fat.ravel(), reverse=True)
    uncertain = rank_tiles(twelve_tiles, Order.UNCERTAIN, 1)[0]
    # The least certain one has the lowest highest probability here, as three classes are few.
    entropy = -(twelve_tiles.tile_probabilities * np.log(twelve_tiles.tile_probabilities)).sum(
        axis=0
    )
    assert entropy[uncertain.row, uncertain.col] == entropy.max()
    twelve_tiles.ood[1, 1] = np.nan
    strange = rank_tiles(twelve_tiles, Order.LEAST_TYPICAL, 12)
    assert TileIndex(1, 1) not in strange
    assert len(strange) == 11
    assert twelve_tiles.ood[strange[0].row, strange[0].col] == np.nanmax(twelve_tiles.ood)


def test_decided_tiles_can_be_left_out(twelve_tiles: ResultStore) -> None:
    first = rank_tiles(twelve_tiles, Order.HIGHEST_PROBABILITY, 3)
    Review(twelve_tiles).accept(first[0])
    assert rank_tiles(twelve_tiles, Order.HIGHEST_PROBABILITY, 2, undecided_only=True) == first[1:]


def test_a_finished_tile_counts_and_no_other(twelve_tiles: ResultStore) -> None:
    twelve_tiles.state[0, :] = 2
    assert all(t.row > 0 for t in rank_tiles(twelve_tiles, Order.UNCERTAIN, 12))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from("arfu"))))
def test_undo_and_redo_lead_anywhere_and_back(
    twelve_tiles: ResultStore, steps: list[tuple[int, int, str]]
) -> None:
    for tile in list(twelve_tiles.decisions):
        twelve_tiles.decisions.put(tile, None)
    review = Review(twelve_tiles)
    states = [dict(twelve_tiles.decisions)]
    for row, col, what in steps:
        tile = TileIndex(row, col)
        known = tile in twelve_tiles.decisions
        if what == "u":
            review.undo()
            states = states[:-1] or states
        else:
            {"a": review.accept, "r": review.reject, "f": review.forget}[what](tile)
            if what != "f" or known:
                states.append(dict(twelve_tiles.decisions))
        assert dict(twelve_tiles.decisions) == states[-1]
        # What is in memory is what another program start would find.
        assert dict(DecisionLog(twelve_tiles.path)) == states[-1]
    undone = 0
    while review.can_undo:
        review.undo()
        undone += 1
    assert dict(twelve_tiles.decisions) == {}
    for _ in range(undone):
        review.redo()
    assert dict(twelve_tiles.decisions) == states[-1]


def test_a_rejected_tile_of_two_classes_is_of_the_other(tmp_path: Path) -> None:
    store = square_result(tmp_path / "b.liverdx.zarr", classes=CLASSES[1:])
    review = Review(store)
    tile = TileIndex(0, 0)
    review.reject(tile)
    decision = store.decisions[tile]
    assert {decision.called, decision.correct} == {"liver", "fat"}


def test_a_correction_names_the_class(twelve_tiles: ResultStore) -> None:
    review = Review(twelve_tiles)
    tile = rank_tiles(twelve_tiles, Order.HIGHEST_PROBABILITY, 1)[0]
    review.correct(tile, "liver")
    assert twelve_tiles.decisions[tile].verdict is Verdict.REJECTED
    assert twelve_tiles.decisions[tile].correct == "liver"
    review.correct(tile, "fat")
    assert twelve_tiles.decisions[tile].verdict is Verdict.ACCEPTED
    with pytest.raises(KeyError, match="no class"):
        review.correct(tile, "spleen")
    assert twelve_tiles.decisions[tile].correct == "fat"


def test_a_full_disk_keeps_the_decisions_made_before(
    twelve_tiles: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    review = Review(twelve_tiles)
    review.accept(TileIndex(0, 0))
    kept = (twelve_tiles.path / "review.json").read_text()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(StorageFullError, match="decisions made before are kept"):
            review.reject(TileIndex(0, 1))
    assert list(twelve_tiles.decisions) == [TileIndex(0, 0)]
    assert (twelve_tiles.path / "review.json").read_text() == kept
    assert review.undo() == TileIndex(0, 0)


def test_decisions_from_another_program_start(twelve_tiles: ResultStore) -> None:
    Review(twelve_tiles).accept(TileIndex(2, 3))
    again = ResultStore.open(twelve_tiles.path).decisions[TileIndex(2, 3)]
    assert isinstance(again, Decision)
    assert json.loads((twelve_tiles.path / "review.json").read_text())[0]["col"] == 3
