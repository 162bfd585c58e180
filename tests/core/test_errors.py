"""Whatever is wrong with a path, the error is one of ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_liverdx.core.errors import LiverDxError, ResultError, existing_path, storage_errors
from napari_liverdx.mil.file import load_mil_model
from napari_liverdx.models.file import load_model_file, read_card, save_model_file
from napari_liverdx.models.zoo import load_model
from napari_liverdx.reports.cohort import write_cohort_manifest
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.annotations.geojson import read_geojson
from napari_liverdx.slides.csv_table import read_table
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.recipe import load_recipe
from tests.support.models import SMALL, model_of

OPENERS: list[Callable[[Path], object]] = [
    open_slide,
    load_model,
    load_model_file,
    read_card,
    load_mil_model,
    ResultStore.open,
    read_geojson,
    lambda path: read_table(path, ("path",)),
    lambda path: load_recipe(str(path)),
    lambda path: load_recipe(f"{path}.toml"),
]

BAD = ["\0", "a\0b.svs", "n" * 300, "~nobody-of-this-name/x.svs", "", ".", "a-file/x", "none/x"]


@pytest.fixture
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "a-file").write_bytes(b"text")
    name: str = request.param
    return Path(name) if name.startswith("~") else tmp_path / name


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("bad", BAD, indirect=True)
def test_a_bad_path_gives_an_error_of_ours(opener: Callable[[Path], object], bad: Path) -> None:
    with pytest.raises(LiverDxError):
        opener(bad)


@pytest.mark.parametrize("bad", ["\0", "a\0b", "n" * 300, "a-file/x"], indirect=True)
def test_so_does_a_bad_path_to_write_to(bad: Path) -> None:
    model = model_of("cnn-rnn", 64, encoder=SMALL, hidden=8, projection=16)
    with pytest.raises(ResultError):
        write_cohort_manifest(bad, {})
    with pytest.raises(LiverDxError):
        save_model_file(bad, model.network, model.card)


def test_the_message_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(ResultError) as caught:
        existing_path(tmp_path / "a\0b", ResultError)
    assert "\0" not in str(caught.value)
    with pytest.raises(ResultError) as caught:
        existing_path("n" * 10_000, ResultError)
    assert len(str(caught.value)) < 400


def test_another_problem_while_writing_stays_what_it_is(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="not about the path") as caught,
        storage_errors(tmp_path / "x", "kept"),
    ):
        raise ValueError("not about the path")
    assert not isinstance(caught.value, LiverDxError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "a.svs"
    os.mkfifo(pipe)
    with pytest.raises(ResultError, match="a pipe or a device"):
        existing_path(pipe, ResultError)
