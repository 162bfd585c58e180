"""DICOM, read back by highdicom and pydicom, checked by dciodvfy."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.core.errors import ResultError
from napari_liverdx.results.store import ResultStore
from tests.support.exports import DICOM_ACCEPTED, all_bytes, counted, exported, overview_of
from tests.support.results import CELL, MPP, oblong_result


def test_dicom_segmentation_and_map_come_back(store: ResultStore) -> None:
    hd = pytest.importorskip("highdicom")
    path = exported(store, "dicom", thresholds={"fat": 0.4}, overview=overview_of(store))
    segmentation = hd.seg.segread(path / "segmentation.dcm")
    planes = segmentation.get_total_pixel_matrix(segment_numbers=[1])[..., 0]
    assert (planes.astype(bool) == counted(store, 0.4)).all()
    about = segmentation.get_segment_description(1)
    assert about.segmented_property_type.value == "29185008"
    assert about.segment_label == "Liver with fat"
    assert about.algorithm_identification[0].AlgorithmName == "tiny"
    assert about.algorithm_identification[0].AlgorithmVersion == "3"
    probabilities = hd.imread(path / "parametric-map.dcm")
    frames = probabilities.get_frames(dtype=np.float32, apply_real_world_transform=False)
    rows, cols = store.probabilities.shape[1:]
    assert frames.shape[0] == 3
    assert (frames[:, :rows, :cols] == store.probabilities).all()
    source = hd.imread(path / "source.dcm")
    picture = source.get_total_pixel_matrix()
    assert picture.shape == (rows, cols, 3)
    dark = np.argwhere(picture.mean(axis=-1) < 60)
    assert dark.tolist() == [[5, 7]]


def test_dicom_images_lie_on_one_another(store: ResultStore) -> None:
    pydicom = pytest.importorskip("pydicom")
    path = exported(store, "dicom")
    read = [
        pydicom.dcmread(path / f"{n}.dcm") for n in ("source", "segmentation", "parametric-map")
    ]
    for image in read:
        origin = image.TotalPixelMatrixOriginSequence[0]
        # The center of the first map pixel, in mm from the corner of the slide's first pixel.
        place = [origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem]
        assert place == pytest.approx(
            [(128 + CELL / 2) * MPP[0] / 1000, (64 + CELL / 2) * MPP[1] / 1000]
        )
        assert image.ImageOrientationSlide == [1, 0, 0, 0, 1, 0]
        spacing = image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
        assert spacing == pytest.approx([CELL * MPP[1] / 1000, CELL * MPP[0] / 1000])
        assert image.PatientID == "LDX-ab12cd34"
    assert len({i.FrameOfReferenceUID for i in read}) == 1
    assert len({i.StudyInstanceUID for i in read}) == 1
    assert len({i.SOPInstanceUID for i in read}) == 3
    for image in read[1:]:
        referenced = image.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
        assert referenced.ReferencedSOPInstanceUID == read[0].SOPInstanceUID
    roots = {u for image in read for u in re.findall(r"UI: (\d[\d.]+)", str(image))}
    assert roots
    software = {i.file_meta.ImplementationClassUID for i in read}
    assert all(u.startswith("2.25.") for u in roots - software)


@pytest.mark.parametrize("fractional", [False, True])
def test_dicom_is_valid(tmp_path: Path, fractional: bool) -> None:
    pytest.importorskip("highdicom")
    checker = shutil.which("dciodvfy")
    if checker is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    store = oblong_result(tmp_path, 3, 70, subtiles=8) if fractional else oblong_result(tmp_path)
    path = exported(store, "dicom", fractional=fractional, overview=overview_of(store))
    for name, kind in (
        ("source", "VLWholeSlideMicroscopyImage"),
        ("segmentation", "Segmentation"),
        ("parametric-map", "ParametricMap"),
    ):
        told = subprocess.run(
            [checker, path / f"{name}.dcm"], capture_output=True, text=True, check=False
        )
        lines = (told.stdout + told.stderr).splitlines()
        assert kind in lines
        left = [v for v in lines if v != kind and not any(a in v for a in DICOM_ACCEPTED)]
        assert left == [], name


def test_maps_of_several_frames_come_back(tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom")
    store = oblong_result(tmp_path, 3, 70, subtiles=8)
    path = exported(store, "dicom", fractional=True)
    segmentation = hd.seg.segread(path / "segmentation.dcm")
    assert segmentation.NumberOfFrames == 3
    values = segmentation.get_total_pixel_matrix(rescale_fractional=True)[..., 0]
    wanted = np.where(store.tissue_subtiles(), store.probabilities[2], 0)
    assert np.abs(values - wanted).max() <= 0.5 / 255 + 1e-6
    probabilities = hd.imread(path / "parametric-map.dcm")
    frames = probabilities.get_frames(dtype=np.float32, apply_real_world_transform=False)
    whole = np.zeros((3, 256, 768), np.float32)
    seen: dict[int, int] = {}
    for frame, about in zip(frames, probabilities.PerFrameFunctionalGroupsSequence, strict=True):
        place = about.PlanePositionSlideSequence[0]
        col = place.ColumnPositionInTotalImagePixelMatrix - 1
        assert place.RowPositionInTotalImagePixelMatrix == 1
        whole[seen.setdefault(col, 0), :, col : col + 256] = frame
        seen[col] += 1
    assert (whole[:, :24, :560] == store.probabilities).all()


def test_dicom_without_its_library_says_what_to_install(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ResultError, match=re.escape('pip install "napari-liverdx[dicom]"')):
        exported(store, "dicom")
    assert not (store.path.parent / "out").exists()


def test_dicom_files_of_others_are_not_replaced(store: ResultStore) -> None:
    pydicom = pytest.importorskip("pydicom")
    path = exported(store, "dicom")
    exported(store, "dicom", fractional=True)
    foreign = pydicom.dcmread(path / "source.dcm")
    foreign.Manufacturer = "Somebody else"
    foreign.save_as(path / "source.dcm")
    for damaged in (False, True):
        if damaged:
            (path / "source.dcm").write_bytes(b"no DICOM at all")
        before = all_bytes(path)
        with pytest.raises(ResultError, match="left as it is"):
            exported(store, "dicom")
        assert all_bytes(path) == before
