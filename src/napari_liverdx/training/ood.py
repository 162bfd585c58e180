"""Out-of-distribution scores and error rates, tried on data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.core.ood import OodAssessment, assess_ood
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.inference.predict import predict
from napari_liverdx.metrics.predictions import LabeledPredictions
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.ood import ood_rule
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.tissue import slide_tissue
from napari_liverdx.training.calibrate import (
    Coverage,
    calibration_predictions,
    coverage_by_halves,
    false_alarms_by_halves,
    score_pictures,
)
from napari_liverdx.training.data._all import TileDataset
from napari_liverdx.training.data.base import opened_picture
from napari_liverdx.training.data.splits import of_sources
from napari_liverdx.training.recipe import Recipe, recipe_split

__all__ = [
    "HalvesCheck",
    "OodScore",
    "check_halves",
    "halves_markdown",
    "score_data",
    "scores_markdown",
]

_PICTURES = {".png", ".jpg", ".jpeg", ".bmp"}
_RATES = (0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True)
class HalvesCheck:
    """Limits and error rates set on one half of the validation groups, tried on the other.

    Attributes
    ----------
    model : str
        Its name.
    false_alarms : float
        Share of tiles flagged as out-of-distribution, mean of random halves.
    coverage : tuple of (str, Coverage)
        What was tested on, and what came out, for each error rate.
    """

    model: str
    false_alarms: float
    coverage: tuple[tuple[str, Coverage], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as they are stored."""
        rows = [{"tested_on": name, **asdict(found)} for name, found in self.coverage]
        alarms = round(self.false_alarms, 4)
        return {"model": self.model, "false_alarms": alarms, "coverage": rows}


@dataclass(frozen=True, slots=True)
class OodScore:
    """How unlike the training data a slide or a set of pictures is.

    Attributes
    ----------
    data : str
        What was scored.
    assessment : OodAssessment
    median_score : float
        1 is the limit; NaN without tiles.
    """

    data: str
    assessment: OodAssessment
    median_score: float

    def as_json(self) -> dict[str, Any]:
        """Return the figures as they are stored."""
        a = self.assessment
        return {
            "data": self.data,
            "tiles": a.tiles,
            "outside": a.outside,
            "share": round(a.share, 4),
            "median_score": round(self.median_score, 3),
            "state": a.state.value,
        }


def check_halves(model: LoadedModel, recipe: Recipe, samples: TileDataset) -> HalvesCheck:
    """Try a model's limits and error rates on halves of its validation groups.

    Parameters
    ----------
    model : LoadedModel
        The model.
    recipe : Recipe
        With which it was trained.
    samples : TileDataset
        On which it was trained.
    """
    val = recipe_split(recipe, samples).val
    cpu = torch.device("cpu")
    validation = calibration_predictions(model, samples, val, cpu).tiles
    alarms = false_alarms_by_halves(
        score_pictures(model, _tiles(samples, val, model), cpu), validation.groups
    )
    parts: dict[str, LabeledPredictions | None] = {"other half of the held-out groups": None}
    if recipe.data.second_sources:
        second = of_sources(samples, recipe.data.second_sources)
        parts["second source"] = calibration_predictions(model, samples, second, cpu).tiles
    found = tuple(
        (name, coverage_by_halves(validation, rate, other))
        for name, other in parts.items()
        for rate in _RATES
    )
    return HalvesCheck(model.card.name, alarms, found)


def halves_markdown(check: HalvesCheck) -> str:
    """Return the figures as a page of Markdown."""
    lines = [
        f"# Held-out halves of {check.model}",
        "",
        f"Tiles outside, the limit set on one half of the groups and tested on the other (mean of "
        f"200 random halves): {100 * check.false_alarms:.1f} %.",
        "",
        "| tested on | error rate | coverage | uncertain | error where certain |",
        "|---|---|---|---|---|",
    ]
    for name, found in check.coverage:
        values = " | ".join(
            f"{100 * v:.1f} %" for v in (found.covered, found.uncertain_mask, found.wrong)
        )
        lines.append(f"| {name} | {found.error_rate:g} | {values} |")
    return "\n".join(lines) + "\n"


