"""The kinds of files: what damages them, what uses them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.damage import damage_bytes
from tests.fuzz.pictures import damage_bmp, damage_jpeg, damage_png, damage_tiff
from tests.fuzz.stores import damage_folder, damage_model
from tests.fuzz.text import damage_csv, damage_json, damage_xml
from tests.fuzz.uses import (
    Tally,
    misbehave,
    use_annotation,
    use_bag,
    use_bomb,
    use_mil,
    use_model,
    use_parts,
    use_picture,
    use_result,
    use_settings,
    use_slide,
    use_table,
)

__all__ = ["KINDS", "Case", "Kind", "kind_of_files", "sound_cases"]

Damage = Callable[[Random, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes
    ----------
    damage : callable
        Bytes of a sound file to bytes of a damaged one; of a folder, what is done to one of its
        files.
    use : callable
        What a person does with it.
    seeds : str
        Folder of the sound files, if it is not called like the kind.
    names : tuple of str
        Of a folder: the files that are damaged, all by default.
    """

    damage: Damage
    use: Callable[[Path, Random], Tally]
    seeds: str = ""
    names: tuple[str, ...] = ()


def sound_cases(seeds: Path, kinds: Iterable[str]) -> list[Case]:
    """One case for each sound file, as it is."""
    return [
        Case(name, 0, -i)
        for name in kinds
        for i, _ in enumerate((seeds / (KINDS[name].seeds or name)).iterdir(), 1)
    ]


def kind_of_files(folder: Path) -> Kind:
    """Slides of one's own, each damaged by what it is."""
    return Kind(_picture, use_slide, str(folder.resolve()))


def _picture(rng: Random, data: bytes) -> bytes:
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return damage_tiff(rng, data)
    if data[:4] == b"\x89PNG":
        return damage_png(rng, data)
    if data[:2] == b"\xff\xd8":
        return damage_jpeg(rng, data)
    return damage_bytes(rng, data, near_start=rng.random() < 0.4)


def _text(rng: Random, data: bytes) -> bytes:
    if data[:1] in (b"{", b"["):
        return damage_json(rng, data)
    return damage_xml(rng, data) if data[:1] == b"<" else damage_csv(rng, data)


KINDS = {
    "tiff": Kind(damage_tiff, use_slide),
    "ome-tiff": Kind(damage_tiff, use_slide),
    "svs": Kind(damage_tiff, use_slide),
    "scanner": Kind(_picture, use_slide),
    "scanner-parts": Kind(damage_bytes, use_parts),
    "dicom": Kind(damage_bytes, use_slide),
    "ome-zarr": Kind(damage_bytes, use_slide),
    "deep-zoom": Kind(damage_bytes, use_slide),
    "png": Kind(damage_png, use_picture),
    "jpeg": Kind(damage_jpeg, use_picture),
    "bmp": Kind(damage_bmp, use_picture),
    "model": Kind(damage_model, use_model),
    "mil": Kind(damage_model, use_mil),
    "result": Kind(damage_bytes, use_result),
    "view": Kind(damage_bytes, use_result, "result", ("view.json",)),
    "review": Kind(damage_bytes, use_result, "result", ("review.json",)),
    "manifest": Kind(damage_bytes, use_result, "result", ("zarr.json",)),
    "annotation": Kind(_text, use_annotation),
    "table": Kind(_text, use_table),
    "settings": Kind(damage_bytes, use_settings),
    "bag": Kind(damage_bytes, use_bag),
    "bomb": Kind(damage_bytes, use_bomb),
    "mischief": Kind(damage_bytes, misbehave),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged file, told by three words: the same on every computer.

    Attributes
    ----------
    kind : str
    seed, number : int
        A number below 0 is a sound file, counted from -1.
    """

    kind: str
    seed: int
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.seed}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> Case:
        """The case of that name."""
        kind, seed, number = text.split(":")
        return cls(kind, int(seed), int(number))

    def write(self, seeds: Path, folder: Path) -> Path:
        """Write the damaged file into an empty folder."""
        kind, rng = KINDS[self.kind], Random(str(self))  # noqa: S311 - damage is no secret
        files = sorted((seeds / (kind.seeds or self.kind)).iterdir())
        sound = rng.choice(files) if self.number >= 0 else files[-self.number - 1]
        made = folder / sound.name
        if sound.is_dir():
            shutil.copytree(sound, made)
            if self.number < 0:
                return made
            for name in kind.names:
                # A result that was never looked at has no such file.
                if not (made / name).exists():
                    (made / name).write_text("{}")
            damage_folder(rng, made, kind.names)
        else:
            data = sound.read_bytes()
            made.write_bytes(data if self.number < 0 else kind.damage(rng, data))
        return made

    def use(self, path: Path) -> Tally:
        """Use it."""
        return KINDS[self.kind].use(path, Random(f"use {self}"))  # noqa: S311
