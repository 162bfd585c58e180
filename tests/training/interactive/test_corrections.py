"""What corrections teach the subtiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import plan_grid
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.data.annotated import AnnotatedSlide
from napari_liverdx.training.interactive.annotation_record import rectangle
from napari_liverdx.training.interactive.corrections import (
    AnnotationDataset,
    pairs_closer_than,
    subtile_targets,
)
from tests.support.models import SCHEME, make_card
from tests.support.teaching import REGIONS, TILE, taught


def test_tiles_a_whole_tile_apart_are_not_near() -> None:
    tiles = [Rect(0, 0, 10, 10), Rect(10, 10, 10, 10), Rect(20, 0, 10, 10), Rect(30.5, 0, 10, 10)]
    assert pairs_closer_than(tiles, (10, 10)) == [(0, 1), (1, 2), (2, 3)]


def test_a_called_tile_is_not_tested_on_beside_what_teaches(painted: Path) -> None:
    """A tile a third of a tile away may be seen in training: it belongs to the same place."""
    near, far = (("liver", 3.3, 0.5, 1, 1),), (("liver", 3.3, 3, 1, 1),)
    with open_slide(painted) as slide:
        groups = [
            AnnotationDataset([taught(slide, REGIONS[:1], tiles)], make_card()).groups
            for tiles in (near, far)
        ]
    assert len(set(groups[0])) == 1
    assert len(set(groups[1])) == 2


def test_a_called_tile_counts_more_than_the_shape_around_it(painted: Path) -> None:
    with open_slide(painted) as slide:
        plain = AnnotationDataset([taught(slide)], make_card())
        samples = AnnotationDataset([taught(slide, REGIONS, (("fat", 1, 0, 1, 1),))], make_card())
        assert len(samples) == len(plain)
        (index,) = (i for i, r in enumerate(samples.rects) if (r.x, r.y) == (TILE, 0))
        assert samples.labels[index] == SCHEME.index("fat")
        assert samples.picture(index).shape == (TILE, TILE, 3)
        rng = np.random.default_rng(0)
        assert {samples.drawn_place(index, rng) for _ in range(5)} == {(TILE, 0, TILE, TILE)}
        assert np.array_equal(
            samples.picture(index), samples.look(index, (TILE, 0, TILE, TILE), TILE)
        )


def test_a_class_of_another_model_is_told(painted: Path) -> None:
    with open_slide(painted) as slide, pytest.raises(DataError, match="'tumor' is not a class"):
        AnnotationDataset([taught(slide, (("tumor", 0, 0, 2, 2),))], make_card())


_HERE = Rect(0, 0, TILE, TILE)


def _annotated(regions: tuple) -> AnnotatedSlide:
    grid = plan_grid(
        (Level(8 * TILE, 8 * TILE, 1.0, 1.0, 256, 256),),
        Mpp.square(0.5),
        model_mpp=0.5,
        tile_size=TILE,
    )
    shapes = [rectangle(n, *(TILE * v for v in box)) for n, *box in regions]
    by_class = tuple(tuple(r for r in shapes if r.name == c) for c in SCHEME.names)
    return AnnotatedSlide(Path("x"), "x", "x", "", None, grid, by_class)


def test_cells_learn_shapes_and_keep_what_was_not_taught() -> None:
    before = np.full((3, 7, 7), 0.1, np.float32)
    before[0] = 0.8
    slide = _annotated((("liver", 0, 0, 4 / 7, 1),))
    target = subtile_targets(slide, (), Rect(0, 0, TILE, TILE), before, SCHEME)
    assert (target[:, :, :4] == np.array([0, 1, 0], np.float32)[:, None, None]).all()
    assert np.array_equal(target[:, :, 4:], before[:, :, 4:])


def test_a_shape_with_disease_is_not_diseased_in_every_cell() -> None:
    """Half of its subtiles, those most like it so far, are; the others stay as they were."""
    rng = np.random.default_rng(0)
    before = rng.dirichlet((4, 4, 1), (7, 7)).transpose(2, 0, 1).astype(np.float32)
    fat = SCHEME.index("fat")
    target = subtile_targets(_annotated((("fat", 0, 0, 1, 1),)), (), _HERE, before, SCHEME)
    taught_fat = target[fat] == 1
    assert 25 <= taught_fat.sum() <= 30
    assert taught_fat[before.argmax(axis=0) == fat].all()
    assert before[fat][taught_fat].min() >= before[fat][~taught_fat].max()
    assert np.array_equal(target[:, ~taught_fat], before[:, ~taught_fat])


def test_a_called_tile_teaches_cells_only_what_follows() -> None:
    """Without disease no subtile is diseased; with disease it is not said which subtiles are."""
    fat, liver = SCHEME.index("fat"), SCHEME.index("liver")
    before = np.full((3, 7, 7), 0.1, np.float32)
    before[liver] = 0.8
    before[:, :2] = np.array([0.2, 0.1, 0.7], np.float32)[:, None, None]
    here = _HERE
    tile = rectangle("any", 0, 0, TILE, TILE)
    healthy = subtile_targets(_annotated(()), [(tile, liver)], here, before, SCHEME)
    assert (healthy[liver, :2] == 1).all()
    assert (healthy[fat, :2] == 0).all()
    assert np.array_equal(healthy[:, 2:], before[:, 2:])
    sick = subtile_targets(_annotated(()), [(tile, fat)], here, before, SCHEME)
    assert np.array_equal(sick[:, :2], before[:, :2])
    assert (sick[:, 2:] == 0).all()
    away = subtile_targets(_annotated(()), [(tile, fat)], Rect(TILE, 0, TILE, TILE), before, SCHEME)
    assert np.array_equal(away, before)
