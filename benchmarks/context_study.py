"""Does context across a slide help? Measured on synthetic slides laid out from real tiles.

Usage: python benchmarks/context_study.py DATA OUT [--only PART] [--work FOLDER] [--tables]

DATA holds liver_steatosis/ and oral_he/. Parts: liver-frozen, liver-tuned, oral-100x, oral-400x.
Finished parts are kept in the work folder; the tables are made from all parts that are there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mosaic import MosaicConfig, TilePool, make_mosaics
from numpy.typing import NDArray
from rich.console import Console
from scipy import ndimage
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from napari_liverdx.metrics.bootstrap import group_draws
from napari_liverdx.mil.bags import Bag
from napari_liverdx.mil.network import SlideContext
from napari_liverdx.mil.train import MilConfig, score_bags, train_mil
from napari_liverdx.models.architectures.base import TileModel
from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.architectures.pretrained import load_imagenet_encoder
from napari_liverdx.training.data.base import TileDataset
from napari_liverdx.training.data.splits import grouped_folds
from napari_liverdx.training.recipe import load_recipe
from napari_liverdx.training.transfer import TrainJob, fine_tune

out = Console()
COMMAND = "python benchmarks/context_study.py DATA docs/results/slide-context"
ATTENTION = "attention on diseased tiles, times their share"
Array = NDArray[np.float64]

FOLDS, BLOCKS, SIDE = 3, 6, 12
TRAIN, VAL, TEST = 96, 48, 8
DRAWS = 1000
SIGMAS = (0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0)
TILE_EPOCHS = 6
SETTINGS = {
    "regions": MosaicConfig(side=SIDE, scale=(1.0, 2.5), share=(0.05, 0.4)),
    "scattered": MosaicConfig(side=SIDE, layout="scattered", share=(0.05, 0.4)),
    "small regions": MosaicConfig(side=SIDE, scale=(0.5, 0.8), share=(0.02, 0.06)),
    "large regions": MosaicConfig(side=SIDE, scale=(3.0, 5.0), share=(0.4, 0.8)),
}
TRAINED = {
    "context, tile labels": ("regions", "tiles", {}),
    "context, slide labels alone": ("regions", "slides", {}),
    "context, both": ("regions", "both", {}),
    "no RNN, tile labels": ("regions", "tiles", {"hidden": 0}),
    "no RNN, slide labels alone": ("regions", "slides", {"hidden": 0}),
    "context, slide labels alone, tile model's logits unseen": (
        "regions",
        "slides",
        {"residual": False},
    ),
    "context, tile labels, trained on scattered": ("scattered", "tiles", {}),
    "context of probabilities alone, tile labels": ("regions", "tiles", {"projection": 0}),
    "context of probabilities alone, slide labels alone": (
        "regions",
        "slides",
        {"projection": 0},
    ),
}


@dataclass(frozen=True)
class Part:
    """A data set and a way to see its tiles."""

    name: str
    data: str
    recipe: str
    sources: tuple[str, ...]
    classes: tuple[int, int, int | None]
    """Normal, pathological and background."""
    tuned: bool = False


PARTS = (
    Part("liver-frozen", "liver_steatosis", "liver-steatosis", ("A",), (1, 2, 0)),
    Part("oral-400x", "oral_he", "oral-he", ("400x",), (0, 1, None)),
    Part("oral-100x", "oral_he", "oral-he", ("100x",), (0, 1, None)),
    Part("liver-tuned", "liver_steatosis", "liver-steatosis", ("A",), (1, 2, 0), tuned=True),
)


DESCRIPTIONS = {
    "liver-frozen": "Fat in human liver (liver_steatosis, source A). Embeddings: means of the last "
    "two stages of EfficientNet-Lite0 with ImageNet weights, which know no label; tile model: a "
    "linear classifier on them, cross-fitted within the training specimens.",
    "liver-tuned": "The same tiles. Tile model: the packaged recipe, trained on one half of the "
    f"training specimens for {TILE_EPOCHS} epochs; the context learned from the other half.",
    "oral-400x": "Squamous carcinoma of the mouth at 400x (oral_he), not liver; groups are "
    "blocks of ten pictures in a row, which is weaker than splitting by patient. Embeddings and "
    "tile model as in liver-frozen.",
    "oral-100x": "The same at 100x.",
}


# -- tiles as a tile model sees them --


@dataclass(frozen=True)
class Tiles:
    """Fixed tiles of the chosen samples."""

    pixels: torch.Tensor
    labels: NDArray[np.intp]
    sample: NDArray[np.intp]


def fixed_tiles(samples: TileDataset, chosen: NDArray[np.intp]) -> Tiles:
    """Every fixed tile at 224 px; its label is the class with the largest target."""
    pixels, labels, sample = [], [], []
    for i in chosen:
        for example in samples.eval_tiles(int(i), 224, 7):
            pixels.append(torch.from_numpy(example.tile.copy()).permute(2, 0, 1))
            labels.append(int(example.target.argmax()))
            sample.append(int(i))
    return Tiles(torch.stack(pixels), np.array(labels), np.array(sample))


@torch.inference_mode()
def frozen_features(pixels: torch.Tensor) -> NDArray[np.float32]:
    """Means of the last two stages of EfficientNet-Lite0 as ImageNet left it."""
    network = CnnRnnClassifier(2, hidden=0)
    load_imagenet_encoder(network.encoder, "tf_efficientnet_lite0")
    network.eval()
    parts = [
        torch.cat([s.mean(dim=(2, 3)) for s in network.encoder(network.normalize(batch))], dim=1)
        for batch in pixels.split(16)
    ]
    return torch.cat(parts).numpy()


def linear_head(x: NDArray[np.float32], y: NDArray[np.intp], to: NDArray[np.float32]) -> Array:
    """Log-probabilities of a linear classifier with balanced classes."""
    center, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    head = LogisticRegression(C=0.01, max_iter=1000, class_weight="balanced")
    head.fit((x - center) / spread, y)
    return np.asarray(head.predict_log_proba((to - center) / spread))


@torch.inference_mode()
def tuned_view(network: TileModel, pixels: torch.Tensor, temperature: float) -> tuple[Any, Any]:
    """Embeddings and log-probabilities of a trained tile model."""
    outputs = [network(batch) for batch in pixels.split(16)]
    logits = torch.cat([o.scores for o in outputs]) / temperature
    return (
        torch.cat([o.embedding for o in outputs]).numpy(),
        logits.log_softmax(dim=1).numpy(),
    )


def pools(part: Part, data: Path) -> Iterator[tuple[TilePool, TilePool, TilePool]]:
    """For each fold: tiles to train the context, to validate it, and to test all methods on.

    No specimen stands in two of them. The tile model never learned from a tile of any: frozen
    features know no label and the linear head is cross-fitted; the fine-tuned tile model learned
    from another half of the training specimens.
    """
    recipe = load_recipe(part.recipe)
    samples = recipe.samples(data / part.data)
    chosen = np.flatnonzero(np.isin(samples.sources, part.sources))
    tiles = fixed_tiles(samples, chosen)
    groups = samples.groups[tiles.sample]
    features = None if part.tuned else frozen_features(tiles.pixels)

    def within(index: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.isin(tiles.sample, index)

    for fold, (rest, test) in enumerate(grouped_folds(samples, chosen, FOLDS, 0)):
        if features is None:
            other, rest = grouped_folds(samples, rest, 2, fold)[0]
            embeddings, logits = tune(part, samples, other, tiles, fold)
        else:
            embeddings = features
            logits = np.zeros((len(features), len(np.unique(tiles.labels))))
            for known, held_out in grouped_folds(samples, rest, 4, fold):
                k, h = within(known), within(held_out)
                logits[h] = linear_head(features[k], tiles.labels[k], features[h])
            k, h = within(rest), within(test)
            logits[h] = linear_head(features[k], tiles.labels[k], features[h])
        everything = TilePool(embeddings, logits.astype(np.float32), tiles.labels, groups)
        train, val = grouped_folds(samples, rest, 4, fold + 10)[0]
        yield tuple(everything.part(within(index)) for index in (train, val, test))


def tune(
    part: Part, samples: TileDataset, index: NDArray[np.intp], tiles: Tiles, fold: int
) -> tuple[Any, Any]:
    """Train the recipe's tile model on ``index`` alone and look at all tiles with it."""
    recipe = load_recipe(part.recipe)
    config = recipe.train.model_copy(update={"epochs": TILE_EPOCHS, "seed": fold})
    network, _ = recipe.network()
    train, val = grouped_folds(samples, index, recipe.data.val_folds, fold)[0]
    temperature = 1.0
    job = TrainJob(samples, train, val, 224, config)
    for epoch in fine_tune(network, job):
        temperature = epoch.temperature
        out.print(
            f"  tile model, epoch {epoch.epoch}: {epoch.val_balanced_accuracy:.3f}",
            highlight=False,
        )
    return tuned_view(network, tiles.pixels, temperature)


