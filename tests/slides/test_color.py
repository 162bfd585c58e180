"""Colors by ICC profile."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.backend import SlideInfo
from napari_liverdx.slides.color import srgb_transform
from napari_liverdx.slides.formats.image import ArrayBackend
from napari_liverdx.slides.slide import Slide
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
    # A profile whose primaries are swapped: red is stored where green belongs.
    swapped = _swapped_profile()
    expected = np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(pixels),
            ImageCms.ImageCmsProfile(io.BytesIO(swapped)),
            ImageCms.createProfile("sRGB"),
        )
    )
    with Slide(Path("a"), _Profiled(pixels, swapped)) as plain:
        assert np.array_equal(whole(plain), pixels)
    with Slide(Path("a"), _Profiled(pixels, swapped), color_managed=True) as managed:
        assert np.array_equal(whole(managed), expected)
        assert np.array_equal(managed.overview(1).rgb, expected)
        assert np.abs(expected.astype(int) - pixels).mean() > 10


def test_a_slide_without_profile_says_so() -> None:
    with pytest.raises(SlideReadError, match="no color profile"):
        Slide(Path("a"), _Profiled(waves(), None), color_managed=True)


def _swapped_profile() -> bytes:
    """Return an sRGB profile with the tags of red and green exchanged."""
    data = bytearray(profile())
    count = int.from_bytes(data[128:132], "big")
    entries = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)
