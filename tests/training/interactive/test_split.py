"""Nothing that tests is ever seen in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.models.file import LoadedModel, read_card, save_model_file
from napari_liverdx.session.annotations import summarize
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.interactive.corrections import AnnotationDataset
from napari_liverdx.training.interactive.finetune import version_card
from napari_liverdx.training.interactive.split import blocking_reason, missing, split_annotations
from tests.support.models import SCHEME, make_card
from tests.support.teaching import (
    REGIONS,
    TILE,
    Blank,
    collected,
    drawings,
    drawn,
    further_lessons,
    taught,
)


@pytest.mark.slow
@given(drawings(), st.integers(0, 2**31))
@settings(max_examples=60)
def test_nothing_held_out_is_ever_seen_in_training(drawing: tuple, seed: int) -> None:
    """Tiles moved and scaled for training never reach a held-out tile, at any resolution."""
    regions, tiles, mpp = drawing
    scale = 0.5 / mpp
    slide = Blank(round(16 * TILE * scale), round(16 * TILE * scale), mpp)
    found = drawn(regions, tiles, side=TILE * scale)
    samples = AnnotationDataset([(found, slide)], make_card())
    try:
        split = split_annotations(samples)
    except DataError:
        reject()
    rng = np.random.default_rng(seed)
    grid = samples.slides[0].grid
    assert not set(split.train) & set(split.held_out)
    assert not set(split.choose) & set(split.held_out)
    assert not set(split.choose) & set(split.train)
    held = [samples.rects[i] for i in split.held_out]
    for i in (*split.train, *split.choose):
        places = [Rect(*samples.drawn_place(int(i), rng)) for _ in range(3)]
        for seen in (samples.rects[i], *(r.scaled(grid.scale_x, grid.scale_y) for r in places)):
            assert all(seen.intersection(h).is_empty for h in held)
    for part in (split.train, split.held_out):
        assert set(samples.labels[part]) == set(samples.labels)


@pytest.mark.slow
@given(drawings(), further_lessons())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nothing_that_taught_an_ancestor_is_held_out(
    tiny: LoadedModel, drawing: tuple, lessons: list[tuple[tuple, int]]
) -> None:
    """Several lessons in a row, each kept: what taught one never tests another."""
    first, tiles, mpp = drawing
    side = TILE * 0.5 / mpp
    slide = Blank(round(16 * side), round(44 * side), mpp)
    model, regions, taught_before = tiny, (), []
    for more, deleted in ((first, 0), *lessons):
        regions = (*regions[deleted:], *more)
        samples = AnnotationDataset([(drawn(regions, tiles, side=side), slide)], model.card)
        try:
            split = split_annotations(samples)
        except DataError:
            continue
        for i in split.held_out:
            held = samples.rects[i]
            grown = Rect(held.x - side, held.y - side, 3 * side, 3 * side)
            for place in taught_before:
                common = grown.intersection(place)
                assert min(common.width, common.height) < 0.01
        teaching = np.setdiff1d(np.arange(len(samples)), split.held_out)
        taught_before += [samples.rects[i] for i in teaching]
        model = replace(model, card=version_card(model, samples, split, 1.0))


def test_a_further_lesson_is_tested_in_a_new_place(tiny: LoadedModel, tmp_path: Path) -> None:
    """What taught version 2 cannot test version 3; what was discarded does not count."""
    new = (("liver", 3, 3, 3, 1), ("fat", 4, 3, 3, 1))
    below = (("liver", 0, 10, 3, 2), ("fat", 5, 10, 3, 2))
    slide = Blank(16 * TILE, 16 * TILE, 0.5)
    samples = AnnotationDataset([taught(slide, REGIONS)], tiny.card)
    split = split_annotations(samples)
    second = replace(tiny, card=version_card(tiny, samples, split, 1.0))
    assert {len(v) for v in second.card.trained_on.values()} == {len(samples) - len(split.held_out)}
    assert tiny.card.trained_on == {}

    # The same again: only what was held out then may test now.
    again = split_annotations(AnnotationDataset([taught(slide, REGIONS)], second.card))
    assert set(again.held_out) <= set(split.held_out)
    # What was held out is deleted; what is drawn beside what taught tests nothing.
    held = {samples.groups[i] for i in split.held_out}
    left = tuple(
        r
        for r in REGIONS
        if samples.groups[
            next(i for i, q in enumerate(samples.rects) if (q.x, q.y) == (TILE * r[1], TILE * r[2]))
        ]
        not in held
    )
    assert len(left) == 2
    message = blocking_reason(AnnotationDataset([taught(slide, (*left, *new))], second.card))
    assert "new place" in message
    assert "training regions of version 2 cannot test" in message
    third = AnnotationDataset([taught(slide, (*left, *below))], second.card)
    split = split_annotations(third)
    assert {third.rects[i].y // TILE for i in split.held_out} == {10, 11}
    # The first version was not taught what the second was: for it nothing is used up.
    assert not AnnotationDataset([taught(slide, left)], tiny.card).seen.any()
    untold = second.card.model_copy(update={"trained_on": {}})
    assert "does not record where" in blocking_reason(
        AnnotationDataset([taught(slide, REGIONS)], untold)
    )
    path = tmp_path / "second.safetensors"
    save_model_file(path, tiny.network, second.card, half=False)
    assert read_card(path).trained_on == second.card.trained_on


def test_a_taught_place_is_known_under_any_name(painted: Path, tiny: LoadedModel) -> None:
    with open_slide(painted) as slide:
        first = AnnotationDataset([(drawn(path=Path("a")), slide)], tiny.card)
        card = version_card(tiny, first, split_annotations(first), 1.0)
        copy = AnnotationDataset([(drawn(path=Path("b")), slide)], card)
        other = AnnotationDataset([(drawn(fingerprint="dcba4321"), slide)], card)
    assert copy.seen.any()
    assert not other.seen.any()


def test_whole_slides_are_held_out_where_there_are_enough(painted: Path) -> None:
    with open_slide(painted) as slide:
        every = [(drawn(fingerprint=f"0000000{n}"), slide) for n in range(3)]
        samples = AnnotationDataset(every, make_card())
        split = split_annotations(samples)
    assert split.by == "slide"
    assert len(np.unique(samples.slide_of[split.held_out])) == 1
    assert not set(samples.slide_of[split.held_out]) & set(samples.slide_of[split.train])


def test_what_is_missing_is_said(painted: Path) -> None:
    with open_slide(painted) as slide:

        def problem(regions: tuple) -> str:
            return summarize(collected(slide, regions), make_card()).blocking_reason

        assert "at least two classes" in problem(REGIONS[:2])
        assert "Liver with fat has one" in problem(REGIONS[:3])
        assert "at least 6 tiles" in problem(
            (*REGIONS[:2], ("fat", 0, 4, 2, 1), ("fat", 4, 4, 1, 1))
        )
        touching = (("liver", 0, 0, 4, 2), ("fat", 0, 2, 4, 2), ("liver", 0, 6, 4, 1))
        assert "separate" in problem(touching) or "parted" in problem(touching)
        assert problem(REGIONS) == ""
        none = np.array([], np.intp)
        assert missing(none, none.astype(str), SCHEME, 112.0).startswith("Annotate at least two")
