"""Tile model against slide-level model."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.mil.bags import Bag
from napari_liverdx.mil.evaluate import compare_bags
from napari_liverdx.mil.train import fitted_temperatures, score_bags
from napari_liverdx.models.file import LoadedModel
from tests.support.mil import mosaics, save_context


def test_comparison_without_labels_is_refused(tmp_path: Path, tiny: LoadedModel) -> None:
    context = save_context(tmp_path / "c.safetensors", tiny, 5)
    (bag, *_) = mosaics(1, 4)
    bare = Bag("x", "g", bag.embeddings, bag.logits, bag.mask, bag.tile_labels * 0 - 1)
    with pytest.raises(DataError, match="neither a tile nor a slide"):
        compare_bags(context, [bare])
    assert fitted_temperatures(score_bags(context.network, [bare]), [bare]) == (1.0, 1.0)
