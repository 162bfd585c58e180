"""A lost view is the default."""

from __future__ import annotations

from pathlib import Path

from napari_liverdx.results.view_state import ViewState


def test_a_lost_view_is_the_default(tmp_path: Path) -> None:
    assert ViewState.load(tmp_path) == ViewState()
    for text in ("{broken", '{"basis": "x"}', '{"colormap": "x"}', '{"thresholds": {"a": 7}}'):
        (tmp_path / "view.json").write_text(text, encoding="utf-8")
        assert ViewState.load(tmp_path) == ViewState()
    ViewState(opacity=0.3, slide="../a.svs").save(tmp_path)
    assert ViewState.load(tmp_path).slide == "../a.svs"
