"""Do the maps of an explanation lie on the fat? Measured on tiles with expert masks of fat.

Usage: python benchmarks/explain_study.py DATA OUT [--model NAME] [--most N]

DATA is the liver_steatosis folder. Tiles that taught the model (of the first N pictures) and tiles
that chose its epoch are told apart; no tile of source A is free of both.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from scipy import ndimage
from scipy.stats import spearmanr
from torch import nn

from napari_liverdx.inference.explain import predict_subtiles_alone
from napari_liverdx.inference.grad_cam import raw_grad_cam
from napari_liverdx.models.architectures.base import CamLayer, TileModel
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.zoo import load_model
from napari_liverdx.training.data.masks import FatMaskDataset
from napari_liverdx.training.recipe import load_recipe, recipe_split

out = Console()
COMMAND = "python benchmarks/explain_study.py DATA/liver_steatosis docs/results/explain"
Map = NDArray[np.float64]
DRAWS = 2000
NEAR_PX = 16
"""Half a map pixel: maps of 7 × 7 map pixels cannot point more finely."""
SURE = 0.5


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="liver-steatosis")
    parser.add_argument("--most", type=int, default=60, help="pictures that taught the model")
    given = parser.parse_args()
    model, recipe = load_model(given.model), load_recipe("liver-steatosis")
    samples = recipe.samples(given.data)
    if not isinstance(samples, FatMaskDataset):
        raise SystemExit("the data must hold masks of fat")
    split = recipe_split(recipe, samples)
    taught = split.train[: given.most]
    parts = {"chose the epoch, taught nothing": split.val, "taught the model": taught}
    record = {name: measure(model, samples, given.data, chosen) for name, chosen in parts.items()}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "explain.json").write_text(json.dumps(record, indent=1) + "\n")
    (given.out / "explain.md").write_text("\n".join(table(model, record)) + "\n")
    out.print(f"wrote {given.out}/explain.md", highlight=False)


def tiles(
    samples: FatMaskDataset, folder: Path, chosen: NDArray[np.intp], size: int
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Group, tile and mask of the four corners of pictures with fat."""
    for index in map(int, chosen):
        if samples.fat_share[index] < 0.005:
            continue
        (path,) = folder.glob(f"masks/{samples.names[index]}.*")
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L")) > 0
        height, width = mask.shape
        corners = [(top, left) for top in (0, height - size) for left in (0, width - size)]
        for example, (top, left) in zip(samples.eval_tiles(index, size, 1), corners, strict=True):
            fat = mask[top : top + size, left : left + size]
            # Under this share the labels call a tile free of fat.
            if fat.mean() >= 0.02:
                yield str(samples.groups[index]), example.tile, fat


def measure(
    model: LoadedModel, samples: FatMaskDataset, folder: Path, chosen: NDArray[np.intp]
) -> dict[str, object]:
    """Scores of every map over the tiles of a part."""
    fat_class = model.card.scheme.index("fat")
    maps = _Maps(model, fat_class)
    found: dict[str, list[tuple[str, float, float, float]]] = {}
    chance: list[tuple[str, float, float]] = []
    alike: dict[str, list[float]] = {}
    missed = 0
    for group, pixels, fat in tiles(samples, folder, chosen, model.card.tile_size):
        drawn = maps(pixels)
        out.print(f"{len(chance)} tiles", end="\r")
        if drawn is None:
            missed += 1
            continue
        near = ndimage.distance_transform_edt(~fat) <= NEAR_PX
        chance.append((group, float(near.mean()), float(fat.mean())))
        for name, values in drawn.items():
            total = values.sum()
            inside = values[fat].sum() / total if total > 0 else fat.mean()
            hit = float(near.flat[int(values.argmax())]) if total > 0 else float(near.mean())
            ranks = spearmanr(block_means(values), block_means(fat)).statistic
            found.setdefault(name, []).append((group, hit, inside / fat.mean(), float(ranks)))
            if name.startswith("Grad-CAM, last layers random"):
                same = spearmanr(values[::8, ::8].ravel(), drawn[DEFAULT][::8, ::8].ravel())
                alike.setdefault(name, []).append(float(np.nan_to_num(same.statistic)))
    groups = np.array([row[0] for row in chance])
    rows = {
        name: [interval(groups, np.array([row[i] for row in values])) for i in (1, 2, 3)]
        for name, values in found.items()
    }
    return {
        "tiles": len(chance),
        "groups": len(set(groups)),
        "not called fat": missed,
        "chance of pointing near fat": interval(groups, np.array([row[1] for row in chance])),
        "share of fat": float(np.mean([row[2] for row in chance])),
        "maps": rows,
        "rank correlation of random with trained": {k: float(np.mean(v)) for k, v in alike.items()},
    }


DEFAULT = "Grad-CAM, joined features (7 × 7), the one that is shown"


