"""Results of comparisons as JSON and Markdown."""

from __future__ import annotations

import dataclasses
from typing import Any

from napari_liverdx.experiments.compare import ComparisonResult
from napari_liverdx.models.card import Interval

__all__ = ["comparison_json", "comparison_markdown"]

_COLUMNS = ("accuracy", "balanced accuracy", "AUC", "F1", "MCC")


def _columns(result: ComparisonResult) -> tuple[str, ...]:
    """Sensitivity and specificity are those for the disease where there is just one."""
    of = f" {result.disease}" if result.disease else ""
    return (*_COLUMNS, f"sensitivity{of}", f"specificity{of}")


def comparison_json(
    result: ComparisonResult, title: str, command: str, note: str
) -> dict[str, Any]:
    """The comparison as plain data."""
    return {
        "title": title,
        "command": command,
        "note": note,
        "tiles": result.samples,
        "groups": result.groups,
        "first": result.first,
        "models": {
            name: {
                "metrics": {k: v.model_dump(exclude={"how"}) for k, v in model.metrics.items()},
                "second": {k: v.model_dump(exclude={"how"}) for k, v in model.second.items()},
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


def comparison_markdown(result: ComparisonResult, title: str, command: str, note: str) -> str:
    """The comparison as a page."""
    columns = _columns(result)
    device = next(iter(result.models.values())).complexity.device
    lines = [
        f"# {title}",
        "",
        f"Made by `{command}`.",
        "",
        note,
        "",
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
    lines += [
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
    lines += [
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
    return "\n".join(lines) + "\n"


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
