"""The audit: copies, shared groups, conflicting labels, shortcuts; and no false alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.core.errors import DataError
from napari_liverdx.training.audit.audit import (
    AuditProgress,
    audit,
    audit_parts,
    audit_steps,
    check_leaks,
)
from napari_liverdx.training.audit.fingerprints import turned
from napari_liverdx.training.audit.report import AuditReport, refuse_leaks
from napari_liverdx.training.data.base import TileDataset
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.training.data.masks import FatMaskDataset
from napari_liverdx.training.data.splits import grouped_folds
from napari_liverdx.training.data.table import TableDataset
from tests.support.pictures import add_picture, jpeg, parts_of


def audited(folder: Path) -> AuditReport:
    samples = TableDataset(folder, ("a", "b"))
    return audit(samples, parts_of(samples))


def kinds(report: AuditReport, severity: str = "error") -> list[str]:
    return [f.kind for f in report.findings if f.severity == severity]


def test_a_clean_set_is_clean(clean_tiles: Path) -> None:
    report = audited(clean_tiles)
    assert report.findings == ()
    assert not report.is_leaky
    assert [p.name for p in report.probes] == ["mean color"]
    refuse_leaks(report)


@pytest.mark.parametrize("way", range(8))
def test_a_turned_and_compressed_copy_across_parts_is_found(clean_tiles: Path, way: int) -> None:
    tile = np.moveaxis(np.asarray(Image.open(clean_tiles / "t0.png")), -1, 0)
    copy = jpeg(np.ascontiguousarray(np.moveaxis(turned(tile, way), 0, -1)), 60)
    add_picture(clean_tiles, "copy.png", copy, "a,p99,test")
    report = audited(clean_tiles)
    assert kinds(report) == ["near-identical images"]
    assert report.findings[0].names == (("t0.png", "copy.png"),)
    assert "t0.png (train) and copy.png (test)" in report.findings[0].message
    with pytest.raises(DataError, match=r"t0\.png .*--allow-leaks"):
        refuse_leaks(report)
    refuse_leaks(report, allow=True)


def test_an_identical_copy_with_another_label_is_found(clean_tiles: Path) -> None:
    tile = np.asarray(Image.open(clean_tiles / "t0.png"))
    add_picture(clean_tiles, "copy.png", tile, "b,p0,train")
    report = audited(clean_tiles)
    assert kinds(report) == ["conflicting labels"]
    assert "t0.png (a) and copy.png (b)" in report.findings[0].message
    assert kinds(report, "note") == ["identical images"]
    add_picture(clean_tiles, "again.png", jpeg(tile, 80), "b,p0,train")
    assert len(audited(clean_tiles).findings[0].names) == 2


def test_identical_copies_across_parts_and_groups(clean_tiles: Path) -> None:
    tile = np.asarray(Image.open(clean_tiles / "t0.png"))
    add_picture(clean_tiles, "copy.png", tile, "a,p99,train")
    report = audited(clean_tiles)
    assert not report.is_leaky
    assert kinds(report, "warning") == ["identical images"]
    add_picture(clean_tiles, "far.png", tile, "a,p98,val")
    assert kinds(audited(clean_tiles)) == ["identical images"]
    samples = TableDataset(clean_tiles, ("a", "b"))
    without = audit(samples)
    assert not without.is_leaky
    assert len(without.pairs) == 2


def test_a_group_on_both_sides_is_found(clean_tiles: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3), dtype=np.uint8)
    add_picture(clean_tiles, "new.png", noise, "a,p0,test")
    report = audited(clean_tiles)
    assert kinds(report) == ["shared groups"]
    assert report.findings[0].names == (("p0",),)
    assert "train and test: 'p0'" in report.findings[0].message


def test_glass_is_no_copy_of_glass(clean_tiles: Path) -> None:
    rng = np.random.default_rng(0)
    for i, part in enumerate(("train", "val", "test")):
        glass = (243 + rng.normal(0, 2, (160, 160, 3))).astype(np.uint8)
        add_picture(clean_tiles, f"g{i}.png", glass, f"{'ab'[i % 2]},q{i},{part}")
        add_picture(
            clean_tiles, f"w{i}.png", np.full((160, 160, 3), 255, np.uint8), f"a,w{i},{part}"
        )
    report = audited(clean_tiles)
    assert report.flat == 6
    assert not report.is_leaky
    add_picture(clean_tiles, "w.png", np.full((160, 160, 3), 255, np.uint8), "b,w0,train")
    assert kinds(audited(clean_tiles)) == ["conflicting labels"], "white cannot be both"


def test_sizes_that_tell_the_class_are_found(clean_tiles: Path) -> None:
    for i in range(24):
        with Image.open(clean_tiles / f"t{i}.png") as image:
            if (i // 8 + i) % 2:
                image.crop((0, 0, 160, 140)).save(clean_tiles / f"t{i}.png")
    report = audited(clean_tiles)
    assert not report.is_leaky
    (finding,) = report.findings
    assert finding.kind == "short cut"
    assert "image size alone predicts the label with a balanced accuracy of 1.00" in (
        finding.message
    )


def test_pictures_without_groups_are_mentioned(clean_tiles: Path) -> None:
    text = (clean_tiles / "tiles.csv").read_text().splitlines()
    rows = [line.split(",") for line in text]
    (clean_tiles / "tiles.csv").write_text("\n".join(f"{r[0]},{r[1]}" for r in rows) + "\n")
    samples = TableDataset(clean_tiles, ("a", "b"))
    report = audit(samples)
    assert kinds(report, "warning") == ["no groups"]
    with pytest.raises(DataError, match="another part"):
        audit(samples, {"x": np.array([0, 1]), "y": np.array([1, 2])})


def test_progress_is_told_and_an_audit_can_be_left(clean_tiles: Path) -> None:
    steps = audit_steps(TableDataset(clean_tiles, ("a", "b")))
    shares = [next(steps).share for _ in range(24)]
    assert shares == pytest.approx(np.arange(1, 25) / 24)
    step = next(steps)
    assert isinstance(step, AuditProgress)
    assert step.what == "comparing images"
    steps.close()


def folds(samples: TileDataset) -> dict[str, NDArray[np.intp]]:
    found = grouped_folds(samples, np.arange(len(samples)), 5, 0)
    return {f"fold {i}": part for i, (_, part) in enumerate(found)}


@pytest.mark.slow
def test_oral_tiles_hold_one_picture_with_both_labels(data_root: Path) -> None:
    """Its publishers cleaned byte-identical copies; this one was stored again."""
    samples = FolderDataset(data_root / "oral_he", group_pattern=r"^(\d+)x_(\d+)", group_blocks=20)
    report = audit(samples, folds(samples))
    assert report.is_leaky
    conflict = next(f for f in report.findings if f.kind == "conflicting labels")
    assert conflict.severity == "error"
    assert conflict.names == (("normal/100x_0056.jpg", "oscc/100x_0268.jpg"),)
    assert len(report.pairs) == 3


@pytest.mark.slow
def test_size_of_ultrasound_frames_predicts_the_diagnosis(data_root: Path) -> None:
    samples = FolderDataset(data_root / "ultrasound" / "focal_lesions")
    report = audit(samples)
    told = [f.message for f in report.findings if f.kind == "short cut"]
    assert any("image size alone" in m for m in told)
    assert len(report.near) == 24


def test_patients_of_the_fatty_liver_set_are_kept_apart(data_root: Path, tmp_path: Path) -> None:
    lines = ["path,label"]
    lines += [
        f"{path},{'healthy' if int(path.name[4:6]) < 17 else 'steatosis'}"
        for path in sorted((data_root / "ultrasound" / "fatty_liver_rois").glob("*.png"))
    ]
    (tmp_path / "tiles.csv").write_text("\n".join(lines) + "\n")
    samples = TableDataset(tmp_path, group_pattern=r"ROI_(\d+)")
    assert len(np.unique(samples.groups)) == 43
    report = audit(samples, folds(samples))
    assert not report.is_leaky


@pytest.mark.slow
def test_steatosis_tiles_do_not_leak(data_root: Path) -> None:
    samples = FatMaskDataset(data_root / "liver_steatosis")
    report = audit(samples, folds(samples))
    assert not report.is_leaky
    assert len(report.pairs) == 0


def test_the_parts_are_those_stated_or_else_folds(clean_tiles: Path) -> None:
    samples = TableDataset(clean_tiles, ("a", "b"))
    everything = np.arange(len(samples))
    stated = audit_parts(samples, everything[:2], 4, 0)
    assert stated is not None
    assert list(stated) == ["test", "train", "val", "second source"]
    assert sorted(np.concatenate(list(stated.values()))) == everything.tolist()
    samples.splits[:] = ""
    folds = audit_parts(samples, everything[:0], 4, 0)
    assert folds is not None
    assert list(folds) == ["fold 1", "fold 2", "fold 3", "fold 4"]
    assert audit_parts(samples, everything[:0], 0, 0) is None


def test_a_check_tells_of_leaks_before_it_refuses_them(clean_tiles: Path) -> None:
    tile = np.asarray(Image.open(clean_tiles / "t0.png"))
    add_picture(clean_tiles, "copy.png", tile, "a,p99,test")
    samples = TableDataset(clean_tiles, ("a", "b"))
    check = check_leaks(samples, parts_of(samples))
    assert next(check).kind == "identical images"
    with pytest.raises(DataError, match=r"copy\.png"):
        list(check)
    allowed = list(check_leaks(samples, parts_of(samples), allow_leaks=True))
    assert [f.severity for f in allowed] == ["error"]