class _Maps:
    """All maps of a tile, at the size of the tile, not negative."""

    def __init__(self, model: LoadedModel, fat_class: int) -> None:
        self.model, self.fat = model, fat_class
        self.network = copy.deepcopy(model.network).eval().requires_grad_(False)
        self.alone = copy.deepcopy(self.network)
        predict_subtiles_alone(self.alone)
        self.random = copy.deepcopy(self.network)
        torch.manual_seed(0)
        for part in (self.random.tile_head, self.random.pool, self.random.project):
            _renew(part)

    def __call__(self, pixels: NDArray[np.uint8]) -> dict[str, Map] | None:
        x = self.network.normalize(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
        with torch.no_grad():
            output, apart = self.network.classify(x), self.alone.classify(x)
        if float(self.model.probabilities(output.scores)[0, self.fat]) < SURE:
            return None
        size = pixels.shape[0]
        cam = self._cam(x, size)
        blocks = self.network.encoder.blocks
        return {
            DEFAULT: cam(self.network, CamLayer("", self.network.project, True)),
            "Grad-CAM, encoder's last stage alone (7 × 7)": cam(
                self.network, CamLayer("", blocks[-1])
            ),
            "Grad-CAM, stage before it (14 × 14)": cam(self.network, CamLayer("", blocks[-3])),
            "Map pixels with RNN (7 × 7)": self._subtiles(output.subtile_scores, size),
            "Map pixels without RNN (7 × 7)": self._subtiles(apart.subtile_scores, size),
            "Grad-CAM, last layers random": cam(
                self.random, CamLayer("", self.random.project, True)
            ),
            "Brightness of the tile": pixels.mean(axis=2) / 255,
        }

    def _cam(self, x: torch.Tensor, size: int) -> Callable[[TileModel, CamLayer], Map]:
        def draw(network: TileModel, layer: CamLayer) -> Map:
            found = raw_grad_cam(network, x, self.fat, layer).relu()
            return _wide(found, size)

        return draw

    def _subtiles(self, scores: torch.Tensor | None, size: int) -> Map:
        if scores is None:
            raise SystemExit("the model has no cells")
        return _wide(self.model.probabilities(scores)[0, self.fat], size)


def _wide(values: torch.Tensor, size: int) -> Map:
    wide = nn.functional.interpolate(values[None, None], (size, size), mode="bilinear")
    return wide[0, 0].double().numpy()


def _renew(part: nn.Module) -> None:
    for module in part.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def block_means(values: NDArray[np.generic], subtiles: int = 7) -> NDArray[np.float64]:
    """Means over ``subtiles`` × ``subtiles`` blocks, flat: maps and masks on the same footing."""
    side = values.shape[0] // subtiles
    parts = values.astype(np.float64).reshape(subtiles, side, subtiles, side)
    return np.asarray(parts.mean(axis=(1, 3)).ravel())


def interval(groups: NDArray[np.str_], values: NDArray[np.float64]) -> list[float]:
    """Mean, and its 95 % interval by bootstrap over groups."""
    names = np.unique(groups)
    sums = np.array([np.nansum(values[groups == g]) for g in names])
    counts = np.array([np.isfinite(values[groups == g]).sum() for g in names])
    draws = np.random.default_rng(0).integers(len(names), size=(DRAWS, len(names)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return [float(v) for v in (sums.sum() / counts.sum(), low, high)]


def table(model: LoadedModel, record: dict[str, dict[str, object]]) -> list[str]:
    """Return the record as Markdown."""
    lines = [
        f"# Maps of {model.card.name} against masks of fat",
        "",
        f"`{COMMAND}`",
        "",
        "Tiles of source A with at least 2 % fat that the model calls fat (probability from "
        f"{SURE:g} on), all maps at 224 px. *Points at fat*: the map's largest value lies on a "
        f"vacuole or within {NEAR_PX} px of one. *Energy*: share of the map's sum that lies on "
        "vacuoles, divided by their share of the tile; 1 is chance. *Rank correlation*: Spearman's "
        "over the tile's 7 × 7 map pixels, of the map with the share of fat. 95 % intervals by "
        "bootstrap over specimens.",
    ]
    for name, part in record.items():
        near = part["chance of pointing near fat"]
        lines += [
            "",
            f"## Tiles that {name}",
            "",
            f"{part['tiles']} tiles of {part['groups']} specimens, "
            f"{100 * part['share of fat']:.1f} % fat on average; "
            f"{part['not called fat']} more are not called fat. A random place "
            f"points at fat in {_share(near)}.",
            "",
            "| map | points at fat | energy on fat | rank correlation with fat |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {title} | {_share(hit)} | {_number(energy)} | {_number(ranks)} |"
            for title, (hit, energy, ranks) in part["maps"].items()
        ]
        for value in part["rank correlation of random with trained"].values():
            lines += [
                "",
                "With projection, pooling and tile head drawn at random, the map's rank "
                f"correlation with the shown one is {value:.2f} on average (Adebayo et al. 2018).",
            ]
    return lines


def _share(values: list[float]) -> str:
    value, low, high = (100 * v for v in values)
    return f"{value:.0f} % ({low:.0f} to {high:.0f})"


def _number(values: list[float]) -> str:
    value, low, high = values
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
