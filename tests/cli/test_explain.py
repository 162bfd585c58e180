"""`liverdx explain`: the picture it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import PlanError


def test_command_writes_the_picture(small_slide: Path, tiny_file: Path, tmp_path: Path) -> None:
    base = ["explain", str(small_slide), "--model", str(tiny_file)]
    by_tile, by_place = tmp_path / "a.png", tmp_path / "b.png"
    result = CliRunner().invoke(app, [*base, "--tile", "1,2", "--class", "fat", "-o", str(by_tile)])
    assert result.exit_code == 0, result.output
    assert "Tile 1, 2" in result.output
    assert "without RNN" in result.output
    result = CliRunner().invoke(
        app, [*base, "--at", "460,300", "--class", "fat", "-o", str(by_place)]
    )
    assert result.exit_code == 0, result.output
    first, second = (np.asarray(Image.open(p)) for p in (by_tile, by_place))
    assert np.array_equal(first, second)
    assert first.shape[1] > 5 * 224


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "say which tile"),
        (["--tile", "1,1", "--at", "1,1"], "say which tile"),
        (["--tile", "1"], "two numbers"),
        (["--tile", "9,0"], "no tile 9, 0"),
        (["--at", "5000,1"], "not on the slide"),
        (["--tile", "0,0", "--class", "tumor"], "no class 'tumor'"),
    ],
)
def test_command_says_what_is_wrong(
    small_slide: Path, tiny_file: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    out = tmp_path / "a.png"
    result = CliRunner().invoke(
        app, ["explain", str(small_slide), "-m", str(tiny_file), *more, "-o", str(out)]
    )
    assert isinstance(result.exception, PlanError)
    assert message in str(result.exception)
    assert not out.exists()
