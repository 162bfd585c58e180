"""What a person chooses of a slide's file, without a window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_liverdx.core.resolution import Mpp
from napari_liverdx.results.store import ResultStore
from napari_liverdx.session.state import RunStatus
from napari_liverdx.slides.backend import SlideRequest
from napari_liverdx.slides.formats import FORMATS, SlideFormat
from napari_liverdx.slides.formats.image import ArrayBackend
from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.layers.base import SLIDE_KEY
from napari_liverdx.widgets.main.controller import DockController
from tests.support.control import analyze_and_settle, open_and_settle
from tests.support.host import StepHost
from tests.support.paths import one
from tests.support.scenes import (
    LABEL,
    PATIENT,
    in_srgb,
    rich_format,
    swapped_profile,
    write_rich,
)
from tests.support.server import serving


@pytest.fixture(autouse=True)
def rich() -> Iterator[None]:
    """The test's format."""
    with rich_format():
        yield


def shown(control: DockController) -> np.ndarray:
    assert control.layer is not None
    data = control.layer.data
    return np.asarray(data[0] if control.layer.multiscale else data)


def test_each_scene_is_a_layer_with_results_of_its_own(
    viewer: ViewerModel, control: DockController, host: StepHost, tmp_path: Path
) -> None:
    control.choose_folder(tmp_path / "results")
    control.open_path(write_rich(tmp_path / "two.rich"))
    host.settle()
    assert [layer.name for layer in viewer.layers] == ["two · Region 2"]
    analyze_and_settle(control, host)
    first = control.results
    control.opener.choose_scene(0)
    host.settle()
    assert control.state.slide.facts is not None
    assert control.state.slide.facts.info.scene == 0
    assert control.layer is viewer.layers["two · Region 1"]
    assert control.results is None
    analyze_and_settle(control, host)
    assert len(list((tmp_path / "results").glob("*.liverdx.zarr"))) == 2
    control.opener.choose_scene(1)
    host.settle()
    assert control.results is first, "the layer that is there comes back with its result"
    assert len(control.slide_layers()) == 2


def test_a_scene_that_cannot_be_read_is_told_and_the_other_stays(
    control: DockController, host: StepHost, tmp_path: Path
) -> None:
    path = write_rich(tmp_path / "two.rich")
    open_and_settle(control, host, path)
    path.unlink()
    control.opener.choose_scene(0)
    assert "no such file" in host.told[-1]
    assert control.slide is not None
    assert control.slide.info.scene == 1


def test_colors_are_converted_on_the_same_layer_and_recorded(
    viewer: ViewerModel, control: DockController, host: StepHost, tmp_path: Path
) -> None:
    path = write_rich(tmp_path / "a.rich", scenes=1, profile=swapped_profile())
    open_and_settle(control, host, path)
    stored = shown(control)
    analyze_and_settle(control, host)
    control.opener.set_color_managed(on=True)
    host.settle()
    assert np.array_equal(shown(control), in_srgb(stored, swapped_profile()))
    assert control.results is None, "what was found in other colors is put away"
    assert len(viewer.layers) == 1
    analyze_and_settle(control, host)
    assert control.results is not None
    managed = control.results.store
    assert managed.manifest.color_managed
    plain = one(tmp_path / "results", "a.tiny-??????.liverdx.zarr")
    assert not ResultStore.open(plain).manifest.color_managed
    assert control.open_result(plain)
    host.settle()
    assert np.array_equal(shown(control), stored), "a result opens in its own colors"
    assert control.open_result(managed.path)
    host.settle()
    assert np.array_equal(shown(control), in_srgb(stored, swapped_profile()))


def test_colors_without_a_profile_are_told(
    control: DockController, host: StepHost, tmp_path: Path
) -> None:
    open_and_settle(control, host, write_rich(tmp_path / "a.rich", scenes=1))
    control.opener.set_color_managed(on=True)
    assert "no color profile" in host.told[-1]
    assert control.slide is not None
    assert not control.slide.color_managed


def test_one_of_two_resolutions_is_chosen_and_its_source_kept(
    control: DockController, host: StepHost, tmp_path: Path
) -> None:
    open_and_settle(control, host, write_rich(tmp_path / "a.rich", scenes=1, mpp=(0.25, 0.5)))
    facts = control.state.slide.facts
    assert facts is not None
    assert facts.mpp is None
    control.opener.choose_mpp(facts.info.mpp_options[1])
    host.settle()
    analyze_and_settle(control, host)
    assert control.state.run.status is RunStatus.FINISHED
    assert control.results is not None
    manifest = control.results.store.manifest
    assert manifest.mpp == (0.5, 0.5)
    assert manifest.mpp_source == "TIFF resolution tag, chosen by user"


def test_a_label_is_looked_at_and_kept_nowhere(
    control: DockController, host: StepHost, tmp_path: Path
) -> None:
    open_and_settle(control, host, write_rich(tmp_path / "a.rich", scenes=1))
    seen: list[np.ndarray] = []
    control.opener.read_beside("label", seen.append)
    host.settle()
    assert np.array_equal(seen[0], LABEL)
    control.opener.read_beside("biopsy", seen.append)
    host.settle()
    assert "no picture 'biopsy'" in host.told[-1]
    assert control.layer is not None
    arrays = [v for v in control.layer.metadata.values() if isinstance(v, np.ndarray)]
    assert arrays == []
    assert isinstance(control.layer.metadata[SLIDE_KEY], Slide)
    assert PATIENT not in repr(control.layer.metadata)
    analyze_and_settle(control, host)
    stored = [p.read_bytes() for p in (tmp_path / "results").rglob("*") if p.is_file()]
    assert stored
    assert not any(PATIENT.encode() in data for data in stored)


# -- remote addresses --


def open_served(request: SlideRequest) -> ArrayBackend | None:
    """Read an array from an address."""
    url = request.url
    if url is None:
        return None
    with urlopen(url, timeout=20) as answer:  # noqa: S310 - of the server below
        pixels = np.frombuffer(answer.read(), np.uint8).reshape(300, 400, 3)
    return ArrayBackend(pixels, "Served", Mpp.square(0.5, "server"))


def test_an_address_opens_in_the_background(
    viewer: ViewerModel, control: DockController, host: StepHost, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    (tmp_path / "a.raw").write_bytes(pixels.tobytes())
    FORMATS.register("served", SlideFormat("served", "Served", (".raw",), open_served, remote=True))
    try:
        with serving(tmp_path) as server:
            address = server.url
            control.open_path(f"{address}/a.raw")
            assert len(viewer.layers) == 0
            assert control.state.run.message == f"Opening {address}/a.raw…"
            host.settle()
            assert np.array_equal(shown(control), pixels)
            assert control.state.run.message == ""
            control.open_path(f"{address}/none.raw")
            host.settle()
        assert "404" in host.told[-1]
        assert control.state.run.message == ""
        assert len(viewer.layers) == 1
    finally:
        FORMATS.unregister("served")
