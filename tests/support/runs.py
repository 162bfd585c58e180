"""Planning and running, here and in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import RunPlan, plan_run
from napari_liverdx.inference.run import analyze, make_manifest
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue


def make_plan(slide: Slide, model: LoadedModel, **options: object) -> RunPlan:
    device = options.pop("device", choose_device("cpu"))
    tissue = slide_tissue(slide)
    return plan_run(slide.levels, slide.mpp, tissue, model.card, device=device, **options)


def run_into(slide: Slide, model: LoadedModel, path: Path, **options: object) -> ResultStore:
    plan = make_plan(slide, model, **options)
    manifest = make_manifest(plan, slide, model)
    store = ResultStore.open_or_create(path, manifest, plan.tissue, plan.tiles)
    for _ in analyze(plan, slide, model, store):
        pass
    return store


CHILD = """
import sys
from pathlib import Path
from napari_liverdx.inference import run as module
from napari_liverdx.inference.run import (analyze, make_manifest)
from napari_liverdx.slides.tissue import slide_tissue
from napari_liverdx.inference.device import choose_device
from napari_liverdx.inference.plan import plan_run
from napari_liverdx.results.store import ResultStore
from napari_liverdx.slides.open import open_slide
from napari_liverdx.models.file import load_model_file

module.FLUSH_SECONDS = 0.0
slide, model = open_slide(sys.argv[1]), load_model_file(Path(sys.argv[2]))
plan = plan_run(slide.levels, slide.mpp, slide_tissue(slide), model.card,
                device=choose_device("cpu"), batch_size=2)
store = ResultStore.open_or_create(
    Path(sys.argv[3]), make_manifest(plan, slide, model), plan.tissue, plan.tiles)
{extra}
for step in analyze(plan, slide, model, store):
    sys.stdout.write(f"{{step.done}}\\n")
    sys.stdout.flush()
"""


def child(
    tmp_path: Path, slide: Path, model: Path, result: Path, extra: str = ""
) -> subprocess.Popen[str]:
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD.format(extra=extra)))
    return subprocess.Popen(
        [sys.executable, str(script), str(slide), str(model), str(result)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
