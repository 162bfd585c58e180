"""Which settings a search may change, and to what."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from napari_liverdx.core.errors import DataError, first_problem
from napari_liverdx.models.architectures.registry import ARCHITECTURES
from napari_liverdx.training.recipe import Recipe, read_settings

if TYPE_CHECKING:
    import optuna

__all__ = ["DEFAULT_SPACE", "Range", "default_space", "load_space", "with_settings"]


class Range(BaseModel):
    """Values that a setting may take: an interval, or a list of choices.

    Attributes
    ----------
    low, high : float, optional
        Bounds; whole numbers if both are.
    log : bool
        Draw on a logarithmic scale.
    choices : tuple, optional
        Instead of bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[bool | int | float | str, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Range:
        bounded = self.low is not None and self.high is not None
        if bounded == bool(self.choices):
            raise ValueError("give low and high, or choices")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self

    def suggest(self, trial: optuna.Trial, name: str) -> bool | int | float | str:
        """Suggest a value for this trial."""
        if self.low is None or self.high is None:
            value = trial.suggest_categorical(name, self.choices)
            assert value is not None
            return value
        if isinstance(self.low, int) and isinstance(self.high, int):
            return int(trial.suggest_int(name, self.low, self.high, log=self.log))
        return float(trial.suggest_float(name, float(self.low), float(self.high), log=self.log))


DEFAULT_SPACE: dict[str, Range] = {
    "train.head_lr": Range(low=2e-4, high=4e-3, log=True),
    "train.encoder_lr": Range(low=3e-5, high=6e-4, log=True),
    "train.weight_decay": Range(low=1e-3, high=0.1, log=True),
    "train.stain_sigma": Range(low=0.0, high=0.4),
    "train.focal_gamma": Range(choices=(0.0, 1.0, 2.0)),
    "card.arguments.hidden": Range(choices=(32, 64, 128)),
    "card.arguments.kind": Range(choices=("gru", "lstm")),
}
"""What is searched by default; arguments that an architecture does not take are left out."""


def default_space(recipe: Recipe) -> dict[str, Range]:
    """Return `DEFAULT_SPACE` without arguments that the recipe's architecture does not take."""
    known = inspect.signature(ARCHITECTURES[recipe.model_card().architecture]).parameters
    prefix = "card.arguments."
    return {
        name: values
        for name, values in DEFAULT_SPACE.items()
        if not name.startswith(prefix) or name.removeprefix(prefix) in known
    }


def load_space(path: Path) -> dict[str, Range]:
    """Read ranges like ``"train.head_lr" = {low = 1e-4, high = 1e-2, log = true}`` from a file.

    Raises
    ------
    DataError
        If it cannot be read or a range is not valid.
    """
    _, fields = read_settings(str(path), "recipes")
    try:
        return {name: Range.model_validate(values) for name, values in fields.items()}
    except ValidationError as error:
        raise DataError(f"{path}: {error.errors()[0]['msg']}") from error


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Replace dotted settings of the recipe such as ``train.head_lr``.

    Raises
    ------
    DataError
        If a setting does not exist or its value is not allowed.
    """
    fields = recipe.model_dump()
    for name, value in settings.items():
        *path, last = name.split(".")
        place: Any = fields
        for part in path:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise DataError(f"setting {name!r} does not exist in a recipe")
        place[last] = value
    try:
        changed = Recipe.model_validate(fields)
        changed.model_card()
    except ValidationError as error:
        raise DataError(f"setting {first_problem(error)}") from error
    return changed
