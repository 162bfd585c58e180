"""Results of comparisons as JSON and Markdown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_liverdx._files import atomic_write, parse_json
from napari_liverdx.core.errors import DataError
from napari_liverdx.experiments.compare import ComparisonResult
from napari_liverdx.models.card import Interval

__all__ = [
    "ComparisonFacts",
    "card_figures",
    "comparison_json",
    "comparison_markdown",
    "write_comparison",
]

_COLUMNS = ("accuracy", "balanced accuracy", "AUC", "F1", "MCC")


_SECTIONS = {
    "all": "All tiles, those between two classes under the one they are closer to",
    "subtiles": "Subtiles whose truth is a single class",
    "second source all": "All tiles of the independent data",
}


@dataclass(frozen=True, slots=True)
class ComparisonFacts:
    """What stands above the tables.

    Attributes
    ----------
    title : str
    command : str
        How they are made again.
    note : str
    pictures : sequence of (str, str)
        Titles and names of picture files that stand beside the page.
    """

    title: str
    command: str
    note: str = ""
    pictures: Sequence[tuple[str, str]] = ()


def write_comparison(
    folder: Path, name: str, result: ComparisonResult, facts: ComparisonFacts
) -> None:
    """Write ``NAME.json`` and ``NAME.md``.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    """
    data = json.dumps(comparison_json(result, facts), indent=1) + "\n"
    try:
        for suffix, text in ((".json", data), (".md", comparison_markdown(result, facts))):
            with atomic_write(folder / f"{name}{suffix}", make_folder=True) as partial:
                partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error})") from error


def card_figures(path: Path) -> dict[str, Interval]:
    """Return the figures of the first model of a cross-validation, as a card names them.

    Raises
    ------
    DataError
        If the file holds none.
    """
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
        sections = next(iter(stored["models"].values()))
        if "metrics" in sections:
            clear = {"clear": sections["metrics"], "second source clear": sections["second"]}
            sections = {**clear, **sections.get("further", {})}
        # In version 0.1.0 the sections were all there was.
        return {
            f"{metric}, {section}": Interval.model_validate(value)
            for section, metrics in sections.items()
            for metric, value in metrics.items()
        }
    except (OSError, ValueError, LookupError, AttributeError, TypeError, StopIteration) as error:
        raise DataError(f"{path}: not the output of 'liverdx crossval' ({error})") from error


def _plain(rows: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: value.model_dump(exclude={"how"}) for name, value in rows.items()}


def _columns(result: ComparisonResult) -> tuple[str, ...]:
    """Return the columns; sensitivity and specificity are the disease's if there is just one."""
    of = f" {result.disease}" if result.disease else ""
    return (*_COLUMNS, f"sensitivity{of}", f"specificity{of}")


def comparison_json(result: ComparisonResult, facts: ComparisonFacts) -> dict[str, Any]:
    """Return the comparison as plain data."""
    return {
        "title": facts.title,
        "command": facts.command,
        "note": facts.note,
        "tiles": result.samples,
        "groups": result.groups,
        "first": result.first,
        "models": {
            name: {
                "metrics": _plain(model.metrics),
                "second": _plain(model.second),
                "further": {section: _plain(rows) for section, rows in model.further.items()},
                "complexity": dataclasses.asdict(model.complexity),
                "start": model.start,
                "tile_size": model.tile_size,
                "reference": model.reference,
            }
            for name, model in result.models.items()
        },
        "tests": {
            name: {
                "balanced accuracy minus first": test.difference.model_dump(exclude={"how"}),
                "p": round(test.p_value, 5),
                "p, Holm": round(test.p_adjusted, 5),
            }
            for name, test in result.tests.items()
        },
    }


def _cell(value: Interval | None) -> str:
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{value.value:.3f}"
    return f"{value.value:.3f}<br>{value.low:.3f}–{value.high:.3f}"


def comparison_markdown(result: ComparisonResult, facts: ComparisonFacts) -> str:
    """Return the comparison as a page."""
    columns = _columns(result)
    lines = [
        f"# {facts.title}",
        "",
        f"Made by `{facts.command}`.",
        "",
        *([facts.note, ""] if facts.note else []),
        f"{result.samples} test tiles of {result.groups} groups; a tile whose truth lies between "
        "two classes is left out. Each tile is predicted by the one fold's model that saw nothing "
        "of its group. F1 and, without a class beside them, sensitivity and specificity are "
        "unweighted means over the classes; AUC is that of each class against the others, "
        "averaged. Intervals: 95 %, bootstrap over "
        "groups. They do not show how much another training run would differ.",
        "",
        "| model | start | " + " | ".join(columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for name, model in result.models.items():
        start = "ImageNet" if "ImageNet" in model.start else model.start
        cells = " | ".join(_cell(model.metrics.get(c)) for c in columns)
        lines.append(f"| {name} | {start} | {cells} |")
    lines += _second_lines(result, columns)
    lines += _test_lines(result)
    lines += _further_lines(result)
    lines += _cost_lines(result)
    for title, picture in facts.pictures:
        lines += ["", f"![{title}]({picture})"]
    return "\n".join(lines) + "\n"


def _test_lines(result: ComparisonResult) -> list[str]:
    if not result.tests:
        return []
    lines = [
        "",
        "## Against " + result.first,
        "",
        "Difference in balanced accuracy on the same tiles (negative: worse than "
        f"{result.first}), and a permutation test by group, corrected after Holm.",
        "",
        "| model | difference | p | p, Holm |",
        "|---|---|---|---|",
    ]
    for name, test in result.tests.items():
        d = test.difference
        interval = f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
        lines.append(f"| {name} | {interval} | {test.p_value:.3f} | {test.p_adjusted:.3f} |")
    return lines


def _further_lines(result: ComparisonResult) -> list[str]:
    lines: list[str] = []
    for section, title in _SECTIONS.items():
        found = {n: m.further[section] for n, m in result.models.items() if section in m.further}
        columns = list(dict.fromkeys(column for rows in found.values() for column in rows))
        if not columns:
            continue
        lines += ["", f"## {title}", "", "| model | " + " | ".join(columns) + " |"]
        lines.append("|---|" + "---|" * len(columns))
        for name, rows in found.items():
            lines.append(f"| {name} | " + " | ".join(_cell(rows.get(c)) for c in columns) + " |")
    return lines


def _cost_lines(result: ComparisonResult) -> list[str]:
    device = next(iter(result.models.values())).complexity.device
    lines = [
        "",
        "## Cost",
        "",
        f"Speed of the network alone in inference on {device}; operations are those of matrix "
        "products and convolutions for one tile.",
        "",
        "| model | tile, px | parameters, million | GFLOP | tiles/s | after |",
        "|---|---|---|---|---|---|",
    ]
    for name, model in result.models.items():
        c = model.complexity
        lines.append(
            f"| {name} | {model.tile_size} | {c.parameters / 1e6:.2f} | {c.flops / 1e9:.2f} | "
            f"{c.tiles_per_second:.0f} | {model.reference} |"
        )
    return lines


def _second_lines(result: ComparisonResult, columns: tuple[str, ...]) -> list[str]:
    if not any(model.second for model in result.models.values()):
        return []
    lines = [
        "",
        "## On independent data",
        "",
        "Tiles of the second source or the stated test split, which stand in no fold; every fold's "
        "model answers for all of them.",
        "",
        "| model | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for name, model in result.models.items():
        cells = " | ".join(_cell(model.second.get(c)) for c in columns)
        lines.append(f"| {name} | {cells} |")
    return lines
