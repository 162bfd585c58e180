"""Fixtures for all: data, small slides, a quick model, and guards against leaks."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image
from scipy import ndimage

from napari_liverdx.models.architectures.cnn_rnn import CnnRnnClassifier
from napari_liverdx.models.file import LoadedModel, load_model_file, save_model_file
from napari_liverdx.models.zoo import load_model
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.batch import BatchRequest
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.data.masks import FatMaskDataset
from tests.support.budget import Budget
from tests.support.folders import RECIPE, write_folders
from tests.support.golden import GOLDEN
from tests.support.leaks import Imports, open_slides, own_threads
from tests.support.models import make_card
from tests.support.paths import CMU, REPOSITORY
from tests.support.results import square_result
from tests.support.screen import end_screen, prepare_screen
from tests.support.slides import write_pyramid
from tests.support.teaching import TILE

IMPORTS = Imports()
SCREEN = pytest.StashKey[subprocess.Popen[bytes] | None]()

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from pytestqt.qtbot import QtBot

    from napari_liverdx.widgets.analyze_dock import LiverDxDock
    from napari_liverdx.widgets.pages.finetune_page import FinetunePage


def pytest_configure(config: pytest.Config) -> None:
    """One thread for each worker: networks this small lose by more of them."""
    torch.set_num_threads(1)
    # A deadline is a timing assertion: on a busy machine it fails without a fault.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    if seconds := os.environ.get("LIVERDX_BUDGET"):
        config.pluginmanager.register(Budget(float(seconds)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip GPU tests where there is no GPU; give windows a screen."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA on this machine"))
    windows = any(item.get_closest_marker("gui") for item in items)
    if not config.option.collectonly:
        config.stash[SCREEN] = prepare_screen(config, windows)


def pytest_unconfigure(config: pytest.Config) -> None:
    end_screen(config.stash.get(SCREEN, None))


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
def no_leaked_threads_or_files(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a reader thread or an open slide behind.

    What stands in a circle of references is closed when it is collected; a collection with torch
    and napari loaded takes long, so it is made only where something may be left.
    """
    IMPORTS.set_aside()
    before = open_slides()
    yield
    if request.node.get_closest_marker("gui") or own_threads() or open_slides() - before:
        gc.collect()
    assert not own_threads(), f"threads left running: {own_threads()}"
    assert not (left := open_slides() - before), f"slides left open: {left}"


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


