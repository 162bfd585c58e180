"""What a network says of labelled examples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_liverdx.models.architectures.base import TileModel, TileOutput
from napari_liverdx.training.data._all import Example

__all__ = ["ExampleOutput", "as_logits", "predict_examples"]


class ExampleOutput(NamedTuple):
    """Outputs for n examples.

    Attributes
    ----------
    logits : Tensor, shape (n, classes), float32
    embeddings : Tensor, shape (n, features), float32
    subtile_logits : Tensor or None, shape (n, classes, k, k), float32
    attribute_logits : Tensor or None, shape (n, attributes), float32
    """

    logits: Tensor
    embeddings: Tensor
    subtile_logits: Tensor | None
    attribute_logits: Tensor | None


def as_logits(network: TileModel, output: TileOutput) -> TileOutput:
    """The output with logits; the logarithm of probabilities is as good."""
    if network.output == "logits":
        return output
    subtiles = (
        None if output.subtile_scores is None else output.subtile_scores.clamp_min(1e-7).log()
    )
    return output._replace(scores=output.scores.clamp_min(1e-7).log(), subtile_scores=subtiles)


@torch.inference_mode()
def predict_examples(
    network: TileModel, examples: list[Example], device: torch.device, batch_size: int = 32
) -> ExampleOutput:
    """Run a network over examples.

    Parameters
    ----------
    network : TileModel
        On ``device``.
    examples : list of Example
        At least one.
    device : torch.device
        Where to run.
    batch_size : int
        Tiles at a time.
    """
    network.eval()
    parts: list[TileOutput] = []
    for start in range(0, len(examples), batch_size):
        stack = np.stack([e.tile for e in examples[start : start + batch_size]])
        tiles = torch.from_numpy(stack).to(device).permute(0, 3, 1, 2)
        output = as_logits(network, network(tiles))
        parts.append(TileOutput(*(None if t is None else t.float().cpu() for t in output)))

    def joined(name: str) -> Tensor | None:
        values = [getattr(p, name) for p in parts]
        return None if values[0] is None else torch.cat(values)

    logits, embeddings = joined("scores"), joined("embedding")
    assert logits is not None
    assert embeddings is not None
    return ExampleOutput(logits, embeddings, joined("subtile_scores"), joined("attribute_scores"))
