"""The version of the package, which the build takes from the repository's tags."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["FALLBACK", "__version__"]

FALLBACK = "0.2.0.dev0"
"""For sources that nothing installed; the build names the same where there is no tag."""

try:
    __version__ = version("napari-liverdx")
except PackageNotFoundError:
    __version__ = FALLBACK
