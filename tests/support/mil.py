"""Bags, slide-level models and results with embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.mosaic import MosaicConfig, TilePool, make_mosaics
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.mil.bags import Bag
from napari_liverdx.mil.file import ARCHITECTURE, LoadedMilModel, load_mil_model
from napari_liverdx.mil.network import SlideContext, slide_classes
from napari_liverdx.models.card import ModelCard, SlidePart
from napari_liverdx.models.file import LoadedModel, save_model_file
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Slide
from tests.support.runs import make_plan


def small_network(features: int = 5, **more: object) -> SlideContext:
    """A small one whose corrections are not zero."""
    torch.manual_seed(0)
    made = SlideContext(features, 3, 2, **{"hidden": 4, "projection": 6, **more}).eval()
    torch.nn.init.normal_(made.tile_head.weight)
    return made


def tile_pool(seed: int, n: int = 240, noise: float = 1.6) -> TilePool:
    """Two numbers tell the class, with so much noise that single tiles are often misjudged."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    centers = np.eye(3)[labels]
    values = (centers + rng.normal(0, noise / 2, (n, 3))).astype(np.float32)
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
    for number, part in enumerate(tile_pool(seed, noise=noise).blocks(4, (1, 2), 0)):
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


def save_context(
    path: Path, tile: LoadedModel, features: int, learned_from: str = "both", **more: object
) -> LoadedMilModel:
    """A context with random weights for a tile model."""
    model = small_network(features)
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
    return load_mil_model(path)


def analyzed(path: Path, slide: Slide, model: LoadedModel, *, embeddings: bool) -> ResultStore:
    plan = make_plan(slide, model)
    manifest = make_manifest(plan, slide, model)
    store = ResultStore.open_or_create(path, manifest, plan.tissue, plan.tiles)
    if embeddings:
        store.keep_embeddings()
    for _ in analyze(plan, slide, model, store):
        pass
    return store


def write_square(path: Path, name: str, x: float, y: float, side: float) -> None:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": name}},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
