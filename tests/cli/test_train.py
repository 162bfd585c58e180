"""`liverdx train` writes a model that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.models.zoo import load_model
from tests.support.models import CLASSES


@pytest.mark.slow
def test_train_command_writes_a_model_that_runs(masked_tiles: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from napari_liverdx.cli.app import app

    path = tmp_path / "recipe.toml"
    classes = "\n".join(
        f'[[card.classes]]\nname="{c.name}"\ntitle="{c.title}"\ncolour="{c.color}"\n'
        f'kind="{c.kind.value}"'
        for c in CLASSES
    )
    path.write_text(
        'start = "scratch"\n[card]\nname="tiny"\ntitle="Tiny"\nsummary="s"\n'
        'architecture="cnn-rnn"\nmpp=0.5\ntile_size=224\n'
        '[card.arguments]\nencoder="mobilenetv3_small_050"\nhidden=8\nprojection=16\n'
        f"{classes}\n[data]\nval_folds=2\n"
        "[train]\nepochs=1\nwarmup_epochs=0\ntiles_per_epoch=8\nbatch_size=4\n"
    )
    out = tmp_path / "tiny.safetensors"
    outcome = CliRunner().invoke(app, ["train", str(path), str(masked_tiles), "--out", str(out)])
    assert outcome.exit_code == 0, outcome.output
    model = load_model(out)
    assert model.card.subtiles == 7
    assert model.card.command.startswith("liverdx ")
    assert not list(tmp_path.glob("*.checkpoint"))
