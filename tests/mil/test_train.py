"""The slide-level model learns from tiles, from slides, and is applied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import DataError, ResultError
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.metrics.classification import area_under_curve
from napari_liverdx.mil.bags import Bag
from napari_liverdx.mil.network import SlideContext
from napari_liverdx.mil.train import (
    MilConfig,
    apply_mil_model,
    score_bags,
    split_bags,
    train_mil,
)
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.reports.html import gather_report, render_report
from napari_liverdx.results.findings import measure_result
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.slide import Slide
from tests.support.mil import analyzed, mosaics, save_context, small_network


def learned(
    config: MilConfig,
    counts: tuple[int, int] = (32, 12),
    *,
    residual: bool = True,
    **how: object,
) -> SlideContext:
    bags = mosaics(1, counts[0], **how) + mosaics(2, counts[1], **how)
    torch.manual_seed(config.seed)
    model = SlideContext(5, 3, 2, hidden=8, projection=12, dropout=0.1, residual=residual)
    train, val = np.split(np.arange(len(bags)), [counts[0]])
    list(train_mil(model, bags, train, val, pathological=(2,), config=config))
    return model


def tile_auc(maps: list[np.ndarray], bags: list[Bag]) -> float:
    score = np.concatenate([m[2, b.mask] for m, b in zip(maps, bags, strict=True)])
    sick = np.concatenate([b.tile_labels[b.mask] == 2 for b in bags])
    return area_under_curve(np.stack([-score, score], axis=1), sick.astype(int))


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(0).numpy()


@pytest.mark.slow
def test_neighbors_correct_a_tile() -> None:
    how = {"noise": 2.0, "scale": (2, 3), "share": (0.2, 0.5)}
    config = MilConfig(learn_from="tiles", epochs=12, batch_size=2, learning_rate=0.02)
    model, bags = learned(config, **how), mosaics(3, 24, **how)
    alone = tile_auc([softmax(b.logits) for b in bags], bags)
    refined = tile_auc([softmax(s.tile_logits) for s in score_bags(model, bags)], bags)
    assert alone < 0.85
    assert refined > alone + 0.05


@pytest.mark.slow
def test_slide_labels_alone_find_the_guilty_tiles() -> None:
    """No tile label is seen, neither in training nor through the tile model's logits."""
    config = MilConfig(learn_from="slides", epochs=18, learning_rate=0.01)
    model, bags = learned(config, residual=False), mosaics(3, 24)
    scores = score_bags(model, bags)
    called = np.array([s.slide_logits[1] > s.slide_logits[0] for s in scores])
    truth = np.array([b.slide_label for b in bags])
    assert (called == truth).mean() > 0.8
    guilty = [b for b in bags if b.slide_label]
    attention = [s.attention for s, b in zip(scores, bags, strict=True) if b.slide_label]
    on_guilty = np.mean(
        [a[b.tile_labels == 2].sum() for a, b in zip(attention, guilty, strict=True)]
    )
    share = np.mean([(b.tile_labels == 2).sum() / len(b) for b in guilty])
    assert on_guilty > 1.5 * share
    assert tile_auc([softmax(s.tile_logits) for s in scores], bags) > 0.8


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, other = (
        learned(MilConfig(epochs=2, seed=seed), (8, 8)).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_labels_that_cannot_teach_are_named() -> None:
    bags = mosaics(1, 8)
    index = np.arange(8)

    def start(train: np.ndarray, val: np.ndarray, data: list[Bag], learn_from: str) -> None:
        config = MilConfig(learn_from=learn_from, epochs=1)
        next(train_mil(small_network(), data, train, val, pathological=(2,), config=config))

    with pytest.raises(DataError, match="stands in training and validation"):
        start(index[::2], index[1::2], bags, "both")
    with pytest.raises(DataError, match="to validate on"):
        start(index, index[:0], bags, "both")
    normal = [b for b in bags if b.slide_label == 0]
    with pytest.raises(DataError, match="fewer than two labels"):
        start(np.array([0, 1]), np.array([2, 3]), normal, "slides")
    bare = [
        Bag(b.name, b.group, b.embeddings, b.logits, b.mask, b.tile_labels * 0 - 1, b.slide_label)
        for b in bags
    ]
    with pytest.raises(DataError, match="labeled tiles"):
        start(index[:4], index[4:], bare, "tiles")
    start(index[:4], index[4:], bare, "slides")
    with pytest.raises(DataError, match="at least two groups"):
        split_bags(bags[:2], 4)


@settings(max_examples=12)
@given(st.integers(0, 50), st.integers(2, 8))
def test_split_bags_keeps_groups_together(seed: int, parts: int) -> None:
    bags = mosaics(1, 8) + mosaics(2, 8)
    train, val = split_bags(bags, parts, seed)
    assert sorted([*train, *val]) == list(range(16))
    assert not {bags[i].group for i in train} & {bags[i].group for i in val}
    assert len(val)
    assert {bags[i].slide_label for i in val} == {0, 1}


def test_a_context_refines_and_calls(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    store = analyzed(tmp_path / "a.liverdx.zarr", opened_slide, tiny, embeddings=True)
    raw = store.tile_probabilities.copy()
    width = len(store.embeddings())
    context = save_context(tmp_path / "c.safetensors", tiny, width)
    assert store.slide_prediction is None
    call = apply_mil_model(store, context)
    again = ResultStore.open(store.path)
    assert again.slide_prediction == call
    refined, attention = again.refined()
    done = again.state == TileState.DONE
    assert refined[:, done].sum(0) == pytest.approx(1, abs=1e-5)
    assert (refined[:, ~done] == 0).all()
    assert not np.allclose(refined[:, done], raw[:, done], atol=0.01)
    assert (again.tile_probabilities == raw).all(), "the tile model's own stay"
    assert attention.sum() == pytest.approx(1, abs=1e-5)
    assert sum(call.probabilities) == pytest.approx(1, abs=1e-5)
    assert call.classes == ("normal", "fat")
    assert call.called in call.classes
    top = call.deciding[0]
    assert top.weight == pytest.approx(float(attention.max()))
    assert top.rect == again.manifest.grid.rect(TileIndex(top.row, top.col))
    page = tmp_path / "r.html"
    report = gather_report(
        again, measure_result(again), opened_slide.overview(4), tiny.card.model_dump()
    )
    render_report(page, report)
    assert "Slide prediction" in page.read_text(encoding="utf-8")
    assert "Tiles that decided" in page.read_text(encoding="utf-8")
    # A call counts for the tiles that it judged and no others.
    again.state[tuple(np.argwhere(done)[0])] = TileState.PENDING
    assert again.slide_prediction is None
    with pytest.raises(ResultError, match="no slide-level model"):
        again.refined()


def test_a_context_from_tiles_alone_gives_no_call(
    tmp_path: Path, opened_slide: Slide, tiny: LoadedModel
) -> None:
    store = analyzed(tmp_path / "a.liverdx.zarr", opened_slide, tiny, embeddings=True)
    context = save_context(tmp_path / "c.safetensors", tiny, len(store.embeddings()), "tiles")
    call = apply_mil_model(store, context)
    assert (call.called, call.probabilities, call.deciding) == ("", (), ())
    assert "tile labels alone" in dict(call.lines())["slide-level prediction"]
