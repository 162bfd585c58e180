"""The course of a training beside its model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_liverdx.training.config import EpochResult, history_csv
from napari_liverdx.training.curves import write_curves, write_history


def test_history_and_curves_stand_beside_the_model(tmp_path: Path) -> None:
    history = [
        EpochResult(n, 1 / n, 1.5 / n, 0.5 + n / 10, best=True, stopped_early=False, temperature=1)
        for n in (1, 2, 3)
    ]
    model = tmp_path / "tiny.safetensors"
    assert write_history(model, history) == tmp_path / "tiny.history.csv"
    assert (tmp_path / "tiny.history.csv").read_text() == history_csv(history)
    assert write_curves(model, history) == tmp_path / "tiny.curves.png"
    assert np.asarray(Image.open(tmp_path / "tiny.curves.png")).std() > 10
    assert len(list(tmp_path.iterdir())) == 2
