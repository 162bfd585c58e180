"""The sample slide in the package."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from napari_liverdx._files import atomic_write
from napari_liverdx.core.errors import ResultError

__all__ = ["sample_path", "write_sample"]

_NAME = "liver-sample.ome.tif"


def sample_path() -> Path:
    """Return the path of the sample: real liver H&E in a synthetic layout, 0.5 µm/px."""
    with as_file(files("napari_liverdx") / "data" / _NAME) as path:
        return Path(path)


def write_sample(target: Path) -> None:
    """Copy the sample slide to ``target``.

    Raises
    ------
    ResultError
        If it cannot be written there.
    """
    try:
        with atomic_write(target, make_folder=True) as partial:
            shutil.copyfile(sample_path(), partial)
    except OSError as error:
        raise ResultError(f"{target}: cannot be written ({error.strerror})") from error
