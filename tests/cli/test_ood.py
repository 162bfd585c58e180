"""What the commands say of slides unlike the training data."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import DataError, PlanError
from napari_liverdx.core.ood import NO_STATISTICS
from napari_liverdx.core.prediction_sets import UNCERTAIN_ID
from tests.support.cli import RUN
from tests.support.paths import one


@pytest.mark.slow
def test_command_says_it_and_counts_not_sure(tmp_path: Path, small_slide: Path) -> None:
    out = tmp_path / "o"
    arguments = ["analyze", str(small_slide), "--out", str(out), "--error-rate", "0.05"]
    outcome = RUN.invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert "before the run: " in outcome.output
    assert "whole run: " in outcome.output
    table = one(out, "small.liver-steatosis-*.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows[-1]["class"] == UNCERTAIN_ID
    assert sum(float(r["percent_of_tissue"]) for r in rows) == pytest.approx(100, abs=0.01)
    page = one(out, "small.liver-steatosis-*.html").read_text(encoding="utf-8")
    assert "error rate 0.05" in page
    assert "tiles (" in page.split("<td>Distribution</td>")[1][:200]


@pytest.mark.slow
def test_old_models_say_that_they_cannot_tell(
    tmp_path: Path, small_slide: Path, tiny_file: Path
) -> None:
    arguments = ["analyze", str(small_slide), "--out", str(tmp_path / "o"), "-m", str(tiny_file)]
    outcome = RUN.invoke(app, arguments)
    assert NO_STATISTICS in outcome.output
    page = one(tmp_path / "o", "small.tiny-*.html").read_text(encoding="utf-8")
    assert "This model has no reference statistics" in page
    refused = RUN.invoke(app, [*arguments, "--error-rate", "0.1"])
    assert isinstance(refused.exception, PlanError)
    assert "no calibration scores" in str(refused.exception)
    refused = RUN.invoke(app, ["ood", "score", str(tiny_file), str(small_slide)])
    assert isinstance(refused.exception, DataError)


def test_domain_command_makes_a_table(tmp_path: Path, small_slide: Path) -> None:
    for i in range(3):
        Image.new("RGB", (100 + 300 * i, 300), (40 * i, 200, 30)).save(tmp_path / f"g{i}.png")
    arguments = ["ood", "score", "liver-steatosis", str(small_slide), str(tmp_path / "g*.png")]
    outcome = RUN.invoke(app, [*arguments, "--out", str(tmp_path / "o"), "--tiles", "5"])
    assert outcome.exit_code == 0, outcome.output
    rows = json.loads((tmp_path / "o" / "liver-steatosis.json").read_text())["rows"]
    assert [r["tiles"] for r in rows] == [5, 3]
    assert rows[1]["state"] == "foreign" or rows[1]["outside"] == 3
    outcome = RUN.invoke(app, ["ood", "score", "liver-steatosis", str(tmp_path / "none*.png")])
    assert isinstance(outcome.exception, DataError)
