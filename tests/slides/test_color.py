"""Colors by ICC profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageCms

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.backend import SlideInfo
from napari_liverdx.slides.color import srgb_transform
from napari_liverdx.slides.formats.image import ArrayBackend
from napari_liverdx.slides.slide import Slide
from tests.support.scenes import in_srgb, swapped_profile
from tests.support.slides import waves, whole


def profile(kind: str = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()


class _Profiled(ArrayBackend):
    def __init__(self, pixels: np.ndarray, icc: bytes | None) -> None:
        super().__init__(pixels, "test", Mpp.square(0.5))
        plain = super().info
        self._profiled = SlideInfo(plain.format, plain.levels, plain.mpp, icc_profile=icc)

    @property
    def info(self) -> SlideInfo:
        return self._profiled


def test_srgb_stays_as_it_is() -> None:
    pixels = waves()
    assert np.abs(srgb_transform(profile(), "a")(pixels).astype(int) - pixels).max() <= 1


def test_a_damaged_profile_is_told() -> None:
    with pytest.raises(SlideReadError, match="its color profile"):
        srgb_transform(b"nonsense", "a.svs")


def test_a_slide_is_shown_in_srgb_when_asked() -> None:
    pixels = waves()
    # A profile whose primaries are swapped: red is stored where blue belongs.
    swapped = swapped_profile()
    expected = in_srgb(pixels, swapped)
    with Slide(Path("a"), _Profiled(pixels, swapped)) as plain:
        assert np.array_equal(whole(plain), pixels)
    with Slide(Path("a"), _Profiled(pixels, swapped), color_managed=True) as managed:
        assert np.array_equal(whole(managed), expected)
        assert np.array_equal(managed.overview(1).rgb, expected)
        assert np.abs(expected.astype(int) - pixels).mean() > 10


def test_a_slide_without_profile_says_so() -> None:
    with pytest.raises(SlideReadError, match="no color profile"):
        Slide(Path("a"), _Profiled(waves(), None), color_managed=True)
