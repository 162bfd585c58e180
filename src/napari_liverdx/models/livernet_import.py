"""LiverNet model files from the published Keras weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from napari_liverdx.core.classes import ClassKind, TissueClass
from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.architectures.livernet import LiverNet, LiverNetEnsemble
from napari_liverdx.models.card import ModelCard, Normalization
from napari_liverdx.models.file import save_model_file
from napari_liverdx.models.livernet_keras import livernet_state_from_keras
from napari_liverdx.models.ood import BATCH_NORM_STATISTICS

__all__ = ["convert_livernet"]

_CLASSES = (
    TissueClass("no-cancer", "No cancer", "#4c9f70", ClassKind.NORMAL),
    TissueClass("hcc-1", "HCC sub-type 1", "#f0b429", ClassKind.PATHOLOGICAL),
    TissueClass("hcc-2", "HCC sub-type 2", "#e8590c", ClassKind.PATHOLOGICAL),
    TissueClass("hcc-3", "HCC sub-type 3", "#c2255c", ClassKind.PATHOLOGICAL),
)


def convert_livernet(weights: Sequence[Path], out: Path) -> ModelCard:
    """Write a model file from one fold's weights, or the ensemble of several folds.

    Parameters
    ----------
    weights : sequence of Path
        Keras HDF5 files.
    out : Path
        Model file to write; float32, since fp16 would move the probabilities.

    Returns
    -------
    ModelCard
        Of the written file.

    Raises
    ------
    ModelFileError
        If a file does not hold LiverNet's weights, or none is given.
    """
    if not weights:
        raise ModelFileError("no weights given; give one HDF5 file, or all five for the ensemble")
    states = [livernet_state_from_keras(path) for path in weights]
    single = len(states) == 1
    network: LiverNet | LiverNetEnsemble
    if single:
        network = LiverNet(len(_CLASSES))
        network.load_state_dict(states[0])
    else:
        network = LiverNetEnsemble(len(_CLASSES), len(states))
        merged: dict[str, Tensor] = {}
        for i, state in enumerate(states):
            merged |= {f"members.{i}.{name}": tensor for name, tensor in state.items()}
        network.load_state_dict(merged)
    card = ModelCard(
        name="livernet-kmc-fold" if single else "livernet-kmc",
        title="LiverNet, KMC" + (" (one fold)" if single else f" ({len(states)}-fold ensemble)"),
        summary="Hepatocellular carcinoma sub-types, after Aatresh et al. 2021",
        architecture="livernet" if single else "livernet-ensemble",
        arguments={} if single else {"members": len(states)},
        classes=_CLASSES,
        mpp=0.5,
        tile_size=224,
        normalization=Normalization(mean=(0, 0, 0), std=(1, 1, 1), channel_order="BGR"),
        output="probabilities",
        training_data=(
            "KMC liver cancer set (Kasturba Medical College), H&E; Aatresh et al. 2021, "
            "doi 10.1007/s11548-021-02410-4. The resolution of the tiles is not stated; 0.5 µm/px "
            "is assumed."
        ),
        license="MIT, per the README of the published weights",
        limitations=(
            "Fails off its own laboratory's images: on normal liver from elsewhere no fold "
            "answers 'no cancer', and folds disagree with great confidence on anything unlike "
            "its training tiles. Use it only on images of its own source."
        ),
        ood=BATCH_NORM_STATISTICS,
    )
    save_model_file(out, network, card, half=False)
    return card
