"""Fine-tuning on the page, without a napari window: tune, compare, decide, cancel."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_liverdx.models.file import read_card, rewrite_model_file
from napari_liverdx.models.versions import trial_path
from napari_liverdx.models.zoo import available_models
from napari_liverdx.session.state import RunStatus
from napari_liverdx.widgets.analyze_dock import LiverDxDock
from napari_liverdx.widgets.main.model_panel import CardDialog
from napari_liverdx.widgets.pages.finetune_page import FinetunePage
from tests.support.finetune_page import draw, names, tuned
from tests.support.window import analyze, click, notes, wait

pytestmark = pytest.mark.slow


def test_fine_tune_compare_and_keep(
    viewer: ViewerModel, dock: LiverDxDock, finetune_page: FinetunePage
) -> None:
    draw(finetune_page)
    analyze(dock)
    click(finetune_page.tune_button)
    assert finetune_page.cancel_button.isEnabled()
    assert finetune_page.bar.isVisible()
    wait(tuned(finetune_page))
    assert [e.epoch for e in finetune_page.control.epochs] == [1, 2]
    assert "epoch 2" in finetune_page.loss.accessibleDescription()
    assert finetune_page.loss.isVisible()
    assert finetune_page.test_table.rowCount() == 2
    assert "optimistic" in finetune_page.test_note.text()
    assert finetune_page.comparison.isVisible()
    assert "Tiny, version 2" in finetune_page.trial_note.text()
    assert "tiny-v2" not in available_models(), "an undecided version cannot be chosen"

    old_result = dock.controller.results.store.path
    click(finetune_page.both_button)
    wait(tuned(finetune_page))
    ((old, new),) = finetune_page.control.pairs
    assert old is dock.controller.results.probabilities["fat"]
    assert new.name == "Liver with fat · version 2 · painted"
    assert np.allclose(old.extent.world, new.extent.world)
    dock.findings_panel.sliders["fat"].setValue(0.3)
    assert tuple(new.contrast_limits) == pytest.approx((0.3, 1.0))
    new.opacity = 0.4
    assert old.opacity == pytest.approx(0.4)
    click(finetune_page.views["before"])
    assert (old.visible, new.visible) == (True, False)
    click(finetune_page.views["both"])
    assert (old.visible, new.visible) == (True, True)
    assert finetune_page.changes_table.rowCount() == 3
    before, after, change = (
        float(finetune_page.changes_table.item(2, c).text()) for c in (1, 2, 3)
    )
    assert change == pytest.approx(after - before, abs=0.0011)

    compared = finetune_page.control.maps.after.path
    assert compared.parent == old_result.parent
    click(finetune_page.keep_button)
    assert dock.state.model.name == "tiny-v2"
    assert "Tiny, version 2" in names(dock.model_panel.choice)
    assert not trial_path(dock.state.model.card).parent.exists()
    assert new not in viewer.layers
    assert old in viewer.layers
    kept = dock.controller.results
    assert kept.store.path == compared
    assert kept.store.manifest.model_name == "tiny-v2"
    assert kept.store.path.parent == dock.state.run.out_folder
    assert kept.probabilities["fat"] in viewer.layers
    assert not finetune_page.comparison.isVisible()
    rows = [
        finetune_page.versions.table.item(r, 0).text()
        for r in range(finetune_page.versions.table.rowCount())
    ]
    assert "2 · used" in rows
    click(finetune_page.versions.card_button)
    (dialog,) = finetune_page.findChildren(CardDialog)
    assert dialog.windowTitle() == "Tiny, version 2"
    dialog.reject()
    # The result that was made for the comparison is the version's own.
    wait(lambda: dock.run_panel.analyze_button.isEnabled())
    click(dock.run_panel.analyze_button)
    wait(lambda: dock.state.run.status is RunStatus.FINISHED)
    assert dock.state.run.progress.tiles_per_second == 0, "no tile was analyzed again"


def test_another_model_ends_what_runs(
    dock: LiverDxDock, finetune_page: FinetunePage, own_models: Path, tiny_file: Path
) -> None:
    """The old model's lesson never appears under the new one, and nothing starts beside it."""
    draw(finetune_page)
    own_models.mkdir(exist_ok=True)
    other = read_card(tiny_file).model_copy(update={"name": "other", "title": "Other"})
    rewrite_model_file(tiny_file, other, {}, own_models / "other.safetensors")
    finetune_page.control.n_epochs = 500
    click(finetune_page.tune_button)
    wait(lambda: len(finetune_page.control.epochs) > 0)
    assert dock.controller.choose_model("other")
    assert finetune_page.control.work == "tune"
    assert "Another model" in finetune_page.message.text()
    assert finetune_page.control.epochs == []
    finetune_page.control.fine_tune()
    wait(tuned(finetune_page))
    assert finetune_page.control.epochs == []
    assert finetune_page.tune_button.isEnabled()

    # After the last epoch nothing stops the lesson any more; it comes, and is not shown.
    def switch() -> None:
        if finetune_page.control.epochs:
            dock.controller.choose_model(str(tiny_file))

    finetune_page.control.n_epochs = 1
    finetune_page.control.progressed.connect(switch)
    click(finetune_page.tune_button)
    wait(tuned(finetune_page))
    assert trial_path(other).exists()
    assert finetune_page.control.outcome is None
    assert not finetune_page.test_table.isVisible()
    assert not finetune_page.comparison.isVisible()