# -- slides --


def slides_of(pool: TilePool, part: Part, setting: str, count: int, seed: int) -> list[Bag]:
    """Synthetic slides, each from a block of specimens that no other block shares."""
    normal, pathological, background = part.classes
    blocks = pool.blocks(BLOCKS, (normal, pathological), seed)
    bags: list[Bag] = []
    for number, block in enumerate(blocks):
        bags += make_mosaics(
            block,
            -(-count // len(blocks)),
            SETTINGS[setting],
            normal=normal,
            pathological=pathological,
            background=background,
            group=f"{seed}-{number}",
            seed=seed * 100 + number,
        )
    return bags


def disease(logits: NDArray[np.float32], part: Part) -> Array:
    """Probability of the pathological class, shape (rows, columns)."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    return np.asarray(shifted[part.classes[1]] / shifted.sum(axis=0))


@dataclass(frozen=True)
class Smoothing:
    """The tile model averaged over neighbors that exist; the baseline without learning.

    Everything is chosen on validation slides: the width, whether log-odds or probabilities are
    averaged, and the threshold, which is moved to 0.5.
    """

    sigma: float
    odds: bool
    shift: float

    def __call__(self, bag: Bag, part: Part) -> Array:
        """Probability of disease, shape (rows, columns)."""
        return np.asarray(1 / (1 + np.exp(-(self.raw(bag, part) - self.shift))))

    def raw(self, bag: Bag, part: Part) -> Array:
        """Log-odds of disease before the threshold is moved."""
        p = np.clip(disease(bag.logits, part), 1e-6, 1 - 1e-6)
        if self.sigma == 0:
            return np.asarray(np.log(p / (1 - p)))
        values = np.where(bag.mask, np.log(p / (1 - p)) if self.odds else p, 0)
        weight = ndimage.gaussian_filter(bag.mask.astype(float), self.sigma, mode="constant")
        mean = ndimage.gaussian_filter(values, self.sigma, mode="constant")
        # Nothing is near places far from tissue; they are not looked at.
        mean = mean / np.maximum(weight, 1e-9)
        return np.asarray(mean if self.odds else np.log(mean.clip(1e-9) / (1 - mean).clip(1e-9)))

    @classmethod
    def chosen(cls, bags: list[Bag], part: Part) -> Smoothing:
        """Return the smoothing with the best balanced accuracy of tiles."""
        labels = np.concatenate([b.tile_labels[b.mask] == part.classes[1] for b in bags])
        best: tuple[float, Smoothing] = (0.0, cls(0.0, True, 0.0))
        for sigma in SIGMAS:
            for odds in (True, False):
                plain = cls(sigma, odds, 0.0)
                values = np.concatenate([plain.raw(b, part)[b.mask] for b in bags])
                cut = best_cut(values, labels.astype(int))
                found = ((values[labels] > cut).mean() + (values[~labels] <= cut).mean()) / 2
                best = max(best, (float(found), cls(sigma, odds, cut)), key=lambda b: b[0])
        return best[1]


def slide_scores(maps: list[Array], bags: list[Bag]) -> dict[str, Array]:
    """Scores of slides from their tiles."""
    values = [m[b.mask] for m, b in zip(maps, bags, strict=True)]
    return {
        "mean": np.array([v.mean() for v in values]),
        "max": np.array([v.max() for v in values]),
    }


def best_cut(scores: Array, labels: Array) -> float:
    """Return the threshold with the best balanced accuracy; chosen on validation slides."""
    cuts = np.unique(scores)
    cuts = np.concatenate([cuts[:1] - 1e-9, (cuts[1:] + cuts[:-1]) / 2])
    # Two hundred candidates are as good as thousands.
    cuts = np.quantile(cuts, np.linspace(0, 1, 200)) if len(cuts) > 200 else cuts
    values = [((scores[labels == 1] > c).mean() + (scores[labels == 0] <= c).mean()) for c in cuts]
    return float(cuts[int(np.argmax(values))])


def trained_context(
    bags: list[Bag], n_train: int, part: Part, learn_from: str, options: dict[str, Any], seed: int
) -> SlideContext:
    """Train a slide-level model on the first ``n_train`` slides."""
    torch.manual_seed(seed)
    network = SlideContext(len(bags[0].embeddings), len(bags[0].logits), 2, **options)
    config = MilConfig(learn_from=learn_from, epochs=20, patience=5, seed=seed)
    index = np.arange(len(bags))
    epochs = list(
        train_mil(
            network,
            bags,
            index[:n_train],
            index[n_train:],
            pathological=part.classes[1:2],
            config=config,
        )
    )
    best = max(e.epoch for e in epochs if e.best)
    out.print(f"    {len(epochs)} epochs, best {best}", highlight=False)
    return network


Outcome = dict[str, dict[str, list[Any]]]


def run_part(part: Part, data: Path, methods: list[str]) -> dict[str, Any]:
    """Run these methods on all settings; predictions of all folds together."""
    start = time.perf_counter()
    results: dict[str, Outcome] = {s: {} for s in SETTINGS}
    choices, counts = [], []
    for fold, (train, val, test) in enumerate(pools(part, data)):
        out.print(f"{part.name}, fold {fold + 1}: {time.perf_counter() - start:.0f} s")
        counts.append([len(np.unique(p.groups)) for p in (train, val, test)])
        learn, check = (
            {s: slides_of(pool, part, s, n, fold * 10 + k) for s in ("regions", "scattered")}
            for k, (pool, n) in enumerate(((train, TRAIN), (val, VAL)))
        )
        tests = {s: slides_of(test, part, s, TEST * BLOCKS, fold * 10 + 5) for s in SETTINGS}
        smoothing = Smoothing.chosen(check["regions"], part)
        choices.append([smoothing.sigma, "log-odds" if smoothing.odds else "probabilities"])
        plain = Smoothing(0.0, True, 0.0)
        for name, see in (("tile model", plain), ("tile model, smoothed", smoothing)):
            reference = [see(b, part) for b in check["regions"]]
            for setting, bags in tests.items():
                maps = [see(b, part) for b in bags]
                keep(results[setting], name, fold, bags, maps, part, check["regions"], reference)
        for name in methods:
            layout, learn_from, options = TRAINED[name]
            both = learn[layout] + check[layout]
            network = trained_context(
                both, len(learn[layout]), part, learn_from, options, seed=fold
            )
            judged = score_bags(network, check[layout])
            reference = [disease(s.tile_logits, part) for s in judged]
            heads = None if learn_from == "tiles" else np.array([slide_head(s) for s in judged])
            for setting, bags in tests.items():
                scores = score_bags(network, bags)
                maps = [disease(s.tile_logits, part) for s in scores]
                own = None if heads is None else np.array([slide_head(s) for s in scores])
                keep(
                    results[setting],
                    name,
                    fold,
                    bags,
                    maps,
                    part,
                    check[layout],
                    reference,
                    own,
                    heads,
                )
                if own is not None:
                    shares = [
                        attention_share(s.attention, b, part)
                        for s, b in zip(scores, bags, strict=True)
                    ]
                    results[setting][name].setdefault("attention", []).extend(shares)
    tables = {s: summarize(r) for s, r in results.items()}
    return {
        "specimens per fold (train, validation, test)": counts,
        "smoothing chosen in each fold (sigma in tiles, of what)": choices,
        "seconds": round(time.perf_counter() - start),
        "settings": tables,
    }


def slide_head(score: Any) -> float:
    """Log-odds of disease."""
    return float(score.slide_logits[1] - score.slide_logits[0])


def attention_share(attention: NDArray[np.float32], bag: Bag, part: Part) -> float:
    """Attention on diseased tiles over what they would get by their number; NaN if none."""
    sick = bag.tile_labels == part.classes[1]
    if bag.slide_label != 1 or not sick.any():
        return float("nan")
    return float(attention[sick].sum() / (sick.sum() / bag.mask.sum()))


def keep(
    outcome: Outcome,
    name: str,
    fold: int,
    bags: list[Bag],
    maps: list[Array],
    part: Part,
    checked: list[Bag],
    reference: list[Array],
    heads: Array | None = None,
    head_reference: Array | None = None,
) -> None:
    """Add a fold's predictions to those of the folds before."""
    row = outcome.setdefault(
        name,
        {k: [] for k in ("tile p", "tile y", "tile block", "slide y", "slide block", "slides")},
    )
    for bag, values in zip(bags, maps, strict=True):
        block = f"{fold}/{bag.group}"
        row["tile p"].append(values[bag.mask])
        row["tile y"].append(bag.tile_labels[bag.mask] == part.classes[1])
        row["tile block"].append(np.full(len(bag), block))
        row["slide y"].append(bag.slide_label)
        row["slide block"].append(block)
    found, known = slide_scores(maps, bags), slide_scores(reference, checked)
    if heads is not None and head_reference is not None:
        found, known = found | {"head": heads}, known | {"head": head_reference}
    labels = np.array([b.slide_label for b in checked])
    row["slides"].append({k: (found[k], found[k] > best_cut(known[k], labels)) for k in found})


# -- numbers --


def with_interval(
    metric: Callable[..., float], draws: list[NDArray[np.intp]], *arrays: NDArray[Any]
) -> list[float]:
    """Return a metric of arrays of equal length, and its 2.5th and 97.5th bootstrap percentile."""
    values = [metric(*(a[d] for a in arrays)) for d in draws]
    found = (metric(*arrays), *np.nanpercentile(values, [2.5, 97.5]))
    return [round(float(v), 4) for v in found]


def rate_table(hits: NDArray[np.bool_], y: NDArray[np.bool_], blocks: NDArray[np.str_]) -> Array:
    """Per block: hits and number of the diseased, hits and number of the others."""
    rows = []
    for block in np.unique(blocks):
        here = blocks == block
        rows.append(
            [(hits & y & here).sum(), (y & here).sum(), (hits & ~y & here).sum(), (~y & here).sum()]
        )
    return np.array(rows, float)


def balanced(table: Array) -> float:
    """Balanced accuracy from summed counts."""
    a, b, c, d = table.sum(axis=0)
    return float((a / b + c / d) / 2)


def summarize(outcome: Outcome) -> dict[str, Any]:
    """Metrics of each method and its paired difference from the tile model."""
    base: dict[str, Any] = {}
    table: dict[str, Any] = {}
    for name, row in outcome.items():
        p, y, block = (np.concatenate(row[k]) for k in ("tile p", "tile y", "tile block"))
        counts = rate_table((p >= 0.5) == y, y, block)
        slide_y, slide_block = np.array(row["slide y"]), np.array(row["slide block"])
        scores = {
            k: tuple(np.concatenate([f[k][i] for f in row["slides"]]) for i in (0, 1))
            for k in row["slides"][0]
        }
        base.setdefault("tiles", counts)
        # Differences of slide-level predictions are from the better of the tile model's two
        # poolings.
        if "slide" not in base:
            best = max(scores, key=lambda k: auc(scores[k][0], slide_y))
            base["slide"] = scores[best][0]
        draws = list(group_draws(np.arange(len(counts)).astype(str), DRAWS, 0))
        entry: dict[str, Any] = {
            "tile balanced accuracy": with_interval(balanced, draws, counts),
            "tile difference": with_interval(
                lambda c, b: balanced(c) - balanced(b), draws, counts, base["tiles"]
            ),
            "tile AUC": round(auc(p, y), 4),
            "sensitivity": round(float(counts[:, 0].sum() / counts[:, 1].sum()), 4),
            "specificity": round(float(counts[:, 2].sum() / counts[:, 3].sum()), 4),
            "blocks": len(counts),
            "tiles": len(p),
            "slides": {},
        }
        slide_draws = list(group_draws(slide_block, DRAWS, 0))
        for k, (score, called) in scores.items():
            hits = rate_table(called == (slide_y == 1), slide_y == 1, slide_block)
            entry["slides"][k] = {
                "AUC": with_interval(auc, slide_draws, score, slide_y),
                "difference": with_interval(
                    lambda s, b, t: auc(s, t) - auc(b, t),
                    slide_draws,
                    score,
                    base["slide"],
                    slide_y,
                ),
                "balanced accuracy": with_interval(balanced, draws, hits),
            }
        entry["slide count"] = len(slide_y)
        if "attention" in row:
            entry[ATTENTION] = round(float(np.nanmean(row["attention"])), 2)
        table[name] = entry
    return table


def auc(scores: Array, labels: Any) -> float:
    """Area under the ROC curve; NaN where one class is missing."""
    positive = np.asarray(labels).astype(bool)
    n = int(positive.sum())
    m = len(positive) - n
    if not n or not m:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))


