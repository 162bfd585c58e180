"""The part of a recipe that says what the data look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_liverdx.engine.samples import FolderSamples, MaskedSamples, Samples

__all__ = ["DataConfig"]


class DataConfig(BaseModel):
    """What the data look like and which of them teach.

    Attributes
    ----------
    kind : {"masks", "folders"}
        See `MaskedSamples` and `FolderSamples`.
    train_sources, second_sources : tuple of str
        Sources to train on, and to test on only; all and none by default.
    group_pattern : str, optional
        See `FolderSamples`.
    source_pattern : str, optional
        See `FolderSamples`.
    group_blocks : int, optional
        See `FolderSamples`.
    val_folds : int
        One of so many parts of the training samples chooses the epoch and the temperature.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["masks", "folders"] = "masks"
    train_sources: tuple[str, ...] = ()
    second_sources: tuple[str, ...] = ()
    group_pattern: str | None = None
    source_pattern: str | None = None
    group_blocks: int | None = Field(default=None, ge=1)
    val_folds: int = Field(default=6, ge=2)

    def samples(self, folder: Path, class_names: Sequence[str]) -> Samples:
        """The data in ``folder``.

        Raises
        ------
        DataError
            If it is not in the stated form.
        """
        if self.kind == "masks":
            return MaskedSamples(folder)
        return FolderSamples(
            folder,
            class_names,
            self.group_pattern,
            source_pattern=self.source_pattern,
            group_blocks=self.group_blocks,
        )
