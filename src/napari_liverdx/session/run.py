"""Work that takes time, as generators and functions a worker thread can call."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from napari_liverdx.core.ood import OodAssessment
from napari_liverdx.inference.ood import probe_ood
from napari_liverdx.inference.plan import RunPlan
from napari_liverdx.inference.run import RunProgress, analyze, make_manifest, result_location
from napari_liverdx.models.file import LoadedModel
from napari_liverdx.models.zoo import find_model, load_model
from napari_liverdx.reports.write import save_report
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.state import SlideFacts
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_overview, slide_tissue_map

__all__ = [
    "Progressed",
    "Started",
    "inspect_slide",
    "loaded_model",
    "probe_slide_ood",
    "run",
    "save_report",
    "slide_facts",
]


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """A run has its plan and its store."""

    slide: Slide
    plan: RunPlan
    store: ResultStore
    model: LoadedModel


@dataclass(frozen=True, slots=True)
class Progressed:
    """A batch is done."""

    progress: RunProgress


def slide_facts(slide: Slide) -> SlideFacts:
    """Return what is known of a slide without reading pixels."""
    return SlideFacts(slide.name, slide.info, slide.mpp, color_managed=slide.color_managed)


def inspect_slide(slide: Slide) -> SlideFacts:
    """Return the facts with tissue and artifacts; reads small levels, and fine ones over tissue."""
    overview = slide_overview(slide)
    found = slide_tissue_map(slide, overview)
    return replace(
        slide_facts(slide),
        tissue=found.analyzed,
        unreadable=overview.unreadable,
        tissue_map=found,
    )


@lru_cache(maxsize=2)
def _loaded(path: Path, changed: tuple[int, ...]) -> LoadedModel:
    return load_model(path)


def loaded_model(model: str) -> LoadedModel:
    """Load a model by name or path; the last two stay in memory until their file changes.

    Raises
    ------
    ModelFileError
        If it cannot be loaded.
    """
    path = find_model(model)
    try:
        found = path.stat()
    except OSError:
        return load_model(path)
    # Not by its time alone: clocks are set back, and some file systems count whole seconds.
    return _loaded(path, (found.st_mtime_ns, found.st_size, found.st_ino))


def probe_slide_ood(
    plan: RunPlan, slide: Slide, model: str, stop: threading.Event
) -> OodAssessment | None:
    """Assess a few tiles against the training data; None if the model cannot tell.

    Raises
    ------
    ModelFileError
        If the model cannot be loaded.
    """
    return probe_ood(plan, slide, loaded_model(model), stop=stop)


def run(
    plan: RunPlan,
    slide: Slide,
    model: str | LoadedModel,
    out_folder: Path,
    stop: threading.Event,
    target: Path | None = None,
    *,
    keep_embeddings: bool = False,
) -> Generator[Started | Progressed, None, None]:
    """Load the model, open or resume the result, and analyze.

    ``stop`` ends it between two batches, with everything finished written: a worker thread that
    merely drops a generator would leave that to the garbage collector.

    Parameters
    ----------
    plan : RunPlan
        The decided run.
    slide : Slide
        The slide to read.
    model : str or LoadedModel
        Name, path, or the model itself.
    out_folder : Path
        Folder for the result.
    stop : threading.Event
        Set it to end the run.
    target : Path, optional
        The result itself, where it must not have the name it would be given in ``out_folder``.
    keep_embeddings : bool
        Whether the result keeps the tiles' embeddings, for a slide-level model.

    Yields
    ------
    Started
        Once.
    Progressed
        After each batch.

    Raises
    ------
    LiverDxError
        Whatever stands in the way; finished tiles are kept.
    """
    loaded = loaded_model(model) if isinstance(model, str) else model
    target = target or result_location(out_folder, plan, slide, loaded)
    manifest = make_manifest(plan, slide, loaded)
    store = ResultStore.open_or_create(target, manifest, plan.tissue, plan.tiles)
    if keep_embeddings:
        store.keep_embeddings()
    yield Started(slide, plan, store, loaded)
    with closing(analyze(plan, slide, loaded, store)) as steps:
        for progress in steps:
            yield Progressed(progress)
            if stop.is_set():
                return
