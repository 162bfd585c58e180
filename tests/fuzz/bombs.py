"""Small files that unpack to gigabytes, or claim to."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import tifffile
import zarr
from imagecodecs import zstd_encode
from PIL import Image

from tests.fuzz.pictures import png_of
from tests.support.dicom_slides import write_pyramid_slide
from tests.support.golden import GOLDEN
from tests.support.ome_zarr import write_ome_zarr
from tests.support.results import oblong_result
from tests.support.slides import waves
from tests.support.tiffs import Page, write_tiff

__all__ = ["write_bombs"]

_GIB = 2**30


def _zeros(gibibytes: float) -> bytes:
    """A zlib stream of zeros."""
    pack = zlib.compressobj(1)
    part = bytes(2**24)
    count = int(gibibytes * _GIB) // len(part)
    return b"".join([pack.compress(part) for _ in range(count)]) + pack.flush()


def _pictures(folder: Path, packed: bytes) -> None:
    side = 46_000
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    png = png_of([(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")])
    (folder / "slide.wide.png").write_bytes(png)
    small = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(64 * 65))
    for kind, lead in ((b"iCCP", b"a\0\0"), (b"zTXt", b"Comment\0\0")):
        png = png_of([(b"IHDR", small), (kind, lead + packed), (b"IDAT", rows), (b"IEND", b"")])
        (folder / f"slide.{kind.decode()}.png").write_bytes(png)
    Image.fromarray(waves(64, 64)).save(folder / "slide.wide.jpg")
    data = bytearray((folder / "slide.wide.jpg").read_bytes())
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 65500, 65500)
    (folder / "slide.wide.jpg").write_bytes(data)
    Image.fromarray(waves(64, 64)).save(folder / "slide.wide.bmp")
    data = bytearray((folder / "slide.wide.bmp").read_bytes())
    struct.pack_into("<ii", data, 18, 60_000, 60_000)
    (folder / "slide.wide.bmp").write_bytes(data)


def _tiffs(folder: Path, packed: bytes) -> None:
    def tags(side: int, **more: tuple[int, object]) -> dict[int, tuple[int, object]]:
        told = {256: (4, side), 257: (4, side), 258: (3, [8] * 3), 259: (3, 8), 262: (3, 2)}
        return {**told, 277: (3, 3), **{int(k[1:]): v for k, v in more.items()}}

    tile = tags(60_000, t322=(4, 60_000), t323=(4, 60_000))
    write_tiff(folder / "slide.one-tile.tif", [Page(tile, [packed])])
    strip = tags(60_000, t278=(4, 60_000))
    write_tiff(folder / "slide.one-strip.tif", [Page(strip, [packed])])
    # A tile of 64 pixels whose stream never ends.
    write_tiff(
        folder / "slide.long-tile.tif",
        [Page(tags(64, t322=(4, 64), t323=(4, 64)), [packed])],
    )
    long = {**tags(64, t322=(4, 64), t323=(4, 64)), 259: (3, 50000)}
    zeros = bytes(_GIB)
    write_tiff(folder / "slide.long-zstd.tif", [Page(long, [zstd_encode(zeros)])])
    many = tags(2_000_000_000, t322=(4, 16), t323=(4, 16))
    write_tiff(folder / "slide.many-tiles.tif", [Page(many, [packed[:100]])])
    more = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
    text = "Aperio " + "x" * 2**20
    tifffile.imwrite(folder / "slide.text.svs", waves(64, 64), description=text, **more)


def _stores(folder: Path, zeros: bytes) -> None:
    pixels = waves(128, 128)
    for name, chunk in (("zstd", zstd_encode(zeros)), ("gzip", gzip.compress(zeros, 1))):
        codec = zarr.codecs.ZstdCodec() if name == "zstd" else zarr.codecs.GzipCodec()
        made = write_ome_zarr(folder / f"slide.{name}.zarr", pixels, compressors=codec)
        for part in sorted((made / "0" / "c").rglob("*")):
            if part.is_file():
                part.write_bytes(chunk)
    made = write_ome_zarr(folder / "slide.wide.zarr", pixels)
    file = made / "0" / "zarr.json"
    told = json.loads(file.read_text())
    told["shape"] = [3, 200_000, 200_000]
    told["chunk_grid"]["configuration"]["chunk_shape"] = [3, 100_000, 100_000]
    file.write_text(json.dumps(told))
    with zipfile.ZipFile(folder / "slide.packed.zarr.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zarr.json", b" " * 2**29 + b"{}")
    store = oblong_result(folder)
    # What 0.1.0 wrote has no checksums.
    old = GOLDEN / "results" / "slide.tiny.liverdx.zarr"
    for name, result in (("cells", store.path), ("tissue", store.path), ("tissue", old)):
        made = folder / f"result.{name}.{result.parent.name}.liverdx.zarr"
        shutil.copytree(result, made)
        for part in sorted((made / name / "c").rglob("*")):
            if part.is_file():
                part.write_bytes(zstd_encode(zeros))
    shutil.rmtree(store.path)


def _texts(folder: Path, zeros: bytes) -> None:
    packed = gzip.compress(zeros, 1)
    (folder / "annotation.geojson.gz").write_bytes(packed)
    (folder / "table.csv.gz").write_bytes(packed)
    entities = "".join(
        f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "x" * 1000}">' for i in range(10)
    )
    text = f"<?xml version='1.0'?><!DOCTYPE a [{entities}]><Annotations>&e9;</Annotations>"
    (folder / "annotation.xml").write_text(text)
    (folder / "annotation.json").write_text("[" * 3_000_000)
    with zipfile.ZipFile(folder / "bag.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in ("texts", "embeddings"):
            text = str({"descr": "|u1", "fortran_order": False, "shape": (len(zeros),)})
            head = text.encode().ljust(117) + b"\n"
            lead = b"\x93NUMPY\x01\0" + struct.pack("<H", len(head))
            file.writestr(f"{name}.npy", lead + head + zeros)
    good = (GOLDEN / "tiny.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", good)
    header = json.loads(good[8 : 8 + length])
    card = json.loads(header["__metadata__"]["liverdx.card"])
    card["arguments"] = {"encoder": "vit_giant_patch14_224", "hidden": 4096, "projection": 4096}
    header["__metadata__"]["liverdx.card"] = json.dumps(card)
    text = json.dumps(header).encode()
    (folder / "model.giant.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + good[8 + length :]
    )
    deep = b"[" * (60 * 2**20)
    (folder / "model.deep.safetensors").write_bytes(struct.pack("<Q", len(deep)) + deep)


def write_bombs(folder: Path) -> None:
    """Write them all; the first word of a name tells what it is to be used as."""
    packed = _zeros(2)
    zeros = bytes(_GIB)
    _pictures(folder, packed)
    _tiffs(folder, packed)
    _stores(folder, zeros)
    _texts(folder, zeros)
    made = folder / "slide.dicom"
    made.mkdir()
    write_pyramid_slide(made, waves(96, 128))
    for part in made.iterdir():
        data = bytearray(part.read_bytes())
        for tag in (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"):
            at = data.find(tag)
            if at >= 0:
                struct.pack_into("<H", data, at + len(tag), 65535)
        part.write_bytes(data)
