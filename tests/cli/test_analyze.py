"""Analyzing a slide that is no file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.cli.app import app
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.formats.ngff import remote
from napari_liverdx.slides.slide import Slide
from tests.support.cli import RUN, refused, run_command
from tests.support.ome_zarr import write_ome_zarr, zipped
from tests.support.paths import one
from tests.support.server import serving


@pytest.mark.slow
def test_a_folder_its_zip_and_its_copy_on_a_server_give_one_result(
    tmp_path: Path, tiny_file: Path, sample: Slide
) -> None:
    site = tmp_path / "site"
    pixels = sample.read_region(0, 1900, 700, 448, 224)
    folder = write_ome_zarr(site / "liver.ome.zarr", pixels, chunks=(3, 128, 128))
    zipped(folder, site / "liver.ozx")
    found = []
    with serving(site) as server:
        for number, place in enumerate((folder, site / "liver.ozx", f"{server.url}/liver.ozx")):
            out = tmp_path / str(number)
            told = run_command("analyze", place, "--out", out, "--model", tiny_file)
            assert "0.5 µm/px (OME-Zarr scale)" in told
            assert "tiles   2" in told
            found.append(ResultStore.open(one(out, "liver.tiny-*.liverdx.zarr")))
        assert refused("analyze", f"{server.url}/other.zarr", "-o", tmp_path / "x").startswith(
            f"{server.url}/other.zarr: not a slide that can be read from an address"
        )
    first = found[0]
    for other in found[1:]:
        assert other.manifest.slide_fingerprint == first.manifest.slide_fingerprint
        assert np.array_equal(other.probabilities, first.probabilities)
    assert not list(site.rglob("*liverdx*"))
    # Addresses are no part of what is handed on.
    kept = [p for p in tmp_path.glob("[0-2]/**/*") if p.is_file()]
    assert len(kept) > 30
    assert not [p for p in kept if b"127.0.0.1" in p.read_bytes()]


@pytest.mark.slow
def test_a_server_that_goes_away_ends_the_run_and_it_resumes(
    tmp_path: Path, tiny_file: Path, sample: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    pixels = sample.read_region(0, 1900, 700, 1344, 448)
    write_ome_zarr(tmp_path / "liver.zarr", pixels, levels=3, chunks=(3, 112, 112))
    arguments = ("--model", tiny_file, "--batch-size", 1)
    with serving(tmp_path) as server:
        place = f"{server.url}/liver.zarr"
        run_command("analyze", place, "-o", tmp_path / "whole", *arguments)
        # The first level is read for the tiles alone.
        needed = sum("/0/c/" in name for name in server.asked)
        server.lasting = len(server.asked) - needed // 2
        told = refused("analyze", place, "-o", tmp_path / "out", *arguments)
        assert "503" in told
        left = ResultStore.open(one(tmp_path / "out", "*.liverdx.zarr"))
        assert left.count(TileState.FAILED) == 0
        assert left.count(TileState.DONE) > 0
        server.lasting = math.inf
        run_command("analyze", place, "-o", tmp_path / "out", *arguments)
    whole = ResultStore.open(one(tmp_path / "whole", "*.liverdx.zarr"))
    resumed = ResultStore.open(left.path)
    assert np.array_equal(resumed.probabilities, whole.probabilities)


def test_a_batch_of_folders_and_addresses(tmp_path: Path, tiny_file: Path, sample: Slide) -> None:
    pixels = sample.read_region(0, 1900, 700, 448, 224)
    write_ome_zarr(tmp_path / "site" / "far.zarr", pixels)
    write_ome_zarr(tmp_path / "in" / "near.zarr", pixels[:, ::-1])
    table, out = tmp_path / "slides.csv", tmp_path / "out"
    with serving(tmp_path / "site") as server:
        table.write_text(f"path\nin/near.zarr\n{server.url}/far.zarr\n{server.url}/none.zarr\n")
        outcome = RUN.invoke(
            app, ["batch", str(table), "--out", str(out), "--model", str(tiny_file)]
        )
    assert outcome.exit_code == 1
    rows = (out / "cohort.csv").read_text().splitlines()
    assert "none.zarr" in outcome.output
    assert [r.split(",")[:2] for r in rows[1:]] == [
        ["near.zarr", ""],
        ["far.zarr", ""],
        ["none.zarr", ""],
    ]
    assert len(list(out.glob("*.liverdx.zarr"))) == 2
    assert "127.0.0.1" not in (out / "cohort.csv").read_text()
