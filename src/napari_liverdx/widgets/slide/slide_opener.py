"""What a person chooses of slides' files: which one, its scene, colors and resolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari.layers import Image

from napari_liverdx.core.errors import LiverDxError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.session.state import SessionState
from napari_liverdx.slides.address import local_path, remote_address
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.slide import Slide
from napari_liverdx.viewer.layers.base import SLIDE_KEY, show_slide, slide_layer_data
from napari_liverdx.widgets.parts.host import Host
from napari_liverdx.widgets.parts.workers import Workers, once

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["SlideOpener"]


class SlideUser(Protocol):
    """What is needed of the dock's controller: the chosen slide, and how to choose another."""

    viewer: ViewerModel
    state: SessionState
    workers: Workers
    host: Host
    layer: Image | None
    slide: Slide | None
    closed: bool

    def slide_layers(self) -> list[Image]: ...

    def choose_layer(self, layer: Image | None) -> None: ...

    def take_slide(self, slide: Slide) -> None: ...

    def take_mpp(self, mpp: Mpp) -> None: ...


class SlideOpener:
    """Opens slides as layers and takes what a person chooses of their files.

    Whatever cannot be done becomes a notification, and what is shown stays.

    Parameters
    ----------
    control : SlideUser
        The dock's logic.
    """

    def __init__(self, control: SlideUser) -> None:
        self._control = control

    def open(
        self, path: str | Path, *, scene: int | None = None, color_managed: bool = False
    ) -> None:
        """Open a slide as a new layer and choose it; a remote one in the background.

        Parameters
        ----------
        path : str or Path
            A file, a folder or an address.
        scene : int, optional
            Index of the scene; the largest by default.
        color_managed : bool
            Whether colors are turned into sRGB.
        """
        place, control = local_path(path), self._control

        def opened() -> Slide:
            return open_slide(place, scene=scene, color_managed=color_managed)

        address = remote_address(place)
        if address is None:
            try:
                self._show(opened())
            except LiverDxError as error:
                control.host.show_error(str(error))
            return
        control.state.run.message = f"Opening {address}…"
        control.workers.start(once(opened), self._arrived, self._failed)

    def _arrived(self, slide: Slide) -> None:
        if self._control.closed:
            slide.close()
            return
        self._control.state.run.message = ""
        self._show(slide)

    def _failed(self, problem: str) -> None:
        self._control.state.run.message = ""
        self._control.host.show_error(problem)

    def _show(self, slide: Slide) -> None:
        data, meta, _ = slide_layer_data(slide)
        layer = Image(data, **meta)
        self._control.viewer.add_layer(layer)
        self._control.viewer.reset_view()
        self._control.choose_layer(layer)

    def choose_scene(self, index: int) -> None:
        """Show another scene of the chosen file, beside the one that is open."""
        slide = self._control.slide
        if slide is None or slide.info.scene == index or self._control.state.run.status.is_active:
            return
        for layer in self._control.slide_layers():
            other = layer.metadata.get(SLIDE_KEY)
            if (
                isinstance(other, Slide)
                and (other.path, other.info.scene) == (slide.path, index)
                and other.color_managed == slide.color_managed
            ):
                self._control.choose_layer(layer)
                return
        self.open(slide.path, scene=index, color_managed=slide.color_managed)

    def set_color_managed(self, on: bool) -> None:
        """Show and analyze the chosen slide in sRGB, or in the colors that are stored."""
        slide, layer = self._control.slide, self._control.layer
        if slide is None or layer is None or slide.color_managed == on:
            return
        if self._control.state.run.status.is_active:
            return
        try:
            other = slide.with_color_management(on=on)
        except LiverDxError as error:
            self._control.host.show_error(str(error))
            return
        show_slide(layer, other)
        self._control.take_slide(other)

    def choose_mpp(self, option: Mpp) -> None:
        """Use one of the resolutions that a file's sources state."""
        self._control.take_mpp(Mpp(option.x, option.y, f"{option.source}, chosen by user"))

    def read_beside(self, name: str, then: Callable[[Any], object]) -> None:
        """Read a label, macro or thumbnail in the background and hand it over to be looked at."""
        slide = self._control.slide
        if slide is not None:
            self._control.workers.start(
                once(slide.read_associated, name), then, self._control.host.show_error
            )
