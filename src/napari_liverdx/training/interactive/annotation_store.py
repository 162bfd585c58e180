"""What a person annotated on slides, one file for each, found by the slide's fingerprint."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from weakref import WeakKeyDictionary

from napari_liverdx.core.errors import DataError, ResultError
from napari_liverdx.core.geometry import Region
from napari_liverdx.results.locate import result_name, stored_manifest
from napari_liverdx.results.review_log import DecisionLog
from napari_liverdx.slides.address import remote_address
from napari_liverdx.slides.slide import Slide
from napari_liverdx.training.interactive.annotation_record import (
    AnnotationRecord,
    CorrectedTile,
    read_record,
    rectangle,
    write_record,
)
from napari_liverdx.training.interactive.annotations_v010 import has_v010_name, read_v010

__all__ = ["AnnotationFolder", "SlideAnnotations", "reviewed_tiles", "short_fingerprint"]

_ENDING = ".geojson"
_DIGITS = 8
_NAME = re.compile(rf"[0-9a-f]{{{_DIGITS}}}{re.escape(_ENDING)}")

# A fingerprint of pixels without a file takes a while.
_FINGERPRINTS: WeakKeyDictionary[Slide, str] = WeakKeyDictionary()


def short_fingerprint(slide: Slide) -> str:
    """Return the start of a slide's fingerprint: the same under any file name.

    Raises
    ------
    SlideReadError
        If the file is gone.
    """
    if slide not in _FINGERPRINTS:
        _FINGERPRINTS[slide] = slide.fingerprint()[:_DIGITS]
    return _FINGERPRINTS[slide]


@dataclass(frozen=True, slots=True, eq=False)
class SlideAnnotations:
    """What a person annotated on one slide, which need not be open.

    Attributes
    ----------
    fingerprint : str
        Start of the slide's fingerprint.
    path : Path
        Where the slide was last.
    mpp : (float, float) or None
        Level-0 resolution in µm/px, (x, y); None where it was not known.
    shapes : tuple of Region
        Drawn regions, each of a class.
    tiles : tuple of Region
        Tiles whose class a person said in a review, as rectangles; each place once.
    """

    fingerprint: str
    path: Path
    mpp: tuple[float, float] | None
    shapes: tuple[Region, ...] = ()
    tiles: tuple[Region, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is annotated."""
        return not (self.shapes or self.tiles)