# -- tables and pictures --

HEADS = {
    "mean": "mean of tiles",
    "max": "most suspicious tile",
    "head": "slide head",
}


def shown(values: list[float], *, signed: bool = False) -> str:
    """Return a value with its interval as text."""
    form = "{:+.3f}" if signed else "{:.3f}"
    value, low, high = (form.format(v) for v in values)
    return f"{value} ({low} to {high})"


def markdown(parts: dict[str, Any]) -> str:
    """All tables."""
    lines = [
        "# Context across the slide: the tables",
        "",
        f"Made by `{COMMAND}`. What they mean: [slide-level-model.md](../../slide-level-model.md).",
        "",
        f"Synthetic slides of {SIDE} × {SIDE} tiles, laid out from real tiles of specimens that no "
        f"method learned from; {FOLDS} grouped folds. Intervals: 95 %, bootstrap of {DRAWS} draws "
        "over blocks of specimens that share none. Differences are paired, from the tile model "
        "alone; those of slides from the better of its two poolings. Thresholds of slides are "
        "chosen on validation slides; for tiles it is 0.5.",
    ]
    if absent := [p.name for p in PARTS if p.name not in parts]:
        lines += ["", f"Not run: {', '.join(absent)}."]
    for name, part in parts.items():
        lines += ["", f"## {name}", "", f"{DESCRIPTIONS[name]}", ""]
        lines += [
            f"- {key}: {value}" for key, value in part.items() if key not in ("settings", "seconds")
        ]
        for setting, table in part["settings"].items():
            first = next(iter(table.values()))
            lines += [
                "",
                f"### {name}: {setting}",
                "",
                f"{first['slide count']} slides, {first['tiles']} tiles, {first['blocks']} blocks.",
                "",
                "| tiles | balanced accuracy | difference | sensitivity | specificity | AUC |",
                "|---|---|---|---|---|---|",
            ]
            for method, row in table.items():
                difference = (
                    "" if method == "tile model" else shown(row["tile difference"], signed=True)
                )
                lines.append(
                    f"| {method} | {shown(row['tile balanced accuracy'])} | {difference} | "
                    f"{row['sensitivity']:.3f} | {row['specificity']:.3f} | {row['tile AUC']:.3f} |"
                )
            lines += [
                "",
                "| slides | called by | AUC | difference | balanced accuracy | attention |",
                "|---|---|---|---|---|---|",
            ]
            for method, row in table.items():
                for pooling, values in row["slides"].items():
                    attention = row.get(ATTENTION, "") if pooling == "head" else ""
                    difference = (
                        "" if method == "tile model" else shown(values["difference"], signed=True)
                    )
                    lines.append(
                        f"| {method} | {HEADS[pooling]} | {shown(values['AUC'])} | {difference} | "
                        f"{shown(values['balanced accuracy'])} | {attention} |"
                    )
    lines += [
        "",
        "*attention*: share of the attention on diseased tiles of diseased slides, over the share "
        "of tiles that they are; 1 is chance.",
    ]
    return "\n".join(lines) + "\n"


