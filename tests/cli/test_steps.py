"""Steps are printed as they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.cli.steps import print_steps
from napari_liverdx.experiments.reproduce import Stage
from napari_liverdx.experiments.written import Written
from napari_liverdx.training.train_file import Notice


def test_steps_without_progress_leave_the_error_stream_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path("out")
    steps = [Stage(1, "a title", 0), Notice("[mind] this"), Written((folder / "a", folder / "b"))]
    print_steps(steps)
    said = capsys.readouterr()
    assert "1 of 4: a title" in said.out
    assert "[mind] this" in said.out
    assert f"wrote {folder / 'a'} and b" in said.out
    assert said.err == ""
