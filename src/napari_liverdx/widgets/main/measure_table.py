"""Measurements as a table to read and to copy."""

from __future__ import annotations

from collections.abc import Sequence

from napari_liverdx.core.classes import ClassScheme
from napari_liverdx.core.measure import ClassMeasure
from napari_liverdx.core.prediction_sets import UNCERTAIN_COLOR, UNCERTAIN_ID
from napari_liverdx.results.findings import Findings
from napari_liverdx.widgets.parts.panel import swatch
from napari_liverdx.widgets.parts.table import PlainTable

__all__ = ["MeasureTable", "class_color"]

_COLUMNS = ("Class", "mm²", "%", "Foci", "Ø mm")
_TIPS = (
    "",
    "Area with probability ≥ threshold",
    "Share of the analyzed tissue, in a region of the tissue in it",
    "Foci (connected regions); map pixels that touch at a corner belong together",
    "Longest diameter of the largest focus",
)


class MeasureTable(PlainTable):
    """The whole slide, then each region, class by class."""

    def __init__(self) -> None:
        super().__init__(*_COLUMNS)
        for column, tip in enumerate(_TIPS):
            item = self.horizontalHeaderItem(column)
            if item is not None:
                item.setToolTip(tip)

    def show_findings(self, found: Findings | None, scheme: ClassScheme | None) -> None:
        """Fill the table; None empties it."""
        self.clearSpans()
        self.setRowCount(0)
        if found is not None and scheme is not None:
            self._add_heading(f"Whole area · {found.tissue_mm2:.3f} mm² of tissue")
            self._add_measures(found.measures, scheme)
            for region in found.regions:
                self._add_heading(f"{region.name} · {region.area_mm2:.3f} mm² of tissue")
                self._add_measures(region.measures, scheme)
        self.fit()

    def _add_heading(self, text: str) -> None:
        item = self.add([text])
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        self.setSpan(self.rowCount() - 1, 0, 1, len(_COLUMNS))

    def _add_measures(self, measures: Sequence[ClassMeasure], scheme: ClassScheme) -> None:
        for m in measures:
            percent = "–" if m.percent != m.percent else f"{m.percent:.1f}"
            foci = "" if m.foci is None else f"{m.foci:,}"
            largest = "" if m.largest_focus_mm is None else f"{m.largest_focus_mm:.2f}"
            title = self.add([m.title, f"{m.area_mm2:.3f}", percent, foci, largest])
            title.setIcon(swatch(class_color(m, scheme)))
            title.setToolTip(_tip(m))


def class_color(m: ClassMeasure, scheme: ClassScheme) -> str:
    """Return the color of a row: that of its class, or that of uncertain map pixels."""
    return UNCERTAIN_COLOR if m.name == UNCERTAIN_ID else scheme[scheme.index(m.name)].color


def _tip(m: ClassMeasure) -> str:
    if m.threshold is None:
        return f"{m.title}: where it is the most probable"
    mean = "" if m.mean_probability != m.mean_probability else f", mean {m.mean_probability:.3f}"
    return f"{m.title}: probability of at least {m.threshold:.2f}{mean}"
