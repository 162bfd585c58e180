"""From slides with annotations to a slide-level model and its prediction."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.cli.app import app
from napari_liverdx.mil.bags import load_bags
from napari_liverdx.mil.file import load_mil_model
from napari_liverdx.slides.slide import Slide
from tests.support.cli import RUN, refused
from tests.support.mil import write_square
from tests.support.slides import write_pyramid


@pytest.mark.slow
def test_commands_from_slides_to_a_call(tmp_path: Path, tiny_file: Path, sample: Slide) -> None:
    lines = ["slide,label,group,annotation"]
    for i in range(4):
        path = tmp_path / f"s{i}.tif"
        write_pyramid(path, sample.read_region(0, 1900 + 100 * i, 500, 560, 448))
        write_square(tmp_path / f"s{i}.geojson", ("liver", "fat")[i % 2], 0, 0, 448)
        lines.append(f"s{i}.tif,{('normal', 'fat')[i % 2]},p{i},s{i}.geojson")
    table, bags, context = tmp_path / "t.csv", tmp_path / "bags", tmp_path / "around.safetensors"
    table.write_text("\n".join(lines) + "\ngone.tif,fat,p9,\n")
    made = RUN.invoke(app, ["mil", "extract", str(table), "-m", str(tiny_file), "-o", str(bags)])
    assert made.exit_code == 1
    assert "gone.tif" in made.output
    assert "4 of 5 slides" in made.output
    assert len(load_bags(bags)) == 4
    trained = RUN.invoke(
        app,
        ["mil", "train", str(bags), "-m", str(tiny_file), "-o", str(context), "--epochs", "2"],
    )
    assert trained.exit_code == 0, trained.output
    card = load_mil_model(context).card
    assert card.name == "around"
    assert card.slide is not None
    assert card.slide.learned_from == "both"
    assert str(tmp_path) not in card.model_dump_json()
    tested = RUN.invoke(app, ["mil", "test", str(context), str(bags)])
    assert tested.exit_code == 0, tested.output
    assert "slides: balanced accuracy" in tested.output
    assert "tiles: AUC" in tested.output
    run = ["analyze", str(tmp_path / "s0.tif"), "-m", str(tiny_file), "-o", str(tmp_path / "out")]
    called = RUN.invoke(app, [*run, "--mil-model", str(context)])
    assert called.exit_code == 0, called.output
    assert "slide-level prediction" in called.output
    (report,) = (tmp_path / "out").glob("*.html")
    assert "Slide prediction" in report.read_text(encoding="utf-8")
    assert "made with the tile model 'tiny'" in refused("mil", "train", bags, "-o", context)
    assert "not a slide-level model" in refused("mil", "test", tiny_file, bags)
    table.write_text("slide,label,group\ns0.tif,normal,p0\n")
    plain = ["mil", "extract", str(table), "-m", str(tiny_file), "-o", str(tmp_path / "plain")]
    assert RUN.invoke(app, plain).exit_code == 0
    again = RUN.invoke(app, plain)
    assert again.exit_code == 0, again.output
    assert "there already" in again.output
