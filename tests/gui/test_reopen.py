"""Results opened again, several runs and slides side by side, and how they look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_liverdx.widgets.analyze_dock import LiverDxDock
from tests.support.window import analyze, canvas, open_in

pytestmark = pytest.mark.gui


FAT = "Liver with fat · small"


def test_overlay_key_opacity_and_colors_act_on_the_canvas(
    viewer: ViewerModel, dock: LiverDxDock, small_slide: Path
) -> None:
    from qtpy.QtTest import QTest

    open_in(dock, small_slide)
    analyze(dock)
    results = dock.controller.results
    assert results is not None
    results.store.probabilities[2] = 0.9
    results.refresh(tiles=False)
    shown = canvas(viewer)
    native = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(native, "h")
    hidden = canvas(viewer)
    assert not viewer.layers[FAT].visible
    assert not dock.findings_panel.look.show_box.isChecked()
    QTest.keyClick(native, "h")
    assert (canvas(viewer) == shown).mean() > 0.999
    middle = (slice(300, 400), slice(200, 400))
    strength = [np.abs(shown[middle] - hidden[middle]).mean()]
    dock.findings_panel.look.opacity.setValue(20)
    strength.append(np.abs(canvas(viewer)[middle] - hidden[middle]).mean())
    assert strength[0] > 2 * strength[1] > 0
    dock.findings_panel.look.colormap.setCurrentIndex(1)
    dock.findings_panel.look.colormap.activated.emit(1)
    dock.findings_panel.look.opacity.setValue(100)
    yellow = canvas(viewer)[middle].mean(axis=(0, 1))
    # 0.9 lies at four fifths between 0.5 and 1: viridis is a light green there.
    assert yellow[1] > yellow[0] > yellow[2]
