"""Parts of a report."""

from __future__ import annotations

import numpy as np

from napari_liverdx.reports.parts import HistogramPart


def test_bars_are_cut_at_the_threshold() -> None:
    part = HistogramPart("Fat", "#0a84ff", np.array([0.5, 0.0, 1.0, 0.25]), 0.625)
    assert part.bars() == [
        (0, 0.25, 0.5, False),
        (0.5, 0.625, 1, False),
        (0.625, 0.75, 1, True),
        (0.75, 1, 0.25, True),
    ]
