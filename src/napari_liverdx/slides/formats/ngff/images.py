"""What the metadata of OME-Zarr (NGFF 0.4 and 0.5) say: images, axes, levels and resolution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_liverdx.core.errors import LiverDxError, NotASlideError, SlideReadError
from napari_liverdx.core.resolution import Mpp
from napari_liverdx.slides.color import color_order, primary_of
from napari_liverdx.slides.formats.ngff.array import ZarrArray, read_json
from napari_liverdx.slides.formats.ngff.scale import dicts, ngff_mpp
from napari_liverdx.slides.formats.ngff.source import ZarrSource
from napari_liverdx.slides.xml import parse_xml

__all__ = ["NgffImage", "ngff_images"]

_MOST_IMAGES = 256
_MOST_LEVELS = 64
_ASPECT = 0.05
_RGB = ("ff0000", "00ff00", "0000ff")
_DYES = ("dapi", "hoechst", "fitc", "tritc", "gfp", "rfp", "yfp", "cfp", "cy2", "cy3", "cy5", "cy7",
         "alexa", "cherry", "texas", "opal", "draq")  # fmt: skip
_ASSOCIATED = ("label", "macro", "thumbnail")


@dataclass(frozen=True, slots=True)
class NgffImage:
    """An image of red, green and blue with its levels.

    Attributes
    ----------
    name : str
        For people.
    path : str
        Group within the store.
    version : str
        Of NGFF.
    axes : str
        One letter for each axis of the arrays.
    levels : tuple of ZarrArray
        Finest first, each smaller than the one before.
    bits : int
        Significant ones of a value.
    color_order : tuple of int
        Places of red, green and blue among the channels, by their names.
    mpp : Mpp or None
    mpp_note : str
        Why there is none.
    """

    name: str
    path: str
    version: str
    axes: str
    levels: tuple[ZarrArray, ...]
    bits: int
    color_order: tuple[int, ...]
    mpp: Mpp | None
    mpp_note: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the finest level."""
        shape = self.levels[0].shape
        return shape[self.axes.index("x")], shape[self.axes.index("y")]

    @property
    def associated(self) -> str:
        """What it is if it lies beside the slide, as the label; else empty."""
        words = self.name.lower().replace("_", " ").split()
        return next((kind for kind in _ASSOCIATED if kind in words), "")


def ngff_images(source: ZarrSource) -> list[NgffImage] | None:
    """Return the color images of a store; None if it is no OME-Zarr.

    Raises
    ------
    NotASlideError
        If it is something else than color images: a plate, labels, a stored result, channels of
        fluorescence, a stack.
    SlideReadError
        If it is damaged.
    """
    root = _attributes(source, "")
    if root is None:
        return None
    _refuse_others(root, source.address)
    found: list[NgffImage] = []
    refused: list[tuple[float, NotASlideError]] = []
    for path, name in _series(source, root):
        meta = _attributes(source, path)
        if meta is None:
            continue
        for number, multiscale in enumerate(dicts(_ome(meta).get("multiscales"))[:_MOST_IMAGES]):
            where = f"{source.address}/{path}" if path else source.address
            called = name or str(multiscale.get("name") or "") or path or f"image {number}"
            try:
                found.append(_image(source, path, called, _ome(meta), multiscale, where))
            except NotASlideError as error:
                refused.append((_area(source, path, multiscale), error))
            except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
                raise SlideReadError(
                    f"{where}: the metadata are damaged ({error!r}); copy the slide again from its "
                    "source"
                ) from error
    slides = [math.prod(image.size) for image in found if not image.associated]
    for area, why in refused:
        # A label or macro in colors beside it does not make fluorescence a brightfield slide.
        if area > max(slides, default=0):
            raise why
    return found or None


# -- groups --


def _attributes(source: ZarrSource, path: str) -> dict[str, Any] | None:
    """Return the attributes of a group; None if there is none."""
    at = f"{path}/" if path else ""
    node = read_json(source, f"{at}zarr.json")
    if node is not None:
        if node.get("node_type") == "array":
            raise NotASlideError(
                f"{source.address}: a single array, not an OME-Zarr image; open the folder above it"
            )
        attributes = node.get("attributes")
        return attributes if isinstance(attributes, dict) else {}
    attributes = read_json(source, f"{at}.zattrs")
    if attributes is not None:
        return attributes
    if read_json(source, f"{at}.zgroup") is not None:
        return {}
    if not path and read_json(source, ".zarray") is not None:
        raise NotASlideError(
            f"{source.address}: a single array, not an OME-Zarr image; open the folder above it"
        )
    return None


