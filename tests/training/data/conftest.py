"""Labeled pictures and annotated slides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.annotations import box, collection, feature


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures of two classes and six patients, in folders, and a table of them."""
    rng = np.random.default_rng(0)
    lines = ["file;diagnosis;patient;part"]
    for i in range(12):
        name = ("HCC", "healthy")[i % 2]
        (tmp_path / "tiles" / name).mkdir(parents=True, exist_ok=True)
        path = tmp_path / "tiles" / name / f"p{i // 2}_{i}.png"
        Image.fromarray(rng.integers(0, 255, (32, 40, 3), dtype=np.uint8)).save(path)
        part = ("Training", "valid", "TEST")[min(2, i // 4)]
        lines.append(f"tiles/{name}/{path.name};{name};p{i // 2};{part}")
    (tmp_path / "table.csv").write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def slides(tmp_path: Path, small_slide: Path) -> Path:
    """A folder with one slide (1120 × 896 px): fat on the left half, liver on the right."""
    marks = collection(
        feature("Fat", "Polygon", [box(0, 0, 560, 896), box(0, 0, 224, 224)]),
        feature("Liver", "Polygon", [box(672, 0, 448, 896)]),
        feature("Odd", "Point", [1, 1]),
        feature(None, "Polygon", [box(560, 0, 560, 896)]),
    )
    (tmp_path / "small.geojson").write_text(marks)
    return tmp_path
