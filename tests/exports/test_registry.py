"""What holds for every export: names stay hidden, nobody's files are replaced, no half files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from napari_liverdx.core.errors import PlanError, ResultError
from napari_liverdx.exports.registry import EXPORTS, ExportOptions, export, export_path
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.store import ResultStore
from tests.support.exports import all_bytes, exported
from tests.support.results import oblong_result


def test_exports_are_the_same_each_time(store: ResultStore) -> None:
    for name in ("geojson", "csv", "dicom"):
        path = exported(store, name)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        before = [f.read_bytes() for f in files]
        exported(store, name)
        assert [f.read_bytes() for f in files] == before, name


@pytest.mark.parametrize("name", list(EXPORTS))
def test_names_stay_hidden(store: ResultStore, name: str) -> None:
    path = export_path(store, name, store.path.parent / "out", hide_name=True)
    assert path.name.startswith("ab12cd34.tiny-ffffff.")
    export(store, name, path, ExportOptions(hide_name=True))
    assert b"Jane" not in all_bytes(path)
    assert str(store.path.parent).encode() not in all_bytes(path)
    export(store, name, path)
    assert (b"Jane" in all_bytes(path)) == (name in ("geojson", "ome-tiff", "ome-zarr"))


def test_exports_replace_their_own_and_nothing_else(store: ResultStore) -> None:
    for name in EXPORTS:
        with pytest.raises(ResultError, match="the result itself"):
            export(store, name, store.path)
        with pytest.raises(ResultError, match="the result itself"):
            export(store, name, store.path / "inside")
    assert ResultStore.open(store.path).is_complete
    for name in ("ome-zarr", "dicom"):
        other = store.path.parent / name
        other.mkdir()
        (other / "thesis.txt").write_text("years of work")
        with pytest.raises(ResultError, match="left as it is"):
            export(store, name, other)
        assert (other / "thesis.txt").read_text() == "years of work"
        path = exported(store, name)
        exported(store, name)
        assert [p.name for p in path.parent.iterdir() if p.name.startswith(path.name)] == [
            path.name
        ]


def test_names_a_person_may_have_taken_are_left_alone(store: ResultStore) -> None:
    for name in EXPORTS:
        path = exported(store, name)
        kept = [path.with_name(path.name + end) for end in (".partial", ".old")]
        for other in kept:
            other.write_text("mine")
        exported(store, name)
        assert [other.read_text() for other in kept] == ["mine", "mine"], name


@pytest.mark.parametrize("name", list(EXPORTS))
def test_the_slide_itself_is_never_replaced(tmp_path: Path, small_slide: Path, name: str) -> None:
    store = oblong_result(tmp_path, slide=small_slide)
    before = small_slide.read_bytes()
    link = tmp_path / "link.tif"
    link.symlink_to(small_slide)
    for target in (small_slide, link):
        with pytest.raises(ResultError, match="left as it is"):
            export(store, name, target)
    assert small_slide.read_bytes() == before
    assert link.is_symlink()


def test_a_folder_that_cannot_be_moved_comes_back(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(store, "ome-zarr")
    before, rename, refused = all_bytes(path), Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        if target == path and not refused:
            refused.append(self)
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ResultError, match="kept"):
        exported(store, "ome-zarr")
    assert refused
    assert all_bytes(path) == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_there(store: ResultStore) -> None:
    """The system refuses files beyond a size, as it refuses any file on a full disk."""
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from napari_liverdx.exports.registry import EXPORTS, export\n"
        "from napari_liverdx.results.store import ResultStore\n"
        "store = ResultStore.open(Path(sys.argv[1]))\n"
        "out = Path(sys.argv[2])\n"
        "for name in EXPORTS: export(store, name, out / name)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60, -1))\n"
        "for name in EXPORTS:\n"
        "    try:\n        export(store, name, out / name)\n"
        "    except Exception as e:\n        print(name, type(e).__name__)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
    )
    out = store.path.parent / "full"
    told = subprocess.run(
        [sys.executable, "-c", code, store.path, out], capture_output=True, text=True, check=True
    )
    assert told.stdout.split("\n")[:-1] == [f"{n} StorageFullError" for n in EXPORTS]
    assert sorted(p.name for p in out.iterdir()) == sorted(EXPORTS)
    assert json.loads((out / "geojson").read_text("utf-8"))["features"]
    assert len(list((out / "dicom").iterdir())) == 3


def test_a_failure_on_the_way_leaves_nothing(store: ResultStore) -> None:
    (store.path / "review.json").write_text("damaged")
    path = store.path.parent / "out" / "a.geojson"
    with pytest.raises(ResultError, match="review"):
        export(store, "geojson", path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "thresholds"), [("pdf", {}), ("csv", {"liver": 0.5}), ("csv", {"fat": 1.5})]
)
def test_senseless_wishes_are_refused(
    store: ResultStore, name: str, thresholds: dict[str, float]
) -> None:
    options = ExportOptions(MeasureSettings(thresholds))
    with pytest.raises(PlanError):
        export(store, name, store.path.parent / "a", options)


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_replaces_a_link_and_leaves_what_it_points_to(
    tmp_path: Path, twelve_tiles: ResultStore, name: str
) -> None:
    foreign, link = tmp_path / "foreign", tmp_path / f"link{EXPORTS[name].suffix}"
    if EXPORTS[name].is_folder:
        foreign.mkdir()
    (foreign / "mine" if foreign.is_dir() else foreign).write_text("mine")
    link.symlink_to(foreign)
    before = all_bytes(foreign)
    if EXPORTS[name].is_folder:
        with pytest.raises(ResultError, match="something else is there"):
            export(twelve_tiles, name, link)
    else:
        export(twelve_tiles, name, link)
        assert not link.is_symlink()
    assert all_bytes(foreign) == before == b"mine"
    dangling = tmp_path / f"dangling{EXPORTS[name].suffix}"
    dangling.symlink_to(tmp_path / "nowhere")
    if EXPORTS[name].is_folder:
        with pytest.raises(ResultError):
            export(twelve_tiles, name, dangling)
    else:
        export(twelve_tiles, name, dangling)
    assert not (tmp_path / "nowhere").exists()