class AnnotationFolder:
    """Keeps what was annotated: one file for each slide, whatever the slide is called.

    The file holds the shapes, and names the results in whose reviews tiles were corrected. What
    0.1.0 kept counts until a slide has its one file, which then holds it.

    Parameters
    ----------
    folder : Path
        Made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, slide: Slide) -> Path:
        """Return where the annotations of a slide are kept.

        Raises
        ------
        SlideReadError
            If the slide is gone.
        """
        return self.folder / f"{short_fingerprint(slide)}{_ENDING}"

    def find(self, slide: Slide) -> SlideAnnotations | None:
        """Find what was annotated on a slide, under whatever name; None if nothing is kept of it.

        Corrections that cannot be read are left out; `all` tells of them.

        Raises
        ------
        DataError
            If the slide's file is damaged; it is left as it is.
        SlideReadError
            If the slide is gone.
        """
        if not self.folder.is_dir():
            return None
        if not os.path.exists(slide.path) and not self._has_name(slide.name):
            # Their fingerprint takes a while.
            return None
        record = self._record(slide)
        return None if record is None else replace(_annotations(record, []), path=slide.path)

    def all(self, problems: list[str] | None = None) -> list[SlideAnnotations]:
        """Return what was annotated on any slide, whether it is still there or not.

        Parameters
        ----------
        problems : list of str, optional
            Takes in what is wrong with files that cannot be read; they are left out.

        Raises
        ------
        DataError
            If a file is damaged and ``problems`` was not given; it is left as it is.
        """
        told: list[str] = []
        files = sorted(self.folder.glob(f"*{_ENDING}"))
        own = [f for f in files if _NAME.fullmatch(f.name)]
        records = read_v010([f for f in files if has_v010_name(f)], told)
        for file in own:
            records.pop(file.name.removesuffix(_ENDING), None)
            try:
                record = read_record(file)
            except DataError as error:
                told.append(str(error))
                continue
            records[record.fingerprint] = record
        found = [_annotations(record, told) for record in records.values()]
        if problems is not None:
            problems += told
        elif told:
            raise DataError(told[0])
        return found

    def keep(self, slide: Slide, shapes: Sequence[Region]) -> None:
        """Write the shapes of a slide in place of those kept before.

        Raises
        ------
        DataError
            If the slide's file is damaged; it is left as it is.
        StorageFullError
            If the disk is full.
        ResultError
            If it cannot be written.
        """
        write_record(self.file(slide), replace(self._current(slide), shapes=tuple(shapes)))

    def link(self, slide: Slide, result: Path, *, corrected: bool = True) -> None:
        """Remember that tiles of a slide are corrected in the review of a result.

        Parameters
        ----------
        slide : Slide
            The slide.
        result : Path
            The result's folder.
        corrected : bool
            Whether any tile is. A result without is remembered only where 0.1.0 copied corrections
            from its review, which were taken back since.

        Raises
        ------
        DataError
            If the slide's file is damaged; it is left as it is.
        StorageFullError
            If the disk is full.
        ResultError
            If it cannot be written.
        """
        record, result = self._current(slide), result.absolute()
        copied = any(c.result == result_name(result) for c in record.copies)
        if result not in record.reviews and (corrected or copied):
            reviews = (*record.reviews, result)
            write_record(self.file(slide), replace(record, reviews=reviews))

    def _has_name(self, name: str) -> bool:
        if any(self.folder.glob(f"{escape(name)}.*{_ENDING}")):
            return True
        files = (f for f in self.folder.glob(f"*{_ENDING}") if _NAME.fullmatch(f.name))
        return any(name == record.name for f in files if (record := _sound(f)) is not None)

    def _record(self, slide: Slide) -> AnnotationRecord | None:
        file, fingerprint = self.file(slide), short_fingerprint(slide)
        if file.exists():
            return read_record(file)
        shapes = sorted(self.folder.glob(f"*.{fingerprint}.shapes{_ENDING}"))
        tiles = sorted(self.folder.glob(f"*.{fingerprint}.*.tiles{_ENDING}"))
        # Shapes that cannot be read must not be written over; of tiles each file counts alone.
        read_v010(shapes)
        return read_v010([*shapes, *tiles], []).get(fingerprint)

    def _current(self, slide: Slide) -> AnnotationRecord:
        """Return the record of a slide as it is to be written, with where the slide is now."""
        path = slide.path if remote_address(slide.path) else slide.path.absolute()
        mpp = None if slide.mpp is None else (slide.mpp.x, slide.mpp.y)
        record = self._record(slide)
        if record is None:
            return AnnotationRecord(short_fingerprint(slide), slide.name, path, mpp)
        return replace(record, name=slide.name, path=path, mpp=mpp or record.mpp)


def _sound(file: Path) -> AnnotationRecord | None:
    try:
        return read_record(file)
    except DataError:
        return None


def reviewed_tiles(path: Path, fingerprint: str) -> list[CorrectedTile]:
    """Return the tiles whose class a person said in the review of a result.

    Parameters
    ----------
    path : Path
        The result's folder.
    fingerprint : str
        Start of the fingerprint of the slide that the result must be of.

    Raises
    ------
    DataError
        If the result is not there any more, or is of another slide.
    ResultError
        If its review is damaged.
    """
    manifest = stored_manifest(path)
    if manifest is None or not manifest.slide_fingerprint.startswith(fingerprint):
        raise DataError(
            f"{path}: the result in which tiles were corrected is not there any more; open it from "
            "where it is now to count them again"
        )
    name = result_name(path)
    return [
        CorrectedTile(rectangle(d.correct, r.x, r.y, r.width, r.height), d.at, name)
        for tile, d in DecisionLog(path).items()
        if d.correct
        for r in [manifest.grid.rect(tile)]
    ]


def _annotations(record: AnnotationRecord, problems: list[str]) -> SlideAnnotations:
    corrected: list[CorrectedTile] = []
    read: set[str] = set()
    for path in record.reviews:
        try:
            corrected += reviewed_tiles(path, record.fingerprint)
        except (DataError, ResultError) as error:
            problems.append(str(error))
            continue
        read.add(result_name(path))
    corrected += (c for c in record.copies if c.result not in read)
    return SlideAnnotations(
        record.fingerprint, record.path, record.mpp, record.shapes, _last_words(corrected)
    )


def _last_words(corrected: Iterable[CorrectedTile]) -> tuple[Region, ...]:
    """Keep each place once, with what was said of it last: several results may cover it."""
    by_place: dict[tuple[float, ...], Region] = {}
    for tile in sorted(corrected, key=lambda c: c.at):
        b = tile.region.bounds
        by_place[tuple(round(v, 3) for v in (b.x, b.y, b.right, b.bottom))] = tile.region
    return tuple(by_place.values())
