"""Where the repository and its test data lie."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


CMU = REPOSITORY / "tests" / "data" / "CMU-1-Small-Region.svs"