def score_data(
    model: LoadedModel,
    sources: Sequence[str],
    *,
    training: tuple[Recipe, Path] | None = None,
    mpp: float = 0.5,
    most: int = 200,
) -> Iterator[OodScore]:
    """Score slides and pictures, one after another.

    Parameters
    ----------
    model : LoadedModel
        With out-of-distribution statistics.
    sources : sequence of str
        Slides, folders of pictures, or patterns of files.
    training : (Recipe, Path), optional
        Score the model's training data too, part by part.
    mpp : float
        µm/px of slides that state none.
    most : int
        Most tiles of each.

    Raises
    ------
    DataError
        If the model holds no statistics, or there are no pictures.
    """
    rule = ood_rule(model.card)
    if rule is None:
        raise DataError(
            f"model {model.card.name} holds no out-of-distribution statistics; add them with "
            "'liverdx ood fit'"
        )
    parts: list[tuple[str, NDArray[np.float32]]] = []
    if training is not None:
        parts += _of_recipe(model, *training, most).items()
    for name, scores in _all_scores(model, parts, sources, mpp, most):
        middle = float(sorted(scores)[len(scores) // 2]) if len(scores) else float("nan")
        yield OodScore(name, assess_ood(scores, rule), middle)


def _all_scores(
    model: LoadedModel,
    parts: Sequence[tuple[str, NDArray[np.float32]]],
    sources: Sequence[str],
    mpp: float,
    most: int,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    yield from parts
    for name in sources:
        yield _short(name), _scores(model, name, mpp, most)


def scores_markdown(model: LoadedModel, scores: Sequence[OodScore]) -> str:
    """Return the scores as a page of Markdown."""
    lines = [
        f"# Out-of-distribution check of {model.card.name}",
        "",
        model.card.ood.get("how", ""),
        "",
    ]
    lines += ["| data | tiles | outside | median score | statement |", "|---|---|---|---|---|"]
    lines += [
        f"| {s.data} | {s.assessment.tiles} | {100 * s.assessment.share:.0f} % | "
        f"{s.median_score:.2f} | {s.assessment.state.value} |"
        for s in scores
    ]
    return "\n".join(lines) + "\n"


def _tiles(
    samples: TileDataset, index: Sequence[int] | NDArray[np.intp], model: LoadedModel
) -> list[NDArray[np.uint8]]:
    size = model.card.tile_size
    return [e.tile for i in index for e in samples.eval_tiles(int(i), size, 1)]


def _short(name: str) -> str:
    return "/".join(Path(name).parts[-3:] if "*" in name else Path(name).parts[-2:])


def _of_recipe(
    model: LoadedModel, recipe: Recipe, folder: Path, most: int
) -> Mapping[str, NDArray[np.float32]]:
    samples = recipe.samples(folder)
    split = recipe_split(recipe, samples)
    chosen = {"training part": split.train, "held-out groups": split.val}
    if recipe.data.second_sources:
        chosen["second source"] = of_sources(samples, recipe.data.second_sources)
    return {
        f"{folder.name}, {name}": _of_tiles(
            model, _tiles(samples, _spread(list(index), most), model)
        )
        for name, index in chosen.items()
    }


def _of_tiles(model: LoadedModel, tiles: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return score_pictures(model, tiles, torch.device("cpu"))


def _spread(values: list[Any], most: int) -> list[Any]:
    """Return at most so many of the values, evenly spread."""
    step = max(1.0, len(values) / most)
    return [values[int(i * step)] for i in range(min(most, len(values)))]


def _scores(model: LoadedModel, name: str, mpp: float, most: int) -> NDArray[np.float32]:
    path = Path(name)
    if "*" in name:
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    elif path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in _PICTURES)
    else:
        return _of_slide(model, path, mpp, most)
    if not found:
        raise DataError(f"{name}: no images there")
    return _of_tiles(model, [_picture(p, model.card.tile_size) for p in _spread(found, most)])


def _picture(path: Path, size: int) -> NDArray[np.uint8]:
    """Return the middle of a picture, or all of it where it is smaller than a tile."""
    with opened_picture(path) as image:
        rgb = image.convert("RGB")
    if min(rgb.size) < size:
        return np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR))
    left, top = ((side - size) // 2 for side in rgb.size)
    return np.asarray(rgb.crop((left, top, left + size, top + size)))


def _of_slide(model: LoadedModel, path: Path, mpp: float, most: int) -> NDArray[np.float32]:
    with open_slide(path) as opened:
        slide = opened if opened.mpp else opened.with_mpp(Mpp.square(mpp))
        plan = plan_run(slide.levels, slide.mpp, slide_tissue(slide), model.card)
        chosen = _spread(list(plan.tiles), most)
        found = [b.ood for b in predict(plan, slide, model, chosen) if b.ood is not None]
    return np.concatenate([np.empty(0, np.float32), *found])