def figure(parts: dict[str, Any], path: Path) -> None:
    """Differences of tiles' balanced accuracy from the tile model alone."""
    import matplotlib.pyplot as plt

    names = ["tile model, smoothed", *TRAINED]
    columns = list(SETTINGS)
    picture, axes = plt.subplots(
        len(parts), len(columns), figsize=(13, 2.7 * len(parts)), sharex="row", squeeze=False
    )
    for row, (part, content) in zip(axes, parts.items(), strict=True):
        for axis, setting in zip(row, columns, strict=True):
            table = content["settings"][setting]
            for y, name in enumerate(reversed(names)):
                if name not in table:
                    continue
                value, low, high = table[name]["tile difference"]
                color = "#0a84ff" if low > 0 else "#c2255c" if high < 0 else "#5b6577"
                axis.plot([low, high], [y, y], color=color, linewidth=2)
                axis.plot(value, y, "o", color=color, markersize=4)
            axis.axvline(0, color="#1d2433", linewidth=0.8)
            axis.set_yticks(range(len(names)), list(reversed(names)), fontsize=7)
            axis.tick_params(axis="x", labelsize=7)
            axis.set_title(f"{part}: {setting}", fontsize=8)
            if axis is not row[0]:
                axis.set_yticklabels([])
    picture.supxlabel(
        "balanced accuracy of tiles, difference from the tile model alone", fontsize=9
    )
    picture.tight_layout()
    picture.savefig(path, dpi=120)
    plt.close(picture)


