"""Models by name: those in the package, those the user added, and files by path."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from napari_liverdx.core.errors import ModelFileError, existing_path
from napari_liverdx.models.card import ModelCard
from napari_liverdx.models.file import LoadedModel, load_model_file, read_card

__all__ = ["available_models", "find_by_hash", "find_model", "load_model", "user_model_folder"]

_PACKAGED = Path(__file__).parent / "weights"
_SUFFIX = ".safetensors"


def user_model_folder() -> Path:
    """Return the folder of a person's own models: ``LIVERDX_MODELS``, else one at home."""
    given = os.environ.get("LIVERDX_MODELS")
    return Path(given) if given else Path.home() / ".local" / "share" / "napari-liverdx" / "models"


def available_models() -> dict[str, ModelCard]:
    """Return the cards of all tile models that can be named, the packaged first.

    Unreadable files and slide-level models are left out.
    """
    cards: dict[str, ModelCard] = {}
    for folder in (_PACKAGED, user_model_folder()):
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            try:
                card = read_card(path)
            except ModelFileError:
                continue
            if card.slide is None:
                cards.setdefault(path.name.removesuffix(_SUFFIX), card)
    return cards


def find_model(name_or_path: str | Path) -> Path:
    """Return the path of a model given by name or by path.

    Raises
    ------
    ModelFileError
        If there is none; the message lists the names that exist.
    """
    is_name = len(Path(name_or_path).parts) == 1
    for folder in (_PACKAGED, user_model_folder()) if is_name else ():
        candidate = existing_path(folder / f"{name_or_path}{_SUFFIX}", ModelFileError)
        if candidate is not None:
            return candidate
    path = existing_path(name_or_path, ModelFileError)
    if path is not None:
        return path
    path = Path(name_or_path).expanduser()
    if path.suffix == _SUFFIX or len(path.parts) > 1:
        return path
    raise ModelFileError(
        f"no model called {str(name_or_path)!r}; there are {', '.join(available_models())}. "
        f"Give one of these, the path of a {_SUFFIX} file, or put a file into {user_model_folder()}"
    )


def find_by_hash(
    name: str, version: str, sha256: str, also: str = ""
) -> tuple[str, ModelCard] | None:
    """Find the very model that made a result: its name in `available_models` and its card.

    Parameters
    ----------
    name, version : str
        As its card says; only files that say the same are read whole.
    sha256 : str
        Of its file.
    also : str
        Path of a model outside the folders to look at too.

    Returns
    -------
    (str, ModelCard) or None
        None if there is no such file.
    """
    cards = available_models()
    if also and also not in cards:
        with suppress(ModelFileError):
            cards[also] = read_card(find_model(also))
    for key, card in cards.items():
        if (card.name, card.version) != (name, version):
            continue
        with find_model(key).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return key, card
    return None


def load_model(name_or_path: str | Path) -> LoadedModel:
    """Load a model by name or by path.

    Raises
    ------
    ModelFileError
        If it does not exist or cannot be used.
    """
    return load_model_file(find_model(name_or_path))
