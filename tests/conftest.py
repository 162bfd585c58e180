"""Fixtures: data, small slides, a quick model, and guards against leaks."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import settings

from napari_liverdx.core.classes import ClassKind, TissueClass
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.card import ModelCard, Normalisation
from napari_liverdx.models.file import LoadedModel, load_model_file, save_model_file
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.slides.slide import Slide

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_liverdx.widgets.analyze_dock import LiverDxDock

REPOSITORY = Path(__file__).parent.parent
CMU = Path(__file__).parent / "data" / "CMU-1-Small-Region.svs"


def pytest_configure(config: pytest.Config) -> None:
    """Use one thread per core at most; test machines are small."""
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    # A deadline is a timing assertion: on a busy machine it fails without a fault.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests where there is no GPU."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA on this machine"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the large data sets; tests that need it skip where it is absent."""
    root = Path(os.environ.get("LIVERDX_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        if os.environ.get("LIVERDX_REQUIRE_DATA"):
            pytest.fail(f"{root} must be there: LIVERDX_REQUIRE_DATA is set")
        pytest.skip("the large data sets are not on this machine (LIVERDX_DATA)")
    return root


@pytest.fixture(autouse=True)
def no_leaked_threads_or_files() -> Iterator[None]:
    """Fail a test that leaves a reader thread or an open slide behind."""
    before = _open_slides()
    yield
    gc.collect()
    names = [t.name for t in threading.enumerate() if t.name.startswith("liverdx")]
    assert not names, f"threads left running: {names}"
    left = _open_slides() - before
    assert not left, f"slides left open: {left}"


def _open_slides() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").glob("*") if Path("/proc/self/fd").exists() else ():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.endswith((".svs", ".tif", ".tiff")):
            found.add(target)
    return found


@pytest.fixture
def cmu() -> Iterator[Slide]:
    """Aperio SVS, JPEG, one level, 0.499 µm/px."""
    with open_slide(CMU) as slide:
        yield slide


@pytest.fixture
def sample() -> Iterator[Slide]:
    """The packaged liver pyramid, 0.5 µm/px."""
    with open_slide(sample_path()) as slide:
        yield slide


@pytest.fixture
def small_slide(tmp_path: Path, sample: Slide) -> Path:
    """A two-level piece of real liver, 1120 × 896 px, 0.5 µm/px."""
    path = tmp_path / "small.tif"
    write_pyramid(path, sample.read_region(0, 1900, 500, 1120, 896))
    return path


def write_pyramid(
    path: Path, pixels: np.ndarray, *, mpp: float | None = 0.5, levels: int = 2, tile: int = 128
) -> None:
    """Write a tiled TIFF pyramid without loss."""
    resolution: dict[str, object] = {}
    if mpp is not None:
        resolution = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            writer.write(
                pixels[:: 2**level, :: 2**level],
                tile=(tile, tile),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(level > 0),
                metadata=None,
                **(resolution if level == 0 else {}),
            )


CLASSES = (
    TissueClass("background", "Background", "#9aa3b2", ClassKind.BACKGROUND),
    TissueClass("liver", "Liver without fat", "#4c9f70", ClassKind.NORMAL),
    TissueClass("fat", "Liver with fat", "#0a84ff", ClassKind.PATHOLOGICAL),
)


def make_card(**more: object) -> ModelCard:
    """A card for a small CNN+RNN with random weights."""
    fields: dict[str, object] = {
        "name": "tiny",
        "title": "Tiny",
        "summary": "Random weights, for tests",
        "architecture": "cnn-rnn",
        "arguments": {"encoder": "mobilenetv3_small_050", "hidden": 8, "projection": 16},
        "classes": CLASSES,
        "mpp": 0.5,
        "tile_size": 224,
        "cells": 7,
        "normalisation": Normalisation(),
    }
    return ModelCard.model_validate({**fields, **more})


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model file with random weights: fast, and as good as any for plumbing."""
    torch.manual_seed(0)
    card = make_card()
    network = CnnRnnClassifier(3, **card.arguments)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_model_file(path, network, card, half=False)
    return path


@pytest.fixture
def tiny(tiny_file: Path) -> LoadedModel:
    """`tiny_file`, loaded."""
    return load_model_file(tiny_file)


@pytest.fixture
def own_settings(tmp_path: Path) -> None:
    """Settings of this test alone."""
    from qtpy.QtCore import QSettings

    QSettings.setPath(
        QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "settings")
    )


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., ViewerModel], own_settings: None) -> ViewerModel:
    """A shown viewer of fixed size."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1300, 800)
    return viewer


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: object, tiny_file: Path) -> Iterator[LiverDxDock]:
    """The dock in its viewer, with the quick model."""
    from .window import wait

    _, dock = viewer.window.add_plugin_dock_widget("napari-liverdx", "Analyze slide")
    assert dock.controller.choose_model(str(tiny_file))
    yield dock
    dock.release()
    wait(lambda: not dock.controller.is_busy)


@pytest.fixture
def half_micron() -> Mpp:
    """0.5 µm/px."""
    return Mpp.square(0.5)
