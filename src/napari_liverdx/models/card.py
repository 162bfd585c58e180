"""The model card: everything a person or the program must know about a model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_liverdx.core.classes import ClassScheme, TissueClass
from napari_liverdx.core.resolution import MPP_RANGE

__all__ = ["Interval", "ModelCard", "Normalization", "SlidePart"]

SCHEMA_VERSION = 1


class _Frozen(BaseModel):
    # Some fields are stored under the names they had in the first version.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        # Every number is one that can be computed with.
        allow_inf_nan=False,
    )


_Temperature = Annotated[float, Field(ge=0.01, le=100)]
"""Outside, probabilities are 0 and 1, or all alike; a fitted one lies between 0.25 and 4."""

_MOST_CLASSES = 256

_Mean = Annotated[float, Field(ge=-1e3, le=1e3)]
_Deviation = Annotated[float, Field(ge=1e-4, le=1e4)]


class Normalization(_Frozen):
    """How pixels become the network's input, per channel in ``channel_order``, 0 to 1 scale."""

    mean: tuple[_Mean, _Mean, _Mean] = (0.5, 0.5, 0.5)
    std: tuple[_Deviation, _Deviation, _Deviation] = (0.5, 0.5, 0.5)
    channel_order: Literal["RGB", "BGR"] = "RGB"


class Interval(_Frozen):
    """A measured value with its 95 % interval and how it was measured."""

    # A figure of merit may be NaN, where a class never came; nothing is computed with it.
    model_config = ConfigDict(allow_inf_nan=True)

    value: float
    low: float | None = None
    high: float | None = None
    how: str = ""

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class SlidePart(_Frozen):
    """What the card of a slide-level model says beyond that of a tile model.

    Attributes
    ----------
    tile_model, tile_sha256 : str
        The tile model whose embeddings it reads; it fits no other.
    features : int
        Length of those embeddings.
    classes : tuple of str
        Classes of a slide.
    overlap : float
        Share that neighboring tiles had in common.
    learned_from : {"tiles", "slides", "both"}
        Labels it learned from; from tiles alone it gives no slide-level prediction.
    temperature : float
        Slide logits are divided by it.
    """

    tile_model: str
    tile_sha256: str
    features: int = Field(gt=0, le=2**16)
    classes: tuple[str, ...] = Field(min_length=2, max_length=_MOST_CLASSES)
    overlap: float = Field(default=0.0, ge=0, lt=1)
    learned_from: Literal["tiles", "slides", "both"]
    temperature: _Temperature = 1.0


_OOD_BOUNDS = {
    "limit": (1e-12, 1e12),
    "residual": (1e-12, 1e12),
    "rate": (1e-4, 0.9999),
    "overlap": (0.0, 0.99),
}
_NEEDED = {"batch-norm": ("limit",), "embedding": ("limit", "residual")}


class ModelCard(_Frozen):
    """Card of one model, stored as JSON in the header of its file.

    Attributes
    ----------
    name, title, summary : str
        Identifier, heading, one sentence.
    version : str
        Of the model.
    architecture : str
        Name in the registry; ``arguments`` go to it.
    classes : tuple of TissueClass
        In output order.
    mpp : float
        Resolution the model was trained at, µm/px.
    tile_size : int
        Side of the input, pixels.
    subtiles : int
        Subtiles along a tile's side in the dense output; 1 without one.
    normalization : Normalization
    output : {"logits", "probabilities"}
        What the network gives; probabilities get no second softmax.
    temperature : float
        Logits are divided by it (Guo et al. 2017, arXiv:1706.04599).
    training_data, data_license, license : str
        What it learned from, on what terms, and the terms of the weights.
    intended_use, limitations : str
    metrics : dict of str to Interval
    ood : dict
        Statistics of the training features; empty if none were recorded.
    conformal : dict
        `ConformalScores` of held-out samples, under ``tile`` and ``subtile``; empty without.
    slide : SlidePart or None
        Only for a slide-level model; None for a tile model.
    command : str
        What made the file.
    versions : dict of str to str
        Software used in training.
    created : str
        When, ISO 8601, UTC; empty where it was not recorded.
    parent : dict of str to str
        The model this one was fine-tuned from, as `models.versions` records it; empty without.
    trained_on : dict of str to tuple of (float, float, float, float)
        Where this version and all it comes from were trained: by the start of a slide's
        fingerprint, (x, y, width, height) of tiles in level-0 pixels. None of it can test what is
        fine-tuned from it.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=128)
    title: str
    summary: str
    version: str = Field(default="1", max_length=128)
    architecture: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    classes: tuple[TissueClass, ...] = Field(min_length=2, max_length=_MOST_CLASSES)
    mpp: float = Field(ge=MPP_RANGE[0], le=MPP_RANGE[1])
    tile_size: int = Field(gt=0, le=4096)
    subtiles: int = Field(default=1, ge=1, le=1024, alias="cells")
    normalization: Normalization = Field(default=Normalization(), alias="normalisation")
    output: Literal["logits", "probabilities"] = "logits"
    temperature: _Temperature = 1.0
    training_data: str = ""
    data_license: str = Field(default="", alias="data_licence")
    license: str = Field(default="", alias="licence")
    intended_use: str = "Research use only, not for diagnosis."
    limitations: str = ""
    metrics: dict[str, Interval] = Field(default_factory=dict)
    ood: dict[str, Any] = Field(default_factory=dict, alias="domain")
    conformal: dict[str, Any] = Field(default_factory=dict)
    slide: SlidePart | None = None
    command: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    created: str = ""
    parent: dict[str, str] = Field(default_factory=dict)
    trained_on: dict[str, tuple[tuple[float, float, float, float], ...]] = Field(
        default_factory=dict, alias="taught_on"
    )

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[TissueClass, ...]) -> tuple[TissueClass, ...]:
        ClassScheme(classes)
        return classes

    @field_validator("ood")
    @classmethod
    def _are_numbers(cls, ood: dict[str, Any]) -> dict[str, Any]:
        for name, (low, high) in _OOD_BOUNDS.items():
            value: Any = ood.get(name)
            if value is None and name not in _NEEDED.get(str(ood.get("kind")), ()):
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and low <= value <= high):
                raise ValueError(f"{name} must be a number between {low:g} and {high:g}")
        return ood

    @field_validator("schema_version")
    @classmethod
    def _known(cls, version: int) -> int:
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"card version {version} is newer than this program knows ({SCHEMA_VERSION}); "
                "update napari-liverdx"
            )
        return version

    @property
    def scheme(self) -> ClassScheme:
        """The classes as a scheme."""
        return ClassScheme(self.classes)
