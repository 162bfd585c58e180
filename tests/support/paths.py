"""Where the repository and its test data lie."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


CMU = REPOSITORY / "tests" / "data" / "CMU-1-Small-Region.svs"


def one(folder: Path, pattern: str) -> Path:
    """The only file or folder of a pattern: names of results tell the model by its hash."""
    (path,) = folder.glob(pattern)
    return path
