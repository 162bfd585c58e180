"""A slide format with all that a file may tell of itself: scenes, a label, a color profile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.backend import Scene, SlideInfo, SlideRequest, choose_scene
from napari_liverdx.slides.formats import FORMATS, SlideFormat
from napari_liverdx.slides.formats.image import ArrayBackend
from tests.support.slides import waves

PATIENT = "Jane Doe 1950-04-03"
"""Stands in the test files where scanners put a patient: it must be found nowhere else."""

LABEL = np.full((40, 60, 3), (200, 230, 120), np.uint8)


class RichBackend(ArrayBackend):
    """`SlideBackend` over the arrays of an npz file."""

    def __init__(self, request: SlideRequest) -> None:
        with np.load(request.path) as stored:
            arrays = [stored[name] for name in sorted(stored) if name.startswith("scene")]
            self.beside = {name: stored[name] for name in ("label", "macro") if name in stored}
            profile = stored["icc"].tobytes() if "icc" in stored else None
            given = [float(v) for v in stored["mpp"]]
        height_width = [a.shape for a in arrays]
        scenes = tuple(Scene(f"Region {i + 1}", w, h) for i, (h, w, _) in enumerate(height_width))
        index = choose_scene(scenes, request.scene, request.path)
        super().__init__(arrays[index], "Rich", None)
        options = tuple(Mpp.square(v, s) for v, s in zip(given, _SOURCES, strict=False))
        self._rich = replace(
            super().info,
            mpp=options[0] if len(options) == 1 else None,
            mpp_note="" if len(options) == 1 else "its sources contradict each other",
            mpp_options=options if len(options) > 1 else (),
            objective_power=20.0,
            scenes=scenes if len(scenes) > 1 else (),
            scene=index,
            origin=(16, 48) if index else (0, 0),
            associated=tuple(self.beside),
            icc_profile=profile,
            identity=f"scene {index}" if index != choose_scene(scenes, None, request.path) else "",
        )

    @property
    def info(self) -> SlideInfo:
        return self._rich

    def read_associated(self, name: str) -> NDArray[np.uint8]:
        return self.beside[name]


_SOURCES = ("Rich header", "TIFF resolution tag")


def open_rich(request: SlideRequest) -> RichBackend | None:
    return RichBackend(request) if request.path.suffix == ".rich" else None


@contextmanager
def rich_format() -> Iterator[None]:
    """Register the format for a while."""
    FORMATS.register("rich", SlideFormat("rich", "Rich", (".rich",), open_rich))
    try:
        yield
    finally:
        FORMATS.unregister("rich")


def write_rich(
    path: Path,
    *,
    scenes: int = 2,
    mpp: tuple[float, ...] = (0.5,),
    profile: bytes | None = None,
    label: bool = True,
) -> Path:
    """Write such a file; its last scene is the largest."""
    content: dict[str, NDArray[np.generic]] = {"mpp": np.array(mpp)}
    for index in range(scenes):
        pixels = waves(300 + 50 * index, 360 + 60 * index)
        pixels[..., 1] //= 3
        content[f"scene{index}"] = np.ascontiguousarray(np.roll(pixels, 31 * index, axis=1))
    if label:
        content |= {"label": LABEL, "macro": LABEL[::2], "patient": np.array(PATIENT)}
    if profile is not None:
        content["icc"] = np.frombuffer(profile, np.uint8)
    with path.open("wb") as file:
        np.savez(file, **content)
    return path


def in_srgb(pixels: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Pixels turned by Pillow alone."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    turned = ImageCms.profileToProfile(
        Image.fromarray(pixels), source, ImageCms.createProfile("sRGB")
    )
    return np.asarray(turned)


def swapped_profile() -> bytes:
    """An sRGB profile with the tags of red and blue exchanged: it stores one for the other."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    entries = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)
