"""Identities as version 0.1.0 spelled them, for what it wrote.

0.1.0 hashed Python's own texts of its objects. They are spelled out here, with the names that
classes and fields had then: files of 0.1.0 keep their identity whatever these are called today.
Nothing new is made of this module but where old and new must share an identity, as the fingerprint
of a slide. Values come as plain numbers, texts, tuples, lists and mappings.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from napari_liverdx._ids import NAMESPACE

__all__ = [
    "folds_key",
    "level_sizes",
    "module_text",
    "reproduction_key",
    "result_uuid",
    "run_key",
    "search_key",
    "sized_levels",
    "slide_uuid",
    "text_of",
    "variant_in_name",
]

_GRID = (
    "level",
    "scale_x",
    "scale_y",
    "x",
    "y",
    "width",
    "height",
    "tile_width",
    "tile_height",
    "stride_x",
    "stride_y",
    "tile_size",
)
_TRAIN: dict[str, Any] = {
    "epochs": 12,
    "warmup_epochs": 2,
    "frozen_share": 0.31,
    "tiles_per_epoch": 480,
    "batch_size": 24,
    "head_lr": 1e-3,
    "encoder_lr": 1.5e-4,
    "weight_decay": 0.02,
    "ema_decay": 0.97,
    "patience": 5,
    "cell_weight": 1.0,
    "stain_sigma": 0.2,
    "balance": "draw",
    "focal_gamma": 0.0,
    "mixup": 0.0,
    "precision": "auto",
    "seed": 0,
}
_TILES: dict[str, Any] = {"min_share": 0.5, "max_conflict": 0.1}
_DATA: dict[str, Any] = {
    "kind": "masks",
    "train_sources": [],
    "second_sources": [],
    "group_pattern": None,
    "source_pattern": None,
    "group_blocks": None,
    "labels": {},
    "leave_out": [],
    "columns": {},
    "slide_mpp": None,
    "tiles": _TILES,
    "units": "px",
    "val_folds": 6,
}
"""Settings of a recipe in their order, with their defaults."""


def text_of(value: Any) -> str:
    """Return a value as Python writes it; only numbers, texts and what holds them.

    Raises
    ------
    TypeError
        If it is of another type.
    """
    # How these are written belongs to the language and hangs on no name of ours.
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, str):
        return str.__repr__(value)
    if isinstance(value, Mapping):
        pairs = (f"{text_of(k)}: {text_of(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, tuple):
        inner = ", ".join(text_of(v) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return "[" + ", ".join(text_of(v) for v in value) + "]"
    raise TypeError(f"no spelling of a {type(value).__name__} is known for 0.1.0")


def _sha256(value: Any) -> str:
    return hashlib.sha256(text_of(value).encode()).hexdigest()


def _chosen(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``values`` that are not the defaults of 0.1.0, in its order."""
    told = {}
    for name, default in defaults.items():
        if name in values and values[name] != default:
            nested = isinstance(default, Mapping) and bool(default)
            told[name] = _chosen(values[name], default) if nested else values[name]
    return told


# -- slides --


def level_sizes(sizes: Sequence[tuple[int, int]]) -> str:
    """Return widths and heights of a slide's levels as its fingerprint takes them in."""
    return text_of([(int(width), int(height)) for width, height in sizes])


def sized_levels(size: int, sizes: Sequence[tuple[int, int]]) -> str:
    """Return the length of a slide's file and `level_sizes` as its fingerprint takes them in."""
    return f"({size:d}, {level_sizes(sizes)})"


def slide_uuid(fingerprint: str, mpp: tuple[float, float], what: str) -> uuid.UUID:
    """Return the UUID of something about a slide at a resolution.

    All results of a slide share it, those of 0.1.0 too, so that their images lie in one study.
    """
    parts = (fingerprint, text_of((float(mpp[0]), float(mpp[1]))), what)
    return uuid.uuid5(NAMESPACE, "\n".join(parts))


# -- results --


def result_uuid(
    fingerprint: str,
    model_sha256: str,
    grid: Mapping[str, int | float],
    mpp: tuple[float, float],
    regions_sha256: str,
) -> uuid.UUID:
    """Return the UUID of a result.

    Parameters
    ----------
    fingerprint, model_sha256, regions_sha256 : str
        Of slide, model and analyzed mask.
    grid : mapping of str to number
        The tile grid, by the names of `napari_liverdx.results.manifest.grid_facts`.
    mpp : (float, float)
        Level-0 µm/px, (x, y).
    """
    fields = ", ".join(
        f"{name}={text_of(float(grid[name]) if name.startswith('scale') else int(grid[name]))}"
        for name in _GRID
    )
    spelled = (f"TileGrid({fields})", text_of((float(mpp[0]), float(mpp[1]))))
    parts = (fingerprint, model_sha256, *spelled, regions_sha256)
    return uuid.uuid5(NAMESPACE, "\n".join(parts))


def variant_in_name(stem: str, model_name: str) -> str:
    """Return the mark that tells a result from the plain one of its slide; empty without.

    0.1.0 wrote it into the file name and nowhere else.

    Parameters
    ----------
    stem : str
        Name of the result without its suffix: slide, model and mark.
    model_name : str
        Name of the model.
    """
    _, found, mark = stem.rpartition(f".{model_name}.")
    is_mark = bool(found) and len(mark) == 6 and not set(mark) - set("0123456789abcdef")
    return mark if is_mark else ""


