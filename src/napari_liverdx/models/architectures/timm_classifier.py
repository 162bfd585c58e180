"""Published convolutional classifiers: a timm backbone, mean pooling, one linear layer."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from napari_liverdx.models.architectures._timm import timm
from napari_liverdx.models.architectures.base import TileModel, TileOutput

__all__ = [
    "TimmClassifier",
    "attention_resnet",
    "cbam_resnet",
    "densenet",
    "inception_v3",
    "se_resnet",
    "sk_resnet",
]

_DEPTHS = (18, 34, 50)


class TimmClassifier(TileModel):
    """Backbone → mean over the tile → dropout → linear layer.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    encoder : str
        Any timm model.
    dropout : float
        Before the linear layer, in training.
    attributes : sequence of str
        Names of yes-or-no properties predicted beside the class, for example mutated genes; each
        has a logit of its own in ``attribute_scores``.
    options : keyword arguments
        Passed to timm.

    Raises
    ------
    ValueError
        If timm has no such model.
    """

    def __init__(
        self,
        n_classes: int,
        encoder: str,
        dropout: float = 0.2,
        attributes: tuple[str, ...] | list[str] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        if not timm.is_model(encoder) or ":" in encoder:
            raise ValueError(f"timm has no encoder {encoder!r}")
        self.encoder_name = encoder
        self.attributes = tuple(attributes)
        self.encoder = timm.create_model(encoder, pretrained=False, num_classes=0, **options)
        self.dropout = nn.Dropout(dropout)
        encoder_width: Any = self.encoder.num_features
        width = int(getattr(self.encoder, "head_hidden_size", encoder_width))
        self.head = nn.Linear(width, n_classes)
        self.attribute_head = nn.Linear(width, len(self.attributes)) if self.attributes else None
        config: Any = self.encoder.pretrained_cfg
        self.set_normalization(config["mean"], config["std"])

    def classify(self, x: Tensor) -> TileOutput:
        """Classify normalized input, shape (n, 3, h, w); scores are logits."""
        embedding = self.encoder(x)
        dropped = self.dropout(embedding)
        more = None if self.attribute_head is None else self.attribute_head(dropped)
        return TileOutput(self.head(dropped), embedding, attribute_scores=more)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return parameters of the backbone."""
        return list(self.encoder.parameters())


def attention_resnet(
    n_classes: int, attention: str, depth: int = 50, dropout: float = 0.2
) -> TimmClassifier:
    """Build a ResNet with attention in its blocks, as compared by C. Chen et al. 2022.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    attention : {"se", "sk", "cbam"}
        Squeeze-and-excitation (Hu et al. 2018), selective kernels (Li et al. 2019), or
        convolutional block attention (Woo et al. 2018).
    depth : {18, 34, 50}
        Layers.
    dropout : float
        Before the linear layer.

    Raises
    ------
    ValueError
        If timm has no such depth.
    """
    if depth not in _DEPTHS:
        raise ValueError(f"depth {depth} is not one of {_DEPTHS}")
    if attention == "cbam":
        options: dict[str, Any] = {"block_args": {"attn_layer": "cbam"}}
        return TimmClassifier(n_classes, f"resnet{depth}", dropout, **options)
    return TimmClassifier(n_classes, f"{attention}resnet{depth}", dropout)


se_resnet = partial(attention_resnet, attention="se")
sk_resnet = partial(attention_resnet, attention="sk")
cbam_resnet = partial(attention_resnet, attention="cbam")

inception_v3 = partial(TimmClassifier, encoder="inception_v3")
"""Inception V3 (Szegedy et al. 2016), as in M. Chen et al. 2020, with ``attributes`` for genes."""

densenet = partial(TimmClassifier, encoder="densenet121")
"""DenseNet-121 (Huang et al. 2017), as in Kiani et al. 2020."""
