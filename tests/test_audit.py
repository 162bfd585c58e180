"""The audit: copies, shared groups, conflicting labels, short cuts; and no false alarm."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import DataError, LiverDxError
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.audit.audit import AuditProgress, audit, audit_steps
from napari_liverdx.training.audit.fingerprints import (
    Fingerprints,
    NearPair,
    fingerprint,
    near_pairs,
    perceptual_hashes,
    turned,
)
from napari_liverdx.training.audit.report import AuditReport, refuse_leaks
from napari_liverdx.training.data._all import FolderSamples, MaskedSamples, Samples, TableSamples
from napari_liverdx.training.data.splits import grouped_folds

RUN = CliRunner()


def jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The picture as it comes back from a JPEG file."""
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored).convert("RGB"))


@pytest.fixture
def clean(tmp_path: Path, sample: Slide) -> Path:
    """Twenty-four tiles of real liver of eight patients, in two classes that differ in nothing."""
    lines = ["path,label,group,split"]
    for i in range(24):
        x, y = 1900 + 200 * (i % 6), 500 + 200 * (i // 6)
        Image.fromarray(sample.read_region(0, x, y, 160, 160)).save(tmp_path / f"t{i}.png")
        patient = i % 8
        part = "train" if patient < 4 else "val" if patient < 6 else "test"
        lines.append(f"t{i}.png,{'ab'[(i // 8 + i) % 2]},p{patient},{part}")
    (tmp_path / "tiles.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def add(folder: Path, name: str, picture: NDArray[np.uint8], row: str) -> None:
    """One more picture in the table."""
    Image.fromarray(picture).save(folder / name)
    with (folder / "tiles.csv").open("a") as file:
        file.write(f"{name},{row}\n")


def parts_of(samples: Samples) -> dict[str, NDArray[np.intp]]:
    return {name: np.flatnonzero(samples.splits == name) for name in ("train", "val", "test")}


def audited(folder: Path) -> AuditReport:
    samples = TableSamples(folder, ("a", "b"))
    return audit(samples, parts_of(samples))


def kinds(report: AuditReport, severity: str = "error") -> list[str]:
    return [f.kind for f in report.findings if f.severity == severity]


def test_a_clean_set_is_clean(clean: Path) -> None:
    report = audited(clean)
    assert report.findings == ()
    assert not report.is_leaky
    assert [p.name for p in report.probes] == ["mean colour"]
    refuse_leaks(report)


@pytest.mark.parametrize("way", range(8))
def test_a_turned_and_compressed_copy_across_parts_is_found(clean: Path, way: int) -> None:
    tile = np.moveaxis(np.asarray(Image.open(clean / "t0.png")), -1, 0)
    copy = jpeg(np.ascontiguousarray(np.moveaxis(turned(tile, way), 0, -1)), 60)
    add(clean, "copy.png", copy, "a,p99,test")
    report = audited(clean)
    assert kinds(report) == ["near-identical pictures"]
    assert report.findings[0].names == (("t0.png", "copy.png"),)
    assert "t0.png (train) and copy.png (test)" in report.findings[0].message
    with pytest.raises(DataError, match=r"t0\.png .*--allow-leaks"):
        refuse_leaks(report)
    refuse_leaks(report, allow=True)


def test_an_identical_copy_with_another_label_is_found(clean: Path) -> None:
    tile = np.asarray(Image.open(clean / "t0.png"))
    add(clean, "copy.png", tile, "b,p0,train")
    report = audited(clean)
    assert kinds(report) == ["conflicting labels"]
    assert "t0.png (a) and copy.png (b)" in report.findings[0].message
    assert kinds(report, "note") == ["identical pictures"]
    add(clean, "again.png", jpeg(tile, 80), "b,p0,train")
    assert len(audited(clean).findings[0].names) == 2


def test_identical_copies_across_parts_and_groups(clean: Path) -> None:
    tile = np.asarray(Image.open(clean / "t0.png"))
    add(clean, "copy.png", tile, "a,p99,train")
    report = audited(clean)
    assert not report.is_leaky
    assert kinds(report, "warning") == ["identical pictures"]
    add(clean, "far.png", tile, "a,p98,val")
    assert kinds(audited(clean)) == ["identical pictures"]
    samples = TableSamples(clean, ("a", "b"))
    without = audit(samples)
    assert not without.is_leaky
    assert len(without.pairs) == 2


def test_a_group_on_both_sides_is_found(clean: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3), dtype=np.uint8)
    add(clean, "new.png", noise, "a,p0,test")
    report = audited(clean)
    assert kinds(report) == ["shared groups"]
    assert report.findings[0].names == (("p0",),)
    assert "train and test: 'p0'" in report.findings[0].message


def test_glass_is_no_copy_of_glass(clean: Path) -> None:
    rng = np.random.default_rng(0)
    for i, part in enumerate(("train", "val", "test")):
        glass = (243 + rng.normal(0, 2, (160, 160, 3))).astype(np.uint8)
        add(clean, f"g{i}.png", glass, f"{'ab'[i % 2]},q{i},{part}")
        add(clean, f"w{i}.png", np.full((160, 160, 3), 255, np.uint8), f"a,w{i},{part}")
    report = audited(clean)
    assert report.flat == 6
    assert not report.is_leaky
    add(clean, "w.png", np.full((160, 160, 3), 255, np.uint8), "b,w0,train")
    assert kinds(audited(clean)) == ["conflicting labels"], "white cannot be both"


def test_sizes_that_tell_the_class_are_found(clean: Path) -> None:
    for i in range(24):
        with Image.open(clean / f"t{i}.png") as image:
            if (i // 8 + i) % 2:
                image.crop((0, 0, 160, 140)).save(clean / f"t{i}.png")
    report = audited(clean)
    assert not report.is_leaky
    (finding,) = report.findings
    assert finding.kind == "short cut"
    assert "picture size alone predicts the label with a balanced accuracy of 1.00" in (
        finding.message
    )


def test_pictures_without_groups_are_mentioned(clean: Path) -> None:
    text = (clean / "tiles.csv").read_text().splitlines()
    rows = [line.split(",") for line in text]
    (clean / "tiles.csv").write_text("\n".join(f"{r[0]},{r[1]}" for r in rows) + "\n")
    samples = TableSamples(clean, ("a", "b"))
    report = audit(samples)
    assert kinds(report, "warning") == ["no groups"]
    with pytest.raises(DataError, match="another part"):
        audit(samples, {"x": np.array([0, 1]), "y": np.array([1, 2])})


def test_progress_is_told_and_an_audit_can_be_left(clean: Path) -> None:
    steps = audit_steps(TableSamples(clean, ("a", "b")))
    shares = [next(steps).share for _ in range(24)]
    assert shares == pytest.approx(np.arange(1, 25) / 24)
    step = next(steps)
    assert isinstance(step, AuditProgress)
    assert step.what == "comparing pictures"
    steps.close()


# -- fingerprints --


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_hashes_of_turned_pictures_follow_from_one_transform(seed: int) -> None:
    small = np.random.default_rng(seed).integers(0, 255, (1, 32, 32), dtype=np.uint8)
    all_ways = perceptual_hashes(small)
    for way in range(8):
        direct = perceptual_hashes(turned(small, way))[0]
        # Rounding may tip a frequency that is all but absent.
        assert np.bitwise_count(direct ^ all_ways[way])[0] <= 1


def test_blocks_find_what_a_plain_comparison_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_liverdx.training.audit import fingerprints

    rng = np.random.default_rng(0)
    smooth = [np.asarray(Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(
        (64, 64), Image.Resampling.BICUBIC)) for _ in range(20)]  # fmt: skip
    pictures = [*smooth, *(jpeg(np.ascontiguousarray(p[::-1]), 70) for p in smooth)]
    digests, small, sizes, colours = zip(*map(fingerprint, pictures), strict=True)
    prints = Fingerprints(np.array(digests), np.stack(small), np.array(sizes), np.stack(colours))
    whole = [s for s in near_pairs(prints) if isinstance(s, NearPair)]
    assert {(p.first, p.second) for p in whole} == {(i, i + 20) for i in range(20)}
    monkeypatch.setattr(fingerprints, "_BLOCK", 7)
    in_blocks = [s for s in near_pairs(prints) if isinstance(s, NearPair)]
    assert {(p.first, p.second) for p in in_blocks} == {(i, i + 20) for i in range(20)}


# -- the commands --


def test_audit_command(clean: Path, tmp_path: Path) -> None:
    report = tmp_path / "out" / "audit.json"
    outcome = RUN.invoke(app, ["audit", str(clean), "--json", str(report)])
    assert outcome.exit_code == 0, outcome.output
    assert "No leak was found" in outcome.output
    assert "train" in outcome.output
    assert json.loads(report.read_text())["leaky"] is False
    add(clean, "copy.png", np.asarray(Image.open(clean / "t0.png")), "a,p99,test")
    outcome = RUN.invoke(app, ["audit", str(clean / "tiles.csv"), "--json", str(report)])
    assert outcome.exit_code == 1
    assert "identical pictures in different parts" in outcome.output
    stored = json.loads(report.read_text())
    assert stored["findings"][0]["names"] == [["t0.png", "copy.png"]]
    for arguments, words in (
        (["--kind", "jars"], "--kind"),
        (["--recipe", "liver-steatosis"], "tiles.csv"),
    ):
        outcome = RUN.invoke(app, ["audit", str(clean), *arguments])
        assert isinstance(outcome.exception, LiverDxError)
        assert words in str(outcome.exception)


def test_split_command_keeps_copies_together(clean: Path, tmp_path: Path) -> None:
    for i in range(8):
        copy = np.asarray(Image.open(clean / f"t{i}.png"))[:, ::-1]
        add(clean, f"c{i}.png", np.ascontiguousarray(copy), f"{'ab'[i % 2]},q{i},train")
    first, second = tmp_path / "a" / "first.csv", tmp_path / "a" / "second.csv"
    for path in (first, second):
        outcome = RUN.invoke(app, ["split", str(clean), "--out", str(path), "--test-share", "0.3"])
        assert outcome.exit_code == 0, outcome.output
    assert "8 groups are joined" in outcome.output
    assert first.read_text() == second.read_text()
    samples = TableSamples(first, ("a", "b"))
    assert {"train", "val", "test"} == set(samples.splits)
    assert not audit(samples, parts_of(samples)).is_leaky
    outcome = RUN.invoke(app, ["split", str(clean), "--out", str(first), "--folds", "4"])
    assert outcome.exit_code == 0, outcome.output
    assert {row.rsplit(",", 1)[1] for row in first.read_text().splitlines()[1:]} == set("1234")


# -- the real sets --


def folds(samples: Samples) -> dict[str, NDArray[np.intp]]:
    found = grouped_folds(samples, np.arange(len(samples)), 5, 0)
    return {f"fold {i}": part for i, (_, part) in enumerate(found)}


def test_oral_tiles_hold_one_picture_with_both_labels(data_root: Path) -> None:
    """Its publishers cleaned byte-identical copies; this one was stored again."""
    samples = FolderSamples(data_root / "oral_he", group_pattern=r"^(\d+)x_(\d+)", group_blocks=20)
    report = audit(samples, folds(samples))
    assert report.is_leaky
    conflict = next(f for f in report.findings if f.kind == "conflicting labels")
    assert conflict.severity == "error"
    assert conflict.names == (("normal/100x_0056.jpg", "oscc/100x_0268.jpg"),)
    assert len(report.pairs) == 3


@pytest.mark.slow
def test_size_of_ultrasound_frames_predicts_the_diagnosis(data_root: Path) -> None:
    samples = FolderSamples(data_root / "ultrasound" / "focal_lesions")
    report = audit(samples)
    told = [f.message for f in report.findings if f.kind == "short cut"]
    assert any("picture size alone" in m for m in told)
    assert len(report.near) == 24


def test_patients_of_the_fatty_liver_set_are_kept_apart(data_root: Path, tmp_path: Path) -> None:
    lines = ["path,label"]
    lines += [
        f"{path},{'healthy' if int(path.name[4:6]) < 17 else 'steatosis'}"
        for path in sorted((data_root / "ultrasound" / "fatty_liver_rois").glob("*.png"))
    ]
    (tmp_path / "tiles.csv").write_text("\n".join(lines) + "\n")
    samples = TableSamples(tmp_path, group_pattern=r"ROI_(\d+)")
    assert len(np.unique(samples.groups)) == 43
    report = audit(samples, folds(samples))
    assert not report.is_leaky


@pytest.mark.slow
def test_steatosis_tiles_do_not_leak(data_root: Path) -> None:
    samples = MaskedSamples(data_root / "liver_steatosis")
    report = audit(samples, folds(samples))
    assert not report.is_leaky
    assert len(report.pairs) == 0
