"""Arrays are converted to RGB or refused."""

from __future__ import annotations

import numpy as np
import pytest

from napari_liverdx.core.errors import NotASlideError
from napari_liverdx.slides.pixels import to_rgb8
from tests.support.slides import waves


def test_an_array_is_converted_or_refused() -> None:
    assert (to_rgb8(waves(), "layer") == waves()).all()
    with pytest.raises(NotASlideError, match="float64"):
        to_rgb8(np.zeros((4, 4, 3)), "layer")
