"""How well pen marks, folds and blur are found: clean slides, and artifacts drawn on them.

    python benchmarks/tissue_study.py --data FOLDER

``FOLDER`` holds ``slides``, ``liver_he`` and ``liver_steatosis``; without it only the packaged
sample is used. Every drawn artifact is compressed as JPEG before it is sought.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from napari_liverdx.core.resolution import Level, Mpp
from napari_liverdx.core.tissue import ARTIFACTS, TissueLabel, TissueMap
from napari_liverdx.slides.backend import SlideInfo
from napari_liverdx.slides.open import open_slide
from napari_liverdx.slides.sample import sample_path
from napari_liverdx.slides.slide import Slide
from napari_liverdx.slides.tissue import slide_tissue_map

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

MPP = 0.5
NEAR_UM = 200.0
INKS = {
    "blue ink": (35, 60, 170),
    "green ink": (20, 120, 70),
    "black ink": (25, 25, 28),
    "red ink": (205, 25, 45),
}


@dataclass(frozen=True)
class Drawn:
    """A slide with an artifact and where it is."""

    kind: str
    label: TissueLabel
    rgb: Picture
    truth: Mask


# -- clean slides --


def slides(data: Path | None) -> Iterator[tuple[str, Picture]]:
    """Names and full pictures at about 0.5 µm/px."""
    files = {"packaged sample": sample_path()}
    if data is not None:
        files |= {p.stem: p for p in sorted((data / "slides").glob("*.svs"))}
        files |= {f"liver_he {p.stem}": p for p in sorted((data / "liver_he").glob("*.jpg"))}
    for name, path in files.items():
        with open_slide(path) as slide:
            yield name, slide.read_region(0, 0, 0, *slide.size)
    if data is not None:
        for source in "AT":
            yield f"steatosis tiles {source}", mosaic(data / "liver_steatosis", source)


def mosaic(folder: Path, source: str, side: int = 6) -> Picture:
    """Tiles of one laboratory beside each other."""
    rows = [line.split(",") for line in (folder / "tiles.csv").read_text().splitlines()[1:]]
    names = sorted(row[0] for row in rows if row[2] == source)
    chosen = np.random.default_rng(0).permutation(names)[: side * side]
    files = {p.stem: p for p in (folder / "images").iterdir()}
    tiles = [np.asarray(Image.open(files[Path(n).stem]).convert("RGB")) for n in chosen]
    strips = [np.concatenate(tiles[i : i + side], axis=1) for i in range(0, side * side, side)]
    return np.concatenate(strips)


# -- artifacts --


def places(tissue: Mask, count: int, seed: int) -> list[tuple[int, int]]:
    """Points deep in the tissue, (x, y) in full pixels; ``tissue`` is 16 times smaller."""
    depth = ndimage.distance_transform_edt(np.pad(tissue, 1))[1:-1, 1:-1]
    inner = np.argwhere(depth > 0.5 * depth.max())
    rng = np.random.default_rng(seed)
    return [(int(x) * 16 + 8, int(y) * 16 + 8) for y, x in rng.permutation(inner)[:count]]


def band(shape: tuple[int, ...], at: tuple[int, int], width_um: float, seed: int) -> Mask:
    """Return a curved band 1 mm long."""
    rng = np.random.default_rng(seed)
    direction = rng.uniform(0, np.pi) + rng.uniform(-0.6, 0.6) * np.linspace(-1, 1, 40)
    xs = np.cumsum(np.cos(direction)) * 1000 / MPP / 40
    ys = np.cumsum(np.sin(direction)) * 1000 / MPP / 40
    line = list(zip(xs - xs.mean() + at[0], ys - ys.mean() + at[1], strict=True))
    image = Image.new("L", (shape[1], shape[0]))
    ImageDraw.Draw(image).line(line, fill=255, width=round(width_um / MPP), joint="curve")
    return np.asarray(image) > 0


def window_of(truth: Mask, margin: int = 64) -> tuple[slice, slice]:
    """Return the part of the picture that an artifact changes."""
    (rows,), (cols,) = truth.any(axis=1).nonzero(), truth.any(axis=0).nonzero()
    return tuple(slice(max(0, v[0] - margin), v[-1] + margin) for v in (rows, cols))


def changed(rgb: Picture, truth: Mask, new: Picture, soft_px: float) -> Picture:
    """Put ``new`` where the truth is, with a soft rim, compressed as a scanner would."""
    where = window_of(truth)
    cover = ndimage.gaussian_filter(truth[where].astype(np.float32), soft_px)[..., None]
    mixed = (rgb[where] * (1 - cover) + new * cover).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(mixed).save(buffer, format="JPEG", quality=80)
    out = rgb.copy()
    out[where] = np.asarray(Image.open(buffer))
    return out


def pen(rgb: Picture, truth: Mask, color: tuple[int, int, int], seed: int) -> Picture:
    """Ink over tissue: what passes both, unevenly thick."""
    part = rgb[window_of(truth)]
    coarse = np.random.default_rng(seed).uniform(0.75, 1.1, (24, 24))
    flow = np.asarray(Image.fromarray(coarse).resize(part.shape[1::-1]))[..., None]
    inked = part * (np.array(color) / 255) ** flow
    return changed(rgb, truth, inked, 8 / MPP)


def fold(rgb: Picture, truth: Mask, seed: int) -> Picture:
    """Lay a second layer on the band: tissue from nearby, as much of it as there is."""
    where = window_of(truth)
    glass = np.percentile(rgb[::4, ::4], 99, axis=(0, 1))
    rng = np.random.default_rng(seed)
    shifts = rng.integers(-600, 600, (30, 2))
    small, wanted = rgb[::16, ::16].min(axis=2) < 215, truth[::16, ::16]
    best = max(shifts, key=lambda d: int((np.roll(small, d // 16, (0, 1)) & wanted).sum()))
    second = np.roll(rgb, best, (0, 1))[where]
    return changed(rgb, truth, rgb[where] * np.minimum(1, second / glass), 1.5)


def blur(rgb: Picture, truth: Mask, sigma: float) -> Picture:
    """Blur the region, with a soft edge."""
    soft = ndimage.gaussian_filter(rgb[window_of(truth)].astype(np.float32), (sigma, sigma, 0))
    return changed(rgb, truth, soft, 10)


def drawn(rgb: Picture, tissue: Mask) -> Iterator[Drawn]:
    """Every artifact in every strength, one at a time."""
    spots = iter(places(tissue, 64, 0))
    for name, color in INKS.items():
        for width in (100, 200, 400):
            truth = band(rgb.shape, next(spots), width, width)
            yield Drawn(f"{name} {width} µm", TissueLabel.PEN, pen(rgb, truth, color, width), truth)
    for width in (60, 120, 200):
        truth = band(rgb.shape, next(spots), width, width)
        yield Drawn(f"fold {width} µm", TissueLabel.FOLD, fold(rgb, truth, width), truth)
    for sigma in (2, 3, 4, 6, 8):
        x, y = next(spots)
        rows, cols = np.ogrid[: rgb.shape[0], : rgb.shape[1]]
        truth = np.hypot(rows - y, cols - x) < 350 / MPP
        um = sigma * MPP
        yield Drawn(f"blur σ {um:g} µm", TissueLabel.BLUR, blur(rgb, truth, sigma), truth)


# -- what was found --


class Pixels:
    """A slide that is an array."""

    def __init__(self, rgb: Picture) -> None:
        self.rgb = rgb
        height, width = rgb.shape[:2]
        level = Level(width, height, 1.0, 1.0, 512, 512)
        self.info = SlideInfo("array", (level,), Mpp.square(MPP))

    def read_tile(self, level: int, row: int, col: int) -> Picture:
        """One tile."""
        return self.rgb[512 * row : 512 * (row + 1), 512 * col : 512 * (col + 1)]

    def close(self) -> None:
        """Nothing to close."""


def look(rgb: Picture) -> tuple[TissueMap, float]:
    """Return the tissue map and the seconds it took."""
    with Slide(Path("array"), Pixels(rgb)) as slide:
        start = time.perf_counter()
        found = slide_tissue_map(slide)
        return found, time.perf_counter() - start


def reduced(mask: Mask, shape: tuple[int, int]) -> Mask:
    """Mostly true, at the size of the tissue map."""
    image = Image.fromarray(mask.astype(np.uint8) * 255).resize(shape[::-1], Image.Resampling.BOX)
    return np.asarray(image) > 127


def share(part: Mask, whole: Mask) -> float:
    """NaN where there is no whole."""
    return float((part & whole).sum() / whole.sum()) if whole.any() else float("nan")


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pictures", type=Path, help="Folder for pictures of what was found.")
    arguments = parser.parse_args()
    say: Callable[[str], None] = print
    say("| slide | tissue mm² | pen | folds | out of focus | seconds |\n|---|---|---|---|---|---|")
    scores: dict[str, list[tuple[float, float, float]]] = {}
    rows = []
    for name, rgb in slides(arguments.data):
        clean, seconds = look(rgb)
        areas = clean.areas_mm2(MPP * MPP)
        total = sum(areas.values())
        shares = " | ".join(f"{100 * areas[k] / total:.2f} %" for k in sorted(ARTIFACTS))
        say(f"| {name} | {total:.2f} | {shares} | {seconds:.2f} |")
        rows.append((name, rgb, clean))
    for name, rgb, clean in rows:
        usable = clean.labels == TissueLabel.TISSUE
        for case in drawn(rgb, usable):
            found, _ = look(case.rgb)
            truth = reduced(case.truth, usable.shape) & usable
            excluded = ~found.analyzed.mask
            far = ndimage.distance_transform_edt(~truth) * MPP * found.scale_x > NEAR_UM
            result = (
                share(found.labels == case.label, truth),
                share(excluded, truth),
                share(excluded & (found.labels > 0), usable & far),
            )
            scores.setdefault(case.kind, []).append(result)
            if arguments.pictures:
                keep_picture(arguments.pictures / f"{name} {case.kind}.png", case.rgb, found)
    say("\n| artifact | found as such | excluded | worst slide | wrongly excluded elsewhere |")
    say("|---|---|---|---|---|")
    for kind, values in scores.items():
        right, out, wrong = np.nanmean(values, axis=0)
        worst = np.nanmin([v[1] for v in values])
        shares = f"{100 * right:.0f} % | {100 * out:.0f} % | {100 * worst:.0f} %"
        say(f"| {kind} | {shares} | {100 * wrong:.2f} % |")


def keep_picture(path: Path, rgb: Picture, found: TissueMap) -> None:
    """Save the slide beside what was found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, cols = found.labels.shape
    small = np.asarray(Image.fromarray(rgb).resize((2 * cols, 2 * rows), Image.Resampling.BOX))
    over = small.copy()
    labels = found.labels.repeat(2, 0).repeat(2, 1)
    for label, color in ((2, (230, 159, 0)), (3, (0, 114, 178)), (4, (240, 228, 66))):
        over[labels == label] = color
    Image.fromarray(np.concatenate([small, over], axis=1)).save(path)


if __name__ == "__main__":
    main()
