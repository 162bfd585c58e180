"""What file dialogs offer."""

from __future__ import annotations

from napari_liverdx.slides.formats import slide_suffixes

__all__ = ["slide_filter"]


def slide_filter(title: str = "Slides", more: tuple[str, ...] = ()) -> str:
    """Return a file dialog's filter: all that opens as a slide, or any file.

    Parameters
    ----------
    title : str
        What such files are called.
    more : tuple of str
        Other suffixes to show with them.
    """
    endings = " ".join(f"*{suffix}" for suffix in (*slide_suffixes(), *more))
    return f"{title} ({endings});;All files (*)"
