"""The network over the tiles of a slide: masks, margins, sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.mil.network import SlideContext, slide_classes
from tests.support.mil import small_network
from tests.support.models import CLASSES, make_card


def inputs(seed: int, rows: int, cols: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(1, rows, cols, generator=generator) > 0.3
    mask[:, 0, 0] = mask[:, -1, -1] = True
    return (
        torch.randn(1, 5, rows, cols, generator=generator),
        torch.randn(1, 3, rows, cols, generator=generator),
        mask,
    )


@pytest.mark.parametrize("options", [{}, {"residual": False}, {"projection": 0}])
def test_missing_tiles_carry_nothing(options: dict[str, object]) -> None:
    model = small_network(**options)
    embeddings, logits, mask = inputs(0, 6, 7)
    expected = model(embeddings, logits, mask)
    junk = embeddings.clone(), logits.clone()
    for array in junk:
        array[(~mask)[:, None].expand_as(array)] = float("nan")
    for a, b in zip(expected, model(*junk, mask), strict=True):
        assert torch.equal(a, b)
    assert (expected.attention[~mask] == 0).all()
    assert expected.attention.sum().item() == pytest.approx(1)
    assert (expected.tile_logits.movedim(1, -1)[~mask] == 0).all()


def test_every_tile_sees_every_other() -> None:
    model = small_network()
    embeddings, logits, mask = inputs(0, 5, 6)
    mask[:] = True
    moved = embeddings.clone()
    moved[0, :, 0, 0] += 1

    def changed(judge: SlideContext) -> torch.Tensor:
        found = judge(moved, logits, mask).tile_logits - judge(embeddings, logits, mask).tile_logits
        return found.abs().amax(1) > 1e-7

    assert changed(model).all()
    alone = SlideContext(5, 3, 2, hidden=0)
    torch.nn.init.normal_(alone.tile_head.weight)
    alone.eval()
    assert changed(alone).sum() == 1


@settings(max_examples=12)
@given(st.tuples(*[st.integers(0, 3)] * 4), st.integers(0, 100))
def test_margins_and_companions_change_nothing(margins: tuple[int, ...], seed: int) -> None:
    model = small_network()
    embeddings, logits, mask = inputs(seed, 4, 5)
    expected = model(embeddings, logits, mask)
    top, bottom, left, right = margins
    pad = (left, right, top, bottom)
    wide = [torch.nn.functional.pad(a, pad, value=9.0) for a in (embeddings, logits)]
    wide_mask = torch.nn.functional.pad(mask, pad, value=False)
    other = inputs(seed + 1, 4 + top + bottom, 5 + left + right)
    batch = [torch.cat(pair) for pair in zip((*wide, wide_mask), other, strict=True)]
    found = model(*batch)
    inner = (slice(top, top + 4), slice(left, left + 5))
    assert torch.allclose(found.slide_logits[0], expected.slide_logits[0], atol=1e-5)
    assert torch.allclose(
        found.tile_logits[0][(slice(None), *inner)], expected.tile_logits[0], atol=1e-5
    )
    assert torch.allclose(found.attention[0][inner], expected.attention[0], atol=1e-5)


def test_training_starts_from_the_tile_model() -> None:
    embeddings, logits, mask = inputs(0, 4, 4)
    fresh = SlideContext(5, 3, 2).eval()(embeddings, logits, mask)
    assert torch.equal(fresh.tile_logits.movedim(1, -1)[mask], logits.movedim(1, -1)[mask])


def test_sizes_and_classes_are_checked() -> None:
    with pytest.raises(ValueError, match="between 1"):
        SlideContext(0, 3, 2)
    with pytest.raises(ValueError, match="no input"):
        SlideContext(5, 3, 2, projection=0, residual=False)
    healthy = make_card(classes=CLASSES[:2]).scheme
    with pytest.raises(ModelFileError, match="hold no pathological one"):
        slide_classes(healthy)
    assert slide_classes(make_card().scheme) == ("normal", "fat")