# -- training --

Samples = tuple[list[str], list[int], list[str]]
"""Names, classes and groups."""


def run_key(
    train: Mapping[str, Any],
    size: int,
    samples: tuple[list[str], list[int]],
    parts: tuple[list[int], list[int]],
    processes: int,
    network: str,
    weights: Sequence[bytes],
) -> str:
    """Return the key of a checkpoint.

    Parameters
    ----------
    train : mapping
        Settings of the training, all of them, by their names in a recipe.
    size : int
        Side of the tiles.
    samples : (list of str, list of int)
        Names and classes.
    parts : (list of int, list of int)
        Samples to learn from and to validate on.
    processes : int
        How many train together.
    network : str
        `module_text` of the network.
    weights : sequence of bytes
        What training starts from, tensor by tensor.
    """
    told = {name: train[name] for name in _TRAIN if name in train}
    found = hashlib.sha256(text_of((told, size, *samples, *parts, processes)).encode())
    found.update(network.encode())
    for tensor in weights:
        found.update(tensor)
    return found.hexdigest()


def folds_key(
    data: Mapping[str, Any],
    train: Mapping[str, Any],
    start: str,
    model: tuple[str, Mapping[str, Any], int, tuple[str, ...]],
    samples: Samples,
    folds: list[tuple[list[int], list[int]]],
    independent: list[int],
) -> str:
    """Return the key in the names of folds.

    Parameters
    ----------
    data, train : mapping
        Settings of a recipe as plain JSON, all of them.
    start : str
        What weights begin from.
    model : (str, mapping, int, tuple of str)
        Architecture, arguments, side of a tile, names of the classes.
    samples : (list of str, list of int, list of str)
        See `Samples`.
    folds : list of (list of int, list of int)
        The rest and the tested samples of each fold.
    independent : list of int
        Samples that stand in no fold.
    """
    told = (_chosen(data, _DATA), _chosen(train, _TRAIN))
    return _sha256((*told, start, model, samples, folds, independent))[:12]


def search_key(
    recipe: Mapping[str, Any],
    ranges: Mapping[str, Mapping[str, Any]],
    samples: Samples,
    split: list[list[int]],
) -> str:
    """Return the key in the name of a search.

    Parameters
    ----------
    recipe : mapping
        A recipe as plain JSON, all of it.
    ranges : mapping of str to mapping
        What each setting may take: low, high, log, choices (a tuple).
    samples : (list of str, list of int, list of str)
        See `Samples`.
    split : list of list of int
        Samples to train on, to judge by, and set aside.
    """
    told: dict[str, Any] = {"card": recipe["card"]}
    told["data"] = _chosen(recipe["data"], _DATA)
    told["train"] = _chosen(recipe["train"], _TRAIN)
    if not told["data"]:
        del told["data"]
    if not told["train"]:
        del told["train"]
    if recipe["start"] != "imagenet":
        told["start"] = recipe["start"]
    spelled = {
        name: {part: values[part] for part in ("low", "high", "log", "choices")}
        for name, values in ranges.items()
    }
    return _sha256((told, spelled, samples, split))[:12]


def reproduction_key(recipe: str, names: list[str], labels: list[int], splits: list[str]) -> str:
    """Return the key of a reproduced study's model: recipe file, samples, classes, parts."""
    return _sha256((recipe, names, labels, splits))


# -- networks --

_CLASSES: dict[str, str] = {}
"""From the name of a network's class today to that in 0.1.0, where they differ."""


def module_text(module: Any) -> str:
    """Return a network as torch writes it, with the class names of 0.1.0."""
    kind = type(module)
    name = kind.__name__
    if kind.__module__.partition(".")[0] == __name__.partition(".")[0]:
        name = _CLASSES.get(name, name)
    writer: Any = kind.__repr__
    if writer.__qualname__ == "ModuleList.__repr__":
        return _module_list_text(name, list(module))
    if writer.__qualname__ != "Module.__repr__":
        return str(writer(module))
    extra = module.extra_repr()
    own = extra.split("\n") if extra else []
    children = [
        f"({key}): {_indented(module_text(child))}" for key, child in module._modules.items()
    ]
    if len(own) == 1 and not children:
        return f"{name}({own[0]})"
    lines = own + children
    return f"{name}(" + ("\n  " + "\n  ".join(lines) + "\n" if lines else "") + ")"


def _module_list_text(name: str, items: list[Any]) -> str:
    """Return modules in a row as text; equal ones that follow each other are written once."""
    runs: list[tuple[int, int, str]] = []
    for number, text in enumerate(map(module_text, items)):
        if runs and runs[-1][2] == text:
            runs[-1] = (runs[-1][0], number, text)
        else:
            runs.append((number, number, text))
    if not runs:
        return f"{name}()"
    lines = [
        f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
        for first, last, text in runs
    ]
    return f"{name}(\n  " + "\n  ".join(map(_indented, lines)) + "\n)"


def _indented(text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(f"  {line}" if line.strip() else "" for line in rest)])