def layouts(path: Path) -> None:
    """One diseased slide of each setting, as its labels lie."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    labels = np.repeat([0, 1, 2], 20)
    pool = TilePool(
        np.zeros((60, 1), np.float32), np.zeros((60, 3), np.float32), labels, labels.astype(str)
    )
    picture, axes = plt.subplots(3, len(SETTINGS), figsize=(8, 6.2))
    for column, (setting, config) in zip(axes.T, SETTINGS.items(), strict=True):
        bags = make_mosaics(
            pool, 6, config, normal=1, pathological=2, background=0, seed=len(setting)
        )
        for axis, bag in zip(column, [b for b in bags if b.slide_label], strict=True):
            axis.imshow(
                bag.tile_labels,
                cmap=ListedColormap(["#ffffff", "#9aa3b2", "#4c9f70", "#0a84ff"]),
                vmin=-1,
                vmax=2,
            )
            axis.set_axis_off()
        column[0].set_title(setting, fontsize=9)
    picture.tight_layout()
    picture.savefig(path, dpi=90)
    plt.close(picture)


def main() -> None:
    """Run the parts that are not there yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=[p.name for p in PARTS])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--tables", action="store_true", help="only from what is there")
    given = parser.parse_args()
    work = given.work or given.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        path = work / f"{part.name}.json"
        if given.tables or given.only not in (None, part.name):
            continue
        found = json.loads(path.read_text()) if path.exists() else {"settings": {}}
        known = next(iter(found["settings"].values()), {})
        missing = [name for name in TRAINED if name not in known]
        if not missing:
            continue
        added = run_part(part, given.data, missing)
        for setting, table in added["settings"].items():
            # Layouts depend on seeds alone: methods that are added later saw the same slides.
            added["settings"][setting] = found["settings"].get(setting, {}) | table
        path.write_text(json.dumps(added, indent=1) + "\n")
        out.print(f"wrote {path}", highlight=False)
    done = {p.name: work / f"{p.name}.json" for p in PARTS if (work / f"{p.name}.json").exists()}
    parts = {name: json.loads(path.read_text()) for name, path in done.items()}
    order = ("tile model", "tile model, smoothed", *TRAINED)
    for part in parts.values():
        for setting, table in part["settings"].items():
            part["settings"][setting] = {m: table[m] for m in order if m in table}
    content = {"command": COMMAND, "parts": parts}
    (given.out / "context.json").write_text(json.dumps(content, indent=1) + "\n")
    (given.out / "context.md").write_text(markdown(parts))
    figure(parts, given.out / "tiles.png")
    layouts(given.out / "layouts.png")


if __name__ == "__main__":
    main()
