"""What holds for the repository around the package: version, release, workflows."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from packaging.version import Version

import napari_liverdx
from napari_liverdx._version import FALLBACK
from tests.support.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def notes() -> dict[str, Callable[..., Any]]:
    return runpy.run_path(str(REPOSITORY / "scripts" / "release_notes.py"))


def test_the_version_has_one_home() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["hatch"]["version"]["fallback-version"] == FALLBACK
    assert Version(napari_liverdx.__version__) >= Version("0.1.0")


def test_sources_that_nothing_installed_know_their_version() -> None:
    """Isolated from installed packages, as in an unpacked archive."""
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r}); "
    code += "import napari_liverdx; print(napari_liverdx.__version__)"
    outcome = subprocess.run([sys.executable, "-ISc", code], capture_output=True, text=True)
    assert outcome.stdout.strip() == FALLBACK, outcome.stderr


def test_changelog_and_citation_name_the_latest_release(
    notes: dict[str, Callable[..., Any]],
) -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    latest = next(iter(notes["releases"](changelog)))
    assert notes["release_notes"](latest, changelog, citation)
    assert Version(FALLBACK) > Version(latest)
    assert f"/compare/v{latest}...HEAD" in changelog


CHANGELOG = """# Changelog

## [Unreleased]

- not yet

## [0.2.0] - 2027-01-05

- new

## [0.1.0] - 2026-11-23

- first

[Unreleased]: https://example.org/compare
[0.2.0]: https://example.org/v0.2.0
[0.1.0]: https://example.org/v0.1.0
"""
CITATION = "version: 0.2.0\ndate-released: 2027-01-05\n"


def test_release_notes_hold_one_version(notes: dict[str, Callable[..., Any]]) -> None:
    assert notes["release_notes"]("0.2.0", CHANGELOG, CITATION) == "- new"
    assert notes["releases"](CHANGELOG)["0.1.0"] == ("2026-11-23", "- first")


@pytest.mark.parametrize(
    ("changelog", "citation", "says"),
    [
        (CHANGELOG.replace("## [0.2.0]", "## [0.2.1]"), CITATION, "no dated section for 0.2.0"),
        (CHANGELOG.replace(" - 2027-01-05", ""), CITATION, "no dated section for 0.2.0"),
        (CHANGELOG.replace("[0.2.0]: ", ""), CITATION, "no link for 0.2.0"),
        (CHANGELOG.replace("## [0.1.0]", "## [0.2.0]"), CITATION, "version twice"),
        (CHANGELOG, CITATION.replace("0.2.0", "0.1.0"), "lacks the line 'version: 0.2.0'"),
        (CHANGELOG, CITATION.replace("-05", "-06"), "lacks the line 'date-released: 2027-01-05'"),
    ],
)
def test_a_release_that_disagrees_is_refused(
    notes: dict[str, Callable[..., Any]], changelog: str, citation: str, says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        notes["release_notes"]("0.2.0", changelog, citation)


def test_every_python_that_is_promised_is_tested_on_every_system() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    promised = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))
    assert matrix["python"] == promised
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}


def test_contributing_names_places_and_commands_that_exist() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("### Where a new thing goes\n\n")[1].split("\n\n")[0]
    places = re.findall(r"`([\w/]+[/.][\w/.]*)`", table)
    assert len(places) > 8
    for place in places:
        path = REPOSITORY / "src" / "napari_liverdx" / place
        new = path.name.startswith("x")
        assert path.parent.is_dir() if new else path.exists(), place
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)", text):
        assert f"\n{target}:" in makefile, target


def test_every_fault_of_the_table_names_a_test_that_is_there() -> None:
    text = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = text.split("## Faults")[1].split("\n## ")[0].splitlines()[4:]
    assert len(rows) > 50
    for row in rows:
        _, fault, _, held, trials, _ = re.split(r"(?<!\\)\|", row)
        assert trials.strip(), fault
        homes = [REPOSITORY]
        named = re.findall(r"`([\w/]+(?:\.py|/))`", held)
        assert named or "fuzz" in held, fault
        for name in named:
            there = [home / name for home in homes if (home / name).exists()]
            assert there, f"{fault}: {name}"
            homes.append(there[-1].parent)
