"""Teaching: what is held out, what cells learn, versions, and the page in a real window."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.errors import DataError
from napari_liverdx.core.geometry import Rect
from napari_liverdx.core.grid import plan_grid
from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.models.file import (
    LoadedModel,
    load_model_file,
    read_card,
    rewrite_model_file,
    save_model_file,
)
from napari_liverdx.models.versions import discard_trial, keep_trial, trial_path, versions_of
from napari_liverdx.models.zoo import available_models
from napari_liverdx.results.review_log import Decision
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.finetune import TeachingRequest, run_teaching, summarise
from napari_liverdx.session.state import RunStatus
from napari_liverdx.slides.annotations import read_geojson
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.data.annotated import AnnotatedSlide
from napari_liverdx.training.interactive.annotation_store import TaughtFolder, rectangle
from napari_liverdx.training.interactive.corrections import (
    TaughtSamples,
    TaughtSlide,
    answer_of,
    cell_targets,
    near_pairs,
)
from napari_liverdx.training.interactive.finetune import Lesson, _card, teach, teach_config
from napari_liverdx.training.interactive.head import _turned, _turned_back
from napari_liverdx.training.interactive.split import missing, obstacle, taught_split
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.main.model_panel import CardDialog
from napari_liverdx.widgets.pages.finetune_page import TeachTab

from .conftest import CLASSES, make_card, write_pyramid
from .window import analyze, click, notes, open_in, wait, wait_paint

TILE = 224
SCHEME = ClassScheme(CLASSES)


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for models and for what is taught, of this test alone."""
    folder = tmp_path / "own-models"
    monkeypatch.setenv("LIVERDX_MODELS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from threads, and lose on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    """Pink above and blue below, 8 × 7 tiles: anything can learn it."""
    rng = np.random.default_rng(0)
    pixels = np.full((7 * TILE, 8 * TILE, 3), (215, 130, 175), np.uint8)
    pixels[3 * TILE + TILE // 2 :] = (120, 110, 190)
    pixels = np.clip(pixels + rng.integers(-12, 13, pixels.shape), 0, 255).astype(np.uint8)
    path = tmp_path / "painted.tif"
    write_pyramid(path, pixels)
    return path


REGIONS = (
    ("liver", 0, 0, 3, 2),
    ("liver", 4, 0, 3, 2),
    ("fat", 0, 4, 3, 3),
    ("fat", 4, 4, 3, 3),
)
"""Class, left, top, width and height in tiles; a tile lies between them."""


def taught(slide: Slide, regions: tuple = REGIONS, tiles: tuple = ()) -> TaughtSlide:
    shapes, called = (
        tuple(rectangle(name, *(TILE * v for v in box)) for name, *box in part)
        for part in (regions, tiles)
    )
    return TaughtSlide(slide, slide.name, shapes, called)


class _Blank:
    """A slide with a size and a resolution, and no pixels."""

    def __init__(self, width: int, height: int, mpp: float) -> None:
        self.levels = (Level(width, height, 1.0, 1.0, 256, 256),)
        self.mpp = Mpp.square(mpp)
        self.path = Path("blank.tif")
        self.name = "blank.tif"


# -- what is held out --


@st.composite
def drawings(draw: st.DrawFn) -> tuple:
    """Two regions of each class, near or far, more of them anywhere, and tiles a person called."""
    offset, size = st.floats(0, 1), st.floats(2.2, 4.0)
    shapes = [
        (name, draw(offset) + left, draw(offset) + top, draw(size), draw(size))
        for name, top in (("liver", 0.0), ("fat", 8.0))
        for left in (0.0, 3.0 + draw(st.floats(0, 3)))
    ]
    place, name = st.floats(0, 12), st.sampled_from(["liver", "fat"])
    shapes += draw(st.lists(st.tuples(name, place, place, size, size), max_size=2))
    called = st.tuples(name, place, place, st.just(1.0), st.just(1.0))
    return (
        tuple(shapes),
        tuple(draw(st.lists(called, max_size=6))),
        draw(st.sampled_from([0.25, 0.5])),
    )


@given(drawings(), st.integers(0, 2**31))
@settings(max_examples=60)
def test_nothing_held_out_is_ever_seen_in_training(drawing: tuple, seed: int) -> None:
    """Tiles moved and scaled for training never reach a held-out tile, at any resolution."""
    regions, tiles, mpp = drawing
    scale = 0.5 / mpp
    slide = _Blank(round(16 * TILE * scale), round(16 * TILE * scale), mpp)
    shapes, called = (
        tuple(rectangle(n, *(TILE * scale * v for v in box)) for n, *box in part)
        for part in (regions, tiles)
    )
    samples = TaughtSamples([TaughtSlide(slide, "blank", shapes, called)], make_card())
    try:
        split = taught_split(samples)
    except DataError:
        reject()
    rng = np.random.default_rng(seed)
    grid = samples.slides[0].grid
    assert not set(split.train) & set(split.held_out)
    assert not set(split.choose) & set(split.held_out)
    assert not set(split.choose) & set(split.train)
    held = [samples.rects[i] for i in split.held_out]
    for i in (*split.train, *split.choose):
        drawn = [Rect(*samples.drawn_place(int(i), rng)) for _ in range(3)]
        for seen in (samples.rects[i], *(r.scaled(grid.scale_x, grid.scale_y) for r in drawn)):
            assert all(seen.intersection(h).is_empty for h in held)
    for part in (split.train, split.held_out):
        assert set(samples.labels[part]) == set(samples.labels)


_PLACE = st.tuples(
    st.sampled_from(["liver", "fat"]),
    st.floats(0, 12),
    st.floats(0, 40),
    st.floats(2.2, 4),
    st.floats(2.2, 4),
)


@st.composite
def further_lessons(draw: st.DrawFn) -> list[tuple[tuple, int]]:
    """What is drawn for each lesson after the first, and how much of the first is deleted."""
    lessons = []
    for _ in range(draw(st.integers(1, 3))):
        top = draw(st.floats(11, 36))
        fresh = [("liver", 0.0, top, 3.0, 3.0), ("fat", 6.0, top, 3.0, 3.0)]
        more = draw(st.lists(_PLACE, max_size=3)) + fresh * draw(st.booleans())
        lessons.append((tuple(more), draw(st.integers(0, 2))))
    return lessons


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
    slide = _Blank(round(16 * side), round(44 * side), mpp)
    model, drawn, taught_before = tiny, (), []
    for more, deleted in ((first, 0), *lessons):
        drawn = (*drawn[deleted:], *more)
        shapes, called = (
            tuple(rectangle(n, *(side * v for v in box)) for n, *box in part)
            for part in (drawn, tiles)
        )
        samples = TaughtSamples([TaughtSlide(slide, "blank", shapes, called)], model.card)
        try:
            split = taught_split(samples)
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
        model = replace(model, card=_card(model, samples, split, 1.0))


def test_a_further_lesson_is_tested_in_a_new_place(tiny: LoadedModel, tmp_path: Path) -> None:
    """What taught version 2 cannot test version 3; what was discarded does not count."""
    new = (("liver", 3, 3, 3, 1), ("fat", 4, 3, 3, 1))
    below = (("liver", 0, 10, 3, 2), ("fat", 5, 10, 3, 2))
    slide = _Blank(16 * TILE, 16 * TILE, 0.5)
    samples = TaughtSamples([taught(slide, REGIONS)], tiny.card)
    split = taught_split(samples)
    second = replace(tiny, card=_card(tiny, samples, split, 1.0))
    assert {len(v) for v in second.card.taught_on.values()} == {len(samples) - len(split.held_out)}
    assert tiny.card.taught_on == {}

    # The same again: only what was held out then may test now.
    again = taught_split(TaughtSamples([taught(slide, REGIONS)], second.card))
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
    message = obstacle(TaughtSamples([taught(slide, (*left, *new))], second.card))
    assert "new place" in message
    assert "what taught version 2 cannot test" in message
    third = TaughtSamples([taught(slide, (*left, *below))], second.card)
    split = taught_split(third)
    assert {third.rects[i].y // TILE for i in split.held_out} == {10, 11}
    # The first version was not taught what the second was: for it nothing is used up.
    assert not TaughtSamples([taught(slide, left)], tiny.card).seen.any()
    untold = second.card.model_copy(update={"taught_on": {}})
    assert "does not say where" in obstacle(TaughtSamples([taught(slide, REGIONS)], untold))
    path = tmp_path / "second.safetensors"
    save_model_file(path, tiny.network, second.card, half=False)
    assert read_card(path).taught_on == second.card.taught_on


def test_a_taught_place_is_known_under_any_name(painted: Path, tiny: LoadedModel) -> None:
    with open_slide(painted) as slide:
        shapes = taught(slide).shapes
        first = TaughtSamples([TaughtSlide(slide, "a", shapes, (), "1234abcd")], tiny.card)
        card = _card(tiny, first, taught_split(first), 1.0)
        copy = TaughtSamples([TaughtSlide(slide, "b", shapes, (), "1234abcd")], card)
        other = TaughtSamples([TaughtSlide(slide, "a", shapes, (), "dcba4321")], card)
    assert copy.seen.any()
    assert not other.seen.any()


def test_whole_slides_are_held_out_where_there_are_enough(painted: Path) -> None:
    with open_slide(painted) as slide:
        every = [
            TaughtSlide(slide, f"slide {n}", *taught(slide).__getstate__()[2:]) for n in range(3)
        ]
        samples = TaughtSamples(every, make_card())
        split = taught_split(samples)
    assert split.by == "slide"
    assert len(np.unique(samples.slide_of[split.held_out])) == 1
    assert not set(samples.slide_of[split.held_out]) & set(samples.slide_of[split.train])


def test_what_is_missing_is_said(painted: Path) -> None:
    with open_slide(painted) as slide:

        def problem(regions: tuple) -> str:
            return summarise([taught(slide, regions)], (), make_card()).obstacle

        assert "at least two classes" in problem(REGIONS[:2])
        assert "Liver with fat has one" in problem(REGIONS[:3])
        assert "at least 6 tiles" in problem(
            (*REGIONS[:2], ("fat", 0, 4, 2, 1), ("fat", 4, 4, 1, 1))
        )
        touching = (("liver", 0, 0, 4, 2), ("fat", 0, 2, 4, 2), ("liver", 0, 6, 4, 1))
        assert "separate" in problem(touching) or "parted" in problem(touching)
        assert problem(REGIONS) == ""
        none = np.array([], np.intp)
        assert missing(none, none.astype(str), SCHEME, 112.0).startswith("Teach at least two")


def test_tiles_a_whole_tile_apart_are_not_near() -> None:
    tiles = [Rect(0, 0, 10, 10), Rect(10, 10, 10, 10), Rect(20, 0, 10, 10), Rect(30.5, 0, 10, 10)]
    assert near_pairs(tiles, (10, 10)) == [(0, 1), (1, 2), (2, 3)]


def test_a_called_tile_is_not_tested_on_beside_what_teaches(painted: Path) -> None:
    """A tile a third of a tile away may be seen in training: it belongs to the same place."""
    near, far = (("liver", 3.3, 0.5, 1, 1),), (("liver", 3.3, 3, 1, 1),)
    with open_slide(painted) as slide:
        groups = [
            TaughtSamples([taught(slide, REGIONS[:1], tiles)], make_card()).groups
            for tiles in (near, far)
        ]
    assert len(set(groups[0])) == 1
    assert len(set(groups[1])) == 2


def test_a_called_tile_counts_more_than_the_shape_around_it(painted: Path) -> None:
    with open_slide(painted) as slide:
        plain = TaughtSamples([taught(slide)], make_card())
        samples = TaughtSamples([taught(slide, REGIONS, (("fat", 1, 0, 1, 1),))], make_card())
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
    with open_slide(painted) as slide, pytest.raises(DataError, match="'tumour' is no class"):
        TaughtSamples([taught(slide, (("tumour", 0, 0, 2, 2),))], make_card())


# -- what cells learn --

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
    target = cell_targets(slide, (), Rect(0, 0, TILE, TILE), before, SCHEME)
    assert (target[:, :, :4] == np.array([0, 1, 0], np.float32)[:, None, None]).all()
    assert np.array_equal(target[:, :, 4:], before[:, :, 4:])


def test_a_shape_with_disease_is_not_diseased_in_every_cell() -> None:
    """Half of its cells at least, those most like it so far, are; the others stay as they were."""
    rng = np.random.default_rng(0)
    before = rng.dirichlet((4, 4, 1), (7, 7)).transpose(2, 0, 1).astype(np.float32)
    fat = SCHEME.index("fat")
    target = cell_targets(_annotated((("fat", 0, 0, 1, 1),)), (), _HERE, before, SCHEME)
    taught_fat = target[fat] == 1
    assert 25 <= taught_fat.sum() <= 30
    assert taught_fat[before.argmax(axis=0) == fat].all()
    assert before[fat][taught_fat].min() >= before[fat][~taught_fat].max()
    assert np.array_equal(target[:, ~taught_fat], before[:, ~taught_fat])


def test_a_called_tile_teaches_cells_only_what_follows() -> None:
    """Without disease no cell is diseased; with disease it is not said which cells are."""
    fat, liver = SCHEME.index("fat"), SCHEME.index("liver")
    before = np.full((3, 7, 7), 0.1, np.float32)
    before[liver] = 0.8
    before[:, :2] = np.array([0.2, 0.1, 0.7], np.float32)[:, None, None]
    here = _HERE
    tile = rectangle("any", 0, 0, TILE, TILE)
    healthy = cell_targets(_annotated(()), [(tile, liver)], here, before, SCHEME)
    assert (healthy[liver, :2] == 1).all()
    assert (healthy[fat, :2] == 0).all()
    assert np.array_equal(healthy[:, 2:], before[:, 2:])
    sick = cell_targets(_annotated(()), [(tile, fat)], here, before, SCHEME)
    assert np.array_equal(sick[:, :2], before[:, :2])
    assert (sick[:, 2:] == 0).all()
    away = cell_targets(_annotated(()), [(tile, fat)], Rect(TILE, 0, TILE, TILE), before, SCHEME)
    assert np.array_equal(away, before)


@given(st.integers(0, 3), st.integers(0, 1))
def test_turning_back_undoes_turning(turn: int, flip: int) -> None:
    grid = np.arange(2 * 5 * 5).reshape(2, 5, 5)
    assert np.array_equal(_turned_back(_turned(grid, turn, flip), turn, flip), grid)


# -- fine-tuning --


def test_teaching_learns_what_was_drawn(painted: Path, tiny: LoadedModel, tmp_path: Path) -> None:
    """Random weights call everything one class; two painted colours are learned, cells too."""
    path = tmp_path / "taught.safetensors"
    with open_slide(painted) as slide:
        samples = TaughtSamples([taught(slide)], tiny.card, answer_of(tiny, torch.device("cpu")))
        split = taught_split(samples)
        config = teach_config(12)
        steps = list(teach(tiny, samples, split, path, torch.device("cpu"), config=config))
    lesson = steps[-1]
    assert isinstance(lesson, Lesson)
    epochs = [s for s in steps if isinstance(s, EpochResult)]
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert lesson.test.by == "place"
    assert lesson.test.tiles == len(split.held_out)
    assert lesson.test.before.value < 0.75
    assert lesson.test.after.value == 1.0
    model = load_model_file(path)
    encoder = tiny.network.encoder.state_dict()
    for name, tensor in model.network.encoder.state_dict().items():
        assert torch.allclose(tensor, encoder[name], atol=1e-3), name
    card = model.card
    assert (card.version, card.name) == ("2", "tiny-v2")
    assert card.parent["sha256"] == tiny.sha256
    assert card.parent["version"] == "1"
    assert "optimistic" in card.metrics["balanced accuracy"].how
    assert "is not known" in card.limitations
    assert "Not taught: Background" in card.limitations
    assert not card.domain
    assert not card.conformal
    assert card.temperature >= tiny.card.temperature
    with torch.inference_mode(), open_slide(painted) as slide:
        dense = []
        for y in (0, 5 * TILE):
            tile = torch.from_numpy(slide.read_region(0, 0, y, TILE, TILE)).permute(2, 0, 1)[None]
            dense.append(model.network(tile).cell_scores.argmax(1))
    assert (dense[0] == SCHEME.index("liver")).float().mean() > 0.8
    assert (dense[1] == SCHEME.index("fat")).float().mean() > 0.8


def test_other_architectures_are_taught_too(painted: Path, tmp_path: Path) -> None:
    from napari_liverdx.models.architectures.registry import build_model

    torch.manual_seed(0)
    card = make_card(architecture="cnn", arguments={"encoder": "mobilenetv3_small_050"}, cells=1)
    path = tmp_path / "cnn.safetensors"
    save_model_file(path, build_model("cnn", 3, card.arguments, TILE), card, half=False)
    model = load_model_file(path)
    config = teach_config(1).model_copy(update={"tiles_per_epoch": 8, "batch_size": 4})
    with open_slide(painted) as slide:
        samples = TaughtSamples([taught(slide)], card)
        split = taught_split(samples)
        out = tmp_path / "out.safetensors"
        steps = list(teach(model, samples, split, out, torch.device("cpu"), config=config))
    assert isinstance(steps[-1], Lesson)
    assert load_model_file(out).card.cells == 1


def _request(slide: Slide, model: Path, epochs: int = 2) -> TeachingRequest:
    card = read_card(model)
    return TeachingRequest(str(model), (taught(slide),), (), trial_path(card), epochs)


def test_a_stopped_lesson_leaves_no_model(painted: Path, tiny_file: Path) -> None:
    stop = threading.Event()
    with open_slide(painted) as slide:
        request = _request(slide, tiny_file)
        for event in run_teaching(request, stop, []):
            assert not isinstance(event, EpochResult | Lesson)
            stop.set()
    assert not request.trial.exists()


def test_versions_are_kept_numbered_and_discarded(
    painted: Path, tiny_file: Path, own_models: Path
) -> None:
    card = read_card(tiny_file)
    with open_slide(painted) as slide:
        for _ in range(2):
            assert list(run_teaching(_request(slide, tiny_file, 1), threading.Event(), []))
            assert "tiny-v2" not in available_models() or own_models.exists()
            kept = keep_trial(card)
            assert not trial_path(card).exists()
        assert kept.name == "tiny-v3.safetensors"
        assert list(run_teaching(_request(slide, kept, 1), threading.Event(), []))
    # The version taken meanwhile is not overwritten.
    fourth = read_card(trial_path(card))
    assert fourth.version == "4"
    assert fourth.parent["name"] == "tiny-v3"
    (own_models / "tiny-v4.safetensors").write_bytes(kept.read_bytes())
    fifth = keep_trial(card)
    assert fifth.name == "tiny-v5.safetensors"
    assert read_card(fifth).title == "Tiny, version 5"
    load_model_file(fifth)
    listed = versions_of(card, (tiny_file,))
    assert [v.card.version for v in listed if v.name != "tiny-v4"] == ["1", "2", "3", "5"]
    assert [c.title for n, c in available_models().items() if n.startswith("tiny-v")][:2] == [
        "Tiny, version 2",
        "Tiny, version 3",
    ]
    discard_trial(card)
    discard_trial(card)


# -- keeping what was taught --


def test_what_was_taught_is_kept_as_geojson(painted: Path, tmp_path: Path) -> None:
    folder = TaughtFolder(tmp_path / "kept")
    with open_slide(painted) as slide:
        assert folder.all() == []
        assert not folder.knows(slide)
        shapes = taught(slide).shapes
        folder.keep(slide, shapes)
        folder.keep(slide, shapes[:1], result="painted.tiny")
        folder.keep(slide, shapes[1:2], result="painted.tiny-v2")
        found = folder.of(slide)
        (only,) = folder.all()
    assert only.key == found.key
    assert only.path == painted
    assert only.mpp == (0.5, 0.5)
    assert [r.name for r in found.shapes] == ["liver", "liver", "fat", "fat"]
    assert np.array_equal(found.shapes[2].rings[0], shapes[2].rings[0])
    assert len(found.tiles) == 2
    (file,) = folder.folder.glob("*.shapes.geojson")
    assert len(read_geojson(file).regions) == 4
    assert json.loads(file.read_text())["features"][0]["properties"]["objectType"] == "annotation"
    with open_slide(painted) as slide:
        folder.keep(slide, ())
        assert folder.of(slide).shapes == ()
        assert len(folder.of(slide).tiles) == 2
    next(folder.folder.glob("*.tiles.geojson")).write_text('{"features": []}')
    with pytest.raises(DataError, match="does not say of which slide"):
        folder.all()


def test_one_slide_under_two_names_is_one_slide(painted: Path, tmp_path: Path) -> None:
    """A copy is no second slide to hold out; a slide that was renamed takes its shapes along."""
    folder = TaughtFolder(tmp_path / "kept")
    copy = tmp_path / "copy.tif"
    shutil.copy(painted, copy)
    with open_slide(painted) as slide, open_slide(copy) as other:
        shapes = taught(slide).shapes
        folder.keep(slide, shapes[:2])
        assert folder.knows(other)
        assert folder.of(other).shapes == (), "the slide itself is still there"
        folder.keep(other, shapes[2:])
        (both,) = folder.all()
        assert both.path.exists()
        assert {r.name for r in both.shapes} == {"liver", "fat"}
        assert summarise((), [both], make_card()).slides == 1
        folder.keep(other, ())
    copy.unlink()
    moved = painted.rename(tmp_path / "renamed.tif")
    with open_slide(moved) as slide:
        found = folder.of(slide)
        assert [r.name for r in found.shapes] == ["liver", "liver"]
        folder.keep(slide, shapes[:1])
    (file,) = folder.folder.glob("*.geojson")
    assert file.name.startswith("renamed")
    assert len(read_geojson(file).regions) == 1


def test_of_a_tile_called_twice_the_last_word_counts(painted: Path, tmp_path: Path) -> None:
    """Two results of a slide, the same tile called in both: one sample, the newer class."""
    folder = TaughtFolder(tmp_path / "kept")
    first = [rectangle("liver", 0, 0, TILE, TILE), rectangle("fat", 2 * TILE, 0, TILE, TILE)]
    second = [rectangle("fat", 0.4, 0, TILE, TILE), rectangle("fat", TILE / 2, 0, TILE, TILE)]
    early, late = "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:09+00:00"
    with open_slide(painted) as slide:
        for times in ((late, early), (early, late)):
            folder.keep(slide, first, result="painted.a", at=times[:1] * 2)
            folder.keep(slide, second, result="painted.b", at=times[1:] * 2)
            (only,) = folder.all()
            at_0 = [r.name for r in only.tiles if r.bounds.x < 1]
            assert at_0 == ["liver" if times[0] == late else "fat"]
            assert len(only.tiles) == 3
            assert len(folder.of(slide).tiles) == 3
        folder.keep(slide, (), result="painted.b")
        assert [r.name for r in folder.of(slide).tiles] == ["liver", "fat"]


def test_a_damaged_file_costs_only_itself(painted: Path, tmp_path: Path) -> None:
    folder = TaughtFolder(tmp_path / "kept")
    with open_slide(painted) as slide:
        folder.keep(slide, taught(slide).shapes)
        for content in ("", "{", "[]", '{"liverdx": {"key": "a.1", "slide": "a", "mpp": [1]}}'):
            (folder.folder / "other.12345678.shapes.geojson").write_text(content)
            assert len(folder.of(slide).shapes) == 4
            damaged: list[str] = []
            assert len(folder.all(damaged)) == 1
            assert len(damaged) == 1
            assert "other.12345678" in damaged[0]
        own = folder.folder / f"{folder.key(slide)}.shapes.geojson"
        own.write_text("{")
        with pytest.raises(DataError, match="move it away"):
            folder.of(slide)
        assert own.read_text() == "{"


def test_slides_taught_before_are_opened_or_named(painted: Path, tmp_path: Path) -> None:
    folder = TaughtFolder(tmp_path / "kept")
    with open_slide(painted) as slide:
        folder.keep(slide, taught(slide).shapes)
    found = summarise((), folder.all(), make_card())
    assert found.slides == 1
    assert found.tiles["fat"] == 18
    assert found.areas_mm2["liver"] == pytest.approx(12 * 0.112**2)
    painted.unlink()
    gone = summarise((), folder.all(), make_card())
    assert gone.left_out == ("painted.tif",)
    assert gone.tiles["fat"] == 0


# -- the page in a real window --

gui = pytest.mark.gui


@pytest.fixture
def page(dock: LiverDxDock, painted: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TeachTab]:
    """The page, with a slide open."""
    (tab,) = (p for p in dock.pages if isinstance(p, TeachTab))
    dock.tabs.setCurrentWidget(tab)
    open_in(dock, painted)
    tab.control.n_epochs = 2
    yield tab
    tab.control.stop.throw()
    wait(lambda: not tab.control.workers.are_busy)


def draw(page: TeachTab, regions: tuple = REGIONS) -> None:
    """Shapes as a script or another plugin would add them."""
    for name, *box in regions:
        click(page.class_buttons[name])
        x, y, w, h = (TILE * v for v in box)
        corners = np.array([(y, x), (y, x + w), (y + h, x + w), (y + h, x)]) - 0.5
        page.control.material.current.layer.add_polygons([corners])
    counted(page)


def counted(page: TeachTab) -> None:
    page.control.material.count()
    wait(lambda: not page.controller.workers.are_busy)


def lasso(viewer: ViewerModel, corners: list[tuple[float, float]]) -> None:
    """Press, drag and release along places in world coordinates."""
    canvas = viewer.window._qt_viewer.canvas.native
    places = [_on_screen(viewer, canvas, c) for c in corners]
    QTest.mouseMove(canvas, places[0])
    wait_paint()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        QTest.mouseMove(canvas, place)
        wait_paint()
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=places[-1])
    wait_paint()


def _on_screen(viewer: ViewerModel, canvas: object, world: tuple[float, float]) -> QPoint:
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    offset = (np.array(world) - np.array(camera.center[-2:])) * camera.zoom
    ratio = canvas.devicePixelRatio()
    x, y = offset[1] / ratio + canvas.width() / 2, offset[0] / ratio + canvas.height() / 2
    return QPoint(round(x), round(y))


@gui
def test_a_shape_is_drawn_with_the_mouse(viewer: ViewerModel, page: TeachTab) -> None:
    click(page.class_buttons["fat"])
    layer = viewer.layers["Teach · painted"]
    assert viewer.layers.selection.active is layer
    assert layer.mode == "add_polygon_lasso"
    um = TILE / 2
    corners = [(4, 1), (4, 3), (5, 4), (6, 3), (6, 1), (5, 0.5)]
    along = [
        tuple(um * ((1 - t) * np.array(a) + t * np.array(b)))
        for a, b in pairwise(corners)
        for t in (0, 0.25, 0.5, 0.75)
    ]
    lasso(viewer, along)
    assert len(layer.data) == 1
    assert list(layer.features["class"]) == ["fat"]
    (region,) = page.control.material.current.regions()
    assert region.name == "fat"
    assert region.contains(np.array([2.0 * TILE]), np.array([5.0 * TILE])).all()
    assert abs(region.bounds.y - 4 * TILE) < 0.1 * TILE
    blue = np.array([0x0A, 0x84, 0xFF]) / 255
    assert np.allclose(layer.edge_color[0][:3], blue, atol=0.01)
    key_z = Qt.Key.Key_Z
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, key_z, Qt.KeyboardModifier.ControlModifier)
    wait_paint()
    assert len(layer.data) == 0
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(canvas, key_z, both)
    wait_paint()
    assert len(layer.data) == 1
    assert np.allclose(layer.edge_color[0][:3], blue, atol=0.01)
    QTest.keyClick(canvas, Qt.Key.Key_2)
    wait_paint()
    assert page.class_buttons["liver"].isChecked()
    assert list(layer.features["class"]) == ["fat"], "a finished shape keeps its class"
    counted(page)
    assert "Liver with fat" in page.taught.text()


@gui
def test_undo_takes_back_every_kind_of_change(page: TeachTab) -> None:
    draw(page, REGIONS[:2])
    layer = page.control.material.current.layer
    assert page.undo_button.isEnabled()
    assert not page.redo_button.isEnabled()
    layer.mode = "select"
    layer.selected_data = {0}
    click(page.class_buttons["fat"])
    assert list(layer.features["class"]) == ["fat", "liver"]
    layer.selected_data = {1}
    layer.remove_selected()
    assert len(layer.data) == 1
    for left in (["fat", "liver"], ["liver", "liver"], ["liver"], []):
        click(page.undo_button)
        assert list(layer.features["class"]) == left
    assert not page.undo_button.isEnabled()
    for left in (["liver"], ["liver", "liver"], ["fat", "liver"], ["fat"]):
        click(page.redo_button)
        assert list(layer.features["class"]) == left
    assert not page.redo_button.isEnabled()


@gui
def test_what_is_missing_stands_on_the_page(page: TeachTab) -> None:
    assert not page.tune_button.isEnabled()
    assert "two classes" in page.message.text()
    draw(page, REGIONS[:3])
    assert not page.tune_button.isEnabled()
    assert "separate regions" in page.message.text()
    draw(page, REGIONS[3:])
    assert page.tune_button.isEnabled()
    assert "4 regions and 0 tiles reviewed on 1 slide" in page.taught.text()
    assert "optimistic" in page.taught.text()


@gui
def test_shapes_come_back_with_the_slide(
    viewer: ViewerModel, dock: LiverDxDock, page: TeachTab, painted: Path
) -> None:
    draw(page)
    # Deleting the layer loses nothing: drawing on brings back what was there.
    viewer.layers.remove("Teach · painted")
    wait_paint()
    click(page.class_buttons["fat"])
    assert len(viewer.layers["Teach · painted"].data) == 4
    viewer.layers.clear()
    wait_paint()
    assert page.control.material.current is None
    open_in(dock, painted)
    layer = viewer.layers["Teach · painted"]
    assert list(layer.features["class"]) == ["liver", "liver", "fat", "fat"]
    assert not page.undo_button.isEnabled()
    counted(page)
    assert page.tune_button.isEnabled()


@gui
def test_damaged_shapes_are_not_drawn_over(viewer: ViewerModel, page: TeachTab) -> None:
    """The slide's own damaged file stops drawing; another slide's is told and does no harm."""
    folder = page.control.material.folder
    folder.folder.mkdir(parents=True)
    own = folder.folder / f"{folder.key(page.controller.slide)}.shapes.geojson"
    own.write_text("{")
    with notes() as told:
        click(page.class_buttons["fat"])
    assert own.name in told[0]
    assert "Teach · painted" not in viewer.layers
    page.control.material.save()
    assert own.read_text() == "{"
    own.rename(folder.folder / "other.12345678.shapes.geojson")
    draw(page)
    assert page.tune_button.isEnabled()
    assert "other.12345678" in page.taught.text()


@gui
def test_any_layer_that_is_drawn_on_is_saved(
    viewer: ViewerModel, dock: LiverDxDock, page: TeachTab, painted: Path, tmp_path: Path
) -> None:
    """Drawing on the layer of a slide that is not the chosen one is kept for that slide."""
    second = tmp_path / "second.tif"
    write_pyramid(second, np.full((4 * TILE, 4 * TILE, 3), 200, np.uint8))
    draw(page, REGIONS[:1])
    first = viewer.layers["Teach · painted"]
    dock.controller.open_path(second)
    wait(lambda: not dock.controller.is_busy)
    dock.controller.choose_layer(viewer.layers["second"])
    wait(lambda: not dock.controller.is_busy)
    assert page.control.material.current is None
    first.add_polygons([np.array([(0, 900), (0, 1200), (300, 1200), (300, 900)])])
    counted(page)
    folder = page.control.material.folder
    with open_slide(painted) as slide:
        assert len(folder.of(slide).shapes) == 2
    with open_slide(second) as slide:
        assert folder.of(slide).shapes == ()


@gui
def test_shapes_of_a_foreign_class_are_left_out_and_told(page: TeachTab) -> None:
    folder, slide = page.control.material.folder, page.controller.slide
    foreign = rectangle("tumour", 0, 0, TILE, TILE)
    folder.keep(slide, (*taught(slide).shapes, foreign))
    folder.keep(slide, (foreign,), result="painted.other")
    counted(page)
    assert "4 regions and 0 tiles reviewed" in page.taught.text()
    assert "2 regions and tiles are of no class of this model" in page.taught.text()
    assert page.tune_button.isEnabled()


@gui
def test_tiles_of_the_review_count(dock: LiverDxDock, page: TeachTab) -> None:
    analyze(dock)
    store = dock.controller.results.store
    done = [t for t in store.manifest.grid if store.state[t.row, t.col] == 1][:3]
    store.decisions.put(done[0], Decision.reject("fat", "liver"))
    store.decisions.put(done[1], Decision.accept("fat"))
    store.decisions.put(done[2], Decision.reject("fat"))
    counted(page)
    assert "0 regions and 2 tiles reviewed" in page.taught.text()
    store.decisions.put(done[0], None)
    counted(page)
    assert "1 tile reviewed" in page.taught.text()


def names(combo: QComboBox) -> list[str]:
    return [combo.itemText(i) for i in range(combo.count())]


def tuned(page: TeachTab) -> Callable[[], bool]:
    return lambda: not page.control.work and not page.control.workers.are_busy


@gui
def test_fine_tune_compare_and_keep(viewer: ViewerModel, dock: LiverDxDock, page: TeachTab) -> None:
    draw(page)
    analyze(dock)
    click(page.tune_button)
    assert page.cancel_button.isEnabled()
    assert page.bar.isVisible()
    wait(tuned(page))
    assert [e.epoch for e in page.control.epochs] == [1, 2]
    assert "epoch 2" in page.loss.accessibleDescription()
    assert page.loss.isVisible()
    assert page.test_table.rowCount() == 2
    assert "optimistic" in page.test_note.text()
    assert page.comparison.isVisible()
    assert "Tiny, version 2" in page.trial_note.text()
    assert "tiny-v2" not in available_models(), "an undecided version cannot be chosen"

    click(page.both_button)
    wait(tuned(page))
    ((old, new),) = page.control.pairs
    assert old is dock.controller.results.probabilities["fat"]
    assert new.name == "Liver with fat · version 2 · painted"
    assert np.allclose(old.extent.world, new.extent.world)
    dock.findings_panel.sliders["fat"].setValue(0.3)
    assert tuple(new.contrast_limits) == pytest.approx((0.3, 1.0))
    new.opacity = 0.4
    assert old.opacity == pytest.approx(0.4)
    click(page.views["before"])
    assert (old.visible, new.visible) == (True, False)
    click(page.views["both"])
    assert (old.visible, new.visible) == (True, True)
    assert page.changes_table.rowCount() == 3
    before, after, change = (float(page.changes_table.item(2, c).text()) for c in (1, 2, 3))
    assert change == pytest.approx(after - before, abs=0.0011)

    click(page.keep_button)
    assert dock.state.model == "tiny-v2"
    assert "Tiny, version 2" in names(dock.model_panel.choice)
    assert not trial_path(dock.state.card).parent.exists()
    assert new not in viewer.layers
    assert old in viewer.layers
    kept = dock.controller.results
    assert kept.store.manifest.model_name == "tiny-v2"
    assert kept.store.path.parent == dock.state.out_folder
    assert kept.probabilities["fat"] in viewer.layers
    assert not page.comparison.isVisible()
    rows = [page.versions.table.item(r, 0).text() for r in range(page.versions.table.rowCount())]
    assert "2 · used" in rows
    click(page.versions.card_button)
    (dialog,) = page.findChildren(CardDialog)
    assert dialog.windowTitle() == "Tiny, version 2"
    dialog.reject()
    # The result that was made for the comparison is the version's own.
    wait(lambda: dock.run_panel.analyze_button.isEnabled())
    click(dock.run_panel.analyze_button)
    wait(lambda: dock.state.status is RunStatus.FINISHED)
    assert dock.state.progress.tiles_per_second == 0, "no tile was analysed again"


def _compared(dock: LiverDxDock, page: TeachTab) -> None:
    """A trial, and its result on the slide."""
    page.control.n_epochs = 1
    draw(page)
    analyze(dock)
    click(page.tune_button)
    wait(tuned(page))
    click(page.both_button)
    wait(tuned(page))
    assert page.control.pairs


@gui
def test_a_result_of_a_deleted_version_is_not_taken_for_the_kept_one(
    dock: LiverDxDock, page: TeachTab
) -> None:
    """Version 2 was kept, used and deleted once; the new version 2 gets its own result."""
    _compared(dock, page)
    folder = dock.state.out_folder
    made = page.control.maps.after.path
    stale = folder / made.name
    shutil.copytree(folder / made.name.replace("tiny-v2", "tiny"), stale)
    sha256 = page.control.maps.after.manifest.model_sha256
    with notes() as told:
        click(page.keep_button)
    assert any("another model of that name" in t for t in told)
    assert ResultStore.open(stale).manifest.model_sha256 == sha256
    assert dock.controller.results.store.manifest.model_sha256 == sha256
    (aside,) = folder.glob("*.earlier-1.liverdx.zarr")
    assert ResultStore.open(aside).manifest.model_sha256 != sha256


@gui
def test_results_that_cannot_be_moved_are_told_and_kept(
    dock: LiverDxDock, page: TeachTab, own_models: Path, tmp_path: Path
) -> None:
    _compared(dock, page)
    name = page.control.maps.after.path.name
    blocked = tmp_path / "a file"
    blocked.write_text("")
    dock.state.out_folder = blocked
    with notes() as told:
        click(page.keep_button)
    assert dock.state.model == "tiny-v2"
    (problem,) = (t for t in told if "cannot be moved" in t)
    assert "tiny-v2.results" in problem
    assert (own_models / "teaching" / "tiny-v2.results" / name).is_dir()
    assert "cannot be moved" in page.message.text()
    assert not trial_path(dock.state.card).parent.exists()


@gui
def test_another_model_ends_what_runs(
    dock: LiverDxDock, page: TeachTab, own_models: Path, tiny_file: Path
) -> None:
    """The old model's lesson never appears under the new one, and nothing starts beside it."""
    draw(page)
    own_models.mkdir(exist_ok=True)
    other = read_card(tiny_file).model_copy(update={"name": "other", "title": "Other"})
    rewrite_model_file(tiny_file, other, {}, own_models / "other.safetensors")
    page.control.n_epochs = 500
    click(page.tune_button)
    wait(lambda: len(page.control.epochs) > 0)
    assert dock.controller.choose_model("other")
    assert page.control.work == "tune"
    assert "Another model" in page.message.text()
    assert page.control.epochs == []
    page.control.fine_tune()
    wait(tuned(page))
    assert page.control.epochs == []
    assert page.tune_button.isEnabled()

    # After the last epoch nothing stops the lesson any more; it comes, and is not shown.
    def switch() -> None:
        if page.control.epochs:
            dock.controller.choose_model(str(tiny_file))

    page.control.n_epochs = 1
    page.control.progressed.connect(switch)
    click(page.tune_button)
    wait(tuned(page))
    assert trial_path(other).exists()
    assert page.control.lesson is None
    assert not page.test_table.isVisible()
    assert not page.comparison.isVisible()


@gui
def test_both_versions_are_not_run_beside_an_analysis(dock: LiverDxDock, page: TeachTab) -> None:
    draw(page)
    page.control.n_epochs = 1
    click(page.tune_button)
    wait(tuned(page))
    assert page.both_button.isEnabled()
    dock.state.status = RunStatus.RUNNING
    assert not page.both_button.isEnabled()
    with notes() as told:
        page.control.compare()
    assert "An analysis is running" in told[0]
    assert not page.control.is_writing
    dock.state.status = RunStatus.IDLE
    click(page.both_button)
    assert page.control.is_writing
    click(page.cancel_button)
    wait(tuned(page))
    assert not page.control.is_writing


@gui
def test_cancel_and_discard_leave_nothing(
    viewer: ViewerModel, dock: LiverDxDock, page: TeachTab, own_models: Path
) -> None:
    draw(page)
    page.control.n_epochs = 500
    click(page.tune_button)
    wait(lambda: len(page.control.epochs) > 0)
    click(page.cancel_button)
    wait(tuned(page))
    assert "the model is as it was" in page.message.text()
    assert not page.comparison.isVisible()
    assert page.tune_button.isEnabled()
    page.control.n_epochs = 1
    click(page.tune_button)
    wait(tuned(page))
    click(page.both_button)
    wait(tuned(page))
    assert len(page.control.pairs) == 1
    count = len(viewer.layers)
    click(page.discard_button)
    assert len(viewer.layers) == count - 1
    assert "Discarded" in page.message.text()
    assert not list(own_models.rglob("*.safetensors"))
    assert not list(own_models.rglob("*.zarr"))
    assert not page.comparison.isVisible()
    assert "version 2" not in " ".join(names(dock.model_panel.choice))


@gui
def test_nothing_is_cut_off(page: TeachTab) -> None:
    from qtpy.QtWidgets import QScrollArea

    draw(page)
    wait_paint()
    area = page.findChild(QScrollArea)
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