@pytest.fixture(scope="session")
def small_slide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-level piece of real liver, 1120 × 896 px, 0.5 µm/px; nobody may change it."""
    path = tmp_path_factory.mktemp("small") / "small.tif"
    with open_slide(sample_path()) as sample:
        write_pyramid(path, sample.read_region(0, 1900, 500, 1120, 896))
    return path


@pytest.fixture
def small_slide(tmp_path: Path, small_slide_file: Path) -> Path:
    """`small_slide_file`, a copy of this test's own."""
    return Path(shutil.copyfile(small_slide_file, tmp_path / "small.tif"))


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
def clean_tiles(tmp_path: Path, sample: Slide) -> Path:
    """Twenty-four tiles of real liver of eight patients, in two classes that differ in nothing."""
    lines = ["path,label,group,split"]
    for i in range(24):
        x, y = 1900 + 200 * (i % 6), 500 + 200 * (i // 6)
        Image.fromarray(sample.read_region(0, x, y, 160, 160)).save(tmp_path / f"t{i}.png")
        patient = i % 8
        part = "train" if patient < 4 else "val" if patient < 6 else "test"
        lines.append(f"t{i}.png,{'ab'[(i // 8 + i) % 2]},p{patient},{part}")
    (tmp_path / "tiles.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def mixed_slides(tmp_path: Path, sample: Slide) -> Path:
    """Two good slides of one name (two tiles each), one without a resolution, one cut off."""
    root = tmp_path / "slides"
    for folder, x in (("a", 1900), ("b", 2300)):
        (root / folder).mkdir(parents=True)
        write_pyramid(root / folder / "liver.tif", sample.read_region(0, x, 700, 448, 224))
    write_pyramid(root / "no-mpp.tif", sample.read_region(0, 2000, 900, 448, 224), mpp=None)
    (root / "cut.svs").write_bytes(CMU.read_bytes()[:900_000])
    return root


@pytest.fixture
def request_all(mixed_slides: Path, tiny_file: Path, tmp_path: Path) -> BatchRequest:
    """All four, with the quick model at a threshold at which something counts."""
    listed = find_slides(mixed_slides, recursive=True)
    return BatchRequest(
        listed, str(tiny_file), tmp_path / "out", settings=MeasureSettings({"fat": 0.3})
    )


@pytest.fixture(scope="module")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that anything can learn: real liver, as it is and turned blue."""
    root = tmp_path_factory.mktemp("folders")
    with open_slide(sample_path()) as slide:
        write_folders(slide, root)
    return root


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def opened_slide(small_slide: Path) -> Iterator[Slide]:
    with open_slide(small_slide) as opened:
        yield opened


@pytest.fixture(scope="module")
def packaged() -> LoadedModel:
    return load_model("liver-steatosis")


@pytest.fixture
def twelve_tiles(tmp_path: Path) -> ResultStore:
    """Twelve tiles."""
    return square_result(tmp_path / "a.liverdx.zarr")


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for models and for what is taught, of this test alone."""
    folder = tmp_path / "own-models"
    monkeypatch.setenv("LIVERDX_MODELS", str(folder))
    return folder


@pytest.fixture(scope="session")
def painted_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pink above and blue below, 8 × 7 tiles: anything can learn it; nobody may change it."""
    rng = np.random.default_rng(0)
    pixels = np.full((7 * TILE, 8 * TILE, 3), (215, 130, 175), np.uint8)
    pixels[3 * TILE + TILE // 2 :] = (120, 110, 190)
    pixels = np.clip(pixels + rng.integers(-12, 13, pixels.shape), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("painted") / "painted.tif"
    write_pyramid(path, pixels)
    return path


@pytest.fixture
def painted(tmp_path: Path, painted_file: Path) -> Path:
    """`painted_file`, a copy of this test's own."""
    return Path(shutil.copyfile(painted_file, tmp_path / "painted.tif"))


@pytest.fixture
def liver(sample: Slide) -> np.ndarray:
    """Fatty liver, 1400 × 1200 px at 0.5 µm/px, tissue everywhere."""
    return sample.read_region(0, 2000, 600, 1400, 1200)


@pytest.fixture(scope="session")
def masked_tiles_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen tiles of real liver with masks of its bright vacuoles, in the documented form."""
    root = tmp_path_factory.mktemp("masked") / "tiles"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    lines = ["tile,group,source,fat_fraction"]
    places = [(1900 + 300 * (i % 4), 500 + 300 * (i // 4)) for i in range(12)]
    places += [(60 + 70 * i, 100) for i in range(4)]
    with open_slide(sample_path()) as sample:
        tiles = [sample.read_region(0, x, y, 288, 288) for x, y in places]
    for i, pixels in enumerate(tiles):
        bright = ndimage.gaussian_filter(pixels.min(2).astype(float), 2) > 215
        mask = bright if i < 12 else np.zeros_like(bright)
        Image.fromarray(pixels).save(root / "images" / f"t{i}.png")
        Image.fromarray((mask * 255).astype(np.uint8)).save(root / "masks" / f"t{i}.png")
        lines.append(f"t{i},g{i // 2},{'A' if i % 4 else 'T'},{mask.mean():.5f}")
    (root / "tiles.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def masked_tiles(tmp_path: Path, masked_tiles_folder: Path) -> Path:
    """`masked_tiles_folder`, a copy of this test's own."""
    return Path(shutil.copytree(masked_tiles_folder, tmp_path / "tiles"))


@pytest.fixture
def masked_samples(masked_tiles: Path) -> FatMaskDataset:
    return FatMaskDataset(masked_tiles)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of what version 0.1.0 wrote."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "v010"))


@pytest.fixture
def own_settings(tmp_path: Path) -> None:
    """Settings of this test alone."""
    from qtpy.QtCore import QSettings

    QSettings.setPath(
        QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(tmp_path / "settings")
    )


@pytest.fixture
def own_preferences() -> Iterator[object]:
    """The plugin's settings, put back afterwards."""
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings("napari-liverdx")
    parts = {name: getattr(settings, name) for name in ("analysis", "display", "sharing")}
    before = {name: part.model_dump() for name, part in parts.items()}
    yield settings
    for name, fields in before.items():
        for key, value in fields.items():
            setattr(parts[name], key, value)


@pytest.fixture
def told(dock: object) -> Iterator[list[str]]:
    """Notifications the user was shown."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def keep(notification: object) -> None:
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(keep)
    yield messages
    notification_manager.notification_ready.disconnect(keep)


@pytest.fixture
def finetune_page(dock: LiverDxDock, painted: Path) -> Iterator[FinetunePage]:
    """The page, with a slide open."""
    from napari_liverdx.widgets.pages.finetune_page import FinetunePage
    from tests.support.window import open_in, wait

    (tab,) = (p for p in dock.pages if isinstance(p, FinetunePage))
    dock.tabs.setCurrentWidget(tab)
    open_in(dock, painted)
    tab.control.n_epochs = 2
    yield tab
    tab.control.stop.throw()
    wait(lambda: not tab.control.workers.are_busy)


@pytest.fixture
def viewer() -> Iterator[ViewerModel]:
    """A viewer without a window; in ``tests/gui`` it has one."""
    from napari.components import ViewerModel

    model = ViewerModel()
    yield model
    model.layers.clear()
    # What was current stays so until something else is, and holds its slide.
    model.layers.selection.clear()


@pytest.fixture
def dock(
    viewer: ViewerModel, qtbot: QtBot, own_settings: None, tiny_file: Path
) -> Iterator[LiverDxDock]:
    """The dock with the quick model, shown by itself; in ``tests/gui`` napari's window holds it."""
    from napari_liverdx.widgets.analyze_dock import LiverDxDock
    from tests.support.window import show, wait

    dock = show(qtbot, LiverDxDock(viewer))
    assert dock.controller.choose_model(str(tiny_file))
    yield dock
    dock.release()
    wait(lambda: not dock.controller.is_busy)
