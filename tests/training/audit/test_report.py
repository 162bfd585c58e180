"""What an audit found, as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_liverdx.core.errors import ResultError
from napari_liverdx.training.audit.audit import audit
from napari_liverdx.training.audit.report import write_audit
from napari_liverdx.training.data.table import TableDataset


def test_findings_are_written(clean_tiles: Path) -> None:
    report = audit(TableDataset(clean_tiles, ("a", "b")))
    path = clean_tiles / "new" / "audit.json"
    write_audit(path, report)
    assert json.loads(path.read_text()) == json.loads(json.dumps(report.as_json()))
    with pytest.raises(ResultError, match="cannot be written"):
        write_audit(clean_tiles / "t0.png" / "audit.json", report)
