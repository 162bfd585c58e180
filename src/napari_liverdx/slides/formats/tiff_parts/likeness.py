"""Whether one picture shows what another shows, at a bounded cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_liverdx.slides.backend import WHITE
from napari_liverdx.slides.formats.tiff_parts.picture import Picture

__all__ = ["looks_dark", "read_window", "same_content"]

_WINDOW = 512
_PLACES = 5
# Levels correlate by more than 0.9, if moved by a pixel by 0.7; other tissue by up to 0.5.
_ALIKE = 0.8
_DIFFERENT = 0.6
_COMPARED = 48
_FLAT = 4.0
_CLOSE = 40.0


def read_window(
    picture: Picture, left: int, top: int, width: int, height: int
) -> NDArray[np.uint8] | None:
    """Read a rectangle as RGB; None where a tile of it is damaged."""
    out = np.full((height, width, 3), WHITE, np.uint8)
    tall, wide = picture.tile_height, picture.tile_width
    for row in range(top // tall, -(-min(top + height, picture.height) // tall)):
        for col in range(left // wide, -(-min(left + width, picture.width) // wide)):
            try:
                tile = picture.read_tile(row, col)
            except Exception:  # noqa: BLE001 - codecs raise errors of their own making
                return None
            y, x = row * tall - top, col * wide - left
            tile = tile[max(0, -y) : height - y, max(0, -x) : width - x]
            y, x = max(0, y), max(0, x)
            out[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return out


def same_content(large: Picture, small: Picture) -> bool:
    """Return whether a picture is the other one made smaller.

    Compares a few places, those with the most to see first, and stops when one is sure.
    Damaged places count for nothing; pictures of which none can be read are taken as the same.
    """
    scale_x, scale_y = large.width / small.width, large.height / small.height
    width = max(8, min(small.width, round(_WINDOW / scale_x)))
    height = max(8, min(small.height, round(_WINDOW / scale_y)))
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for left, top in _places(small, width, height):
        theirs = read_window(small, left, top, width, height)
        box = (round(left * scale_x), round(top * scale_y))
        size = (max(1, round(width * scale_x)), max(1, round(height * scale_y)))
        ours = read_window(large, *box, *size) if theirs is not None else None
        if ours is None or theirs is None:
            continue
        # Made smaller still, small shifts and ringing of codecs count less.
        shape = (max(4, min(_COMPARED, width // 2)), max(4, min(_COMPARED, height // 2)))
        pairs.append((_shrunk(ours, shape), _shrunk(theirs, shape)))
        if pairs[-1][0].std() > _FLAT * 4 and _correlation(pairs[-1:]) > _ALIKE:
            return True
    if not pairs:
        return True
    apart = float(np.mean([np.abs(a - b).mean() for a, b in pairs]))
    if max(max(a.std(), b.std()) for a, b in pairs) < _FLAT:
        return apart < _CLOSE / 2
    return apart < _CLOSE and _correlation(pairs) > _DIFFERENT


def _places(picture: Picture, width: int, height: int) -> list[tuple[int, int]]:
    """Return corners of windows: over the tiles that take the most bytes, and spread."""
    rows, cols = picture.grid
    most_x, most_y = max(0, picture.width - width), max(0, picture.height - height)
    centers = [(most_x // 2, most_y // 2)]
    if picture.tiled and rows * cols > 1:
        counts = picture.layouts[0].counts[: rows * cols]
        best = np.argsort(counts)[::-1][: max(1, len(counts) // 10)]
        for index in best[:: max(1, len(best) // 3)][:3]:
            row, col = divmod(int(index), cols)
            x = col * picture.tile_width + (picture.tile_width - width) // 2
            y = row * picture.tile_height + (picture.tile_height - height) // 2
            centers.append((min(max(0, x), most_x), min(max(0, y), most_y)))
        centers = centers[1:] + centers[:1]
    centers += [(most_x // 4, most_y // 4), (most_x * 3 // 4, most_y * 3 // 4)]
    centers += [(most_x * 3 // 4, most_y // 4), (most_x // 4, most_y * 3 // 4)]
    return list(dict.fromkeys(centers))[:_PLACES]


def _shrunk(rgb: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
    small = Image.fromarray(rgb).resize(shape, Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def _correlation(pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
    """Correlate brightness within each color, as tissue of one stain has one tint everywhere."""
    ours = np.concatenate([a.reshape(-1, 3) for a, _ in pairs])
    theirs = np.concatenate([b.reshape(-1, 3) for _, b in pairs])
    ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    scale = float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    return float((ours * theirs).sum()) / scale if scale else 0.0


def looks_dark(picture: Picture) -> bool:
    """Return whether a picture is mostly dark, as fluorescence is and brightfield is not."""
    means = []
    for left, top in _places(picture, min(256, picture.width), min(256, picture.height)):
        size = (min(256, picture.width), min(256, picture.height))
        part = read_window(picture, left, top, *size)
        if part is not None:
            means.append(float(part.mean()))
    return bool(means) and float(np.mean(means)) < 50
