"""How a result came to be, and how that stands in an OME-Zarr group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from napari_liverdx import _v010
from napari_liverdx._files import bare_name, safe_name
from napari_liverdx._ids import named_uuid
from napari_liverdx._version import NOTICE
from napari_liverdx.core.classes import ClassScheme, TissueClass
from napari_liverdx.core.grid import TileGrid
from napari_liverdx.core.resolution import MPP_RANGE, Mpp
from napari_liverdx.slides.address import RESULT_SUFFIX

__all__ = [
    "SUFFIX",
    "ResultGeometry",
    "RunManifest",
    "grid_facts",
    "group_attributes",
    "pseudonym_of",
    "read_manifest",
    "stored_fingerprint",
]

SUFFIX = RESULT_SUFFIX
"""Of a result's folder."""

_FORMAT = 1
_DIGITS = 6


_Pixels = Annotated[int, Field(ge=1, le=2**40)]
_Resolution = Annotated[float, Field(ge=MPP_RANGE[0], le=MPP_RANGE[1])]

_Area = Annotated[float, Field(ge=0, le=1e9)]

_MOST_VALUES = 200_000_000
"""Probabilities of all map pixels of all tiles, 800 MB; what claims more comes of a damaged file,
or of a run that could not be held in memory."""


class RunManifest(BaseModel):
    """How a result came to be.

    Attributes
    ----------
    slide_name, slide_format, slide_fingerprint : str
        File name without its folder.
    slide_size : tuple of int
        Width and height, level-0 pixels.
    mpp, mpp_source
        Level-0 resolution in µm/px (x, y) and where it came from.
    model_name, model_version, model_sha256 : str
    classes : tuple of TissueClass
    grid : TileGrid
    subtiles : int
        Map pixels along a tile's side.
    overlap : float
    regions_sha256 : str
        Of the tissue mask that was analyzed.
    device, versions, timings, warnings, created, finished
        For the record; not part of the result's identity.
    tissue : dict
        Whether a person edited the tissue, and mm² of the artifacts ``excluded`` and ``kept``;
        empty where detection did not run.
    ood : dict
        Whether the slide looks like the training data; empty where the model cannot tell.
    uid : str
        UUID of the result, the same for the same slide, model, grid, resolution and mask. Empty
        in results of 0.1.0, whose UUID is derived as that version did.
    variant : str
        Tells the result from the plain one of its slide and model; empty for the plain one.
    restricted, own_tissue : bool
        Whether regions were given, and whether a person edited the tissue or kept artifacts.
    scene : int or None
        Index of the scene in a file that holds several; None otherwise.
    scene_name : str
        What the file calls it.
    slide_origin : tuple of int
        Where the slide's (0, 0) lies in the file's own level-0 pixels. For the record.
    slide_stamp : str
        Changes when the slide's file is written to; for the record.
    color_managed : bool
        Whether colors were turned into sRGB by the file's ICC profile.
    references : dict
        Identifiers of the slide that exports refer to, as DICOM UIDs; empty where it has none. No
        part of the result's identity.
    """

    # Some fields are stored under the names they had in the first version.
    model_config = ConfigDict(
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )

    format: int = _FORMAT
    slide_name: str
    slide_format: str
    slide_fingerprint: str
    slide_size: tuple[_Pixels, _Pixels]
    mpp: tuple[_Resolution, _Resolution]
    mpp_source: str
    model_name: str
    model_version: str
    model_sha256: str
    classes: tuple[TissueClass, ...] = Field(min_length=2, max_length=256)
    grid: TileGrid
    subtiles: int = Field(ge=1, le=1024, alias="cells")
    overlap: float = Field(ge=0, lt=1)
    regions_sha256: str
    device: str = ""
    versions: dict[str, str] = {}
    timings: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    created: str = ""
    finished: str = ""
    tissue: dict[str, Any] = {}
    ood: dict[str, Any] = Field(default={}, alias="domain")
    notice: str = NOTICE
    uid: str = ""
    variant: str = ""
    restricted: bool = False
    own_tissue: bool = False
    scene: int | None = None
    scene_name: str = ""
    slide_origin: tuple[int, int] = (0, 0)
    color_managed: bool = False
    slide_stamp: str = ""
    references: dict[str, str] = Field(default={}, max_length=16)

    @field_validator("tissue")
    @classmethod
    def _are_areas(cls, tissue: dict[str, Any]) -> dict[str, Any]:
        for key in ("excluded", "kept"):
            TypeAdapter(dict[str, _Area]).validate_python(tissue.get(key) or {})
        return tissue

    @model_validator(mode="after")
    def _can_be_held(self) -> RunManifest:
        ClassScheme(self.classes)
        values = len(self.classes) * len(self.grid) * self.subtiles**2
        if values > _MOST_VALUES:
            raise ValueError(
                f"a map of {values:.3g} probabilities is more than memory is planned for, "
                f"{_MOST_VALUES:,}; choose a smaller overlap, or analyze a region"
            )
        return self

    def named(self) -> RunManifest:
        """Return the same with a UUID of what makes its identity."""
        facts: dict[str, object] = {
            "slide": self.slide_fingerprint,
            "model": self.model_sha256,
            "grid": grid_facts(self.grid),
            "subtiles": self.subtiles,
            "mpp": self.mpp,
            "mask": self.regions_sha256,
            **self.view_facts(),
        }
        return self.model_copy(update={"uid": str(named_uuid({"result": facts}))})

    def view_facts(self) -> dict[str, object]:
        """Return what was chosen of the file: scene and colors; nothing where nothing was."""
        facts: dict[str, object] = {}
        if self.scene is not None:
            facts["scene"] = self.scene
        if self.color_managed:
            facts["colors"] = "sRGB"
        return facts

    def differences(self, other: RunManifest) -> list[str]:
        """Describe in words what differs in the identity."""
        checks = {
            "slide": self.slide_fingerprint == other.slide_fingerprint,
            "model": self.model_sha256 == other.model_sha256,
            "µm/px": np.allclose(self.mpp, other.mpp, rtol=1e-6),
            "tile grid": self.grid == other.grid and self.subtiles == other.subtiles,
            "region or tissue": self.regions_sha256 == other.regions_sha256,
            # A result made before its format knew of scenes says nothing of them.
            "scene": None in (self.scene, other.scene) or self.scene == other.scene,
            "color management": self.color_managed == other.color_managed,
        }
        return [name for name, same in checks.items() if not same]

    @property
    def stem(self) -> str:
        """What files about the slide begin with: its file name without the ending."""
        return bare_name(self.slide_name)

    def file_stem(self, *, pseudonymize: bool = False) -> str:
        """Return what names of files about the result begin with.

        Slide, model and variant; the model by name and by the start of its hash. A name that
        not every system takes is shortened; see `safe_name`.
        """
        slide = self.pseudonym if pseudonymize else self.stem
        model = f"{self.model_name}-{self.model_sha256[:_DIGITS]}"
        return safe_name(".".join(part for part in (slide, model, self.variant) if part))

    @property
    def pseudonym(self) -> str:
        """What stands in place of the slide's name where that must not be told."""
        return pseudonym_of(self.slide_fingerprint)

    @property
    def scheme(self) -> ClassScheme:
        """The classes as a scheme."""
        return ClassScheme(self.classes)


