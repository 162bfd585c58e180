"""Driving the fine-tuning page."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtWidgets import QComboBox

from napari_liverdx.widgets.pages.finetune_page import FinetunePage
from tests.support.teaching import REGIONS, TILE
from tests.support.window import click, wait


def draw(page: FinetunePage, regions: tuple = REGIONS) -> None:
    """Shapes as a script or another plugin would add them."""
    for name, *box in regions:
        click(page.class_buttons[name])
        x, y, w, h = (TILE * v for v in box)
        corners = np.array([(y, x), (y, x + w), (y + h, x + w), (y + h, x)]) - 0.5
        page.control.material.current.layer.add_polygons([corners])
    counted(page)


def counted(page: FinetunePage) -> None:
    page.control.material.count()
    wait(lambda: not page.controller.workers.are_busy)


def names(combo: QComboBox) -> list[str]:
    return [combo.itemText(i) for i in range(combo.count())]


def tuned(page: FinetunePage) -> Callable[[], bool]:
    return lambda: not page.control.work and not page.control.workers.are_busy