def test_both_versions_are_not_run_beside_an_analysis(
    dock: LiverDxDock, finetune_page: FinetunePage
) -> None:
    draw(finetune_page)
    finetune_page.control.n_epochs = 1
    click(finetune_page.tune_button)
    wait(tuned(finetune_page))
    assert finetune_page.both_button.isEnabled()
    dock.state.run.status = RunStatus.RUNNING
    assert not finetune_page.both_button.isEnabled()
    with notes() as told:
        finetune_page.control.compare()
    assert "An analysis is running" in told[0]
    assert not finetune_page.control.is_writing
    dock.state.run.status = RunStatus.IDLE
    click(finetune_page.both_button)
    assert finetune_page.control.is_writing
    click(finetune_page.cancel_button)
    wait(tuned(finetune_page))
    assert not finetune_page.control.is_writing


def test_cancel_and_discard_leave_nothing(
    viewer: ViewerModel, dock: LiverDxDock, finetune_page: FinetunePage, own_models: Path
) -> None:
    draw(finetune_page)
    finetune_page.control.n_epochs = 500
    click(finetune_page.tune_button)
    wait(lambda: len(finetune_page.control.epochs) > 0)
    click(finetune_page.cancel_button)
    wait(tuned(finetune_page))
    assert "the model is as it was" in finetune_page.message.text()
    assert not finetune_page.comparison.isVisible()
    assert finetune_page.tune_button.isEnabled()
    finetune_page.control.n_epochs = 1
    click(finetune_page.tune_button)
    wait(tuned(finetune_page))
    click(finetune_page.both_button)
    wait(tuned(finetune_page))
    assert len(finetune_page.control.pairs) == 1
    before, after = finetune_page.control.maps.before.path, finetune_page.control.maps.after.path
    count = len(viewer.layers)
    click(finetune_page.discard_button)
    assert len(viewer.layers) == count - 1
    assert "Discarded" in finetune_page.message.text()
    assert not list(own_models.rglob("*.safetensors"))
    assert before.exists()
    assert not after.exists()
    assert not finetune_page.comparison.isVisible()
    assert "version 2" not in " ".join(names(dock.model_panel.choice))


@pytest.mark.parametrize("event", ["layer removed", "slide deleted", "models deleted", "closed"])
def test_a_fine_tuning_ends_in_words_whatever_happens_meanwhile(
    dock: LiverDxDock, finetune_page: FinetunePage, painted: Path, own_models: Path, event: str
) -> None:
    draw(finetune_page)
    finetune_page.control.n_epochs = 30
    with notes() as told:
        click(finetune_page.tune_button)
        wait(lambda: len(finetune_page.control.epochs) > 0)
        if event == "layer removed":
            dock.viewer.layers.clear()
        elif event == "slide deleted":
            painted.unlink()
        elif event == "models deleted":
            shutil.rmtree(own_models, ignore_errors=True)
        else:
            dock.release()
        finetune_page.control.cancel()
        wait(lambda: not finetune_page.control.workers.are_busy)
    assert not [words for words in told if "Unexpected" in words or "Traceback" in words]
    assert not list(own_models.rglob("*.safetensors"))
