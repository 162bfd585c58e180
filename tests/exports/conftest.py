"""A result to export."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_liverdx.results.store import ResultStore
from tests.support.results import oblong_result


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """A small result."""
    return oblong_result(tmp_path)
