"""A report as PDF; imported only where one is written, since reportlab takes a while to load."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    Image,
    PageTemplate,
    Paragraph,
    Preformatted,
    Spacer,
    Table,
)

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import storage_errors
from napari_liverdx.reports.html import small_picture
from napari_liverdx.reports.layout import Block, chart_caption, sections
from napari_liverdx.reports.parts import (
    HistogramPart,
    Picture,
    Report,
    ReportTable,
    TilePicture,
)

__all__ = ["render_pdf"]

# Bitstream Vera comes with reportlab and holds µ, ², ≥, × and ·, which the standard fonts lack.
_FONT, _BOLD = "Vera", "VeraBd"
_INK, _SOFT, _LINE = HexColor("#1d2433"), HexColor("#5b6577"), HexColor("#dfe3ea")
_WARN, _WARN_PAPER = HexColor("#8a4b00"), HexColor("#fff4e0")
_MARGIN = 16 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_TILES_ACROSS = 4
_LONGEST_LINE = 108


def _style(name: str, size: float, **more: Any) -> ParagraphStyle:
    base = {"fontName": _FONT, "fontSize": size, "leading": 1.4 * size, "textColor": _INK}
    return ParagraphStyle(name, **{**base, **more})


_TITLE = _style("title", 16, fontName=_BOLD, splitLongWords=1)
_HEADING = _style("heading", 11, fontName=_BOLD, spaceBefore=14, spaceAfter=5)
_TEXT = _style("text", 8)
_NUMBER = _style("number", 8, alignment=2)
_SMALL = _style("small", 7, textColor=_SOFT)
_HEAD = _style("head", 7, fontName=_BOLD, textColor=_SOFT)
_HEAD_NUMBER = _style("head-number", 7, fontName=_BOLD, textColor=_SOFT, alignment=2)
_NOTICE = _style(
    "notice",
    8,
    textColor=_WARN,
    backColor=_WARN_PAPER,
    borderPadding=5,
    leftIndent=5,
    rightIndent=5,
    spaceBefore=15,
    spaceAfter=7,
)
_CODE = _style("code", 6, leading=7.6)


def render_pdf(path: Path, report: Report) -> None:
    """Write a report as PDF, A4; the same report gives the same bytes.

    Fonts are embedded, metadata names no person and no folder.

    Parameters
    ----------
    path : Path
        File to write.
    report : Report
        What it says.

    Raises
    ------
    StorageFullError
        If the disk is full.
    ResultError
        If it cannot be written.
    """
    for name in (_FONT, _BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    buffer = io.BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=A4,
        title=f"{report.title} · napari-liverdx",
        author="",
        subject=report.notice,
        creator="napari-liverdx",
        producer="napari-liverdx",
        keywords="",
        invariant=1,
    )
    frame = Frame(_MARGIN, 18 * mm, _WIDTH, A4[1] - 18 * mm - _MARGIN, *[0] * 4, id="page")
    footer = _known(report.notice)

    def draw_footer(canvas: Canvas, page: BaseDocTemplate) -> None:
        canvas.setFont(_FONT, 7)
        canvas.setFillColor(_SOFT)
        canvas.drawString(_MARGIN, 10 * mm, footer)
        canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, f"Page {page.page}")

    document.addPageTemplates(PageTemplate("page", [frame], onPageEnd=draw_footer))
    document.build(_story(report))
    with storage_errors(path, "the result itself is whole"), atomic_write(path) as partial:
        partial.write_bytes(buffer.getvalue())


def _known(text: str) -> str:
    """Replace each character that the font does not hold by a question mark."""
    held = pdfmetrics.getFont(_FONT).face.charToGlyph
    return "".join(c if ord(c) in held or c == "\n" else "?" for c in text)


def _words(text: str) -> str:
    return escape(_known(text))


def _heading(text: str) -> list[Flowable]:
    """Return a heading that never stands alone at the foot of a page."""
    return [CondPageBreak(35 * mm), Paragraph(_words(text), _HEADING)]


def _story(report: Report) -> list[Flowable]:
    story: list[Flowable] = [
        Paragraph(_words(report.title), _TITLE),
        Spacer(1, 2),
        Paragraph(_words(report.subtitle), _SMALL),
        *(Paragraph(_words(text), _NOTICE) for text in (report.notice, *report.warnings)),
        Spacer(1, 6),
    ]
    for section in sections(report):
        if any(block.kind == "tiles" for block in section.blocks):
            story.append(CondPageBreak(70 * mm))
        if section.heading:
            story += _heading(section.heading)
        for block in section.blocks:
            story += _DRAWN[block.kind](block)
    return story


def _ruled(
    rows: list[list[Any]], widths: Sequence[float | None], *more: tuple[Any, ...], head: int = 0
) -> Table:
    known = sum(w for w in widths if w is not None)
    free = (_WIDTH - known) / max(1, sum(w is None for w in widths))
    table = Table(rows, [free if w is None else w for w in widths], repeatRows=head, hAlign="LEFT")
    table.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.5, _LINE),
            ("LEFTPADDING", (0, 0), (-1, -1), 3),
            ("RIGHTPADDING", (0, 0), (-1, -1), 3),
            ("TOPPADDING", (0, 0), (-1, -1), 3),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            *more,
        ]
    )
    return table


_COLUMN_WIDTHS = {"Threshold": 24, "Mean probability": 21, "Foci": 12}
_COLUMN_WIDTH = 17


def _table(
    data: ReportTable,
    widths: Sequence[float | None] | None = None,
    text: ParagraphStyle = _TEXT,
) -> Table:
    def cell(shown: str, column: int, words: ParagraphStyle, number: ParagraphStyle) -> Paragraph:
        return Paragraph(_words(shown), words if column in data.words else number)

    rows: list[list[Any]] = [[cell(n, i, _HEAD, _HEAD_NUMBER) for i, n in enumerate(data.columns)]]
    starts = []
    for row in data.rows:
        cells: list[Any] = [cell(shown, i, text, _NUMBER) for i, shown in enumerate(row.cells)]
        if row.color:
            cells[data.swatch] = _with_swatch(row.color, cells[data.swatch])
        if row.starts and len(rows) > 1:
            starts.append(("LINEABOVE", (0, len(rows)), (-1, len(rows)), 1, _SOFT))
        rows.append(cells)
    if widths is None:
        widths = [
            None if i in data.words else _COLUMN_WIDTHS.get(name, _COLUMN_WIDTH) * mm
            for i, name in enumerate(data.columns)
        ]
    return _ruled(rows, widths, *starts, head=1)


def _with_swatch(color: str, text: Paragraph) -> Table:
    square = Drawing(9, 9)
    square.add(Rect(0, 0, 7, 7, fillColor=HexColor(color), strokeColor=None))
    table = Table([[square, text]], [10, None])
    table.setStyle(
        [("VALIGN", (0, 0), (-1, -1), "TOP")]
        + [(side, (0, 0), (-1, -1), 0) for side in _PADDINGS if side != "TOPPADDING"]
        + [("TOPPADDING", (0, 0), (0, 0), 2), ("TOPPADDING", (1, 0), (1, 0), 0)]
    )
    return table


_PADDINGS = ("LEFTPADDING", "RIGHTPADDING", "TOPPADDING", "BOTTOMPADDING")


def _grid(cells: Sequence[Any], across: int) -> Table:
    """Lay fields side by side, row after row."""
    filled = [*cells, *[""] * (-len(cells) % across)]
    rows = [filled[i : i + across] for i in range(0, len(filled), across)]
    table = Table(rows, [_WIDTH / across] * across, hAlign="LEFT")
    table.setStyle(
        [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]
        + [(side, (0, 0), (-1, -1), 4) for side in _PADDINGS if side != "LEFTPADDING"]
    )
    return table


def _image(rgb: NDArray[np.uint8], width: float, height: float, kind: str) -> Image:
    """Fit a picture into a box."""
    picture, buffer = small_picture(rgb), io.BytesIO()
    options = {"quality": 90} if kind == "JPEG" else {}
    picture.save(buffer, format=kind, **options)
    buffer.seek(0)
    factor = min(width / picture.width, height / picture.height)
    return Image(buffer, picture.width * factor, picture.height * factor, hAlign="LEFT")


def _pictures(pictures: Sequence[Picture]) -> Table:
    cells = []
    for picture in pictures:
        parts: list[Flowable] = [
            _image(picture.rgb, _WIDTH / 2 - 6, 105 * mm, "JPEG"),
            Spacer(1, 2),
            Paragraph(_words(picture.caption), _SMALL),
        ]
        for color, text in picture.legend:
            parts.append(_with_swatch(color, Paragraph(_words(text), _SMALL)))
        cells.append(parts)
    return _grid(cells, 2)


def _chart(part: HistogramPart) -> list[Flowable]:
    width, height = _WIDTH / 2 - 8, 36 * mm
    base, top = 12.0, height - 14
    drawing = Drawing(width, height)
    color = HexColor(part.color)
    faint = Color(color.red, color.green, color.blue, 0.35)
    x: Callable[[float], float] = lambda value: 6 + value * (width - 12)  # noqa: E731
    for left, right, share, counts in part.bars():
        wide = max(0.3, x(right) - x(left) - 0.4)
        fill = color if counts else faint
        drawing.add(
            Rect(x(left), base, wide, share * (top - base), fillColor=fill, strokeColor=None)
        )
    drawing.add(Line(x(0), base, x(1), base, strokeColor=_SOFT, strokeWidth=0.5))
    text: dict[str, Any] = {"fontName": _FONT, "fontSize": 6.5, "textAnchor": "middle"}
    for value in (0, 0.25, 0.5, 0.75, 1):
        drawing.add(String(x(value), 3, f"{value:g}", fillColor=_SOFT, **text))
    cut = x(part.threshold)
    drawing.add(Line(cut, base - 2, cut, top + 3, strokeColor=_INK, strokeWidth=1))
    drawing.add(String(cut, top + 6, f"{part.threshold:.2f}", fillColor=_INK, **text))
    caption = Paragraph(_words(chart_caption(part)), _SMALL)
    return [drawing, _with_swatch(part.color, caption)]


def _tiles(block: Block) -> list[Flowable]:
    if block.tiles is None or not block.tiles.tiles:
        return []
    return [_grid([_tile(tile) for tile in block.tiles.tiles], _TILES_ACROSS)]


def _tile(tile: TilePicture) -> list[Flowable]:
    side = _WIDTH / _TILES_ACROSS - 6
    parts: list[Flowable] = [] if tile.rgb is None else [_image(tile.rgb, side, side, "JPEG")]
    said = f"<br/>{_words(tile.decision)}" if tile.decision else ""
    text = f'<font name="{_BOLD}">{tile.probability:.3f}</font> {_words(tile.place)}{said}'
    return [*parts, Spacer(1, 2), Paragraph(text, _SMALL)]


def _facts(block: Block) -> list[Flowable]:
    rows = [
        [Paragraph(_words(name), _SMALL), Paragraph(_words(value), _TEXT)]
        for name, value in (block.facts.rows if block.facts else ())
    ]
    return [_ruled(rows, (40 * mm, None))]


def _data(block: Block) -> list[Flowable]:
    if block.table is None:
        return []
    if not block.widths:
        return [_table(block.table)]
    return [_table(block.table, [None if w is None else w * mm for w in block.widths], text=_SMALL)]


def _source(block: Block) -> list[Flowable]:
    return [Preformatted(_known(block.source), _CODE, maxLineLength=_LONGEST_LINE)]


_DRAWN: dict[str, Callable[[Block], list[Flowable]]] = {
    "pictures": lambda block: [_pictures(block.pictures)],
    "table": _data,
    "note": lambda block: [Spacer(1, 3), Paragraph(_words(block.note), _SMALL), Spacer(1, 2)],
    "charts": lambda block: [_grid([_chart(part) for part in block.charts], 2)],
    "tiles": _tiles,
    "facts": _facts,
    "source": _source,
}
