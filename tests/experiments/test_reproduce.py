"""The founding study's protocol as a function, without a command."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.compare_config import Comparison, load_comparison
from napari_liverdx.experiments.evaluate import Evaluation
from napari_liverdx.experiments.keys import reproduction_key
from napari_liverdx.experiments.reproduce import Stage, Study, reproduce_study, study_recipe
from napari_liverdx.experiments.search import Trial
from napari_liverdx.training.recipe import Recipe
from napari_liverdx.training.train_file import TrainedFile
from tests.support.folders import RECIPE


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    recipe, path = tmp_path / "tiny.yaml", tmp_path / "comparison.yaml"
    recipe.write_text(Recipe.model_validate(tomllib.loads(RECIPE)).as_yaml())
    path.write_text(
        "title: Stand-in\nrecipe: tiny.yaml\nfolds: 2\n"
        "data: {kind: table, group_pattern: null}\n"
        "models_from: literature-small.toml\n"
        "train: {tiles_per_epoch: 8, batch_size: 4}\n"
    )
    return load_comparison(str(path))


@pytest.fixture
def stated_split(class_folders: Path, tmp_path: Path) -> Path:
    lines = ["path,label,group,split"]
    for path in sorted(class_folders.glob("*/*.png")):
        label, patient = path.parent.name, path.name.split("_")[0]
        split = "test" if patient in ("p4", "p5") else "train"
        lines.append(f"{path},{label},{label}-{patient},{split}")
    table = tmp_path / "tiles.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_the_study_needs_its_models(comparison: Comparison, tmp_path: Path) -> None:
    others = tuple(m for m in comparison.models if m.name != "cnn-rnn")
    study = Study(comparison.model_copy(update={"models": others}), tmp_path, tmp_path / "o")
    with pytest.raises(DataError, match="has no models named cnn-rnn"):
        study_recipe(study)


def test_what_stands_in_the_study_is_kept(
    comparison: Comparison, stated_split: Path, tmp_path: Path
) -> None:
    study = Study(comparison, stated_split, tmp_path / "out", epochs=3)
    assert study.names == ("cnn-rnn", "cnn", "rnn-subtiles")
    assert study_recipe(study).train.epochs == 3
    every = Study(comparison, stated_split, tmp_path / "out", all_models=True)
    assert set(every.names) == {m.name for m in comparison.models}


@pytest.mark.slow
def test_a_study_runs_and_resumes(
    comparison: Comparison, stated_split: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    study = Study(comparison, stated_split, tmp_path / "out", trials=1, folds=2, epochs=1)
    steps = list(reproduce_study(study, "cpu", command="liverdx reproduce"))
    stages = [s for s in steps if isinstance(s, Stage)]
    assert [(s.number, s.total) for s in stages] == [(1, 1), (2, 2), (3, 1), (4, 0)]
    assert any(isinstance(s, TrainedFile) for s in steps)
    (tested,) = (s for s in steps if isinstance(s, Evaluation))
    assert len(tested.predictions) == 8
    best = (tmp_path / "out" / "search" / "best.yaml").read_text()
    key = reproduction_key(best, study_recipe(study).samples(stated_split))
    assert (tmp_path / "out" / "model.key").read_text() == key.id
    again = list(reproduce_study(study, "cpu"))
    assert not [s for s in again if isinstance(s, Trial | TrainedFile)]