def pseudonym_of(fingerprint: str) -> str:
    """Return eight hexadecimal digits that stand for the slide of a fingerprint."""
    return fingerprint[:8]


def grid_facts(grid: TileGrid) -> dict[str, int | float]:
    """Return a grid by the names under which identities know its parts."""
    return {
        "level": grid.level,
        "scale_x": grid.scale_x,
        "scale_y": grid.scale_y,
        "x": grid.x,
        "y": grid.y,
        "width": grid.width,
        "height": grid.height,
        "tile_width": grid.tile_width,
        "tile_height": grid.tile_height,
        "stride_x": grid.stride_x,
        "stride_y": grid.stride_y,
        "tile_size": grid.tile_size,
    }


def read_manifest(stored: Mapping[str, Any], path: Path) -> RunManifest:
    """Read a manifest as it stands in a result; facts that 0.1.0 did not store are found.

    Parameters
    ----------
    stored : mapping
        What is stored of this program in the group at ``path``.
    path : Path
        The result's folder.

    Raises
    ------
    ValueError
        If it is damaged or was written by a later version.
    """
    manifest = RunManifest.model_validate(stored)
    return manifest if "variant" in stored else _with_facts(manifest, path)


def _with_facts(manifest: RunManifest, path: Path) -> RunManifest:
    """Complete the manifest of a result of 0.1.0, which held some facts in its name alone."""
    stem = path.name.removesuffix(SUFFIX)
    variant = _v010.variant_in_name(stem, manifest.model_name)
    grid, tissue = manifest.grid, manifest.tissue
    width, height = manifest.slide_size
    reached = (grid.width + 1) * grid.scale_x >= width and (
        grid.height + 1
    ) * grid.scale_y >= height
    own = bool(tissue.get("edited") or tissue.get("kept"))
    part = bool(grid.x or grid.y) or not reached
    return manifest.model_copy(
        update={
            "variant": variant,
            "own_tissue": own,
            # A mark with no other reason is that of regions.
            "restricted": part or bool(variant and not own and not manifest.overlap),
        }
    )


