"""Versions of a model: what it was fine-tuned from and on."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_liverdx._files import move
from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import LoadedModel, read_card, rewrite_model_file
from napari_liverdx.models.zoo import available_models, find_model, user_model_folder

__all__ = [
    "Version",
    "accept_trial",
    "base_name",
    "discard_trial",
    "next_version",
    "trial_folder",
    "trial_path",
    "version_fields",
    "versions_of",
]

_TRIAL = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model.

    Attributes
    ----------
    name : str
        Name or path by which it is chosen.
    card : ModelCard
    """

    name: str
    card: ModelCard

    @property
    def number(self) -> int:
        """Versions are counted from 1."""
        return _number(self.card)


def base_name(card: ModelCard) -> str:
    """Return the name of the model of which a card is a version."""
    return card.parent.get("base", card.name)


def _number(card: ModelCard) -> int:
    return int(card.version) if card.version.isdigit() else 1


def versions_of(card: ModelCard, also: Iterable[str | Path] = ()) -> list[Version]:
    """List all versions of a model that can be named, the oldest first.

    Parameters
    ----------
    card : ModelCard
        Of any of them.
    also : iterable of str or Path
        Names or paths of further model files to look at.
    """
    base = base_name(card)
    found = {n: c for n, c in available_models().items() if base_name(c) == base}
    known = {find_model(name).resolve() for name in found}
    for name in also:
        try:
            path = find_model(name)
            extra = read_card(path)
        except ModelFileError:
            continue
        if base_name(extra) == base and path.resolve() not in known:
            found[str(name)] = extra
    versions = [Version(name, c) for name, c in found.items()]
    return sorted(versions, key=lambda v: (v.number, v.name))


def next_version(card: ModelCard) -> int:
    """Return the number of the version that a model fine-tuned from ``card`` becomes."""
    return 1 + max([_number(card), *(v.number for v in versions_of(card))])


def version_fields(model: LoadedModel) -> dict[str, Any]:
    """Return name, title, version, date and lineage of what is fine-tuned from ``model``."""
    card = model.card
    title = card.parent.get("base_title", card.title)
    parent = {
        "base": base_name(card),
        "base_title": title,
        "name": card.name,
        "version": card.version,
        "sha256": model.sha256,
    }
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {**_called(parent, next_version(card)), "created": created, "parent": parent}


def _called(parent: dict[str, str], number: int) -> dict[str, str]:
    return {
        "name": f"{parent['base']}-v{number}",
        "title": f"{parent['base_title']}, version {number}",
        "version": str(number),
    }


# -- the trial: a version nobody has decided on yet --


def trial_folder() -> Path:
    """Return where undecided fine-tuned versions are kept, beside a person's own models."""
    return user_model_folder() / "teaching"


def trial_path(card: ModelCard) -> Path:
    """Return the model file of the undecided version of a model; a folder of its own around it."""
    return trial_folder() / f"{base_name(card)}.trial" / _TRIAL


def accept_trial(card: ModelCard) -> Path:
    """Make the undecided version the next version; returns its model file.

    The file moves as it is, so that results made with it stay its own, unless another version
    took its number meanwhile.

    Raises
    ------
    ModelFileError
        If it is gone, damaged, or cannot be moved.
    """
    trial = trial_path(card)
    taught = read_card(trial)
    folder = user_model_folder()
    taken = {v.number for v in versions_of(taught)}
    number = _number(taught)
    path = folder / f"{base_name(taught)}-v{number}.safetensors"
    try:
        if number in taken or path.exists():
            number = 1 + max([*taken, number])
            while (path := folder / f"{base_name(taught)}-v{number}.safetensors").exists():
                number += 1
            renamed = taught.model_copy(update=_called(taught.parent, number))
            # A taught model holds no statistics beside its weights.
            rewrite_model_file(trial, renamed, {}, path)
            trial.unlink()
        else:
            move(trial, path)
    except OSError as error:
        raise ModelFileError(f"{path}: the version cannot be kept ({error.strerror})") from error
    with contextlib.suppress(OSError):
        # Results that an earlier version of the program put there stay.
        trial.parent.rmdir()
    return path


def discard_trial(card: ModelCard) -> None:
    """Remove the undecided version and its folder; without one nothing happens."""
    shutil.rmtree(trial_path(card).parent, ignore_errors=True)
