"""Model cards reject nonsense."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from napari_liverdx.core.errors import ModelFileError
from napari_liverdx.models.file import LoadedModel, read_card, save_model_file
from tests.support.models import CLASSES, make_card


@pytest.mark.parametrize(
    "change",
    [
        {"mpp": 0},
        {"mpp": 1e308},
        {"mpp": math.nan},
        {"temperature": -1},
        {"temperature": 1e-300},
        {"temperature": math.inf},
        {"surprise": 1},
        {"name": "No Spaces"},
        {"name": "a" * 300},
        {"tile_size": 10**9},
        {"subtiles": 10**9},
        {"classes": CLASSES[:1] * 2},
        {"normalization": {"std": (0.5, 0.0, 0.5)}},
        {"normalization": {"mean": (math.nan, 0.0, 0.5)}},
        {"trained_on": {"a": [(0, 0, math.inf, 1)]}},
        {"ood": {"kind": "embedding", "limit": 1.0}},
        {"ood": {"kind": "embedding", "limit": 1.0, "residual": 0}},
        {"ood": {"kind": "batch-norm", "limit": "many"}},
        {"ood": {"kind": "batch-norm", "limit": math.nan}},
        {"ood": {"kind": "batch-norm", "limit": 3.84, "overlap": 1.0}},
    ],
)
def test_cards_reject_nonsense(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make_card(**change)


def test_statistics_of_another_kind_are_kept() -> None:
    """A later version may know more of them."""
    assert make_card(ood={"kind": "later", "spread": "x"}).ood["spread"] == "x"


@pytest.mark.parametrize(
    "scores",
    [
        {"groups": 3, "samples": 9, "rates": [0.1, 0.2], "quantiles": [0.5]},
        {"groups": 3, "samples": 9, "rates": [], "quantiles": []},
        {"groups": 3, "samples": 9, "rates": [0.1], "quantiles": [7.0]},
        {"rates": [0.1], "quantiles": [0.5]},
        "none",
    ],
)
def test_calibration_scores_are_read_with_the_card(
    tmp_path: Path, tiny: LoadedModel, scores: object
) -> None:
    path = tmp_path / "a.safetensors"
    save_model_file(path, tiny.network, make_card(conformal={"tile": scores}))
    with pytest.raises(ModelFileError, match="card is not valid"):
        read_card(path)
