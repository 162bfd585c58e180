"""Print what the changelog says of a release; refuse if changelog and citation disagree.

Usage: python scripts/release_notes.py 0.2.0
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def releases(changelog: str) -> dict[str, tuple[str, str]]:
    """Return date and notes of each version, newest first; unreleased changes are left out."""
    parts = re.split(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)\n", changelog, flags=re.MULTILINE)
    versions = parts[1::3]
    if len(set(versions)) < len(versions):
        raise ValueError("CHANGELOG.md has a version twice")
    return {
        version: (date, re.split(r"^(?=\[[^\]]+\]: )", notes, flags=re.MULTILINE)[0].strip())
        for version, date, notes in zip(versions, parts[2::3], parts[3::3], strict=True)
    }


def release_notes(version: str, changelog: str, citation: str) -> str:
    """Return the notes of a version.

    Raises
    ------
    ValueError
        If the changelog has no such version, no link for it, or is not what the citation names.
    """
    known = releases(changelog)
    if version not in known:
        raise ValueError(f"CHANGELOG.md has no dated section for {version}")
    date, notes = known[version]
    if f"\n[{version}]: http" not in changelog:
        raise ValueError(f"CHANGELOG.md has no link for {version}")
    for line in (f"version: {version}", f"date-released: {date}"):
        if line not in citation.splitlines():
            raise ValueError(f"CITATION.cff lacks the line {line!r}")
    return notes


def main() -> None:
    """Print the notes, or end with status 1 and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    version = parser.parse_args().version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    try:
        sys.stdout.write(release_notes(version, changelog, citation) + "\n")
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
