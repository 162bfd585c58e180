"""`liverdx data audit` and `liverdx data split`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.training.audit.audit import audit
from napari_liverdx.training.data.table import TableDataset
from tests.support.cli import RUN
from tests.support.pictures import add_picture, parts_of


@pytest.mark.slow
def test_audit_command(clean_tiles: Path, tmp_path: Path) -> None:
    report = tmp_path / "out" / "audit.json"
    outcome = RUN.invoke(app, ["data", "audit", str(clean_tiles), "--json", str(report)])
    assert outcome.exit_code == 0, outcome.output
    assert "No data leakage found" in outcome.output
    assert "train" in outcome.output
    assert json.loads(report.read_text())["leaky"] is False
    add_picture(
        clean_tiles, "copy.png", np.asarray(Image.open(clean_tiles / "t0.png")), "a,p99,test"
    )
    outcome = RUN.invoke(
        app, ["data", "audit", str(clean_tiles / "tiles.csv"), "--json", str(report)]
    )
    assert outcome.exit_code == 1
    assert "identical images in different parts" in outcome.output
    stored = json.loads(report.read_text())
    assert stored["findings"][0]["names"] == [["t0.png", "copy.png"]]
    for arguments, words in (
        (["--kind", "jars"], "--kind"),
        (["--recipe", "liver-steatosis"], "tiles.csv"),
    ):
        outcome = RUN.invoke(app, ["data", "audit", str(clean_tiles), *arguments])
        assert isinstance(outcome.exception, LiverDxError)
        assert words in str(outcome.exception)


@pytest.mark.slow
def test_split_command_keeps_copies_together(clean_tiles: Path, tmp_path: Path) -> None:
    for i in range(8):
        copy = np.asarray(Image.open(clean_tiles / f"t{i}.png"))[:, ::-1]
        add_picture(
            clean_tiles, f"c{i}.png", np.ascontiguousarray(copy), f"{'ab'[i % 2]},q{i},train"
        )
    first, second = tmp_path / "a" / "first.csv", tmp_path / "a" / "second.csv"
    for path in (first, second):
        outcome = RUN.invoke(
            app, ["data", "split", str(clean_tiles), "--out", str(path), "--test-share", "0.3"]
        )
        assert outcome.exit_code == 0, outcome.output
    assert "8 groups are joined" in outcome.output
    assert first.read_text() == second.read_text()
    samples = TableDataset(first, ("a", "b"))
    assert {"train", "val", "test"} == set(samples.splits)
    assert not audit(samples, parts_of(samples)).is_leaky
    outcome = RUN.invoke(
        app, ["data", "split", str(clean_tiles), "--out", str(first), "--folds", "4"]
    )
    assert outcome.exit_code == 0, outcome.output
    assert {row.rsplit(",", 1)[1] for row in first.read_text().splitlines()[1:]} == set("1234")
