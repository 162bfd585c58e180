"""Results that were made to compare two versions, once the new one is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils.notifications import show_error

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.results.store import ResultStore

if TYPE_CHECKING:
    from napari_liverdx.widgets.main.results_controller import FindingsController

__all__ = ["let_go", "show_kept"]


def let_go(findings: FindingsController, path: Path) -> None:
    """Take a result off the viewer before it gets another name."""
    findings.put_away([r for r in findings.open_results if r.store.path == path])


def show_kept(findings: FindingsController, path: Path, sha256: str, reference: Image) -> None:
    """Show a result as the kept version's own; nothing if another model made what is there."""
    if not path.exists():
        # It could not be moved, which is told elsewhere.
        return
    try:
        store = ResultStore.open(path)
        if store.manifest.model_sha256 != sha256:
            return
        findings.show(store, reference)
    except LiverDxError as error:
        show_error(str(error))
        return
    findings.refresh(force=True)
