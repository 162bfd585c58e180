"""The command line: a whole analysis, and every refusal in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from napari_liverdx.cli.app import RENAMED_COMMANDS, RENAMED_OPTIONS, app
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.slide import Slide
from tests.support.artifacts import INKS, inked, written
from tests.support.cli import RUN, liverdx_process, refused, run_command
from tests.support.commands_v010 import COMMANDS_V010
from tests.support.paths import CMU, one
from tests.support.slides import corrupt_tile, waves, write_pyramid


@pytest.mark.slow
def test_analysis_from_end_to_end(tmp_path: Path) -> None:
    slide, out = tmp_path / "liver-sample.ome.tif", tmp_path / "out"
    assert RUN.invoke(app, ["slide", "sample", str(slide)]).exit_code == 0
    outcome = RUN.invoke(app, ["analyze", str(slide), "--out", str(out), "-t", "fat=0.7"])
    assert outcome.exit_code == 0, outcome.output
    for words in ("0.5 µm/px (OME PhysicalSize)", "Liver with fat", "0.70", "not for diagnosis"):
        assert words in outcome.output
    result = one(out, "liver-sample.liver-steatosis-*.liverdx.zarr")
    base = str(result).removesuffix(".liverdx.zarr")
    table = Path(f"{base}.csv").read_text().splitlines()
    assert table[0] == (
        "region,class,threshold,area_mm2,percent_of_tissue,mean_probability,foci,largest_focus_mm,"
        "basis"
    )
    fat = dict(zip(table[0].split(","), table[3].split(","), strict=True))
    assert (fat["region"], fat["class"]) == ("all analyzed tissue", "fat")
    # Both regions of the sample are heavily fatty.
    assert float(fat["percent_of_tissue"]) > 40
    page = Path(f"{base}.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "https:" not in page
    assert str(tmp_path) not in page
    assert ResultStore.open(result).is_complete
    again = RUN.invoke(app, ["analyze", str(slide), "--out", str(out)])
    assert "tiles are done already" in again.output


@pytest.mark.slow
def test_missing_resolution_is_asked_for_and_taken(tmp_path: Path, tiny_file: Path) -> None:
    slide = tmp_path / "no-mpp.tif"
    pixels = waves(500, 500)
    pixels[..., 1] //= 3
    write_pyramid(slide, pixels, mpp=None)
    arguments = ["analyze", slide, "--out", tmp_path / "o", "--model", tiny_file]
    assert "--mpp 0.25" in refused(*arguments)
    outcome = RUN.invoke(app, [str(a) for a in [*arguments, "--mpp", "0.5"]])
    assert outcome.exit_code == 0, outcome.output
    assert "given by user" in outcome.output
    assert "plausible" in refused(*arguments, "--mpp", "500")


def test_refusals(tmp_path: Path, tiny_file: Path, small_slide: Path) -> None:
    out = ["--out", tmp_path / "o", "--model", tiny_file]
    text = tmp_path / "text.svs"
    text.write_text("no image")
    cut = tmp_path / "cut.svs"
    cut.write_bytes(CMU.read_bytes()[:900_000])
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(tiny_file.read_bytes()[:5000])
    assert "not an image" in refused("analyze", text, *out)
    assert "truncated" in refused("analyze", cut, *out)
    assert "no such file" in refused("analyze", tmp_path / "none.svs", *out)
    assert "damaged" in refused("analyze", small_slide, "--out", tmp_path, "--model", broken)
    assert "no model called" in refused("analyze", small_slide, "--out", tmp_path, "-m", "what")
    assert "threshold" in refused("analyze", small_slide, *out, "-t", "fat=2")
    assert "threshold" in refused("analyze", small_slide, *out, "-t", "liver=0.5")
    assert "overlap" in refused("analyze", small_slide, *out, "--overlap", "1.5")
    assert "unknown" in refused("analyze", small_slide, *out, "--device", "abacus")
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_another_slides_result_is_refused(
    tmp_path: Path, tiny_file: Path, small_slide: Path
) -> None:
    out = ["--out", tmp_path / "o", "--model", tiny_file]
    assert RUN.invoke(app, [str(a) for a in ["analyze", small_slide, *out]]).exit_code == 0
    other = tmp_path / "elsewhere" / "small.tif"
    other.parent.mkdir()
    shutil.copyfile(small_slide, other)
    with other.open("ab") as file:
        file.write(b"\0" * 100)
    assert "another run" in refused("analyze", other, *out)


@pytest.mark.slow
def test_corrupt_tile_is_counted(tmp_path: Path, tiny_file: Path, small_slide: Path) -> None:
    corrupt_tile(small_slide, 3 * 9 + 4)
    outcome = liverdx_process("analyze", small_slide, "--out", tmp_path / "o", "--model", tiny_file)
    assert outcome.returncode == 0
    assert "could not be read" in outcome.stderr
    assert "row 3, column 4" in outcome.stderr
    assert "tiles could not be read" in one(tmp_path / "o", "small.tiny-*.html").read_text()


def test_errors_are_one_line_without_a_traceback(tmp_path: Path) -> None:
    outcome = liverdx_process("slide", "info", tmp_path / "none.svs")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("Error:")
    assert "Traceback" not in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


def test_info_models_card_and_version() -> None:
    assert "2,220 × 2,967 px, 1.11 × 1.48 mm" in run_command("slide", "info", CMU)
    assert "liver-steatosis" in RUN.invoke(app, ["model", "list"]).output
    card = json.loads(RUN.invoke(app, ["model", "card", "liver-steatosis"]).output)
    assert card["name"] == "liver-steatosis"
    assert "napari-liverdx 0." in RUN.invoke(app, ["--version"]).output


@pytest.mark.slow
def test_livernet_conversion(tmp_path: Path, data_root: Path, sample: Slide) -> None:
    files = sorted((data_root / "livernet").glob("*.h5"))
    slide = tmp_path / "piece.tif"
    write_pyramid(slide, sample.read_region(0, 1900, 700, 300, 300))
    single, all_five = tmp_path / "one.safetensors", tmp_path / "five.safetensors"
    convert = ["model", "convert-livernet"]
    for weights, out in ((files[:1], single), (files, all_five)):
        outcome = RUN.invoke(app, [*convert, *map(str, weights), "--out", str(out)])
        assert outcome.exit_code == 0, outcome.output
        assert "Fails off its own" in outcome.output.replace("\n", " ")
        arguments = ["analyze", slide, "--out", tmp_path / out.stem, "--model", out]
        outcome = RUN.invoke(app, [str(a) for a in arguments])
        assert outcome.exit_code == 0, outcome.output
        assert "HCC sub-type 3" in outcome.output


@pytest.mark.slow
def test_converted_livernet_equals_the_original(tmp_path: Path, data_root: Path) -> None:
    import numpy as np
    import torch

    from napari_liverdx.models.file import load_model_file

    files = sorted((data_root / "livernet").glob("*.h5"))
    out = tmp_path / "five.safetensors"
    convert = ["model", "convert-livernet", *map(str, files), "--out", str(out)]
    assert RUN.invoke(app, convert).exit_code == 0
    model = load_model_file(out)
    with np.load(data_root / "livernet" / "golden.npz") as golden:
        tiles = torch.from_numpy(golden["tiles_rgb"][:3]).permute(0, 3, 1, 2)
        expected = np.mean([golden[f.stem][:3] for f in files], axis=0)
    with torch.inference_mode():
        found = model.probabilities(model.network(tiles).scores).numpy()
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("command", ["analyze", "train", "slide info"])
def test_every_command_explains_itself(command: str) -> None:
    outcome = RUN.invoke(app, [*command.split(), "--help"])
    assert outcome.exit_code == 0
    assert "Usage" in outcome.output


@pytest.mark.slow
def test_commands_leave_artifacts_out_unless_told(
    liver: np.ndarray, tiny_file: Path, tmp_path: Path
) -> None:
    path = written(tmp_path / "inked.tif", inked(liver[:700, :700], INKS["green"], np.s_[:300]))
    told = run_command("slide", "info", path)
    assert "pen marks" in told
    assert "left out by default" in told
    command = ["analyze", str(path), "-m", str(tiny_file), "--device", "cpu", "-o"]
    counts = {}
    for name, more in (("out", []), ("kept", ["--keep-artifacts"])):
        outcome = CliRunner().invoke(app, [*command, str(tmp_path / name), *more])
        assert outcome.exit_code == 0, outcome.output
        (result,) = (tmp_path / name).glob("*.zarr")
        store = ResultStore.open(result)
        counts[name] = store.count(TileState.DONE)
        assert ("pen" in store.manifest.tissue["excluded"]) is (name == "out")
        json.dumps(store.manifest.tissue)
    assert counts["out"] < counts["kept"]


def parsed(words: list[str]) -> tuple[Any, Any]:
    """The command that these words call, and what they say to it; nothing is run."""
    command: Any = typer.main.get_command(app)
    name, parent = "liverdx", None
    while hasattr(command, "resolve_command"):
        parent = command.make_context(name, [], parent=parent, resilient_parsing=True)
        name, command, words = command.resolve_command(parent, words)
    return command, command.make_context(name, list(words), parent=parent)


FLAGS = {
    *("--keep-artefacts", "--pdf", "--hide-name", "--hide-names", "--recursive", "-r"),
    *("--allow-leaks", "--without-rnn", "--no-without-rnn", "--bytes", "--fractional"),
    *("--all-models", "--join-duplicates", "--no-join-duplicates"),
}
VALUES = {
    "--format": "csv",
    "-f": "csv",
    "--from": "tiles",
    "--basis": "cells",
    "--tile-size": "64",
}


def sample_value(option: str) -> list[str]:
    """Something that an option takes; a whole number goes everywhere else."""
    return [] if option in FLAGS else [VALUES.get(option, "3")]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS_V010)
def test_commands_and_options_of_0_1_0_are_understood(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, options = (text.split() for text in COMMANDS_V010[name])
    group, _, command_name = " ".join(RENAMED_COMMANDS.get(name, ("", name))).rpartition(" ")
    path = [*group.split(), command_name]
    needed = ["x" for _ in arguments] + ["--out", "x"] * ("--out,-o" in options)
    needed += ["--format", "csv"] * (name == "export")
    needed += ["--recipe", "x"] * (name in ("domain-fit", "domain-check"))
    _, plain = parsed([name, *needed])
    assert plain.info_name == path[-1]
    for spelling in (text for option in options for text in option.split(",")):
        parsed([name, *needed, spelling, *sample_value(spelling)])
    said = capsys.readouterr().err.replace("\n", " ")
    renamed = {name} & set(RENAMED_COMMANDS)
    renamed |= {o for o in options if o in RENAMED_OPTIONS}
    for old in renamed:
        assert f"{old!r} is called" in said
    if not renamed:
        assert said == ""


def test_old_spellings_do_the_same_and_are_not_advertised() -> None:
    old = RUN.invoke(app, ["card", "liver-steatosis"])
    new = RUN.invoke(app, ["model", "card", "liver-steatosis"])
    assert old.stdout == new.stdout
    assert old.stderr.replace("\n", " ").startswith("'card' is called 'model card' now")
    assert new.stderr == ""
    shown = RUN.invoke(app, ["--help"]).output + RUN.invoke(app, ["analyze", "--help"]).output
    assert "mil-model" in shown
    for word in ("context", "basis", "artefacts", "hide-name", "domain", "convert-livernet"):
        assert word not in shown
    _, context = parsed(["report", "x", "--basis", "cells"])
    assert context.params["map_kind"] == "subtiles"
    _, context = parsed(["report", "x", "--basis=cells"])
    assert context.params["map_kind"] == "subtiles"
