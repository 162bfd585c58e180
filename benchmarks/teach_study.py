"""How long does teaching take, and does it do what it was told? Measured on the packaged sample.

Usage: python benchmarks/teach_study.py [--epochs 20]

Two lessons for the packaged model, each in a few rectangles drawn on the sample slide:

agree     fat is fat and glass is glass, as the model says already: nothing should break.
contrary  the left piece is called liver without fat, against what the model says and what is true:
          a lesson that can only be learned from the shapes, to see whether shapes are learned.

Printed: tiles, seconds, balanced accuracy on held-out tiles before and after, and the areas of both
versions on the whole slide.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from napari_liverdx.core.resolution import Mpp
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.models.zoo import load_model
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.session.annotations import CollectedAnnotations
from napari_liverdx.session.finetune import (
    BothMaps,
    ComparisonRequest,
    FinetuneRequest,
    FinetuneStarted,
    changes,
    compare_on_slide,
    run_finetuning,
)
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue
from napari_liverdx.training.interactive.annotation_record import rectangle
from napari_liverdx.training.interactive.annotation_store import (
    SlideAnnotations,
    short_fingerprint,
)
from napari_liverdx.training.interactive.finetune import FinetuneResult

MODEL = "liver-steatosis"
TILE = 224
Boxes = tuple[tuple[str, float, float, float, float], ...]
RIGHT: Boxes = (("fat", 10, 2.6, 4, 2.4), ("fat", 10, 8, 4, 2))
GLASS: Boxes = (("background", 0, 0, 6, 2), ("background", 0, 10, 6, 2))
LESSONS: dict[str, Boxes] = {
    "agree": (*RIGHT, *GLASS),
    "contrary": (*RIGHT, *GLASS, ("liver", 2, 4, 4, 1.4), ("liver", 2, 6, 4, 2)),
}
"""Class, then left, top, width and height in tiles of 112 µm."""

out = Console()


def study(name: str, boxes: Boxes, slide: Slide, folder: Path, epochs: int) -> None:
    """Teach one lesson and print what came of it."""
    shapes = tuple(rectangle(c, *(TILE * v for v in box)) for c, *box in boxes)
    trial = folder / name / "model.safetensors"
    fingerprint = short_fingerprint(slide)
    drawn = SlideAnnotations(fingerprint, slide.path, None, shapes)
    annotations = CollectedAnnotations((drawn,), {fingerprint: slide})
    request = FinetuneRequest(MODEL, annotations, trial, epochs)
    stop = threading.Event()
    start, used = time.perf_counter(), time.process_time()
    outcome: FinetuneResult | None = None
    for event in run_finetuning(request, stop):
        if isinstance(event, FinetuneStarted):
            out.print(f"[b]{name}[/b]: {event.train} tiles teach, {event.held_out} held out")
        elif isinstance(event, FinetuneResult):
            outcome = event
    assert outcome is not None
    seconds, used = time.perf_counter() - start, time.process_time() - used
    test = outcome.test
    out.print(f"  {seconds:.0f} s, {used:.0f} s of processor")
    out.print(f"  balanced accuracy {test.before} before, {test.after} after")
    for c in test.classes:
        out.print(f"  {c.title}: {c.before} of {c.tiles} right before, {c.after} after")
    card = load_model(MODEL).card
    assert slide.mpp is not None
    plan = plan_run(slide.levels, Mpp.square(slide.mpp.mean), slide_tissue(slide), card)
    comparison = ComparisonRequest(slide, plan, MODEL, folder / "before", trial)
    maps = [e for e in compare_on_slide(comparison, stop) if isinstance(e, BothMaps)]
    table = Table("class", "mm² before", "mm² after", "tiles changed")
    for row in changes(maps[0], MeasureSettings()):
        table.add_row(row.title, f"{row.before_mm2:.3f}", f"{row.after_mm2:.3f}", str(row.changed))
    out.print(table)


def main() -> None:
    """Run the lessons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs
    with tempfile.TemporaryDirectory() as folder, open_slide(sample_path()) as slide:
        for name, boxes in LESSONS.items():
            study(name, boxes, slide, Path(folder), epochs)


if __name__ == "__main__":
    main()
