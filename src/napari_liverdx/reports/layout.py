"""The layout of a report, once: which sections there are, in which order, under which headings.

Page and PDF draw the same blocks; neither knows the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_liverdx.reports.parts import (
    Facts,
    HistogramPart,
    Picture,
    Report,
    ReportTable,
    TileGroup,
)

__all__ = ["Block", "Section", "chart_caption", "sections"]

BlockKind = Literal["pictures", "table", "note", "charts", "tiles", "facts", "source"]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One thing to draw.

    Attributes
    ----------
    kind : str
        Which of the others is set.
    pictures, table, note, charts, tiles, facts, source
        What is drawn.
    widths : tuple of (float or None)
        Widths of a table's columns in mm on paper, None for what is left; empty for the usual ones.
    """

    kind: BlockKind
    pictures: tuple[Picture, ...] = ()
    table: ReportTable | None = None
    note: str = ""
    charts: tuple[HistogramPart, ...] = ()
    tiles: TileGroup | None = None
    facts: Facts | None = None
    source: str = ""
    widths: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Blocks under a heading; an empty heading is none."""

    heading: str
    blocks: tuple[Block, ...]


def sections(report: Report) -> tuple[Section, ...]:
    """Lay out a report.

    Returns
    -------
    tuple of Section
        In reading order; what a report lacks has no section.
    """
    found = [
        Section("", (Block("pictures", pictures=report.pictures),)),
        Section(
            "Findings", (Block("table", table=report.findings), Block("note", note=report.note))
        ),
    ]
    if report.regions is not None:
        found.append(Section("Regions", (Block("table", table=report.regions),)))
    if report.histograms:
        found.append(Section("Probabilities", (Block("charts", charts=report.histograms),)))
    for group in report.tiles:
        blocks = (Block("note", note=group.note), Block("tiles", tiles=group))
        found.append(Section(f"Highest-probability tiles: {group.title}", blocks))
    found += [Section(part.heading, (Block("facts", facts=part),)) for part in report.facts]
    if report.metrics is not None:
        block = Block("table", table=report.metrics, widths=(62, 38, None))
        found.append(Section("Measured performance of the model", (block,)))
    found.append(Section("Manifest", (Block("source", source=report.manifest_json),)))
    return tuple(found)


def chart_caption(part: HistogramPart) -> str:
    """Return what stands under a histogram."""
    return (
        f"{part.title}: map pixels of the analyzed tissue by probability, with the threshold. The "
        "height of a bar is the square root of their number."
    )
