"""`liverdx batch` against one slide after another, its status, hidden names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_liverdx.cli.app import app
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.batch import BatchRequest
from napari_liverdx.slides.open import open_slide
from tests.support.cli import RUN
from tests.support.cohort import cohort_table, last_states, read_csv, result_of
from tests.support.paths import one


@pytest.mark.slow
def test_a_batch_equals_the_slides_alone(
    request_all: BatchRequest, mixed_slides: Path, tiny_file: Path, tmp_path: Path
) -> None:
    last_states(request_all)
    alone = tmp_path / "alone"
    arguments = [
        mixed_slides / "a" / "liver.tif",
        "--out",
        alone,
        "--model",
        tiny_file,
        "-t",
        "fat=0.3",
    ]
    assert RUN.invoke(app, ["analyze", *map(str, arguments)]).exit_code == 0
    first, many = (ResultStore.open(result_of(f)) for f in (alone, tmp_path / "out"))
    assert (first.state == many.state).all()
    assert (first.probabilities == many.probabilities).all()
    tables = [one(f, "liver.tiny-*.csv").read_text() for f in (alone, tmp_path / "out")]
    assert tables[0] == tables[1]
    assert one(tmp_path / "out", "liver.tiny-*.html")
    row = next(r for r in cohort_table(tmp_path / "out") if r["folder"] == "a")
    fat = next(r for r in read_csv(one(alone, "liver.tiny-*.csv")) if r["class"] == "fat")
    assert float(row["fat_mm2"]) > 0
    assert row["fat_mm2"] == fat["area_mm2"]
    assert row["fat_percent_of_tissue"] == fat["percent_of_tissue"]
    assert int(row["fat_foci"]) > 0
    assert float(row["fat_largest_focus_mm"]) > 0


def test_names_are_hidden_in_all_that_is_handed_on(
    mixed_slides: Path, tiny_file: Path, tmp_path: Path
) -> None:
    (mixed_slides / "a" / "liver.tif").rename(mixed_slides / "Doe_Jane.tif")
    (mixed_slides / "cut.svs").rename(mixed_slides / "Roe_Jane.svs")
    out = tmp_path / "out"
    listed = tmp_path / "slides.csv"
    listed.write_text("path,mpp\nslides/Doe_Jane.tif,\nslides/Roe_Jane.svs,\n")
    options = ["--out", str(out), "--model", str(tiny_file), "--pseudonymize"]
    assert RUN.invoke(app, ["batch", str(listed), *options]).exit_code == 1
    with open_slide(mixed_slides / "Doe_Jane.tif") as opened:
        code = opened.fingerprint()[:8]
    good, bad = cohort_table(out)
    assert (good["slide"], good["folder"]) == (code, "")
    assert good["result"] == one(out, "*.liverdx.zarr").name.replace("Doe_Jane", code)
    assert (bad["slide"], bad["state"]) == ("slide 2", "failed")
    assert "truncated" in bad["problem"]
    files = {p.name for p in out.iterdir() if p.is_file()}
    stem = one(out, f"{code}.tiny-*.html").stem
    assert files == {f"{stem}.html", f"{stem}.csv", "cohort.csv", "cohort.json"}
    for name in files:
        assert "jane" not in (out / name).read_text(encoding="utf-8").lower(), name
    assert json.loads((out / "cohort.json").read_text())["hide_names"] is True


@pytest.mark.slow
def test_command_ends_with_a_status_that_tells(
    mixed_slides: Path, tiny_file: Path, tmp_path: Path, request_all: BatchRequest
) -> None:
    out = ["--out", str(tmp_path / "out"), "--model", str(tiny_file), "-t", "fat=0.3"]
    outcome = RUN.invoke(app, ["batch", str(mixed_slides), "--recursive", *out])
    assert outcome.exit_code == 1, outcome.output
    assert "Finished: 2 analyzed, 2 failed" in outcome.output
    assert "truncated" in outcome.output
    cli = cohort_table(tmp_path / "out")
    last_states(replace(request_all, out_folder=tmp_path / "code"))
    assert cli == cohort_table(tmp_path / "code")
    more = ["--pattern", "*.tif", "--mpp", "0.5"]
    outcome = RUN.invoke(app, ["batch", str(mixed_slides), *more, *out])
    assert outcome.exit_code == 0, outcome.output
    assert "Finished: 1 analyzed" in outcome.output
    outcome = RUN.invoke(app, ["batch", str(mixed_slides), *out, "-t", "fat=7"])
    assert "between 0 and 1" in str(outcome.exception)
    assert "cohort.csv" in RUN.invoke(app, ["batch", "--help"]).output
