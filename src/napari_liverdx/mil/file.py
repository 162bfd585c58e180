"""A slide-level model in one safetensors file, bound to its tile model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from napari_liverdx.core.errors import ModelFileError, PlanError
from napari_liverdx.mil.network import SlideContext
from napari_liverdx.models.architectures.registry import check_arguments
from napari_liverdx.models.card import ModelCard, SlidePart
from napari_liverdx.models.file import fill_network, read_card
from napari_liverdx.models.soundness import are_probabilities, check_tensors, without_memory

__all__ = ["ARCHITECTURE", "LoadedMilModel", "load_mil_model"]

ARCHITECTURE = "slide-context"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedMilModel:
    """A slide-level model ready to run.

    Attributes
    ----------
    card : ModelCard
        Its classes are those of the tile model.
    slide : SlidePart
        The card's part about slides.
    network : SlideContext
        In evaluation mode, float32, on the CPU.
    sha256 : str
        Of the file.
    path : Path
    """

    card: ModelCard
    slide: SlidePart
    network: SlideContext
    sha256: str
    path: Path

    @property
    def gives_slide_prediction(self) -> bool:
        """Whether it learned to predict slides."""
        return self.slide.learned_from != "tiles"

    def tile_probabilities(self, logits: Tensor) -> Tensor:
        """Compute calibrated probabilities of tiles; classes on axis 1."""
        return torch.softmax(logits.float() / self.card.temperature, dim=1)

    def slide_probabilities(self, logits: Tensor) -> Tensor:
        """Compute calibrated probabilities of slides; classes on axis 1."""
        return torch.softmax(logits.float() / self.slide.temperature, dim=1)

    def check_tile_model(self, name: str, sha256: str) -> None:
        """Make sure that embeddings come from the tile model it was trained with.

        Raises
        ------
        ModelFileError
            If they do not.
        """
        if sha256 != self.slide.tile_sha256:
            raise ModelFileError(
                f"{self.path}: belongs to the tile model {self.slide.tile_model!r} (SHA-256 "
                f"{self.slide.tile_sha256[:12]}…), not to {name!r} ({sha256[:12]}…), whose "
                "embeddings mean something else; use that tile model, or train a slide-level model "
                "for this one with 'liverdx mil train'"
            )

    def check_overlap(self, overlap: float) -> None:
        """Make sure that tiles overlap as those it learned from.

        Raises
        ------
        PlanError
            If they do not.
        """
        if abs(overlap - self.slide.overlap) > 1e-6:
            raise PlanError(
                f"the slide-level model learned on tiles that overlap by {self.slide.overlap:g}, "
                f"here "
                f"they do by {overlap:g}; analyze with --overlap {self.slide.overlap:g}"
            )


def load_mil_model(path: Path) -> LoadedMilModel:
    """Read a slide-level model.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, a pickle, of another program, or a tile model.
    """
    card = read_card(path)
    slide = card.slide
    if slide is None or card.architecture != ARCHITECTURE:
        raise ModelFileError(
            f"{path}: a tile model, not a slide-level model; give it with --model, or make a "
            f"slide-level model with 'liverdx mil train'"
        )
    shadow = without_memory(lambda: _build(path, card, slide))
    if shadow is not None:
        check_tensors(path, shadow, ARCHITECTURE)
    network = _build(path, card, slide)
    sha256 = fill_network(path, network, ARCHITECTURE)
    network.eval()
    model = LoadedMilModel(card, slide, network, sha256, path)
    _try_out(model)
    return model


@torch.inference_mode()
def _try_out(model: LoadedMilModel) -> None:
    """Judge a few tiles of the usual kind, so that a network that cannot is refused at once."""
    network, rows = model.network, 3
    embeddings = network.usual_embeddings(rows)
    logits = (
        torch.arange(float(len(model.card.classes))).reshape(1, -1, 1, 1).expand(-1, -1, rows, 1)
    )
    output = network(embeddings, logits, torch.ones((1, rows, 1), dtype=torch.bool))
    tiles, slides = model.tile_probabilities, model.slide_probabilities
    if not (
        are_probabilities(tiles(output.tile_logits))
        and are_probabilities(slides(output.slide_logits))
    ):
        raise ModelFileError(
            f"{model.path}: what the network says of plain tiles is no probability; the weights "
            "are damaged, copy the file again from its source"
        )


def _build(path: Path, card: ModelCard, slide: SlidePart) -> SlideContext:
    try:
        check_arguments(ARCHITECTURE, card.arguments)
        return SlideContext(slide.features, len(card.classes), len(slide.classes), **card.arguments)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ModelFileError(
            f"{path}: slide-level model with {str(card.arguments)[:300]}: {str(error)[:300]}"
        ) from error
