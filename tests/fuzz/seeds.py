"""Sound files of every kind, small ones, written or from the test data."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from napari_liverdx.slides.sample import sample_path
from tests.fuzz.bombs import write_bombs
from tests.support.deep_zoom import write_deep_zoom
from tests.support.dicom_slides import Written as Dicom
from tests.support.dicom_slides import write_pyramid_slide
from tests.support.golden import GOLDEN
from tests.support.mil import write_square
from tests.support.ome_zarr import write_ome_zarr, zipped
from tests.support.paths import CMU
from tests.support.results import oblong_result, square_result
from tests.support.slides import waves, write_pyramid
from tests.support.vendors.registry import WRITTEN

__all__ = ["write_seeds"]


def _stained(height: int = 520, width: int = 700) -> np.ndarray:
    """Glass with a stained piece on it, so that tissue is found."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    tissue = np.hypot((y - height / 2) / height, (x - width / 2) / width) < 0.42
    picture = np.full((height, width, 3), 242, np.uint8)
    grain = rng.integers(-20, 20, (height, width, 1)) + waves(height, width) // 8
    picture[tissue] = np.clip(np.array([200, 120, 170]) + grain, 0, 255)[tissue]
    return picture


def _tiff(path: Path, picture: np.ndarray, mpp: float | None = 1.0, **options: object) -> None:
    more = {"photometric": "rgb", "metadata": None, **options}
    if mpp is not None:
        more |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, picture, **more)


def _tiffs(folder: Path) -> None:
    picture = _stained()
    write_pyramid(folder / "pyramid.tif", picture, mpp=1.0, levels=3)
    jpeg = {"compression": "jpeg", "tile": (256, 256)}
    _tiff(folder / "jpeg.tif", picture, **jpeg)
    _tiff(folder / "ycbcr.tif", picture, **{**jpeg, "photometric": "ycbcr"})
    _tiff(folder / "lzw.tif", picture, compression="lzw", predictor=True, tile=(128, 128))
    _tiff(folder / "big.tif", picture, compression="zlib", tile=(256, 256), bigtiff=True)
    _tiff(folder / "strips.tif", picture, compression="zlib", rowsperstrip=32)
    _tiff(folder / "plain.tif", picture, byteorder=">")
    _tiff(folder / "j2k.tif", picture, compression="jpeg2000", tile=(256, 256))
    _tiff(folder / "deep.tif", picture.astype(np.uint16) << 8, tile=(128, 128), compression="zlib")
    _tiff(folder / "zstd.tif", picture, compression="zstd", tile=(128, 128))
    planes = np.moveaxis(picture, 2, 0).copy()
    _tiff(folder / "planes.tif", planes, tile=(128, 128), planarconfig="separate")
    gray = picture[..., 0].copy()
    _tiff(folder / "gray.tif", gray, photometric="minisblack", tile=(128, 128))
    shutil.copy(GOLDEN / "slide.tif", folder / "golden.tif")


def _ome(folder: Path) -> None:
    picture = _stained(300, 420)
    told = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(folder / "levels.ome.tif", ome=True) as writer:
        more = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib"}
        writer.write(picture, subifds=1, metadata={"axes": "YXS", **told}, **more)
        writer.write(picture[::2, ::2], subfiletype=1, **more)
    channels = np.moveaxis(picture, 2, 0).copy()
    more = {"tile": (128, 128), "photometric": "minisblack"}
    path = folder / "channels.ome.tif"
    tifffile.imwrite(path, channels, ome=True, metadata={"axes": "CYX", **told}, **more)
    shutil.copy(sample_path(), folder / "sample.ome.tif")


def _svs(folder: Path) -> None:
    shutil.copy(CMU, folder / "cmu.svs")
    text = "Aperio Image Library v12\r\n700x520 (256x256) J2K|AppMag = 20|MPP = 0.5000|Date = 1"
    more = {"tile": (256, 256), "photometric": "rgb", "metadata": None, "compression": "jpeg"}
    with tifffile.TiffWriter(folder / "small.svs") as writer:
        writer.write(_stained(), description=text, **more)
        thumb = _stained(130, 175)
        writer.write(thumb, photometric="rgb", metadata=None, description=text)
        writer.write(_stained(260, 350), description=text, subfiletype=1, **more)
        label = {"photometric": "rgb", "metadata": None, "subfiletype": 1}
        writer.write(thumb[:90], description="Aperio\r\nlabel 175x90", **label)


