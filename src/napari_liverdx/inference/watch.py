"""Whether a slide's file stays what it was while it is analyzed."""

from __future__ import annotations

import os
from pathlib import Path

from napari_liverdx._ids import digest
from napari_liverdx.core.errors import SlideChangedError, SlideReadError
from napari_liverdx.slides.slide import Slide

__all__ = ["SlideWatch", "slide_stamp"]

_Stamp = tuple[tuple[str, int, int, int], ...]


class SlideWatch:
    """Remembers a slide's file as it is, and tells when it is changed or removed.

    Cheap: size, time of the last change and identity of the file, or of the files that a folder
    held at first; only when these differ is the fingerprint computed again. Pixels without a file
    are not watched.

    Parameters
    ----------
    slide : Slide
        Open.

    Attributes
    ----------
    was_touched : bool
        Whether the file was written to, though its length and its ends are the same.
    first_stamp : str
        `slide_stamp` of the file at first.
    """

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self._stamp = _stamp(slide.path)
        self._fingerprint = slide.fingerprint() if self._stamp else ""
        self.was_touched = False
        self.first_stamp = slide_stamp(slide.path)

    def check(self) -> None:
        """Look at the file.

        Raises
        ------
        SlideChangedError
            If it holds something else now.
        SlideReadError
            If it is gone.
        """
        if not self._stamp:
            return
        path, now = self._slide.path, _stamp(self._slide.path)
        # What is new in a folder may be a result.
        names = {name for name, *_ in self._stamp}
        now = tuple(part for part in now if part[0] in names)
        if not now:
            raise SlideReadError(
                f"{path}: the slide is gone: somebody moved or removed it, or its disk is away. "
                "What was analyzed is kept; put the slide back, and start again to resume"
            )
        if now == self._stamp:
            return
        if self._slide.fingerprint() != self._fingerprint:
            raise SlideChangedError(
                f"{path}: the slide was changed while it was analyzed. What was analyzed before is "
                "kept; open it again to analyze it as it is now"
            )
        self._stamp, self.was_touched = now, True

    def is_changed(self) -> bool:
        """Return whether the file holds something else now; one that is gone is not changed."""
        try:
            self.check()
        except SlideChangedError:
            return True
        except SlideReadError:
            return False
        return False


def slide_stamp(path: Path) -> str:
    """Return a hash that changes when a slide's file is written to; empty if it is no one file."""
    return "" if path.is_dir() else _hashed(_stamp(path))


def _hashed(stamp: _Stamp) -> str:
    # Without what tells copies on other disks apart.
    return digest({"slide file": [part[:3] for part in stamp]})[:16] if stamp else ""


def _stamp(path: Path) -> _Stamp:
    """Return what changes when the files of a slide do; empty where there are none."""
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                files = (e for e in entries if e.is_file() and not e.name.startswith("."))
                return tuple(sorted(_of(e.name, e.stat()) for e in files))
        return (_of("", path.stat()),)
    except (OSError, ValueError):
        return ()


def _of(name: str, found: os.stat_result) -> tuple[str, int, int, int]:
    return name, found.st_size, found.st_mtime_ns, found.st_ino
