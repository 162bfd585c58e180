"""Fine-tuning learns what was drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_liverdx.models.file import LoadedModel, load_model_file, save_model_file
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.interactive.corrections import AnnotationDataset, answer_of
from napari_liverdx.training.interactive.finetune import FinetuneResult, finetune, finetune_config
from napari_liverdx.training.interactive.split import split_annotations
from tests.support.models import SCHEME, make_card
from tests.support.teaching import TILE, taught


@pytest.mark.slow
def test_teaching_learns_what_was_drawn(painted: Path, tiny: LoadedModel, tmp_path: Path) -> None:
    """Random weights call everything one class; two painted colors are learned, subtiles too."""
    path = tmp_path / "taught.safetensors"
    with open_slide(painted) as slide:
        samples = AnnotationDataset(
            [taught(slide)], tiny.card, answer_of(tiny, torch.device("cpu"))
        )
        split = split_annotations(samples)
        config = finetune_config(12)
        steps = list(finetune(tiny, samples, split, path, torch.device("cpu"), config=config))
    outcome = steps[-1]
    assert isinstance(outcome, FinetuneResult)
    epochs = [s for s in steps if isinstance(s, EpochResult)]
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert outcome.test.by == "place"
    assert outcome.test.tiles == len(split.held_out)
    assert outcome.test.before.value < 0.75
    assert outcome.test.after.value == 1.0
    model = load_model_file(path)
    encoder = tiny.network.encoder.state_dict()
    for name, tensor in model.network.encoder.state_dict().items():
        assert torch.allclose(tensor, encoder[name], atol=1e-3), name
    card = model.card
    assert (card.version, card.name) == ("2", "tiny-v2")
    assert card.parent["sha256"] == tiny.sha256
    assert card.parent["version"] == "1"
    assert "optimistic" in card.metrics["balanced accuracy"].how
    assert "is not known" in card.limitations
    assert "Not annotated: Background" in card.limitations
    assert not card.ood
    assert not card.conformal
    assert card.temperature >= tiny.card.temperature
    with torch.inference_mode(), open_slide(painted) as slide:
        dense = []
        for y in (0, 5 * TILE):
            tile = torch.from_numpy(slide.read_region(0, 0, y, TILE, TILE)).permute(2, 0, 1)[None]
            dense.append(model.network(tile).subtile_scores.argmax(1))
    assert (dense[0] == SCHEME.index("liver")).float().mean() > 0.8
    assert (dense[1] == SCHEME.index("fat")).float().mean() > 0.8


@pytest.mark.slow
def test_other_architectures_are_taught_too(painted: Path, tmp_path: Path) -> None:
    from napari_liverdx.models.architectures.registry import build_model

    torch.manual_seed(0)
    card = make_card(architecture="cnn", arguments={"encoder": "mobilenetv3_small_050"}, subtiles=1)
    path = tmp_path / "cnn.safetensors"
    save_model_file(path, build_model("cnn", 3, card.arguments, TILE), card, half=False)
    model = load_model_file(path)
    config = finetune_config(1).model_copy(update={"tiles_per_epoch": 8, "batch_size": 4})
    with open_slide(painted) as slide:
        samples = AnnotationDataset([taught(slide)], card)
        split = split_annotations(samples)
        out = tmp_path / "out.safetensors"
        groups = samples.groups.copy()
        steps = list(finetune(model, samples, split, out, torch.device("cpu"), config=config))
        assert samples.groups.tolist() == groups.tolist(), "the samples stay as they were given"
    assert isinstance(steps[-1], FinetuneResult)
    assert load_model_file(out).card.subtiles == 1
