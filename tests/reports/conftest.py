"""A slide named after a person, and a result of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.inference.plan import plan_run
from napari_liverdx.inference.run import make_manifest
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue
from tests.support.results import PERSON


@pytest.fixture
def slide(small_slide: Path):
    """A slide whose file name names a person."""
    path = small_slide.with_name(PERSON)
    small_slide.rename(path)
    with open_slide(path) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path, slide: Slide, tiny: LoadedModel) -> ResultStore:
    """A whole result with probabilities that spread from 0 to 1."""
    plan = plan_run(slide.levels, slide.mpp, slide_tissue(slide), tiny.card)
    manifest = make_manifest(plan, slide, tiny)
    path = tmp_path / "out" / f"{Path(PERSON).stem}.tiny.liverdx.zarr"
    found = ResultStore.create(path, manifest, plan.tissue, plan.tiles)
    rng = np.random.default_rng(0)
    values = rng.dirichlet([0.5, 0.5, 0.5], len(plan.tiles)).astype(np.float32)
    subtiles = rng.dirichlet([0.5] * 3, (len(plan.tiles), 7, 7)).transpose(0, 3, 1, 2)
    found.add(plan.tiles, values, subtiles.astype(np.float32))
    found.finish({"seconds": 1.0}, device="cpu", complete=True)
    return found
