"""What other packages add works everywhere, with no file of ours touched."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from npe2 import PluginManifest
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from napari_liverdx._registry import PluginWarning, Registry
from napari_liverdx.cli.app import app
from napari_liverdx.core.errors import DataError, ModelFileError, NotASlideError
from napari_liverdx.core.grid import TileIndex
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.exports.base import ExportOptions
from napari_liverdx.exports.registry import EXPORTS, Export, export, export_path
from napari_liverdx.inference.explain import explain_tile
from napari_liverdx.models.architectures.base import CamLayer, TileModel, TileOutput
from napari_liverdx.models.architectures.registry import ARCHITECTURES
from napari_liverdx.models.file import load_model_file, save_model_file
from napari_liverdx.results.measure_settings import MeasureSettings
from napari_liverdx.results.store import ResultStore, TileState
from napari_liverdx.slides.backend import SlideRequest
from napari_liverdx.slides.formats import FORMATS, SlideFormat, slide_suffixes, slide_titles
from napari_liverdx.slides.formats.image import ArrayBackend
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from napari_liverdx.training.data.config import (
    LAYOUTS,
    DataConfig,
    DataLayout,
    DataRequest,
    guess_kind,
)
from napari_liverdx.training.data.folders import FolderDataset
from napari_liverdx.viewer import writers
from napari_liverdx.viewer.file_filter import slide_filter
from tests.support.models import CLASSES, make_card
from tests.support.paths import REPOSITORY
from tests.support.plugins import install_package
from tests.support.results import oblong_result
from tests.support.runs import run_into

PIXELS = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)


def write_array(path: Path) -> Path:
    with path.open("wb") as file:
        np.save(file, PIXELS)
    return path


# -- slide formats --


def open_zebra(request: SlideRequest) -> ArrayBackend | None:
    path = request.path
    if path.suffix != ".zebra":
        return None
    return ArrayBackend(np.load(path), "Zebra", Mpp.square(0.5, "zebra"))


@pytest.fixture
def zebra() -> Iterator[None]:
    """A format registered by a script."""
    FORMATS.register("zebra", SlideFormat("zebra", "Zebra stripes", (".zebra",), open_zebra))
    yield
    FORMATS.unregister("zebra")


def test_a_registered_format_is_opened_listed_and_chosen(zebra: None, tmp_path: Path) -> None:
    path = write_array(tmp_path / "a.zebra")
    with open_slide(path) as slide:
        assert slide.info.format == "Zebra"
        assert np.array_equal(slide.read_region(0, 0, 0, 400, 300), PIXELS)
    assert [s.path for s in find_slides(tmp_path)] == [path]
    assert "*.zebra" in slide_filter()
    assert "Zebra stripes" in slide_titles()
    (tmp_path / "a.txt").write_text("no image")
    with pytest.raises(NotASlideError, match="Zebra stripes"):
        open_slide(tmp_path / "a.txt")
    told = CliRunner().invoke(app, ["slide", "info", str(path)])
    assert told.exit_code == 0
    assert "Zebra" in told.output


def test_the_manifest_names_our_formats() -> None:
    manifest = PluginManifest.from_file(REPOSITORY / "napari.yaml")
    (patterns,) = (
        r.filename_patterns
        for r in manifest.contributions.readers or ()
        if r.command == "napari-liverdx.read"
    )
    assert patterns == [f"*{suffix}" for suffix in slide_suffixes()]


def test_a_package_adds_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, slides = tmp_path / "site", tmp_path / "slides"
    site.mkdir()
    slides.mkdir()
    install_package(
        site,
        "liverdx_okapi",
        """
        import numpy as np
        from napari_liverdx.slides.formats import SlideFormat
        from napari_liverdx.slides.formats.image import ArrayBackend

        def open_okapi(request):
            path = request.path
            if path.suffix != ".okapi":
                return None
            if path.stem == "bad":
                raise KeyError("stripes")
            return ArrayBackend(np.load(path), "Okapi", None, "it has none")

        FORMAT = SlideFormat("okapi", "Okapi stripes", (".okapi",), open_okapi)
        """,
        {"napari_liverdx.slide_formats": {"okapi": "liverdx_okapi:FORMAT"}},
    )
    path = write_array(slides / "a.okapi")
    with pytest.raises(NotASlideError):
        open_slide(path)
    monkeypatch.syspath_prepend(site)
    with open_slide(path) as slide:
        assert slide.info.format == "Okapi"
    assert [s.path for s in find_slides(slides)] == [path]
    assert "*.okapi" in slide_filter()
    bad = write_array(slides / "bad.okapi")
    with pytest.warns(PluginWarning, match="Okapi stripes"), pytest.raises(NotASlideError):
        open_slide(bad)


def test_a_broken_package_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry: Registry[SlideFormat] = Registry(
        "napari_liverdx.slide_formats", SlideFormat, {"image": FORMATS["image"]}
    )
    install_package(
        tmp_path,
        "liverdx_broken",
        "raise RuntimeError('no license')",
        {"napari_liverdx.slide_formats": {"broken": "liverdx_broken:FORMAT"}},
    )
    install_package(
        tmp_path,
        "liverdx_odd",
        "from napari_liverdx.slides.formats import FORMATS\nFORMAT = 3\nOTHER = FORMATS['image']",
        {
            "napari_liverdx.slide_formats": {
                "number": "liverdx_odd:FORMAT",
                "misnamed": "liverdx_odd:OTHER",
                "image": "liverdx_odd:OTHER",
            }
        },
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(PluginWarning) as told:
        assert list(registry) == ["image"]
    words = " ".join(str(w.message) for w in told)
    for part in ("'broken' of liverdx_broken", "no license", "3 is no SlideFormat", "'misnamed'"):
        assert part in words
    assert "one of napari-liverdx itself" in words
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(registry) == ["image"], "it is said once"
    with pytest.raises(KeyError):
        registry["broken"]


def test_names_are_taken_once(zebra: None) -> None:
    for name in ("zebra", "image"):
        with pytest.raises(ValueError, match="taken"):
            FORMATS.register(name, FORMATS["image"])
    with pytest.raises(ValueError, match="calls itself"):
        FORMATS.register("gnu", FORMATS["image"])
    with pytest.raises(ValueError, match="no SlideFormat"):
        FORMATS.register("gnu", 3)  # type: ignore[arg-type]


# -- architectures --


class Smallest(TileModel):
    """One convolution, its mean and a linear layer."""

    def __init__(self, n_classes: int, width: int = 4) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, width, 16, stride=16)
        self.head = nn.Linear(width, n_classes)
        self.set_normalization((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))

    def features(self, x: Tensor) -> Tensor:
        grid: Tensor = self.convolution(x)
        return grid

    def heads(self, features: Tensor) -> TileOutput:
        embedding = features.relu().mean(dim=(2, 3))
        return TileOutput(self.head(embedding), embedding)

    def classify(self, x: Tensor) -> TileOutput:
        return self.heads(self.features(x))

    def cam_targets(self) -> list[CamLayer]:
        return [CamLayer("convolution", self.convolution)]


@pytest.fixture
def smallest() -> Iterator[None]:
    """An architecture registered by a script."""
    ARCHITECTURES.register("smallest", Smallest)
    yield
    ARCHITECTURES.unregister("smallest")


def test_a_registered_architecture_is_saved_loaded_run_and_explained(
    smallest: None, tmp_path: Path, small_slide: Path
) -> None:
    torch.manual_seed(0)
    card = make_card(
        architecture="smallest",
        arguments={"width": 6},
        subtiles=1,
        normalization={"mean": [0.5] * 3, "std": [0.2] * 3},
    )
    network = Smallest(len(CLASSES), 6)
    assert network.is_split
    path = tmp_path / "smallest.safetensors"
    save_model_file(path, network, card, half=False)
    model = load_model_file(path)
    with open_slide(small_slide) as slide:
        store = run_into(slide, model, tmp_path / "a.liverdx.zarr")
        assert store.count(TileState.DONE) == (store.state != TileState.NO_TISSUE).sum()
        explained = explain_tile(slide, store.manifest.grid, TileIndex(1, 2), model)
    assert explained.cam is not None
    assert explained.cam_note.startswith("map at the output of convolution, 14 × 14")


def test_a_package_adds_an_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_package(
        tmp_path,
        "liverdx_nets",
        """
        from functools import partial
        from napari_liverdx.models.architectures.frozen_mlp import FrozenEncoderMlp

        small = partial(FrozenEncoderMlp, encoder="mobilenetv3_small_050")
        """,
        {"napari_liverdx.architectures": {"small-mlp": "liverdx_nets:small"}},
    )
    from napari_liverdx.models.architectures.registry import build_model

    with pytest.raises(ModelFileError, match="'small-mlp' is unknown"):
        build_model("small-mlp", 3, {})
    monkeypatch.syspath_prepend(tmp_path)
    assert build_model("small-mlp", 3, {"hidden": 8}).frozen_encoder


# -- exports --


def write_summary(store: ResultStore, path: Path, options: ExportOptions) -> None:
    path.write_text(
        f"{store.count(TileState.DONE)} tiles, fat from {options.settings.threshold('fat'):g}"
    )


@pytest.fixture
def summary() -> Iterator[None]:
    """An export registered by a script."""
    EXPORTS.register("tile-count", Export("tile-count", "Number of tiles", ".count", write_summary))
    yield
    EXPORTS.unregister("tile-count")


def test_a_registered_export_is_offered_and_written(summary: None, tmp_path: Path) -> None:
    store = oblong_result(tmp_path)
    path = export_path(store, "tile-count", tmp_path / "out")
    path.parent.mkdir()
    export(store, "tile-count", path, ExportOptions(MeasureSettings({"fat": 0.3})))
    assert path.read_text().endswith("fat from 0.3")
    told = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"})
    assert "tile-count" in told.output
    mine = tmp_path / "mine.txt"
    told = CliRunner().invoke(
        app, ["export", str(store.path), "-f", "tile-count", "-o", str(mine), "-t", "fat=0.4"]
    )
    assert told.exit_code == 0, told.output
    assert mine.read_text().endswith("fat from 0.4")
    assert callable(writers.save_tile_count)
    with pytest.raises(AttributeError):
        _ = writers.save_nothing
    told = CliRunner().invoke(app, ["export", str(store.path), "-f", "nothing", "-o", str(mine)])
    assert told.exit_code == 2
    assert "tile-count" in told.output


def test_the_manifest_names_our_exports() -> None:
    manifest = PluginManifest.from_file(REPOSITORY / "napari.yaml")
    named = [c.python_name for c in manifest.contributions.commands or () if "save_" in c.id]
    names = [name.replace("-", "_") for name in EXPORTS]
    assert named == [f"napari_liverdx.viewer.writers:save_{name}" for name in names]
    assert [w.filename_extensions for w in manifest.contributions.writers or ()] == [
        [e.suffix] for e in EXPORTS.values()
    ]


def test_a_package_adds_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_package(
        tmp_path,
        "liverdx_sum",
        """
        from napari_liverdx.exports.registry import Export

        EXPORT = Export("sum", "Sum", ".sum", lambda s, path, o: path.write_text("1"))
        """,
        {"napari_liverdx.exports": {"sum": "liverdx_sum:EXPORT"}},
    )
    assert "sum" not in EXPORTS
    monkeypatch.syspath_prepend(tmp_path)
    export(oblong_result(tmp_path), "sum", tmp_path / "a.sum")
    assert (tmp_path / "a.sum").read_text() == "1"
    assert list(EXPORTS)[-1] == "sum"


# -- layouts of training data --


def open_prefixed(config: DataConfig, request: DataRequest) -> FolderDataset:
    """Pictures CLASS_NUMBER.png, sorted into folders first."""
    for path in sorted(request.source.glob("*_*.png")):
        folder = request.source / "sorted" / path.name.partition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    return FolderDataset(request.source / "sorted", request.class_names, labels=config.labels)


def fits_prefixed(source: Path) -> float:
    return 0.6 if (source / "PREFIXED").exists() else 0


@pytest.fixture
def prefixed() -> Iterator[None]:
    """A layout registered by a script."""
    LAYOUTS.register("prefixed", DataLayout("prefixed", open_prefixed, fits_prefixed))
    yield
    LAYOUTS.unregister("prefixed")


def test_a_registered_layout_is_guessed_and_read(prefixed: None, tmp_path: Path) -> None:
    for name in ("fat_1", "fat_2", "liver_1"):
        Image.fromarray(PIXELS[:32, :32]).save(tmp_path / f"{name}.png")
    assert guess_kind(tmp_path) == "folders"
    (tmp_path / "PREFIXED").touch()
    assert guess_kind(tmp_path) == "prefixed"
    samples = DataConfig(kind="prefixed").samples(tmp_path, ("liver", "fat"))
    assert samples.labels.tolist().count(1) == 2
    with pytest.raises(DataError, match='kind = "table"'):
        DataConfig(kind="prefixed").samples(tmp_path, (), attributes=("TP53",))


def test_an_unknown_layout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'later' is none of masks, folders, table, slides"):
        DataConfig(kind="later")
    install_package(
        tmp_path,
        "liverdx_later",
        """
        from napari_liverdx.training.data.config import DataLayout

        LAYOUT = DataLayout("later", lambda config, request: None, lambda source: 0)
        """,
        {"napari_liverdx.data_layouts": {"later": "liverdx_later:LAYOUT"}},
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert DataConfig(kind="later").kind == "later"
