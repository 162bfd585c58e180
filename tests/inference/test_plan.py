"""A plan covers the tissue and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import MppError, NoTissueError, PlanError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.core.tissue import TissueLabel, TissueMap
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.inference.run import make_manifest, result_location
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.manifest import RunManifest
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue
from tests.support.artifacts import some_map
from tests.support.runs import make_plan


def test_plan_covers_the_tissue_and_nothing_else(opened_slide: Slide, tiny: LoadedModel) -> None:
    plan = make_plan(opened_slide, tiny)
    chosen = set(plan.tiles)
    assert len(chosen) == len(plan.tiles)
    for tile in plan.grid:
        assert (tile in chosen) == (plan.tissue.fraction(plan.grid.rect(tile)) >= 0.01)


def test_unknown_resolution_empty_region_and_bad_batch(
    opened_slide: Slide, tiny: LoadedModel
) -> None:
    tissue = slide_tissue(opened_slide)
    with pytest.raises(MppError, match="--mpp"):
        plan_run(opened_slide.levels, None, tissue, tiny.card)
    corner = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)
    empty = np.zeros_like(tissue.mask)
    nothing = type(tissue)(empty, tissue.scale_x, tissue.scale_y)
    with pytest.raises(NoTissueError, match="this slide"):
        plan_run(opened_slide.levels, opened_slide.mpp, nothing, tiny.card)
    with pytest.raises(NoTissueError, match="chosen region"):
        plan_run(opened_slide.levels, opened_slide.mpp, nothing, tiny.card, regions=[corner])
    with pytest.raises(PlanError, match="at least one"):
        make_plan(opened_slide, tiny, batch_size=0)


def test_a_coarse_slide_is_warned_about_not_refused(opened_slide: Slide, tiny: LoadedModel) -> None:
    tissue = slide_tissue(opened_slide)
    plan = plan_run(opened_slide.levels, Mpp.square(1.0), tissue, tiny.card)
    assert "enlarged" in plan.warnings[0]
    assert plan.grid.tile_width == 112


def test_other_tissue_lies_elsewhere_and_is_recorded(small_slide: Path, tiny: LoadedModel) -> None:
    with open_slide(small_slide) as slide:

        def plan(tissue: TissueMap) -> RunPlan:
            return plan_run(slide.levels, slide.mpp, tissue, tiny.card)

        def place(tissue: TissueMap) -> str:
            return result_location(Path("x"), plan(tissue), slide, tiny).name

        found = some_map()
        plain = f"{slide.name}.tiny-{tiny.sha256[:6]}.liverdx.zarr"
        assert place(found) == place(found.keeping({TissueLabel.BLUR})) == plain
        kept = found.keeping({TissueLabel.PEN})
        edited = dataclasses.replace(found, labels=np.minimum(found.labels, 1), edited=True)
        assert len({place(found), place(edited)}) == 2
        assert place(kept) == place(edited), "the same tissue is the same result"
        manifest = make_manifest(plan(found), slide, tiny)
        assert manifest.tissue == {"edited": False, "excluded": {"pen": 0.064}, "kept": {}}
        manifest = make_manifest(plan(kept), slide, tiny)
        assert manifest.tissue == {"edited": False, "excluded": {}, "kept": {"pen": 0.064}}
        old = {k: v for k, v in manifest.model_dump(mode="json").items() if k != "tissue"}
        assert RunManifest.model_validate(old).tissue == {}