def stored_fingerprint(path: Path) -> str:
    """Return the fingerprint of the slide of a result at ``path``; empty if it cannot be told."""
    try:
        stored: Any = dict(zarr.open_group(path, mode="r").attrs)["liverdx"]
        return str(stored["slide_fingerprint"])
    except (KeyError, ValueError, TypeError, OSError):
        return ""


def group_attributes(manifest: RunManifest) -> dict[str, Any]:
    """Return the group's attributes: NGFF 0.5 for any viewer, the manifest for this program."""
    grid, k = manifest.grid, manifest.subtiles
    subtile_x = grid.tile_width * grid.scale_x / k * manifest.mpp[0]
    subtile_y = grid.tile_height * grid.scale_y / k * manifest.mpp[1]
    region = grid.region
    # A pixel's coordinate is its center: the first map pixel's center lies half a map pixel minus
    # half a slide pixel from the center of the slide's first pixel.
    x = region.x * manifest.mpp[0] + (subtile_x - manifest.mpp[0]) / 2
    y = region.y * manifest.mpp[1] + (subtile_y - manifest.mpp[1]) / 2
    return {
        "ome": {
            "version": "0.5",
            "multiscales": [
                {
                    "name": f"{manifest.slide_name} {manifest.model_name}",
                    "axes": [
                        {"name": "c", "type": "channel"},
                        {"name": "y", "type": "space", "unit": "micrometer"},
                        {"name": "x", "type": "space", "unit": "micrometer"},
                    ],
                    "datasets": [
                        {
                            "path": "probabilities",
                            "coordinateTransformations": [
                                {"type": "scale", "scale": [1.0, subtile_y, subtile_x]},
                                {"type": "translation", "translation": [0.0, y, x]},
                            ],
                        }
                    ],
                }
            ],
            "omero": {
                "channels": [
                    {
                        "label": c.title,
                        "color": c.color.removeprefix("#").upper(),
                        "window": {"min": 0, "max": 1, "start": 0, "end": 1},
                        "active": True,
                    }
                    for c in manifest.classes
                ]
            },
        },
        "liverdx": manifest.model_dump(mode="json"),
    }


class ResultGeometry:
    """The place of a map, as its manifest tells it.

    Attributes
    ----------
    manifest : RunManifest
    """

    manifest: RunManifest

    @property
    def subtile_size(self) -> tuple[float, float]:
        """Width and height of a map pixel of `probabilities` in level-0 pixels."""
        grid, k = self.manifest.grid, self.manifest.subtiles
        return grid.tile_width * grid.scale_x / k, grid.tile_height * grid.scale_y / k

    @property
    def origin(self) -> tuple[float, float]:
        """Upper-left corner (x, y) of the map in level-0 pixels."""
        region = self.manifest.grid.region
        return region.x, region.y

    @property
    def subtile_area_um2(self) -> float:
        """Area of a map pixel in µm²."""
        width, height = self.subtile_size
        return width * self.manifest.mpp[0] * height * self.manifest.mpp[1]

    @property
    def mpp(self) -> Mpp:
        """Level-0 resolution and its source."""
        return Mpp(*self.manifest.mpp, self.manifest.mpp_source)