def _ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _refuse_others(attributes: Mapping[str, Any], address: str) -> None:
    ome = _ome(attributes)
    if "liverdx" in attributes:
        raise NotASlideError(
            f"{address}: a stored result, not a slide; open it as a result (in the dock, by 'Open "
            "a result', or by dropping its folder on napari)"
        )
    if "liverdx_export" in attributes:
        raise NotASlideError(f"{address}: an exported result, not a slide; open the slide itself")
    if "plate" in ome or "well" in ome:
        what = "a plate of wells" if "plate" in ome else "a well of a plate"
        inside = "A/1/0" if "plate" in ome else "0"
        raise NotASlideError(
            f"{address}: {what} (high-content screening), not a slide; open one image in it, as "
            f"{inside}"
        )
    if "image-label" in ome or ("labels" in ome and "multiscales" not in ome):
        raise NotASlideError(
            f"{address}: labels (a segmentation), not a slide; open the image they belong to"
        )


def _series(source: ZarrSource, root: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield path and name of each group that may be an image."""
    ome = _ome(root)
    if "multiscales" in ome:
        yield "", ""
        return
    group = read_json(source, "OME/zarr.json") or {}
    attributes: Any = group.get("attributes") or read_json(source, "OME/.zattrs") or {}
    listed = _ome(attributes).get("series") if isinstance(attributes, dict) else None
    names = _names(source)
    paths = [str(p) for p in listed] if isinstance(listed, list) else None
    for number in range(_MOST_IMAGES):
        if paths is not None and number >= len(paths):
            return
        path = paths[number] if paths is not None else str(number)
        if paths is None and _attributes(source, path) is None:
            return
        yield path, names[number] if number < len(names) else ""


def _names(source: ZarrSource) -> list[str]:
    content = source.read("OME/METADATA.ome.xml")
    if content is None:
        return []
    try:
        root = parse_xml(content, f"{source.address}/OME/METADATA.ome.xml", SlideReadError)
    except SlideReadError:
        # Names alone are lost.
        return []
    return [e.get("Name", "") for e in root if e.tag.rpartition("}")[2] == "Image"]


# -- one image --


def _area(source: ZarrSource, path: str, multiscale: Mapping[str, Any]) -> float:
    """Return the pixels of an image that is refused; infinity where they are not known."""
    try:
        name = str(dicts(multiscale.get("datasets"))[0].get("path", "")).strip("/")
        array = ZarrArray.open(source, f"{path}/{name}" if path else name)
    except (LiverDxError, IndexError):
        return math.inf
    return math.inf if array is None else math.prod(sorted(array.shape)[-2:])


def _image(
    source: ZarrSource,
    path: str,
    name: str,
    ome: Mapping[str, Any],
    multiscale: Mapping[str, Any],
    where: str,
) -> NgffImage:
    datasets = dicts(multiscale.get("datasets"))[:_MOST_LEVELS]
    at = f"{path}/" if path else ""
    arrays: list[tuple[ZarrArray, Mapping[str, Any]]] = []
    for dataset in datasets:
        inside = at + str(dataset.get("path", "")).strip("/")
        array = ZarrArray.open(source, inside)
        if array is None:
            raise SlideReadError(
                f"{where}: its level {dataset.get('path')!r} is missing; copy the slide again from "
                "its source"
            )
        arrays.append((array, dataset))
    if not arrays:
        raise SlideReadError(f"{where}: it names no levels; the metadata are damaged")
    axes = _axes(multiscale, len(arrays[0][0].shape), where)
    if any(len(array.shape) != len(axes) for array, _ in arrays):
        raise SlideReadError(f"{where}: its levels differ in their axes; the file is damaged")
    x, y = axes.index("x"), axes.index("y")
    arrays.sort(key=lambda entry: -entry[0].shape[x] * entry[0].shape[y])
    first, finest = arrays[0]
    _check_color(axes, first, ome, where)
    mpp, note = ngff_mpp(axes, multiscale, finest)
    return NgffImage(
        name=name,
        path=path,
        version=str(ome.get("version") or multiscale.get("version") or "0.4")[:12],
        axes=axes,
        levels=tuple(_shrinking([array for array, _ in arrays], axes)),
        bits=_bits(first, ome),
        color_order=color_order(_labels(ome)),
        mpp=mpp,
        mpp_note=note,
    )


def _axes(multiscale: Mapping[str, Any], count: int, where: str) -> str:
    """Return the axes' letters; those of versions before 0.3 are not stated."""
    given = multiscale.get("axes")
    if given is None:
        names = list("tczyx"[-count:])
    else:
        names = [str(a.get("name") if isinstance(a, dict) else a).lower() for a in given]
        kinds = [str(a.get("type")) if isinstance(a, dict) else "" for a in given]
        names = ["c" if kind == "channel" else n for n, kind in zip(names, kinds, strict=True)]
    if len(names) != count or len(set(names)) != count or not {"x", "y"} <= set(names):
        raise SlideReadError(
            f"{where}: axes {', '.join(names)[:60]} do not fit an image of {count} axes; the "
            "metadata are damaged"
        )
    # Whatever else an axis is called, it must be of length one.
    return "".join(n if n in "tczyx" and len(n) == 1 else "tz?"["z" in names] for n in names)


def _shrinking(arrays: Sequence[ZarrArray], axes: str) -> Iterator[ZarrArray]:
    x, y = axes.index("x"), axes.index("y")
    first = last = arrays[0]
    yield first
    for array in arrays[1:]:
        ratio = (first.shape[x] / array.shape[x]) / (first.shape[y] / array.shape[y])
        smaller = array.shape[x] < last.shape[x] and array.shape[y] < last.shape[y]
        # A very small level is rounded to whole pixels.
        rounded = _ASPECT + 1 / array.shape[x] + 1 / array.shape[y]
        same = all(
            a == b
            for axis, a, b in zip(axes, array.shape, first.shape, strict=True)
            if axis not in "xy"
        )
        if smaller and same and array.dtype == first.dtype and abs(math.log(ratio)) <= rounded:
            last = array
            yield array


def _check_color(axes: str, array: ZarrArray, ome: Mapping[str, Any], where: str) -> None:
    """Refuse, by what it is, an image that is no color image in brightfield."""
    lengths = dict(zip(axes, array.shape, strict=True))
    if array.dtype.kind == "f":
        what = f"an image of {array.dtype} values, as of probabilities"
    elif array.dtype not in (np.uint8, np.uint16):
        what = f"an image of {array.dtype} values"
    elif lengths.get("t", 1) > 1:
        what = f"a time series of {lengths['t']} images"
    elif lengths.get("z", 1) > 1:
        what = f"a stack of {lengths['z']} focal planes"
    elif any(n > 1 for axis, n in lengths.items() if axis not in "tczyx"):
        what = "an image of more than three dimensions"
    elif "c" not in lengths or lengths["c"] == 1:
        what = "a gray image of one channel"
    elif lengths["c"] != 3 and not (lengths["c"] == 4 and axes[-1] == "c"):
        what = f"an image of {lengths['c']} channels, as in fluorescence"
    elif dyes := _dyes(ome):
        what = f"a fluorescence image (channels {dyes})"
    else:
        return
    raise NotASlideError(f"{where}: {what}; a brightfield image in red, green and blue is needed")


def _labels(ome: Mapping[str, Any]) -> list[str]:
    omero = ome.get("omero")
    channels = dicts(omero.get("channels")) if isinstance(omero, dict) else []
    return [str(c.get("label") or "") for c in channels]


def _dyes(ome: Mapping[str, Any]) -> str:
    """Return the channels' names where they are not red, green and blue; else nothing."""
    omero = ome.get("omero")
    channels = dicts(omero.get("channels")) if isinstance(omero, dict) else []
    labels = [label.lower() for label in _labels(ome)]
    colors = [str(c.get("color") or "").lower().lstrip("#")[-6:] for c in channels]
    mixed = len(set(colors)) > 1 and tuple(colors[:3]) != _RGB
    named = sorted(map(primary_of, labels)) == ["b", "g", "r"]
    if not any(dye in label for dye in _DYES for label in labels) and (named or not mixed):
        return ""
    return ", ".join(str(c.get("label") or c.get("color")) for c in channels)[:80]


def _bits(array: ZarrArray, ome: Mapping[str, Any]) -> int:
    """Return how many bits of 16 count: files of fewer state the largest value as a window."""
    if array.dtype == np.uint8:
        return 8
    omero = ome.get("omero")
    windows = [c.get("window") for c in dicts(omero.get("channels") if omero else None)]
    largest = {w.get("max") for w in windows if isinstance(w, dict)}
    return next((bits for bits in (10, 12, 14) if largest == {2**bits - 1}), 16)
