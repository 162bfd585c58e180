"""Settings of a training run."""

from __future__ import annotations

from napari_liverdx.training.config import TrainConfig


def test_settings_keep_their_first_names_on_disk() -> None:
    old = TrainConfig.model_validate({"cell_weight": 0.5})
    assert old.subtile_weight == 0.5
    assert old.model_dump()["cell_weight"] == 0.5
    both = {**old.model_dump(), "subtile_weight": 2.0}
    assert TrainConfig.model_validate(both).subtile_weight == 2.0
