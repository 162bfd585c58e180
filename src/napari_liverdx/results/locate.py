"""Where the result of a run lies, found by what its manifest says."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from napari_liverdx._files import parse_json, safe_name
from napari_liverdx.results.manifest import SUFFIX, RunManifest, read_manifest
from napari_liverdx.slides.backend import IN_MEMORY

__all__ = ["find_result", "output_stem", "result_name", "result_path", "results_of_model"]

_MANY = 4096


def result_path(folder: Path, manifest: RunManifest) -> Path:
    """Return the name that a new result gets within ``folder``.

    It tells the model by name and by the start of its hash: another model of that name, an earlier
    version with the same number for example, has results of its own.
    """
    return folder / (manifest.file_stem() + SUFFIX)


def output_stem(path: Path, manifest: RunManifest, *, pseudonymize: bool = False) -> str:
    """Return the name of reports and exports of the result at ``path``, without an ending.

    They are named like the result, so that those of two results never meet, or by a code.
    """
    return manifest.file_stem(pseudonymize=True) if pseudonymize else safe_name(result_name(path))


def result_name(path: Path) -> str:
    """Return a result's name without its ending."""
    return path.name.removesuffix(SUFFIX)


def find_result(folder: Path, manifest: RunManifest) -> Path:
    """Return where the result of a run lies in ``folder``, or would lie as a new one.

    A result counts by its manifest, whatever its name: it is of the same slide, model, grid,
    resolution and mask. A copy of the slide under another file name has a result of its own; what
    is no file has no such name.
    """
    named = result_path(folder, manifest)
    if _is_of(named, manifest):
        return named
    others = (path for path in sorted(folder.glob(f"*{SUFFIX}")) if path != named)
    return next((path for path in others if _is_of(path, manifest)), named)


def results_of_model(folder: Path, sha256: str) -> list[Path]:
    """Return the results in ``folder`` that a model made, whatever their names."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        stored = stored_manifest(path)
        if stored is not None and stored.model_sha256 == sha256:
            found.append(path)
    return found


def _is_of(path: Path, manifest: RunManifest) -> bool:
    stored = stored_manifest(path)
    if stored is None:
        return False
    is_named = manifest.slide_format == IN_MEMORY or stored.slide_name == manifest.slide_name
    return is_named and not stored.differences(manifest)


def stored_manifest(path: Path) -> RunManifest | None:
    """Return the manifest of the result at ``path`` without opening it; None if there is none."""
    try:
        found = (path / "zarr.json").stat()
        return _stored(path, (found.st_mtime_ns, found.st_size, found.st_ino))
    except OSError:
        return None


@lru_cache(maxsize=_MANY)
def _stored(path: Path, changed: tuple[int, ...]) -> RunManifest | None:
    """Read the manifest of a result as it was at a time; None where it cannot be read."""
    try:
        attributes = parse_json((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return read_manifest(attributes["liverdx"], path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
