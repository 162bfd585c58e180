"""Parts of a slide are no slides."""

from __future__ import annotations

from pathlib import Path

from napari_liverdx.slides.formats.side_files import side_files
from napari_liverdx.slides.listing import find_slides


def test_parts_of_a_slide_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "a.mrxs").touch()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "thumb.jpg").touch()
    (tmp_path / "c.vms").write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nImageFile=c.jpg\nMapFile = C_map.jpg\n"
        "MacroImage=gone.jpg\n"
    )
    for name in ("c.jpg", "c_map.jpg", "c.opt", "other.jpg"):
        (tmp_path / name).touch()
    shown = [slide.path.name for slide in find_slides(tmp_path)]
    assert shown == ["a.mrxs", "c.vms", "other.jpg"]
    deep = [slide.path.relative_to(tmp_path) for slide in find_slides(tmp_path, recursive=True)]
    assert deep == [Path("a.mrxs"), Path("b/thumb.jpg"), Path("c.vms"), Path("other.jpg")]


def test_what_names_itself_or_cannot_be_read_has_no_parts(tmp_path: Path) -> None:
    own = tmp_path / "own.vms"
    own.write_text("ImageFile=own.vms\n")
    assert side_files([own, tmp_path / "gone.vmu", tmp_path / "x.jpg"]) == frozenset()
