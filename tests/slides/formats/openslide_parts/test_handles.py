"""Handles of OpenSlide under threads, failures and closing."""

from __future__ import annotations

import threading
from pathlib import Path

import openslide
import pytest

from napari_liverdx.core.errors import TileReadError
from napari_liverdx.slides.backend import SlideRequest
from napari_liverdx.slides.formats.openslide import open_with_openslide
from napari_liverdx.slides.formats.openslide_parts.handles import OpenSlideHandles
from tests.support.slides import waves
from tests.support.vendors.mirax import write_mirax
from tests.support.vendors.registry import PIXELS


def test_closing_while_others_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mrxs"
    write_mirax(path, waves(1024, 1024), tile=128)
    backend = open_with_openslide(SlideRequest(path))
    assert backend is not None
    started, failures = threading.Barrier(5), []

    def read() -> None:
        started.wait()
        try:
            for i in range(200):
                backend.read_tile(0, i % 2, i // 2 % 2)
        except TileReadError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    backend.close()
    for thread in threads:
        thread.join()
    assert all("closed" in told for told in failures)
    with pytest.raises(TileReadError, match="closed"):
        backend.read_tile(0, 0, 0)
    backend.close()


@pytest.fixture
def handles(tmp_path: Path) -> tuple[OpenSlideHandles, list[openslide.OpenSlide]]:
    """Handles of a slide, and those that were opened."""
    path = tmp_path / "a.mrxs"
    write_mirax(path, PIXELS)
    opened = []

    def open_handle() -> openslide.OpenSlide:
        opened.append(openslide.OpenSlide(path))
        return opened[-1]

    return OpenSlideHandles(open_handle), opened


def test_one_handle_serves_all_until_it_fails(
    handles: tuple[OpenSlideHandles, list[openslide.OpenSlide]],
) -> None:
    lent, opened = handles
    assert lent.read(lambda slide: slide.dimensions) == (256, 192)
    assert lent.read(lambda slide: slide.level_count) == 2
    assert len(opened) == 1
    with pytest.raises(openslide.OpenSlideError):
        lent.read(lambda slide: slide.read_region((0, 0), 0, (-1, 1)))
    # One for the second try, and a new one for what comes.
    assert lent.read(lambda slide: slide.level_count) == 2
    assert len(opened) == 3
    lent.close()


def test_a_failure_of_another_thread_is_no_failure_here(
    handles: tuple[OpenSlideHandles, list[openslide.OpenSlide]],
) -> None:
    """OpenSlide answers every call on a handle that failed with the same error."""
    lent, _ = handles
    tries = []

    def read(slide: openslide.OpenSlide) -> int:
        tries.append(slide)
        if len(tries) == 1:
            raise openslide.OpenSlideError("of another's tile")
        # The second try is on a handle that nobody else can spoil.
        assert lent.read(lambda other: other) is not slide
        return slide.level_count

    assert lent.read(read) == 2
    assert tries[0] is not tries[1]
    lent.close()
    with pytest.raises(ValueError, match="closed"):
        lent.read(read)
