"""What a person does with a file, from opening it to the last thing that reads it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import torch

from napari_liverdx.api import analyze_slide
from napari_liverdx.core.errors import LiverDxError, SlideReadError
from napari_liverdx.core.grid import plan_grid
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.experiments.compare_config import load_comparison
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.mil.bags import load_bag
from napari_liverdx.mil.file import load_mil_model
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.conformal import conformal_quantiles
from napari_liverdx.models.file import LoadedModel, load_model_file, read_card
from napari_liverdx.models.ood import ood_rule
from napari_liverdx.models.soundness import are_probabilities
from napari_liverdx.results.arrays import sole_writer
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.result import Result, open_result
from napari_liverdx.slides.annotations.read import read_annotations
from napari_liverdx.slides.lazy import dask_levels
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tiles import read_tile
from napari_liverdx.slides.tissue import slide_overview, slide_picture, slide_tissue_map
from napari_liverdx.training.data.base import read_rgb
from napari_liverdx.training.data.table import TableDataset
from napari_liverdx.training.interactive.annotation_store import AnnotationFolder
from napari_liverdx.training.recipe import load_recipe
from tests.support.golden import GOLDEN
from tests.support.models import make_card
from tests.support.slides import level_sizes

__all__ = [
    "misbehave",
    "use_annotation",
    "use_bag",
    "use_bomb",
    "use_mil",
    "use_model",
    "use_parts",
    "use_picture",
    "use_result",
    "use_settings",
    "use_slide",
    "use_table",
]


_RESUMED = 0.5
_SMALL, _ANALYZED = 1000, 0.2
"""Pixels of a side up to which slides are analyzed, and how many of these: it takes long."""


class Tally:
    """Deliberate errors that a use met on its way and went on from."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    @contextmanager
    def part(self, *kinds: type[LiverDxError]) -> Iterator[None]:
        """A step of which the next does not depend."""
        try:
            yield
        except LiverDxError as error:
            if kinds and not isinstance(error, kinds):
                raise
            self.errors.append(str(error))


def use_slide(path: Path, rng: Random) -> Tally:
    """Open, look at it, read tiles of each level, detect tissue, plan, read planned tiles."""
    tally = Tally()
    with open_slide(path) as slide:
        str(slide), slide.name, slide.size_mm, slide.fingerprint()
        str(slide.info.properties(slide.mpp))
        for name in slide.info.associated:
            with tally.part():
                slide.read_associated(name)
        if slide.info.icc_profile is not None:
            with tally.part():
                slide.with_color_management(on=True)
        overview = slide_overview(slide)
        for index in range(min(6, len(slide.levels))):
            _read_level(slide, index, rng, tally)
        with tally.part():
            slide_picture(slide)
        arrays = dask_levels(slide)
        with tally.part():
            np.asarray(arrays[-1][:64, :64])
        tissue = slide_tissue_map(slide, overview)
        mpp = slide.mpp or Mpp.square(1.0)
        card = make_card(tile_size=64)
        device = choose_device("cpu")
        with tally.part():
            plan = plan_run(slide.levels, mpp, tissue, card, device=device)
            out = np.empty((64, 64, 3), np.uint8)
            for tile in rng.sample(plan.tiles, min(4, len(plan.tiles))):
                with tally.part(SlideReadError):
                    read_tile(slide, plan.grid, tile, out)
        small = max(slide.size) < _SMALL
    if small and rng.random() < _ANALYZED:
        with tally.part():
            result = analyze_slide(
                path, _tiny_model(), out=path.parent / "analyzed", mpp=mpp.x, device="cpu"
            )
            assert np.isfinite(result.probabilities).all(), "a map that is no number"
    return tally


@cache
def _tiny_model() -> LoadedModel:
    return load_model_file(GOLDEN / "tiny.safetensors")


def use_parts(folder: Path, rng: Random) -> Tally:
    """Use a slide of several files by the one that people choose."""
    kind = folder.name.partition("-")[0]
    return use_slide(folder / f"slide.{kind}", rng)


def _read_level(slide: Slide, index: int, rng: Random, tally: Tally) -> None:
    level = slide.levels[index]
    rows, cols = level.tile_shape
    for row, col in {(0, 0), (rows - 1, cols - 1), (rng.randrange(rows), rng.randrange(cols))}:
        with tally.part(SlideReadError):
            tile = slide.read_tile(index, row, col)
            assert tile.dtype == np.uint8
            assert tile.ndim == 3
    with tally.part(SlideReadError):
        x, y = rng.randrange(level.width), rng.randrange(level.height)
        assert slide.read_region(index, x - 20, y - 20, 64, 64).shape == (64, 64, 3)


def use_picture(path: Path, rng: Random) -> Tally:
    """Read it as a slide, and as a training picture."""
    tally = Tally()
    with tally.part():
        tally.errors += use_slide(path, rng).errors
    read_rgb(path)
    return tally


def use_model(path: Path, rng: Random) -> Tally:
    """Read the card, build the network, judge a tile, plan with it."""
    card = read_card(path)
    _plan_with(card)
    with Tally().part():
        conformal_quantiles(card, 0.1)
    rule = ood_rule(card)
    if rule is not None:
        str(rule.judge(rng.randrange(100), 100))
    model = load_model_file(path)
    tile = torch.randint(0, 256, (2, 3, card.tile_size, card.tile_size), dtype=torch.uint8)
    with torch.inference_mode():
        output = model.network(tile)
        probabilities = model.probabilities(output.scores)
    assert bool(probabilities.isfinite().all()), "probabilities that are no numbers"
    assert probabilities.shape == (2, len(card.classes))
    return Tally()


