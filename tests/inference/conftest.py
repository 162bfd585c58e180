"""A grid of the packaged slide, and a model with statistics of its training data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_liverdx.core.grid import TileGrid, plan_grid
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.ood import EmbeddingStatistics
from napari_liverdx.slides.slide import Slide


@pytest.fixture
def grid(sample: Slide) -> TileGrid:
    assert sample.mpp is not None
    return plan_grid(sample.levels, sample.mpp, model_mpp=0.5, tile_size=224)


@pytest.fixture
def knowing(tiny: LoadedModel, sample: Slide) -> LoadedModel:
    """The quick model with statistics of another part of the slide."""
    tiles = [
        sample.read_region(0, 100 + 90 * (i % 6), 900 + 70 * (i // 6), 224, 224) for i in range(36)
    ]
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)
        embeddings = tiny.network(batch).embedding.numpy()
    ood = EmbeddingStatistics.fit(embeddings)
    limit = float(np.quantile(ood.distances(torch.from_numpy(embeddings)).numpy(), 0.95))
    ood = replace(ood, limit=limit)
    card = tiny.card.model_copy(update={"ood": {**ood.fields(), "rate": 0.05, "overlap": 0.1}})
    return replace(tiny, card=card, statistics=ood.tensors())
