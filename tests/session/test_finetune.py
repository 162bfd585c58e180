"""Fine-tuning is stopped, its versions are kept, numbered and discarded."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from napari_liverdx.models.file import load_model_file, read_card
from napari_liverdx.models.versions import accept_trial, discard_trial, trial_path, versions_of
from napari_liverdx.models.zoo import available_models
from napari_liverdx.session.finetune import FinetuneRequest, run_finetuning, summarise
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.config import EpochResult
from napari_liverdx.training.interactive.annotation_store import AnnotationFolder
from napari_liverdx.training.interactive.finetune import FinetuneResult
from tests.support.models import make_card
from tests.support.teaching import taught


def _request(slide: Slide, model: Path, epochs: int = 2) -> FinetuneRequest:
    card = read_card(model)
    return FinetuneRequest(str(model), (taught(slide),), (), trial_path(card), epochs)


def test_a_stopped_lesson_leaves_no_model(painted: Path, tiny_file: Path) -> None:
    stop = threading.Event()
    with open_slide(painted) as slide:
        request = _request(slide, tiny_file)
        for event in run_finetuning(request, stop, []):
            assert not isinstance(event, EpochResult | FinetuneResult)
            stop.set()
    assert not request.trial.exists()


def test_versions_are_kept_numbered_and_discarded(
    painted: Path, tiny_file: Path, own_models: Path
) -> None:
    card = read_card(tiny_file)
    with open_slide(painted) as slide:
        for _ in range(2):
            assert list(run_finetuning(_request(slide, tiny_file, 1), threading.Event(), []))
            assert "tiny-v2" not in available_models() or own_models.exists()
            kept = accept_trial(card)
            assert not trial_path(card).exists()
        assert kept.name == "tiny-v3.safetensors"
        assert list(run_finetuning(_request(slide, kept, 1), threading.Event(), []))
    # The version taken meanwhile is not overwritten.
    fourth = read_card(trial_path(card))
    assert fourth.version == "4"
    assert fourth.parent["name"] == "tiny-v3"
    (own_models / "tiny-v4.safetensors").write_bytes(kept.read_bytes())
    fifth = accept_trial(card)
    assert fifth.name == "tiny-v5.safetensors"
    assert read_card(fifth).title == "Tiny, version 5"
    load_model_file(fifth)
    listed = versions_of(card, (tiny_file,))
    assert [v.card.version for v in listed if v.name != "tiny-v4"] == ["1", "2", "3", "5"]
    assert [c.title for n, c in available_models().items() if n.startswith("tiny-v")][:2] == [
        "Tiny, version 2",
        "Tiny, version 3",
    ]
    discard_trial(card)
    discard_trial(card)


def test_slides_taught_before_are_opened_or_named(painted: Path, tmp_path: Path) -> None:
    folder = AnnotationFolder(tmp_path / "kept")
    with open_slide(painted) as slide:
        folder.keep(slide, taught(slide).shapes)
    found = summarise((), folder.all(), make_card())
    assert found.slides == 1
    assert found.tiles["fat"] == 18
    assert found.areas_mm2["liver"] == pytest.approx(12 * 0.112**2)
    painted.unlink()
    gone = summarise((), folder.all(), make_card())
    assert gone.left_out == ("painted.tif",)
    assert gone.tiles["fat"] == 0