def _plan_with(card: ModelCard) -> None:
    with Tally().part():
        levels = level_sizes(4000, 3000, (1, 4))
        plan_grid(levels, Mpp.square(0.5), model_mpp=card.mpp, tile_size=card.tile_size)


def use_mil(path: Path, rng: Random) -> Tally:
    """Build the network, judge a few tiles."""
    model = load_mil_model(path)
    n, classes = model.slide.features, len(model.card.classes)
    embeddings, logits = torch.randn(1, n, 3, 4), torch.randn(1, classes, 3, 4)
    with torch.inference_mode():
        output = model.network(embeddings, logits, torch.ones(1, 3, 4, dtype=torch.bool))
        values = (model.tile_probabilities(output.tile_logits), output.attention)
        values += (model.slide_probabilities(output.slide_logits),)
    tally = Tally()
    if not all(are_probabilities(v) for v in values[::2]):
        # `apply_mil_model` refuses to store it.
        tally.errors.append("values that are no numbers")
    return tally


def use_result(path: Path, rng: Random) -> Tally:
    """Open, view, measure, look at decisions, export, report."""
    tally = Tally()
    notices: list[str] = []
    str(ViewState.load(path, notices).settings)
    result = open_result(path)
    str(result), result.is_complete, result.manifest.pseudonym
    with tally.part():
        str(result.slide_prediction)
    with tally.part():
        list(result.store.decisions)
    with Tally().part():  # most have none
        result.store.embeddings()
    with tally.part():
        result.to_rows()
    out = path.parent / "out"
    out.mkdir(exist_ok=True)
    for name in ("csv", "geojson"):
        with tally.part():
            result.export(name, out / f"a.{name}")
    with tally.part():
        assert not np.isnan(result.probabilities).any(), "a map that is no number"
        card = _tiny_card().model_copy(update={"classes": result.manifest.classes})
        Result(result.store, card=card).report(out, formats=("html", "csv"))
    if rng.random() < _RESUMED:
        with tally.part():
            _resume(path, result.store)
    return tally


def _resume(path: Path, found: ResultStore) -> None:
    """Go on with the run of a result, as its own program would."""
    grid, classes = found.manifest.grid, len(found.manifest.classes)
    tiles = [t for t in grid if found.state[t.row, t.col] != TileState.NO_TISSUE][:200]
    store = ResultStore.open_or_create(path, found.manifest, found.tissue, tiles)
    with sole_writer(path):
        store.catch_up()
        pending = store.pending(tiles)
        store.add(pending, np.full((len(pending), classes), 1 / classes, np.float32), None)
        store.finish({}, device="cpu", complete=False)
    again = ResultStore.open(path)
    assert not again.pending(tiles), "what was resumed is lost"
    assert np.isfinite(again.probabilities).all(), "a map that is no number"


@cache
def _tiny_card() -> ModelCard:
    return read_card(GOLDEN / "tiny.safetensors")


def use_annotation(path: Path, rng: Random) -> Tally:
    """Read it as what it is, and as what this program kept."""
    tally = Tally()
    found = read_annotations(path, name="fat")
    str(found)
    if path.suffix != ".geojson":
        return tally
    with Tally().part():  # most were drawn elsewhere
        folder = path.parent / "kept"
        folder.mkdir()
        shutil.copy(path, folder / path.name)
        problems: list[str] = []
        AnnotationFolder(folder).all(problems)
        AnnotationFolder(folder).all()
    return tally


def use_table(path: Path, rng: Random) -> Tally:
    """Read it as a list of slides, or as a table of training pictures."""
    if path.name != "tiles.csv":
        for entry in find_slides(path):
            str(entry)
        return Tally()
    pictures = GOLDEN / "pictures"
    for i, picture in enumerate(sorted(pictures.rglob("*.png"))[:6]):
        shutil.copy(picture, path.parent / f"p{i % 3}_{i}.png")
    TableDataset(path).picture(0)
    return Tally()


def use_settings(path: Path, rng: Random) -> Tally:
    """Read a recipe, or a comparison."""
    read = load_comparison if path.name.startswith("comparison") else load_recipe
    str(read(str(path)))
    return Tally()


def misbehave(path: Path, rng: Random) -> Tally:
    """Do what the file says, to see that it is caught."""
    match path.read_text():
        case "hang":
            while True:
                rng.random()
        case "eat":
            held = []
            while True:
                held.append(b"x" * 2**26)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fail":
            raise KeyError("name")
    return Tally()


def use_bag(path: Path, rng: Random) -> Tally:
    """Read the embeddings of a slide."""
    len(load_bag(path))
    return Tally()


_USES = {
    "slide": use_slide,
    "result": use_result,
    "annotation": use_annotation,
    "table": use_table,
    "bag": use_bag,
    "model": use_model,
}


def use_bomb(path: Path, rng: Random) -> Tally:
    """Use it as what the first word of its name says."""
    return _USES[path.name.partition(".")[0]](path, rng)
