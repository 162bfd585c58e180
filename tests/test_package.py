"""What holds for the package as a whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from npe2 import PluginManifest

import napari_liverdx
from tests.support.paths import REPOSITORY

SOURCE = REPOSITORY / "src" / "napari_liverdx"
RAW = "https://raw.githubusercontent.com/napari-liverdx/napari-liverdx/main/"


def test_manifests_agree_and_are_valid() -> None:
    top = REPOSITORY / "napari.yaml"
    assert top.is_symlink()
    assert not Path(os.readlink(top)).is_absolute()
    assert top.read_bytes() == (SOURCE / "napari.yaml").read_bytes()
    manifest = PluginManifest.from_file(SOURCE / "napari.yaml")
    manifest.validate_imports()
    commands = {c.id for c in manifest.contributions.commands}
    saves = ("csv", "dicom", "geojson", "ome_tiff", "ome_zarr")
    names = ("read", "reopen", "sample", "dock", "batch", "train", "classify", "measure", "review")
    expected = {*names, *(f"save_{name}" for name in saves)}
    assert commands == {f"napari-liverdx.{name}" for name in expected}


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, napari_liverdx; "
        "sys.exit(str(sorted({'torch', 'napari', 'qtpy', 'numpy', 'timm'} & set(sys.modules))) "
        "if {'torch', 'napari', 'qtpy', 'numpy', 'timm'} & set(sys.modules) else 0)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr


def test_public_names_exist() -> None:
    for name in napari_liverdx.__all__:
        assert getattr(napari_liverdx, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = napari_liverdx.nonsense


@pytest.mark.parametrize(
    ("spelling", "home"),
    [
        ("os.replace", "_files.py"),
        ('".partial"', "_files.py"),
        ("csv.writer(", "_text.py"),
        ("rich.console import", "cli/options.py"),
        ('For research use, not for diagnosis."', "_version.py"),
        ('".liverdx.zarr"', "slides/address.py"),
        ("[1:3], 16)", "core/colormaps.py"),
        ("remove_small_objects(", "core/tissue.py"),
    ],
)
def test_one_home_for_each(spelling: str, home: str) -> None:
    """Files are written whole by `_files` alone; what is said or spelled stands in one place."""
    found = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if spelling in path.read_text(encoding="utf-8")
    ]
    assert [f for f in found if f != home] == []


def test_base_install_names_no_qt_binding() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    base = " ".join(project["dependencies"]).lower()
    assert not re.search(r"pyqt|pyside|napari", base)
    for path in SOURCE.rglob("*.py"):
        assert not re.search(r"\b(import|from)\s+(PyQt|PySide)", path.read_text()), path


def test_modules_stay_small() -> None:
    long = {p.name: n for p in SOURCE.rglob("*.py") if (n := len(p.read_text().splitlines())) > 420}
    assert not long


def snippets(page: Path) -> list[str]:
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    return [t.content for t in tokens if t.type == "fence" and t.info.strip() == "python"]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_snippets_run(page: str, tmp_path: Path) -> None:
    code = "\n".join(snippets(REPOSITORY / page))
    assert code
    script = tmp_path / "snippets.py"
    script.write_text(code, encoding="utf-8")
    outcome = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert outcome.returncode == 0, outcome.stderr


def test_readme_shows_pictures_that_exist() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures
    for picture in pictures:
        # Package indexes and the napari hub show the README without its folder.
        assert picture.startswith(RAW), picture
        assert (REPOSITORY / picture.removeprefix(RAW)).is_file(), picture


@pytest.mark.gui
def test_timm_is_safe_after_a_window_with_mesa(tmp_path: Path) -> None:
    """Triton's LLVM and Mesa's in one process crashed it before imports were bound deeply."""
    if not os.environ.get("DISPLAY"):
        pytest.skip("no display")
    script = tmp_path / "order.py"
    script.write_text(
        "import napari, numpy as np\n"
        "viewer = napari.Viewer(show=True)\n"
        "viewer.add_image(np.zeros((8, 8)))\n"
        "viewer.screenshot()\n"
        "from napari_liverdx.models.architectures.registry import build_model\n"
        "build_model('cnn-rnn', 2, {'encoder': 'mobilenetv3_small_050'})\n"
        "viewer.close()\n"
    )
    outcome = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
