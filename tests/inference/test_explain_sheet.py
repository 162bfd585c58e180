"""The pictures of an explanation share one scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageFont

from napari_liverdx.core.colormaps import CIVIDIS, color_values
from napari_liverdx.core.errors import PlanError
from napari_liverdx.inference.explain import explain_pixels
from napari_liverdx.inference.explain_sheet import (
    difference_limit,
    explanation_pictures,
    explanation_sheet,
    write_explanation,
)
from tests.support.explanations import FAT, made_explanation
from tests.support.models import make_card, model_of
from tests.support.pictures import noise


def test_a_sheet_has_all_its_letters_where_no_dejavu_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[ImageFont.FreeTypeFont] = []
    truetype = ImageFont.truetype

    def without_dejavu(font: str, size: int) -> ImageFont.FreeTypeFont:
        if "DejaVu" in font:
            raise OSError("cannot open resource")
        used.append(truetype(font, size))
        return used[-1]

    explanation = explain_pixels(noise(64), model_of("livernet", 64), FAT)
    monkeypatch.setattr(ImageFont, "truetype", without_dejavu)
    assert explanation_sheet(explanation).shape[2] == 3
    assert used
    for font in used:
        unknown = bytes(font.getmask("\U0010ffff"))
        assert not [letter for letter in "×–µ·äéñø" if bytes(font.getmask(letter)) == unknown]


def test_pictures_have_one_scale_and_say_the_difference() -> None:
    subtiles, alone = np.full((7, 7), 0.5), np.full((7, 7), 0.25)
    subtiles[2, 3], alone[2, 3] = 1.0, 0.9
    explanation = made_explanation(subtiles, alone, make_card())
    pictures = {p.name: p for p in explanation_pictures(explanation)}
    assert list(pictures) == ["tile", "cam", "cells", "alone", "difference"]
    assert pictures["cells"].scale == pictures["alone"].scale
    assert {p.pixels.shape for p in pictures.values()} == {(28, 28, 3)}
    block = pictures["cells"].pixels[8:12, 12:16].reshape(-1, 3)
    assert (block == np.array([0xFE, 0xE8, 0x38])).all()
    expected = color_values(np.array(0.25), CIVIDIS, 0, 1)
    assert (pictures["alone"].pixels[0, 0] == expected).all()
    scale = pictures["difference"].scale
    assert scale is not None
    assert (scale.low, scale.high) == ("−0.25", "+0.25")
    assert (pictures["difference"].pixels[0, 0] == [0xB4, 0x04, 0x26]).all()
    assert (pictures["cam"].pixels <= explanation.pixels // 2 + 4).all()


@pytest.mark.parametrize(("most", "limit"), [(0.0, 0.1), (0.2, 0.25), (-0.4, 0.5), (0.9, 1.0)])
def test_difference_scale_is_round_and_holds_all(most: float, limit: float) -> None:
    assert difference_limit(np.array([[0.0, most]])) == limit


def test_a_sheet_can_be_drawn_where_no_font_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    truetype = ImageFont.truetype

    def only_built_in(font: object, *more: Any, **options: Any) -> ImageFont.FreeTypeFont:
        if isinstance(font, str):
            raise OSError("cannot open resource")
        return truetype(font, *more, **options)

    explanation = explain_pixels(noise(64), model_of("livernet", 64), FAT)
    usual = explanation_sheet(explanation)
    monkeypatch.setattr(ImageFont, "truetype", only_built_in)
    assert explanation_sheet(explanation).shape[1] == usual.shape[1]


def test_pictures_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    explanation = explain_pixels(noise(64), model_of("livernet", 64), FAT)
    with pytest.raises(PlanError, match="PNG"):
        write_explanation(tmp_path / "a.jpg", explanation)
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    with pytest.raises(PlanError, match="choose another place"):
        write_explanation(blocker / "a.png", explanation)
    write_explanation(tmp_path / "new" / "a.png", explanation)
    assert (tmp_path / "new" / "a.png").exists()