def _pictures(folder: Path, suffix: str) -> None:
    picture = Image.fromarray(_stained(300, 420))
    options = {"dpi": (25400, 25400)} if suffix != ".bmp" else {}
    picture.save(folder / f"rgb{suffix}", **options)
    picture.convert("L").save(folder / f"gray{suffix}")
    if suffix == ".png":
        picture.convert("P").save(folder / "palette.png")
        picture.convert("RGBA").save(folder / "alpha.png")
        deep = np.asarray(picture.convert("L")).astype(np.uint16) << 8
        Image.fromarray(deep).save(folder / "deep.png")
    if suffix == ".jpg":
        picture.convert("CMYK").save(folder / "cmyk.jpg")
        picture.save(folder / "progressive.jpg", progressive=True)


def _results(folder: Path) -> None:
    for part in ("results/slide.tiny.liverdx.zarr", "interrupted/slide.tiny.liverdx.zarr"):
        shutil.copytree(GOLDEN / part, folder / part.replace("/", "."))
    oblong_result(folder)
    square_result(folder / "square.liverdx.zarr")


def _annotations(folder: Path) -> None:
    write_square(folder / "square.geojson", "fat", 10, 20, 300)
    shapes = "index,shape-type,vertex-index,axis-0,axis-1\n"
    for index, kind in enumerate(("polygon", "ellipse", "line")):
        corners = ((0, 0), (0, 90), (80, 90), (80, 0))
        shapes += "".join(f"{index},{kind},{i},{y},{x}\n" for i, (y, x) in enumerate(corners))
    (folder / "shapes.csv").write_text(shapes)
    corners = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ((9, 9), (90, 9), (90, 90)))
    (folder / "imagescope.xml").write_text(
        '<?xml version="1.0"?><Annotations MicronsPerPixel="0.5"><Annotation Id="1" Name="fat">'
        '<Regions><Region Id="1" Type="0" NegativeROA="0"><Vertices>'
        f"{corners}</Vertices></Region></Regions></Annotation></Annotations>"
    )
    places = "".join(f'<Coordinate Order="{i}" X="{9 * i}" Y="{i * i},5"/>' for i in range(5))
    (folder / "asap.xml").write_text(
        '<?xml version="1.0"?><ASAP_Annotations><Annotations>'
        '<Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="fat" Color="#F4FA58">'
        f"<Coordinates>{places}</Coordinates></Annotation></Annotations>"
        "<AnnotationGroups/></ASAP_Annotations>"
    )
    points = "".join(f"<point><x>{9 * i}</x><y>{i * i}</y></point>" for i in range(5))
    (folder / "a.ndpi.ndpa").write_text(
        '<?xml version="1.0"?><annotations><ndpviewstate id="1"><title>fat</title>'
        '<coordformat>nanometers</coordformat><annotation type="freehand"><closed>1</closed>'
        f"<pointlist>{points}</pointlist></annotation></ndpviewstate></annotations>"
    )
    packed = gzip.compress((folder / "square.geojson").read_bytes(), mtime=0)
    (folder / "square.geojson.gz").write_bytes(packed)
    for kept in (GOLDEN / "models" / "teaching").glob("*.geojson"):
        shutil.copy(kept, folder / kept.name)
    ring = [[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]
    many = {"type": "MultiPolygon", "coordinates": [[ring], [ring, ring]]}
    named = {"classification": {"names": ["Tumor", "Deep"]}, "objectType": "annotation"}
    feature = {"type": "Feature", "id": "a", "geometry": many, "properties": named}
    (folder / "qupath.geojson").write_text(json.dumps([feature] * 3))


def _tables(folder: Path) -> None:
    (folder / "slides.csv").write_text(
        "path,mpp,group,label,split,source,annotation\n"
        "a.svs,0.5,p1,normal,train,A,a.geojson\nb.svs,,p2,fat,test,B,\n"
    )
    (folder / "german.csv").write_text("Slide;µm/px;Klasse\na.svs;0,25;1\nb.svs;0,5;2\n")
    (folder / "utf16.csv").write_bytes("sep=;\npath;mpp\na.svs;0,5\n".encode("utf-16"))
    (folder / "ansi.csv").write_bytes("Path;Group\nä.svs;Köln\n".encode("cp1252"))
    rows = [f"p{i % 3}_{i}.png,{('normal', 'fat')[i % 2]},p{i % 3},A" for i in range(6)]
    (folder / "tiles.csv").write_text("path,label,group,source\n" + "\n".join(rows) + "\n")


def _settings(folder: Path) -> None:
    shutil.copy(GOLDEN / "recipe.yaml", folder / "recipe.yaml")
    recipes = Path(sample_path()).parents[1] / "recipes"
    for recipe in sorted(recipes.glob("*.toml"))[:3]:
        shutil.copy(recipe, folder / recipe.name)
    for comparison in sorted((recipes.parent / "comparisons").glob("*.toml"))[:2]:
        shutil.copy(comparison, folder / f"comparison-{comparison.name}")


_IN_PARTS = (".mrxs", ".vms", ".vmu")


def _scanners(folder: Path) -> None:
    for written in WRITTEN:
        if not written.name.endswith(_IN_PARTS):
            written.into(folder)


def _scanners_of_parts(folder: Path) -> None:
    for written in WRITTEN:
        if written.name.endswith(_IN_PARTS):
            made = folder / f"{Path(written.name).suffix[1:]}-slide"
            made.mkdir()
            written.into(made)


def _dicom(folder: Path) -> None:
    for name, how in (
        ("jpeg", Dicom()),
        ("sparse", Dicom(missing=((0, 0),), parts=2)),
        ("plain", Dicom(table="none")),
    ):
        made = folder / name
        made.mkdir()
        write_pyramid_slide(made, _stained(150, 200), replace(how, mm=(0.002, 0.002)))


def _zarrs(folder: Path) -> None:
    picture = _stained(300, 420)
    write_ome_zarr(folder / "new.ome.zarr", picture)
    write_ome_zarr(folder / "old.ome.zarr", picture, version="0.4", axes="yxc", levels=3)
    write_ome_zarr(folder / "sharded.zarr", picture, chunks=(3, 64, 64), shards=(3, 128, 128))
    zipped(folder / "new.ome.zarr", folder / "packed.ome.zarr.zip", deflate=True)


def _deep_zooms(folder: Path) -> None:
    for kind in ("jpg", "png"):
        apart = folder / "apart"
        apart.mkdir()
        write_deep_zoom(apart / "slide.dzi", _stained(300, 420), kind=kind)
        zipped(apart, folder / f"{kind}.szi")
        shutil.rmtree(apart)


def _mischief(folder: Path) -> None:
    for word in ("die", "eat", "fail", "fine", "hang"):
        (folder / word).write_text(word)


def _models(folder: Path) -> None:
    shutil.copy(GOLDEN / "tiny.safetensors", folder / "tiny.safetensors")
    shutil.copy(GOLDEN / "models" / "tiny-v2.safetensors", folder / "tuned.safetensors")


def _mil_models(folder: Path) -> None:
    shutil.copy(GOLDEN / "context.safetensors", folder / "context.safetensors")


def _bags(folder: Path) -> None:
    shutil.copytree(GOLDEN / "bags", folder, dirs_exist_ok=True)


_WRITERS = {
    "tiff": _tiffs,
    "ome-tiff": _ome,
    "svs": _svs,
    "scanner": _scanners,
    "scanner-parts": _scanners_of_parts,
    "dicom": _dicom,
    "ome-zarr": _zarrs,
    "deep-zoom": _deep_zooms,
    "png": partial(_pictures, suffix=".png"),
    "jpeg": partial(_pictures, suffix=".jpg"),
    "bmp": partial(_pictures, suffix=".bmp"),
    "model": _models,
    "mil": _mil_models,
    "result": _results,
    "annotation": _annotations,
    "table": _tables,
    "settings": _settings,
    "bag": _bags,
    "bomb": write_bombs,
    "mischief": _mischief,
}


def write_seeds(root: Path, names: Iterable[str]) -> None:
    """Write the sound files of some kinds, one folder for each."""
    for name in names:
        (root / name).mkdir()
        _WRITERS[name](root / name)
