"""The command line: a whole analysis, and every refusal in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.slide import Slide
from tests.support.artifacts import INKS, inked, written
from tests.support.cli import RUN, liverdx_process, refused
from tests.support.paths import CMU, one
from tests.support.slides import corrupt_tile, waves, write_pyramid


def test_analysis_from_end_to_end(tmp_path: Path) -> None:
    slide, out = tmp_path / "liver-sample.ome.tif", tmp_path / "out"
    assert RUN.invoke(app, ["sample", str(slide)]).exit_code == 0
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
    assert (fat["region"], fat["class"]) == ("all analysed tissue", "fat")
    # Both regions of the sample are heavily fatty.
    assert float(fat["percent_of_tissue"]) > 40
    page = Path(f"{base}.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page.replace("http://www.w3.org", "")
    assert str(tmp_path) not in page
    assert ResultStore.open(result).is_complete
    again = RUN.invoke(app, ["analyze", str(slide), "--out", str(out)])
    assert "tiles are done already" in again.output


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
    text.write_text("no picture")
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


def test_corrupt_tile_is_counted(tmp_path: Path, tiny_file: Path, small_slide: Path) -> None:
    corrupt_tile(small_slide, 3 * 9 + 4)
    outcome = liverdx_process("analyze", small_slide, "--out", tmp_path / "o", "--model", tiny_file)
    assert outcome.returncode == 0
    assert "could not be read" in outcome.stderr
    assert "row 3, column 4" in outcome.stderr
    assert "tiles could not be read" in one(tmp_path / "o", "small.tiny-*.html").read_text()


def test_errors_are_one_line_without_a_traceback(tmp_path: Path) -> None:
    outcome = liverdx_process("info", tmp_path / "none.svs")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("Error:")
    assert "Traceback" not in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1


def test_info_models_card_and_version() -> None:
    assert "2220 × 2967 px, 1.11 × 1.48 mm" in RUN.invoke(app, ["info", str(CMU)]).output
    assert "liver-steatosis" in RUN.invoke(app, ["models"]).output
    card = json.loads(RUN.invoke(app, ["card", "liver-steatosis"]).output)
    assert card["name"] == "liver-steatosis"
    assert "napari-liverdx 0." in RUN.invoke(app, ["--version"]).output


def test_livernet_conversion(tmp_path: Path, data_root: Path, sample: Slide) -> None:
    files = sorted((data_root / "livernet").glob("*.h5"))
    slide = tmp_path / "piece.tif"
    write_pyramid(slide, sample.read_region(0, 1900, 700, 300, 300))
    single, all_five = tmp_path / "one.safetensors", tmp_path / "five.safetensors"
    for weights, out in ((files[:1], single), (files, all_five)):
        outcome = RUN.invoke(app, ["convert-livernet", *map(str, weights), "--out", str(out)])
        assert outcome.exit_code == 0, outcome.output
        assert "Fails off its own" in outcome.output.replace("\n", " ")
        arguments = ["analyze", slide, "--out", tmp_path / out.stem, "--model", out]
        outcome = RUN.invoke(app, [str(a) for a in arguments])
        assert outcome.exit_code == 0, outcome.output
        assert "HCC sub-type 3" in outcome.output


def test_converted_livernet_equals_the_original(tmp_path: Path, data_root: Path) -> None:
    import numpy as np
    import torch

    from napari_liverdx.models.file import load_model_file

    files = sorted((data_root / "livernet").glob("*.h5"))
    out = tmp_path / "five.safetensors"
    assert RUN.invoke(app, ["convert-livernet", *map(str, files), "--out", str(out)]).exit_code == 0
    model = load_model_file(out)
    with np.load(data_root / "livernet" / "golden.npz") as golden:
        tiles = torch.from_numpy(golden["tiles_rgb"]).permute(0, 3, 1, 2)
        expected = np.mean([golden[f.stem] for f in files], axis=0)
    with torch.inference_mode():
        found = model.probabilities(model.network(tiles).scores).numpy()
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("command", ["analyze", "train", "crossval", "convert-livernet", "info"])
def test_every_command_explains_itself(command: str) -> None:
    outcome = RUN.invoke(app, [command, "--help"])
    assert outcome.exit_code == 0
    assert "Usage" in outcome.output


def test_commands_leave_artefacts_out_unless_told(
    liver: np.ndarray, tiny_file: Path, tmp_path: Path
) -> None:
    path = written(tmp_path / "inked.tif", inked(liver[:700, :700], INKS["green"], np.s_[:300]))
    told = CliRunner().invoke(app, ["info", str(path)]).output
    assert "pen marks" in told
    assert "left out by default" in told
    command = ["analyze", str(path), "-m", str(tiny_file), "--device", "cpu", "-o"]
    counts = {}
    for name, more in (("out", []), ("kept", ["--keep-artefacts"])):
        outcome = CliRunner().invoke(app, [*command, str(tmp_path / name), *more])
        assert outcome.exit_code == 0, outcome.output
        (result,) = (tmp_path / name).glob("*.zarr")
        store = ResultStore.open(result)
        counts[name] = store.count(TileState.DONE)
        assert ("pen" in store.manifest.tissue["excluded"]) is (name == "out")
        json.dumps(store.manifest.tissue)
    assert counts["out"] < counts["kept"]
