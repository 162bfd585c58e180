"""What several commands share."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from napari_liverdx._text import printable
from napari_liverdx.core.errors import PlanError

if TYPE_CHECKING:
    from napari_liverdx.core.classes import ClassScheme

__all__ = [
    "ALLOW_LEAKS",
    "BatchSizeOption",
    "ColorManagedOption",
    "DeviceOption",
    "ErrorRateOption",
    "KeepArtifactsOption",
    "MilModelOption",
    "ModelOption",
    "MppOption",
    "OverlapOption",
    "PrecisionOption",
    "PseudonymizeOption",
    "SceneOption",
    "Terminal",
    "ThresholdOption",
    "err",
    "on_one_line",
    "out",
    "public_command",
    "styled",
    "thresholds_of",
]


class Terminal(Console):
    """What a command prints to: text stands as it is, whatever slides, cards and files are called.

    Nothing in a text is markup or an emoji's name, and no control character of it reaches the
    terminal; colors come from `styled` and from ``style=``.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield the pieces of what is printed; rich's own control of the terminal stays."""
        for piece in super().render(renderable, options):
            text = piece.text if piece.control else printable(piece.text)
            yield piece if text is piece.text else Segment(text, piece.style)


out, err = Terminal(), Terminal(stderr=True)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Return a line whose parts are texts, or texts with a style."""
    return Text.assemble(*parts)


def on_one_line(name: str) -> str:
    """Return a file's name without what would begin another line."""
    return printable(name, lines=False)


ModelOption = Annotated[str, typer.Option("--model", "-m", help="Name or path.")]
MppOption = Annotated[
    float | None,
    typer.Option(help="Pixel size at level 0 in µm/px, if the slide states none or a wrong one."),
]
MilModelOption = Annotated[
    Path | None,
    typer.Option(
        "--mil-model",
        help="Slide-level (MIL) model that refines the tiles and predicts the slide's class.",
    ),
]
ThresholdOption = Annotated[
    list[str] | None,
    typer.Option("--threshold", "-t", help="CLASS=PROBABILITY, repeatable."),
]
ErrorRateOption = Annotated[
    float | None,
    typer.Option(
        help="Report map pixels as uncertain (conformal prediction sets) at this error rate, "
        "for example 0.1."
    ),
]
OverlapOption = Annotated[
    float, typer.Option(help="Share of a tile that neighbors have in common.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
PrecisionOption = Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")]
PseudonymizeOption = Annotated[
    bool,
    typer.Option("--pseudonymize", help="Replace slides' file names by 8-digit codes."),
]
BatchSizeOption = Annotated[int | None, typer.Option(help="Tiles at a time.")]
KeepArtifactsOption = Annotated[
    bool,
    typer.Option("--keep-artifacts", help="Analyze pen marks, folds and blurred tissue too."),
]

SceneOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Which scene of a file that holds several (liverdx slide info lists them); "
        "the largest by default.",
    ),
]
ColorManagedOption = Annotated[
    bool,
    typer.Option("--color-managed", help="Convert colors to sRGB by the slide's ICC profile."),
]

ALLOW_LEAKS = "Continue even if images or patients occur in more than one split."


def public_command(data: Path) -> str:
    """Return the command line for tables and cards, without folders of this computer."""
    words = [data.name if word == str(data) else word for word in sys.argv[1:]]
    kept: list[str] = []
    skip = False
    for word in words:
        if skip or word.startswith("--work="):
            skip = False
        elif word == "--work":
            skip = True
        else:
            kept.append(Path(word).name if word.startswith(("/", "~")) else word)
    return "liverdx " + " ".join(kept)


def thresholds_of(given: Sequence[str], scheme: ClassScheme) -> dict[str, float]:
    """Parse thresholds given as ``CLASS=PROBABILITY``.

    Raises
    ------
    PlanError
        If the class is not pathological or the probability is none.
    """
    allowed = [scheme[i].name for i in scheme.pathological]
    values = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if name not in allowed or not 0 <= value <= 1:
            raise PlanError(
                f"threshold {text!r}: give CLASS=PROBABILITY with CLASS one of "
                f"{', '.join(allowed)} and PROBABILITY between 0 and 1"
            )
        values[name] = value
    return values
