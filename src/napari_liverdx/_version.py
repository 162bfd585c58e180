"""The version of the package, which the build takes from the repository's tags; its purpose."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["FALLBACK", "NOTICE", "__version__"]

NOTICE = "For research use, not for diagnosis."
"""What every report, export and first run says."""

FALLBACK = "0.2.0.dev0"
"""For sources that nothing installed; the build names the same where there is no tag."""

try:
    __version__ = version("napari-liverdx")
except PackageNotFoundError:
    __version__ = FALLBACK
