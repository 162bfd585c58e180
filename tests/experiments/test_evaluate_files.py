"""A test of a model with its page, without a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.evaluate import Evaluation
from napari_liverdx.experiments.evaluate_files import (
    EvaluationProgress,
    evaluate_files,
    model_samples,
    samples_of_split,
)
from napari_liverdx.experiments.written import Written
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.training.data.config import DataConfig
from napari_liverdx.training.data.masks import FatMaskDataset
from napari_liverdx.training.train_file import Notice
from tests.support.reports import check_harmless


@pytest.mark.slow
def test_a_page_is_written(packaged: LoadedModel, masked_tiles: Path, tmp_path: Path) -> None:
    samples = model_samples(packaged, masked_tiles, DataConfig(kind="masks"))
    assert tuple(samples.classes) == packaged.card.scheme.names
    chosen = samples_of_split(samples, masked_tiles)
    samples.splits = np.full(len(samples), "train")
    out = tmp_path / "out"
    steps = list(
        evaluate_files(
            packaged, samples, chosen, torch.device("cpu"), out, data=masked_tiles, command="how"
        )
    )
    assert steps[0] == EvaluationProgress(len(chosen), len(chosen))
    (said,) = (s.text for s in steps if isinstance(s, Notice))
    assert "stated to be for train" in said
    assert isinstance(steps[-2], Evaluation)
    assert steps[-1] == Written((out / "evaluation.html", out / "evaluation.json"))
    assert json.loads((out / "evaluation.json").read_text())["command"] == "how"
    page = (out / "evaluation.html").read_text()
    assert said in page
    check_harmless(page)
    assert page.count("data:image/png") == 3


def test_samples_of_a_split_and_a_source(masked_samples: FatMaskDataset, tmp_path: Path) -> None:
    samples = masked_samples
    samples.splits = np.where(np.arange(len(samples)) < 8, "train", "test")
    chosen = samples_of_split(samples, tmp_path, ("T",), "test")
    assert chosen.tolist() == np.flatnonzero(samples.sources == "T")[2:].tolist()
    with pytest.raises(DataError, match="no sample belongs to the split 'val'"):
        samples_of_split(samples, tmp_path, split="val")
