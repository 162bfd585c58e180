"""The npe2 writers: Save layers, for layers that show a result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from napari_liverdx.core.errors import ResultError
from napari_liverdx.exports.registry import EXPORTS, ExportOptions
from napari_liverdx.results.store import ResultStore
from napari_liverdx.results.view_state import ViewState
from napari_liverdx.session.export import write_export
from napari_liverdx.session.measure import stored_quantiles
from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.layers.base import RESULT_KEY, SLIDE_KEY
from napari_liverdx.viewer.preferences import preferences

__all__ = ["save"]

LayerTuples = Iterable[tuple[Any, dict[str, Any], str]]


def __getattr__(name: str) -> Callable[[str, LayerTuples], list[str]]:
    """Return ``save_NAME``, which `save` s in the export of that name, ``-`` spelled ``_``.

    The manifest names them, one for each export.
    """
    if name.startswith("save_"):
        for export in EXPORTS:
            if name == f"save_{export.replace('-', '_')}":
                return partial(save, export)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def save(name: str, path: str, layers: LayerTuples) -> list[str]:
    """Export the result that layers show, whole, at the thresholds it is shown with.

    Error rate and what is measured are those that are kept with the result, and so is the
    threshold of a class whose layer is not among them. Whether the slide's name is told is what
    the preferences say.

    Parameters
    ----------
    name : str
        Key of `napari_liverdx.exports.registry.EXPORTS`.
    path : str
        File or folder to write.
    layers : iterable of (data, attributes, type)
        Those of one result; others are left out, but for the slide, whose picture goes into DICOM.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    ResultError
        If they show no result, or several, or it cannot be read or written.
    PlanError
        If an error rate is kept with it and the model that made it is not found.
    """
    about = [attributes for _, attributes, _ in layers]
    metadata = [a.get("metadata", {}) for a in about]
    found = {str(m[RESULT_KEY]) for m in metadata if RESULT_KEY in m}
    if len(found) != 1:
        what = "none of these layers shows" if not found else "these layers show more than one"
        raise ResultError(
            f"{path}: {what} result of Liver Dx, and nothing was written; select the probability "
            "or tile layers of one result"
        )
    store = ResultStore.open(Path(found.pop()))
    shown = {
        str(a["metadata"]["liverdx_class"]): float(a["contrast_limits"][0])
        for a in about
        if "liverdx_class" in a.get("metadata", {}) and "contrast_limits" in a
    }
    slides = [m[SLIDE_KEY] for m in metadata if isinstance(m.get(SLIDE_KEY), Slide)]
    settings = ViewState.load(store.path).settings.of_scheme(store.manifest.scheme)
    for class_name, threshold in shown.items():
        settings = settings.with_threshold(class_name, threshold)
    options = ExportOptions(
        settings,
        stored_quantiles(store, settings.error_rate),
        hide_name=preferences().hide_names,
    )
    write_export(store, name, Path(path), slides[0] if slides else None, options)
    return [path]
