"""A comparison of architectures: which, on what, trained how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_liverdx.core.errors import DataError, first_problem
from napari_liverdx.training.recipe import Recipe, load_recipe, read_settings

__all__ = [
    "Comparison",
    "ModelEntry",
    "load_comparison",
    "recipe_comparison",
    "with_found_settings",
]


class ModelEntry(BaseModel):
    """One model of a comparison.

    Attributes
    ----------
    name : str
        In tables and plots.
    architecture : str
        Name in the registry; ``arguments`` go to it.
    start : str, optional
        Instead of the recipe's; see `Recipe`.
    train, card : dict
        Settings that differ from the recipe's.
    reference : str
        Paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    architecture: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    start: str | None = None
    train: dict[str, Any] = Field(default_factory=dict)
    card: dict[str, Any] = Field(default_factory=dict)
    reference: str = ""


class Comparison(BaseModel):
    """A comparison file.

    Attributes
    ----------
    title : str
    recipe : str
        Packaged recipe or path of a recipe file that all models share, from the comparison file on
        or from the current folder.
    card, data, train : dict
        What differs from that recipe, for all models.
    folds : int
    models : tuple of ModelEntry
        The first is the one that the others are tested against.
    models_from : str, optional
        A packaged list of models or the path of a file with such a list.
    note : str
        Goes into the tables.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    recipe: str
    card: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    folds: int = Field(default=5, ge=2)
    models: tuple[ModelEntry, ...] = ()
    models_from: str | None = None
    note: str = ""

    def recipes(self) -> dict[str, Recipe]:
        """Return the recipe of each model, by the model's name.

        Raises
        ------
        DataError
            If a setting is not valid or two models have the same name.
        """
        base = load_recipe(self.recipe)
        found: dict[str, Recipe] = {}
        for model in self.models:
            if model.name in found:
                raise DataError(f"comparison {self.title!r} has two models named {model.name!r}")
            own = {"architecture": model.architecture, "arguments": model.arguments}
            fields: Mapping[str, Any] = {
                "card": {**base.card, **self.card, **model.card, **own},
                "data": {**base.data.model_dump(), **self.data},
                "train": {**base.train.model_dump(), **self.train, **model.train},
                "start": model.start or base.start,
            }
            try:
                recipe = Recipe.model_validate(fields)
                recipe.model_card()
            except ValidationError as error:
                raise DataError(
                    f"comparison {self.title!r}, model {model.name!r}: {first_problem(error)}"
                ) from error
            found[model.name] = recipe
        return found

    def as_yaml(self) -> str:
        """Return the comparison as a file that `load_comparison` reads."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return str(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True))


def load_comparison(name_or_path: str) -> Comparison:
    """Load a packaged comparison by name or any by path.

    Raises
    ------
    DataError
        If it is missing or not valid; the message says where.
    """
    source, fields = read_settings(name_or_path, "comparisons")
    beside = source.parent / str(fields.get("recipe", ""))
    if beside.suffix and beside.exists():
        fields = {**fields, "recipe": str(beside)}
    if listed := fields.get("models_from"):
        path = Path(str(listed))
        if not path.is_absolute() and path.suffix and not (path := source.parent / path).exists():
            path = Path(str(files("napari_liverdx") / "comparisons" / path.name))
        _, more = read_settings(str(path), "comparisons")
        fields = {**fields, "models": [*fields.get("models", []), *more.get("models", [])]}
    try:
        comparison = Comparison.model_validate(fields)
    except ValidationError as error:
        raise DataError(f"{source}: {first_problem(error)}") from error
    if len(comparison.models) < 2:
        raise DataError(f"{source}: at least two models are needed; give [[models]] tables")
    return comparison


def recipe_comparison(name_or_path: str, *, without_rnn: bool = True, folds: int = 5) -> Comparison:
    """Return the comparison of a recipe with the same encoder without a recurrent network.

    Parameters
    ----------
    name_or_path : str
        The recipe.
    without_rnn : bool
        Whether to compare; if not, or if the recipe has no recurrent network, it stands alone.
    folds : int
        Number of grouped folds.

    Raises
    ------
    DataError
        If the recipe is missing or not valid.
    """
    recipe = load_recipe(name_or_path)
    card = recipe.model_card()
    arguments = dict(recipe.card.get("arguments", {}))
    models = [ModelEntry(name=card.name, architecture=card.architecture, arguments=arguments)]
    if without_rnn and card.architecture == "cnn-rnn":
        models.append(
            ModelEntry(
                name=f"{card.name} without the RNN",
                architecture=card.architecture,
                arguments={**arguments, "hidden": 0},
            )
        )
    return Comparison(
        title=f"Grouped cross-validation of {card.name}",
        recipe=name_or_path,
        folds=folds,
        models=tuple(models),
    )


def with_found_settings(
    comparison: Comparison,
    recipe: Path,
    names: Sequence[str],
    arguments: Mapping[str, Mapping[str, Any]],
) -> Comparison:
    """Return a comparison under the settings that a search found.

    Parameters
    ----------
    comparison : Comparison
        As it was.
    recipe : Path
        Recipe file with the settings found.
    names : sequence of str
        Models that stay.
    arguments : mapping of str to mapping
        Arguments of the architectures that were searched, by model.
    """
    models = tuple(
        m.model_copy(update={"arguments": dict(arguments.get(m.name, m.arguments))})
        for m in comparison.models
        if m.name in names
    )
    note = (
        f"{comparison.note} Settings: those that a search found best for the CNN+RNN on a part "
        "of the training images; its figures in the folds are too good by a little for that. The "
        "figures on independent data are not."
    )
    return Comparison(
        title=comparison.title,
        recipe=str(recipe.resolve()),
        folds=comparison.folds,
        models=models,
        note=note,
    )
