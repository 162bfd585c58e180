"""Context across the slide: masks, learning, storage, the command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.mosaic import MosaicConfig, TilePool, make_mosaics
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import (
    DataError,
    LiverDxError,
    ModelFileError,
    PlanError,
    ResultError,
)
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.measure import measure
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.inference.predict import predict
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.metrics.classification import area_under_curve
from napari_liverdx.mil.bags import UNKNOWN, Bag, bag_of_result, load_bag, load_bags, save_bag
from napari_liverdx.mil.collect import SlideRow, collect_bags, list_slides
from napari_liverdx.mil.evaluate import compare_bags
from napari_liverdx.mil.file import ARCHITECTURE, LoadedContext, load_context
from napari_liverdx.mil.network import SlideContext, slide_classes
from napari_liverdx.mil.train import (
    ContextConfig,
    apply_context,
    fitted_temperatures,
    score_bags,
    split_bags,
    train_context,
)
from napari_liverdx.models.architectures.cnn_rnn import AttentionPool
from napari_liverdx.models.card import ModelCard, SlidePart
from napari_liverdx.models.file import LoadedModel, load_model_file, save_model_file
from napari_liverdx.models.zoo import available_models
from napari_liverdx.reports.html import write_report
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue

from .conftest import CLASSES, make_card, write_pyramid
from .test_engine import child

RUN = CliRunner()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are so small that threads wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def refused(*arguments: object) -> str:
    """The message with which a command ends; it must be one of ours."""
    outcome = RUN.invoke(app, [str(a) for a in arguments])
    assert isinstance(outcome.exception, LiverDxError), outcome.output
    return str(outcome.exception)


def network(features: int = 5, **more: object) -> SlideContext:
    """A small one whose corrections are not zero."""
    torch.manual_seed(0)
    made = SlideContext(features, 3, 2, **{"hidden": 4, "projection": 6, **more}).eval()
    torch.nn.init.normal_(made.tile_head.weight)
    return made


def inputs(seed: int, rows: int, cols: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(1, rows, cols, generator=generator) > 0.3
    mask[:, 0, 0] = mask[:, -1, -1] = True
    return (
        torch.randn(1, 5, rows, cols, generator=generator),
        torch.randn(1, 3, rows, cols, generator=generator),
        mask,
    )


# -- the network --


@pytest.mark.parametrize("options", [{}, {"residual": False}, {"projection": 0}])
def test_missing_tiles_carry_nothing(options: dict[str, object]) -> None:
    model = network(**options)
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
    model = network()
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
    model = network()
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


def test_attention_pool_with_a_full_mask_is_the_plain_one() -> None:
    torch.manual_seed(0)
    pool, grid = AttentionPool(4), torch.randn(2, 4, 3, 3)
    assert torch.allclose(pool(grid), pool(grid, torch.ones(2, 3, 3, dtype=torch.bool)))


def test_sizes_and_classes_are_checked() -> None:
    with pytest.raises(ValueError, match="between 1"):
        SlideContext(0, 3, 2)
    with pytest.raises(ValueError, match="no input"):
        SlideContext(5, 3, 2, projection=0, residual=False)
    healthy = make_card(classes=CLASSES[:2]).scheme
    with pytest.raises(ModelFileError, match="hold no pathological one"):
        slide_classes(healthy)
    assert slide_classes(make_card().scheme) == ("normal", "fat")


# -- bags and mosaics --


def pool(seed: int, n: int = 240, noise: float = 1.6) -> TilePool:
    """Two numbers tell the class, with so much noise that single tiles are often misjudged."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    centres = np.eye(3)[labels]
    values = (centres + rng.normal(0, noise / 2, (n, 3))).astype(np.float32)
    logits = 4 * values - np.log(np.exp(4 * values).sum(1, keepdims=True))
    return TilePool(
        np.concatenate([values, rng.normal(0, 1, (n, 2)).astype(np.float32)], axis=1),
        logits.astype(np.float32),
        labels,
        (np.arange(n) // 8).astype(str),
    )


def mosaics(seed: int, count: int, *, noise: float = 1.6, **options: object) -> list[Bag]:
    fields = {"side": 9, "scale": (1.2, 2), "share": (0.15, 0.4), **options}
    config = MosaicConfig.model_validate(fields)
    bags = []
    for number, part in enumerate(pool(seed, noise=noise).blocks(4, (1, 2), 0)):
        bags += make_mosaics(
            part,
            count // 4,
            config,
            normal=1,
            pathological=2,
            background=0,
            group=f"{seed}-{number}",
            seed=seed + number,
        )
    return bags


def clumping(bags: list[Bag]) -> float:
    """How often the right neighbour of a diseased tile is diseased too."""
    sick = [np.pad(b.tile_labels == 2, ((0, 0), (0, 1))) for b in bags]
    return sum((s[:, 1:] & s[:, :-1]).sum() for s in sick) / sum(s.sum() for s in sick)


def test_mosaics_are_what_they_say() -> None:
    bags = mosaics(0, 16)
    assert sum(b.slide_label for b in bags) == 8
    for bag in bags:
        sick = bag.tile_labels[bag.mask] == 2
        assert sick.any() == (bag.slide_label == 1)
        assert (bag.tile_labels[~bag.mask] == UNKNOWN).all()
        assert (bag.embeddings[:, ~bag.mask] == 0).all()
    assert clumping(bags) > clumping(mosaics(0, 16, layout="scattered")) + 0.2
    again = mosaics(0, 16)
    assert all((a.embeddings == b.embeddings).all() for a, b in zip(bags, again, strict=True))
    assert not (bags[0].mask == bags[1].mask).all()
    healthy = pool(0).part(pool(0).labels < 2)
    with pytest.raises(DataError, match="no tile of class 2"):
        make_mosaics(healthy, 1, MosaicConfig(), normal=1, pathological=2)


def test_blocks_share_no_group() -> None:
    parts = pool(0).blocks(5, (1, 2), 0)
    groups = [set(p.groups) for p in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 30


def test_bags_come_back_as_they_were(tmp_path: Path) -> None:
    bag = mosaics(0, 4)[1]
    path = save_bag(tmp_path, bag)
    again = load_bag(path)
    assert np.allclose(again.embeddings, bag.embeddings, atol=2e-3)
    for field in ("logits", "mask", "tile_labels"):
        assert (getattr(again, field) == getattr(bag, field)).all()
    assert (again.name, again.group, again.slide_label) == (bag.name, bag.group, bag.slide_label)
    other = Bag("other", "g", bag.embeddings, bag.logits, bag.mask, bag.tile_labels, 0, "m", "abc")
    save_bag(tmp_path, other)
    with pytest.raises(DataError, match="different tile models"):
        load_bags(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged"):
        load_bag(path)
    with pytest.raises(DataError, match="no bags"):
        load_bags(tmp_path / "nowhere")
    with pytest.raises(DataError, match="one grid"):
        Bag("x", "g", bag.embeddings[:, 1:], bag.logits, bag.mask, bag.tile_labels)
    with pytest.raises(DataError, match="no tile"):
        Bag("x", "g", bag.embeddings, bag.logits, bag.mask & False, bag.tile_labels)


# -- learning --


def learned(
    config: ContextConfig,
    counts: tuple[int, int] = (32, 12),
    *,
    residual: bool = True,
    **how: object,
) -> SlideContext:
    bags = mosaics(1, counts[0], **how) + mosaics(2, counts[1], **how)
    torch.manual_seed(config.seed)
    model = SlideContext(5, 3, 2, hidden=8, projection=12, dropout=0.1, residual=residual)
    train, val = np.split(np.arange(len(bags)), [counts[0]])
    list(train_context(model, bags, train, val, pathological=(2,), config=config))
    return model


def tile_auc(maps: list[np.ndarray], bags: list[Bag]) -> float:
    score = np.concatenate([m[2, b.mask] for m, b in zip(maps, bags, strict=True)])
    sick = np.concatenate([b.tile_labels[b.mask] == 2 for b in bags])
    return area_under_curve(np.stack([-score, score], axis=1), sick.astype(int))


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(0).numpy()


@pytest.mark.slow
def test_neighbours_correct_a_tile() -> None:
    how = {"noise": 2.0, "scale": (2, 3), "share": (0.2, 0.5)}
    config = ContextConfig(learn_from="tiles", epochs=12, batch_size=2, learning_rate=0.02)
    model, bags = learned(config, **how), mosaics(3, 24, **how)
    alone = tile_auc([softmax(b.logits) for b in bags], bags)
    refined = tile_auc([softmax(s.tile_logits) for s in score_bags(model, bags)], bags)
    assert alone < 0.85
    assert refined > alone + 0.05


@pytest.mark.slow
def test_slide_labels_alone_find_the_guilty_tiles() -> None:
    """No tile label is seen, neither in training nor through the tile model's logits."""
    config = ContextConfig(learn_from="slides", epochs=18, learning_rate=0.01)
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
        learned(ContextConfig(epochs=2, seed=seed), (8, 8)).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_labels_that_cannot_teach_are_named() -> None:
    bags = mosaics(1, 8)
    index = np.arange(8)

    def start(train: np.ndarray, val: np.ndarray, data: list[Bag], learn_from: str) -> None:
        config = ContextConfig(learn_from=learn_from, epochs=1)
        next(train_context(network(), data, train, val, pathological=(2,), config=config))

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
    with pytest.raises(DataError, match="labelled tiles"):
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


# -- the file and the result --


def save_context(
    path: Path, tile: LoadedModel, features: int, learned_from: str = "both", **more: object
) -> LoadedContext:
    """A context with random weights for a tile model."""
    model = network(features)
    torch.manual_seed(1)
    slide = SlidePart(
        tile_model=tile.card.name,
        tile_sha256=tile.sha256,
        features=features,
        classes=slide_classes(tile.card.scheme),
        learned_from=learned_from,
        **more,
    )
    card = ModelCard(
        name="around",
        title="Around",
        summary="Random weights",
        architecture=ARCHITECTURE,
        arguments=model.arguments,
        classes=tile.card.classes,
        mpp=0.5,
        tile_size=224,
        slide=slide,
    )
    save_model_file(path, model, card, half=False)
    return load_context(path)


def plan_for(slide: Slide, model: LoadedModel, **options: object) -> RunPlan:
    return plan_run(
        slide.levels,
        slide.mpp,
        slide_tissue(slide),
        model.card,
        device=choose_device("cpu"),
        **options,
    )


def analysed(path: Path, slide: Slide, model: LoadedModel, *, embeddings: bool) -> ResultStore:
    plan = plan_for(slide, model)
    manifest = make_manifest(plan, slide, model)
    store = ResultStore.open_or_create(path, manifest, plan.tissue, plan.tiles)
    if embeddings:
        store.keep_embeddings()
    for _ in analyze(plan, slide, model, store):
        pass
    return store


@pytest.fixture
def opened(small_slide: Path) -> Iterator[Slide]:
    with open_slide(small_slide) as slide:
        yield slide


def test_embeddings_are_kept_when_asked_for(
    tmp_path: Path, opened: Slide, tiny: LoadedModel
) -> None:
    path = tmp_path / "a.liverdx.zarr"
    store = analysed(path, opened, tiny, embeddings=False)
    with pytest.raises(ResultError, match="holds no embeddings"):
        bag_of_result(store)
    before = store.tile_probabilities.copy()
    again = analysed(path, opened, tiny, embeddings=True)
    kept = ResultStore.open(path)
    found = kept.embeddings()
    done = kept.state == TileState.DONE
    assert done.sum() > 8
    assert np.isfinite(found[:, done]).all()
    assert np.isnan(found[:, ~done]).all()
    assert (again.tile_probabilities == before).all(), "finished tiles stay as they were"
    for batch in predict(plan_for(opened, tiny), opened, tiny):
        for tile, values in zip(batch.tiles, batch.embeddings, strict=True):
            assert np.allclose(found[:, tile.row, tile.col], values, atol=2e-3, rtol=2e-3)
    kept.keep_embeddings()
    assert kept.pending(plan_for(opened, tiny).tiles) == []


def test_embeddings_survive_a_kill(
    tmp_path: Path, small_slide: Path, tiny_file: Path, tiny: LoadedModel
) -> None:
    path = tmp_path / "killed.liverdx.zarr"
    process = child(tmp_path, small_slide, tiny_file, path, "store.keep_embeddings()")
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 6:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = ResultStore.open(path)
    done = left.state == TileState.DONE
    assert done.sum() >= 4
    assert np.isfinite(left.embeddings()[:, done]).all(), "values are written before states"
    with open_slide(small_slide) as slide:
        resumed = analysed(path, slide, tiny, embeddings=True)
        whole = analysed(tmp_path / "whole.liverdx.zarr", slide, tiny, embeddings=True)
    assert np.allclose(resumed.embeddings(), whole.embeddings(), atol=2e-3, equal_nan=True)


def test_a_context_refines_and_calls(tmp_path: Path, opened: Slide, tiny: LoadedModel) -> None:
    store = analysed(tmp_path / "a.liverdx.zarr", opened, tiny, embeddings=True)
    raw = store.tile_probabilities.copy()
    width = len(store.embeddings())
    context = save_context(tmp_path / "c.safetensors", tiny, width)
    assert store.slide_call is None
    call = apply_context(store, context)
    again = ResultStore.open(store.path)
    assert again.slide_call == call
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
    rows = measure(
        again.probabilities,
        again.tissue_cells(),
        tiny.card.scheme,
        cell_area_um2=again.cell_area_um2,
        thresholds={},
    )
    write_report(page, again, rows, opened.overview(4), tiny.card.model_dump())
    assert "Slide call" in page.read_text(encoding="utf-8")
    assert "Tiles that decided" in page.read_text(encoding="utf-8")
    # A call counts for the tiles that it judged and no others.
    again.state[tuple(np.argwhere(done)[0])] = TileState.PENDING
    assert again.slide_call is None
    with pytest.raises(ResultError, match="no slide context"):
        again.refined()


def test_a_context_from_tiles_alone_gives_no_call(
    tmp_path: Path, opened: Slide, tiny: LoadedModel
) -> None:
    store = analysed(tmp_path / "a.liverdx.zarr", opened, tiny, embeddings=True)
    context = save_context(tmp_path / "c.safetensors", tiny, len(store.embeddings()), "tiles")
    call = apply_context(store, context)
    assert (call.called, call.probabilities, call.deciding) == ("", (), ())
    assert "tile labels alone" in dict(call.lines())["slide call"]


def test_a_context_fits_its_own_tile_model_only(
    tmp_path: Path, opened: Slide, tiny: LoadedModel
) -> None:
    store = analysed(tmp_path / "a.liverdx.zarr", opened, tiny, embeddings=True)
    width = len(store.embeddings())
    other = LoadedModel(tiny.card, tiny.network, "f" * 64, tiny.path)
    with pytest.raises(ModelFileError, match=r"belongs to the tile model 'tiny'.*ffffffffffff"):
        apply_context(store, save_context(tmp_path / "o.safetensors", other, width))
    with pytest.raises(ModelFileError, match="inconsistent"):
        apply_context(store, save_context(tmp_path / "w.safetensors", tiny, width + 1))
    with pytest.raises(PlanError, match=r"--overlap 0\.5"):
        apply_context(store, save_context(tmp_path / "v.safetensors", tiny, width, overlap=0.5))
    with pytest.raises(ModelFileError, match="not a slide context"):
        load_context(tiny.path)


def test_a_context_is_no_tile_model(
    tmp_path: Path, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_context(tmp_path / "around.safetensors", tiny, 5)
    with pytest.raises(ModelFileError, match="--context"):
        load_model_file(tmp_path / "around.safetensors")
    monkeypatch.setenv("LIVERDX_MODELS", str(tmp_path))
    assert "around" not in available_models()


def test_damaged_contexts_are_named(tmp_path: Path, tiny: LoadedModel) -> None:
    path = tmp_path / "c.safetensors"
    good = save_context(path, tiny, 5)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelFileError, match="damaged"):
        load_context(path)
    bad = good.card.model_copy(update={"arguments": {"hidden": -3}})
    save_model_file(path, good.network, bad)
    with pytest.raises(ModelFileError, match="hidden"):
        load_context(path)


# -- slides and the command line --


def annotation(path: Path, name: str, x: float, y: float, side: float) -> None:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": name}},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))


def test_annotated_tiles_are_labelled(tmp_path: Path, small_slide: Path, tiny: LoadedModel) -> None:
    drawn = tmp_path / "a.geojson"
    annotation(drawn, "fat", 224, 224, 448)
    row = SlideRow(small_slide, "fat", "p1", drawn)
    (made,) = collect_bags([row], tiny, tmp_path / "bags", device=choose_device("cpu"))
    assert not made.error
    bag = load_bag(tmp_path / "bags" / "small.bag.npz")
    assert len(bag) == made.tiles
    inside = np.zeros(bag.mask.shape, bool)
    inside[1:3, 1:3] = True
    assert (bag.tile_labels[bag.mask & inside] == 2).all()
    assert (bag.tile_labels[~(bag.mask & inside)] == UNKNOWN).all()
    assert (bag.slide_label, bag.group, bag.tile_sha256) == (1, "p1", tiny.sha256)
    annotation(drawn, "tumour", 224, 224, 448)
    (made,) = collect_bags([row], tiny, tmp_path / "bags", device=choose_device("cpu"))
    assert "'tumour'" in made.error


def test_tables_of_slides_are_checked(tmp_path: Path) -> None:
    table = tmp_path / "slides.csv"
    table.write_text("slide,label,group\na.svs,tumour,p1\n")
    with pytest.raises(DataError, match="line 2: label 'tumour'"):
        list_slides(table, ("normal", "fat"))
    table.write_text("slide,label,group\na.svs,fat,p1\nb/a.tif,,\n")
    with pytest.raises(DataError, match="called 'a'"):
        list_slides(table, ("normal", "fat"))
    table.write_text("slide,label,group\na.svs,fat,p1\nb.tif,,\n")
    rows = list_slides(table, ("normal", "fat"))
    assert [(r.label, r.group) for r in rows] == [("fat", "p1"), ("", "b")]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no slides"):
        list_slides(empty, ("normal",))


def test_commands_from_slides_to_a_call(tmp_path: Path, tiny_file: Path, sample: Slide) -> None:
    lines = ["slide,label,group,annotation"]
    for i in range(4):
        path = tmp_path / f"s{i}.tif"
        write_pyramid(path, sample.read_region(0, 1900 + 100 * i, 500, 560, 448))
        annotation(tmp_path / f"s{i}.geojson", ("liver", "fat")[i % 2], 0, 0, 448)
        lines.append(f"s{i}.tif,{('normal', 'fat')[i % 2]},p{i},s{i}.geojson")
    table, bags, context = tmp_path / "t.csv", tmp_path / "bags", tmp_path / "around.safetensors"
    table.write_text("\n".join(lines) + "\ngone.tif,fat,p9,\n")
    made = RUN.invoke(app, ["context-bags", str(table), "-m", str(tiny_file), "-o", str(bags)])
    assert made.exit_code == 1
    assert "gone.tif" in made.output
    assert "4 of 5 slides" in made.output
    assert len(load_bags(bags)) == 4
    trained = RUN.invoke(
        app,
        ["context-train", str(bags), "-m", str(tiny_file), "-o", str(context), "--epochs", "2"],
    )
    assert trained.exit_code == 0, trained.output
    card = load_context(context).card
    assert card.name == "around"
    assert card.slide is not None
    assert card.slide.learned_from == "both"
    assert str(tmp_path) not in card.model_dump_json()
    tested = RUN.invoke(app, ["context-test", str(context), str(bags)])
    assert tested.exit_code == 0, tested.output
    assert "slides: balanced accuracy" in tested.output
    assert "tiles: AUC" in tested.output
    run = ["analyze", str(tmp_path / "s0.tif"), "-m", str(tiny_file), "-o", str(tmp_path / "out")]
    called = RUN.invoke(app, [*run, "--context", str(context)])
    assert called.exit_code == 0, called.output
    assert "slide call" in called.output
    (report,) = (tmp_path / "out").glob("*.html")
    assert "Slide call" in report.read_text(encoding="utf-8")
    assert "made with the tile model 'tiny'" in refused("context-train", bags, "-o", context)
    assert "not a slide context" in refused("context-test", tiny_file, bags)
    table.write_text("slide,label,group\ns0.tif,normal,p0\n")
    plain = ["context-bags", str(table), "-m", str(tiny_file), "-o", str(tmp_path / "plain")]
    assert RUN.invoke(app, plain).exit_code == 0
    again = RUN.invoke(app, plain)
    assert again.exit_code == 0, again.output
    assert "there already" in again.output


def test_comparison_without_labels_is_refused(tmp_path: Path, tiny: LoadedModel) -> None:
    context = save_context(tmp_path / "c.safetensors", tiny, 5)
    (bag, *_) = mosaics(1, 4)
    bare = Bag("x", "g", bag.embeddings, bag.logits, bag.mask, bag.tile_labels * 0 - 1)
    with pytest.raises(DataError, match="neither a tile nor a slide"):
        compare_bags(context, [bare])
    assert fitted_temperatures(score_bags(context.network, [bare]), [bare]) == (1.0, 1.0)
