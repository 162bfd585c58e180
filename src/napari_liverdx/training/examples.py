"""What a network says of labeled examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_liverdx.metrics.predictions import LabeledPredictions, softmax
from napari_liverdx.models.architectures.base import TileModel, TileOutput
from napari_liverdx.training.data._all import Example, TileDataset

__all__ = [
    "DatasetOutput",
    "ExampleOutput",
    "as_logits",
    "predict_dataset",
    "predict_examples",
    "subtile_predictions",
]


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


@dataclass(frozen=True, slots=True, eq=False)
class DatasetOutput:
    """Outputs for all evaluation tiles of samples, with what is true of them.

    Attributes
    ----------
    index : ndarray of int, shape (n,)
        Sample of each tile.
    groups : ndarray of str, shape (n,)
    logits, targets : ndarray of float32, shape (n, classes)
    embeddings : ndarray of float32, shape (n, features)
    subtile_logits, subtile_targets : ndarray of float32, shape (n, classes, k, k), or None
        None unless the network gives them and all tiles have them.
    attribute_logits, attribute_targets : ndarray of float32, shape (n, attributes), or None
        The same for yes-or-no properties; targets are NaN where they are not known.
    """

    index: NDArray[np.intp]
    groups: NDArray[np.str_]
    logits: NDArray[np.float32]
    targets: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    subtile_logits: NDArray[np.float32] | None = None
    subtile_targets: NDArray[np.float32] | None = None
    attribute_logits: NDArray[np.float32] | None = None
    attribute_targets: NDArray[np.float32] | None = None

    def tiles(self, temperature: float = 1.0) -> LabeledPredictions:
        """Return the predictions for tiles."""
        probabilities = softmax(self.logits, temperature)
        return LabeledPredictions.of_targets(self.index, probabilities, self.targets, self.groups)

    def subtiles(self, temperature: float = 1.0) -> LabeledPredictions | None:
        """Return the predictions for subtiles, tile by tile, if there are any."""
        if self.subtile_logits is None or self.subtile_targets is None:
            return None
        return subtile_predictions(
            self.index, self.groups, self.subtile_logits, self.subtile_targets, temperature
        )


def subtile_predictions(
    index: NDArray[np.intp],
    groups: NDArray[np.str_],
    logits: NDArray[np.float32],
    targets: NDArray[np.float32],
    temperature: float = 1.0,
) -> LabeledPredictions:
    """Return predictions for subtiles from logits and targets of shape (n, classes, k, k)."""
    classes, each = logits.shape[1], int(np.prod(logits.shape[2:]))
    rows, truth = (np.moveaxis(a, 1, -1).reshape(-1, classes) for a in (logits, targets))
    return LabeledPredictions.of_targets(
        np.repeat(index, each), softmax(rows, temperature), truth, np.repeat(groups, each)
    )


def as_logits(network: TileModel, output: TileOutput) -> TileOutput:
    """Return the output with logits; the logarithm of probabilities is as good."""
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
        parts.append(TileOutput._make(None if t is None else t.float().cpu() for t in output))
    logits, embeddings, subtiles, attributes = (
        _joined([getattr(p, name) for p in parts])
        for name in ("scores", "embedding", "subtile_scores", "attribute_scores")
    )
    assert logits is not None
    assert embeddings is not None
    return ExampleOutput(logits, embeddings, subtiles, attributes)


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    given = [p for p in parts if p is not None]
    return torch.cat(given) if len(given) == len(parts) else None


def predict_dataset(
    network: TileModel,
    samples: TileDataset,
    chosen: NDArray[np.intp],
    size: int,
    device: torch.device,
    batch_size: int = 32,
) -> DatasetOutput:
    """Run a network over the evaluation tiles of samples; tiles are read batch by batch.

    Parameters
    ----------
    network : TileModel
        On ``device``.
    samples : TileDataset
        Labeled pictures.
    chosen : ndarray of int
        Which samples; may be empty.
    size : int
        Side of the tiles in pixels.
    device : torch.device
        Where to run.
    batch_size : int
        Tiles at a time.
    """
    index: list[int] = []
    outputs: list[ExampleOutput] = []
    truths: list[Example] = []
    for owners, examples in _batches(samples, chosen, size, network.subtiles, batch_size):
        index += owners
        outputs.append(predict_examples(network, examples, device, batch_size))
        # The tiles themselves are not kept: a data set need not fit into memory.
        truths += [
            Example(np.empty((0, 0, 3), np.uint8), e.target, e.subtiles, e.attributes)
            for e in examples
        ]
    at = np.array(index, np.intp)
    if not index:
        none = np.empty((0, len(samples.classes)), np.float32)
        return DatasetOutput(at, samples.groups[at], none, none, np.empty((0, 0), np.float32))
    logits, embeddings, subtiles, attributes = (
        _joined([getattr(o, name) for o in outputs]) for name in ExampleOutput._fields
    )
    assert logits is not None
    assert embeddings is not None
    return DatasetOutput(
        at,
        samples.groups[at],
        logits.numpy(),
        np.stack([e.target for e in truths]),
        embeddings.numpy(),
        *_with_truth(subtiles, [e.subtiles for e in truths]),
        *_with_truth(attributes, [e.attributes for e in truths]),
    )


def _with_truth(
    logits: Tensor | None, targets: list[NDArray[np.float32] | None]
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    given = [t for t in targets if t is not None]
    if logits is None or len(given) < len(targets):
        return None, None
    return logits.numpy(), np.stack(given)


def _batches(
    samples: TileDataset, chosen: NDArray[np.intp], size: int, subtiles: int, batch_size: int
) -> Iterator[tuple[list[int], list[Example]]]:
    """Yield evaluation tiles of samples in whole batches, each tile with its sample."""
    owners: list[int] = []
    examples: list[Example] = []
    for i in chosen:
        tiles = samples.eval_tiles(int(i), size, subtiles)
        examples += tiles
        owners += [int(i)] * len(tiles)
        while len(examples) >= batch_size:
            yield owners[:batch_size], examples[:batch_size]
            del owners[:batch_size], examples[:batch_size]
    if examples:
        yield owners, examples
