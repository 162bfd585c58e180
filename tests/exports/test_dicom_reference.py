"""Results of DICOM slides: what is written refers to the slide and lies on it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_liverdx.api import RESULTS_FOLDER, analyze_slide
from napari_liverdx.exports.base import ExportOptions
from napari_liverdx.exports.dicom_reference import source_reference
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from tests.support.dicom_slides import PATIENT, RLE, Written, uid, write_slide
from tests.support.exports import DICOM_ACCEPTED, all_bytes, exported
from tests.support.results import square_result
from tests.support.slides import waves, whole

HOW = Written(syntax=RLE, color="RGB", tile=(224, 224), parts=2)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A slide in two files whose rows run along y of the glass."""
    return write_slide(tmp_path / "slide", waves(672, 896), HOW)


@pytest.fixture
def result(files: list[Path], tmp_path: Path) -> ResultStore:
    with open_slide(files[0]) as slide:
        assert slide.mpp is not None
        return square_result(
            tmp_path / "slide.liverdx.zarr",
            slide_fingerprint=slide.fingerprint(),
            mpp=(slide.mpp.x, slide.mpp.y),
            references=dict(slide.info.references),
        )


def test_exports_refer_to_the_slide(result: ResultStore, files: list[Path]) -> None:
    hd = pytest.importorskip("highdicom")
    from pydicom import dcmread

    path = exported(result, "dicom")
    assert sorted(p.name for p in path.iterdir()) == ["parametric-map.dcm", "segmentation.dcm"]
    slide = dcmread(files[0])
    for name in ("segmentation", "parametric-map"):
        made = dcmread(path / f"{name}.dcm")
        assert made.StudyInstanceUID == slide.StudyInstanceUID
        assert made.FrameOfReferenceUID == slide.FrameOfReferenceUID
        assert made.SeriesInstanceUID != slide.SeriesInstanceUID
        (series,) = made.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == slide.SeriesInstanceUID
        wanted = [dcmread(f).SOPInstanceUID for f in files]
        for items in (series.ReferencedInstanceSequence, made.SourceImageSequence):
            assert [i.ReferencedSOPInstanceUID for i in items] == wanted
        # The corner of a map pixel lies where the corner of its first slide pixel does.
        on_slide, on_map = (
            hd.spatial.ImageToReferenceTransformer.for_image(d, for_total_pixel_matrix=True)
            for d in (slide, made)
        )
        corners = np.array([[0.0, 0.0], [3.0, 2.0], [28.0, 21.0]])
        assert np.allclose(on_slide(32 * corners), on_map(corners), atol=1e-6)
    segmentation = hd.seg.segread(path / "segmentation.dcm")
    planes = segmentation.get_total_pixel_matrix(segment_numbers=[1])[..., 0]
    assert planes.shape == result.probabilities.shape[1:]
    assert PATIENT.split("^")[0].encode() not in all_bytes(path)


@pytest.mark.slow
def test_hidden_names_hide_the_source(result: ResultStore) -> None:
    pytest.importorskip("highdicom")
    path = exported(result, "dicom", hide_name=True)
    assert (path / "source.dcm").exists()
    assert uid(HOW, 1)[:-2].encode() not in all_bytes(path)


def test_exporting_twice_gives_the_same_files(result: ResultStore) -> None:
    pytest.importorskip("highdicom")
    first = all_bytes(exported(result, "dicom"))
    assert all_bytes(exported(result, "dicom")) == first


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"StudyInstanceUID": "Doe, Jane"},
        {"FrameOfReferenceUID": ""},
        {"SOPInstanceUIDs": ""},
        {"ImageOrientationSlide": "1\\0"},
    ],
    ids=str,
)
def test_incomplete_references_are_none(
    result: ResultStore, change: dict[str, str], tmp_path: Path
) -> None:
    told = {**result.manifest.references, **change}
    other = square_result(tmp_path / "other.liverdx.zarr", references=told)
    assert source_reference(other, ExportOptions()) is None
    found = source_reference(result, ExportOptions())
    assert found is not None
    assert found.study == uid(HOW, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Segmentation", "ParametricMap"])
def test_what_refers_to_a_slide_is_valid(result: ResultStore, name: str) -> None:
    pytest.importorskip("highdicom")
    checker = shutil.which("dciodvfy")
    if checker is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    file = {"Segmentation": "segmentation.dcm", "ParametricMap": "parametric-map.dcm"}[name]
    path = exported(result, "dicom") / file
    told = subprocess.run([checker, path], capture_output=True, text=True, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    assert [v for v in lines if v != name and not any(a in v for a in DICOM_ACCEPTED)] == []


@pytest.mark.slow
def test_a_dicom_slide_gives_what_the_same_pixels_do(
    small_slide: Path, tiny: LoadedModel, tmp_path: Path
) -> None:
    how = Written(syntax=RLE, color="RGB", tile=(128, 128), mm=(0.0005, 0.0005))
    folder = tmp_path / "case" / "1.2.840.7"
    with open_slide(small_slide) as slide:
        write_slide(folder, whole(slide), how)
        write_slide(folder, whole(slide, 1), replace(how, number=2))
    theirs = analyze_slide(small_slide, model=tiny, device="cpu")
    ours = analyze_slide(folder, model=tiny, device="cpu")
    assert ours.path.parent == tmp_path / "case" / RESULTS_FOLDER
    assert np.allclose(ours.store.probabilities, theirs.store.probabilities, atol=1e-5)
    manifest = ours.manifest
    assert manifest.slide_format == "DICOM"
    assert ours.path.name.startswith("1.2.840.7.tiny")
    assert manifest.references["SeriesInstanceUID"] == uid(how, 2)
    assert (theirs.manifest.references, manifest.uid != "") == ({}, True)
