"""OME-Zarr stores as other programs write them: layouts, colors, gaps, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr_models import open_ome_zarr as open_with_models

from napari_liverdx.core.errors import NotASlideError, SlideReadError, TileReadError
from napari_liverdx.slides.listing import find_slides
from napari_liverdx.slides.open import open_slide
from tests.support.ome_zarr import edit_json, write_ome_zarr, zipped
from tests.support.server import serving
from tests.support.slides import RNG, waves, whole

WAVES = waves()
LAYOUTS = {
    "0.4": {"version": "0.4", "axes": "tczyx"},
    "0.4 in one folder": {"version": "0.4", "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "0.4 samples": {"version": "0.4", "axes": "yxc"},
    "0.5": {"version": "0.5", "axes": "cyx"},
    "0.5 samples": {"version": "0.5", "axes": "yxc", "chunks": (100, 64, 3)},
    "0.5 shards": {"chunks": (1, 64, 64), "shards": (3, 256, 256)},
    "0.5 stack of one": {"axes": "tczyx", "chunks": (1, 1, 1, 64, 64)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_as_it_was_written(layout: str, tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.ome.zarr", WAVES, **LAYOUTS[layout])
    if "samples" not in layout:  # which are common, but no valid NGFF
        open_with_models(zarr.open_group(path, mode="r"))
    with open_slide(path) as slide:
        assert slide.info.format == f"OME-Zarr {LAYOUTS[layout].get('version', '0.5')}"
        assert [(v.width, v.height) for v in slide.levels] == [(420, 300), (210, 150)]
        assert str(slide.mpp) == "0.5 µm/px (OME-Zarr scale)"
        assert np.array_equal(whole(slide), WAVES)
        assert np.array_equal(whole(slide, 1), WAVES[::2, ::2])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_size_chunks_and_axes(data: st.DataObject, tmp_path: Path) -> None:
    height, width = (data.draw(st.integers(2, 700)) for _ in "yx")
    axes = data.draw(st.sampled_from(["cyx", "yxc", "tczyx", "czyx", "zyxc"]))
    version = data.draw(st.sampled_from(["0.4", "0.5"]))
    chunks = [data.draw(st.integers(1, 3) if a == "c" else st.integers(90, 300)) for a in axes]
    chunks = [1 if a in "tz" else n for a, n in zip(axes, chunks, strict=True)]
    pixels = np.random.default_rng(height).integers(1, 255, (height, width, 3), dtype=np.uint8)
    path = tmp_path / "any.zarr"
    shutil.rmtree(path, ignore_errors=True)
    write_ome_zarr(path, pixels, version=version, axes=axes, levels=1, chunks=chunks)
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), pixels)


COMPRESSED = {
    "0.4": [
        None,
        *({"id": name} for name in ("zlib", "gzip", "bz2", "lzma", "lz4", "zstd")),
        {"id": "blosc", "cname": "lz4", "shuffle": 1},
    ],
    "0.5": [
        None,
        {"name": "gzip", "configuration": {"level": 1}},
        {"name": "zstd", "configuration": {"level": 1, "checksum": True}},
        {"name": "blosc", "configuration": {"cname": "zstd"}},
    ],
}


@pytest.mark.parametrize("version", COMPRESSED)
def test_every_compression(version: str, tmp_path: Path) -> None:
    import numcodecs

    for number, codec in enumerate(COMPRESSED[version]):
        made = numcodecs.get_codec(codec) if codec and version == "0.4" else codec
        path = tmp_path / f"{number}.zarr"
        write_ome_zarr(path, WAVES, version=version, levels=1, compressors=made)
        with open_slide(path) as slide:
            assert np.array_equal(whole(slide), WAVES), codec


def test_sixteen_bits_of_either_byte_order_and_of_fewer_that_count(tmp_path: Path) -> None:
    deep = WAVES.astype(np.uint16) * 257
    for dtype in ("<u2", ">u2"):
        path = write_ome_zarr(
            tmp_path / f"{dtype[0] == '<'}.zarr", deep.astype(dtype), version="0.4"
        )
        with open_slide(path) as slide:
            assert np.array_equal(whole(slide), WAVES)
    channels = [{"color": c, "window": {"max": 4095}} for c in ("FF0000", "00FF00", "0000FF")]
    twelve = write_ome_zarr(
        tmp_path / "12.zarr", WAVES.astype(np.uint16) << 4, omero={"channels": channels}
    )
    with open_slide(twelve) as slide:
        assert np.array_equal(whole(slide), WAVES)


def test_channels_are_the_colors_that_they_are_called(tmp_path: Path) -> None:
    channels = {"green": "00FF00", "Blue": "0000FF", "Red": "FF0000"}
    omero = {"channels": [{"label": name, "color": c} for name, c in channels.items()]}
    with open_slide(write_ome_zarr(tmp_path, WAVES[..., [1, 2, 0]], omero=omero)) as slide:
        assert np.array_equal(whole(slide), WAVES)


# -- gaps --


@pytest.mark.parametrize("layout", ["0.4", "0.5", "0.5 samples"])
def test_a_missing_chunk_is_white(layout: str, tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", np.zeros_like(WAVES), levels=1, **LAYOUTS[layout])
    with open_slide(path) as slide:
        # zarr does not write chunks of zeros.
        assert (whole(slide) == 255).all()


def test_a_gap_within_a_shard_is_white_and_a_stated_fill_is_kept(tmp_path: Path) -> None:
    pixels = WAVES.copy() | 1
    pixels[:128, :128] = 0
    layout = {"chunks": (3, 128, 128), "shards": (3, 256, 256), "levels": 1}
    with open_slide(write_ome_zarr(tmp_path / "a.zarr", pixels, **layout)) as slide:
        found = whole(slide)
        assert (found[:128, :128] == 255).all()
        assert np.array_equal(found[128:], pixels[128:])
    pixels[:128, :128] = 7
    path = write_ome_zarr(tmp_path / "b.zarr", pixels, fill_value=7, **layout)
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), pixels)


def test_one_missing_channel_is_not_white(tmp_path: Path) -> None:
    pixels = WAVES.copy() | 1
    pixels[128:256, :128, 0] = 0
    path = write_ome_zarr(tmp_path / "a.zarr", pixels, levels=1, chunks=(1, 128, 128))
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), pixels)


# -- places --


def test_a_zip_is_the_same_slide_as_its_folder(tmp_path: Path) -> None:
    folder = write_ome_zarr(tmp_path / "a.ome.zarr", WAVES, **LAYOUTS["0.5 shards"])
    with open_slide(folder) as slide:
        wanted, name = slide.fingerprint(), slide.name
    assert name == "a"
    for path in (
        zipped(folder, tmp_path / "a.ozx"),
        zipped(folder, tmp_path / "a.ome.zarr.zip", top="a.ome.zarr/", deflate=True),
    ):
        with open_slide(path) as slide:
            assert np.array_equal(whole(slide), WAVES)
            assert slide.fingerprint() == wanted
            assert slide.name == "a"
    assert [s.path.name for s in find_slides(tmp_path)] == ["a.ome.zarr", "a.ome.zarr.zip", "a.ozx"]


def test_other_pixels_are_another_slide(tmp_path: Path) -> None:
    found = set()
    for name, pixels in (("a", WAVES), ("b", 255 - WAVES)):
        with open_slide(write_ome_zarr(tmp_path / f"{name}.zarr", pixels)) as slide:
            found.add(slide.fingerprint())
    assert len(found) == 2


def test_a_file_that_describes_a_store_opens_it(tmp_path: Path) -> None:
    new = write_ome_zarr(tmp_path / "a.zarr", WAVES)
    old = write_ome_zarr(tmp_path / "b.zarr", WAVES, version="0.4")
    for chosen in (new / "zarr.json", old / ".zattrs"):
        with open_slide(chosen) as slide:
            assert slide.path == chosen.parent


def test_threads_and_other_processes_read_the_same(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", WAVES, levels=1)
    with open_slide(path) as slide, pickle.loads(pickle.dumps(slide)) as other:  # noqa: S301
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda x: other.read_region(0, x, 0, 40, 300), range(0, 400, 40)))
        assert np.array_equal(np.concatenate(parts, axis=1), WAVES[:, :400])


# -- several images --


def test_scenes_are_chosen_by_size_and_what_lies_beside_is_set_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    pictures = [WAVES[:100, :100], WAVES, WAVES[::-1], WAVES[:50]]
    names = ["small", "large", "macro image", "label image"]
    for number, pixels in enumerate(pictures):
        write_ome_zarr(path, pixels, version="0.4", levels=1, group=str(number))
    root = zarr.open_group(path, mode="a", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    ome = root.create_group("OME")
    ome.attrs["series"] = ["0", "1", "2", "3"]
    images = "".join(f'<Image ID="Image:{i}" Name="{n}"/>' for i, n in enumerate(names))
    xmlns = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    (path / "OME" / "METADATA.ome.xml").write_text(f'<OME xmlns="{xmlns}">{images}</OME>')
    with open_slide(path) as slide:
        assert [s.name for s in slide.info.scenes] == ["small", "large"]
        assert slide.info.associated == ("label", "macro")
        assert slide.size == (420, 300)
        assert np.array_equal(slide.read_associated("macro"), WAVES[::-1])
        large = slide.fingerprint()
    with open_slide(path, scene=0) as slide:
        assert np.array_equal(whole(slide), WAVES[:100, :100])
        assert slide.fingerprint() != large
    with pytest.raises(SlideReadError, match=r"no scene 7; choose one of 0 \(small\), 1 \(large\)"):
        open_slide(path, scene=7)
    (path / "OME" / ".zattrs").unlink()
    (path / "OME" / "METADATA.ome.xml").unlink()
    with open_slide(path) as slide:
        assert len(slide.info.scenes) == 4


def test_levels_are_sorted_and_those_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", WAVES, version="0.4", levels=3)
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"].reverse()
    (path / ".zattrs").write_text(json.dumps(attributes))
    shutil.rmtree(path / "1")
    zarr.create_array(path / "1", data=WAVES.transpose(2, 0, 1)[:, :50, :400], zarr_format=2)
    with open_slide(path) as slide:
        assert [v.width for v in slide.levels] == [420, 105]
        assert slide.mpp is not None
        assert slide.mpp.mean == 0.5


def test_labels_within_an_image_are_left_alone(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", WAVES)
    labels = zarr.open_group(path, mode="a").create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    write_ome_zarr(path / "labels" / "nuclei", WAVES[..., :1])
    with open_slide(path) as slide:
        assert slide.info.scenes == ()
        assert np.array_equal(whole(slide), WAVES)
    with pytest.raises(NotASlideError, match="a segmentation"):
        open_slide(path / "labels")


def test_transparency_of_samples_is_white(tmp_path: Path) -> None:
    alpha = np.full(WAVES.shape[:2], 255, np.uint8)
    alpha[:50] = 0
    path = write_ome_zarr(tmp_path / "a.zarr", np.dstack([WAVES, alpha]), axes="yxc")
    with open_slide(path) as slide:
        found = whole(slide)
    assert (found[:50] == 255).all()
    assert np.array_equal(found[50:], WAVES[50:])


# -- what is no slide --


def test_what_is_no_color_image_is_refused_by_what_it_is(tmp_path: Path) -> None:
    dyes = {"channels": [{"label": n, "color": "FF0000"} for n in ("DAPI", "FITC", "Cy3")]}
    colors = {"channels": [{"color": c} for c in ("0000FF", "00FF00", "FF0000")]}
    rgb = np.ones((40, 40, 3), np.uint8)
    kinds = {
        "float32 values": {"pixels": rgb.astype(np.float32)},
        "int32 values": {"pixels": rgb.astype(np.int32)},
        "one channel": {"pixels": rgb[..., :1]},
        "5 channels": {"pixels": np.ones((40, 40, 5), np.uint8)},
        "channels DAPI, FITC, Cy3": {"pixels": rgb, "omero": dyes},
        "channels 0000FF": {"pixels": rgb, "omero": colors},
    }
    for number, (said, given_) in enumerate(kinds.items()):
        path = write_ome_zarr(tmp_path / f"{number}.zarr", levels=1, **given_)
        with pytest.raises(NotASlideError, match=f"{number}.zarr: .*{said}.*red, green and blue"):
            open_slide(path)
    path = write_ome_zarr(tmp_path / "z.zarr", rgb, axes="zcyx", levels=1)
    shutil.rmtree(path / "0")
    zarr.create_array(path / "0", data=np.ones((5, 3, 40, 40), np.uint8))
    with pytest.raises(NotASlideError, match="a stack of 5 focal planes"):
        open_slide(path)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"plate": {"wells": []}}, "a plate of wells"),
        ({"well": {"images": []}}, "a well of a plate"),
        ({"labels": ["nuclei"]}, "a segmentation"),
        ({"image-label": {}, "multiscales": []}, "a segmentation"),
        ({"liverdx": {}}, "a stored result"),
        ({"something": 1}, "a folder and no slide"),
    ],
)
def test_other_stores_are_told_apart(attributes: dict, said: str, tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2).attrs.update(attributes)
    with pytest.raises(NotASlideError, match=said):
        open_slide(tmp_path / "a.zarr")


def test_a_place_within_a_result_or_a_single_level_is_told(tmp_path: Path) -> None:
    inside = write_ome_zarr(tmp_path / "a.liverdx.zarr" / "b.zarr", WAVES)
    with pytest.raises(NotASlideError, match=r"a.liverdx.zarr is a stored result"):
        open_slide(inside)
    path = write_ome_zarr(tmp_path / "a.zarr", WAVES)
    with pytest.raises(NotASlideError, match="open the folder above"):
        open_slide(path / "0")


# -- damage --


def test_damaged_metadata_end_in_our_errors(tmp_path: Path) -> None:
    whole_store = write_ome_zarr(tmp_path / "a.zarr", WAVES, version="0.4", levels=1)
    changes = [
        (".zattrs", {"multiscales": [{"datasets": [{"path": "9"}]}]}),
        (".zattrs", {"multiscales": [{"datasets": []}]}),
        (".zattrs", {"multiscales": [{"datasets": [{"path": "../../secret"}]}]}),
        (".zattrs", {"multiscales": [{"axes": ["y", "y", "x"], "datasets": [{"path": "0"}]}]}),
        (".zattrs", {"multiscales": [{"axes": 7, "datasets": [{"path": "0"}]}]}),
        ("0/.zarray", {"shape": [3, 2**40, 2**40]}),
        ("0/.zarray", {"chunks": [3, 2**20, 2**20]}),
        ("0/.zarray", {"chunks": [3, 0, 64]}),
        ("0/.zarray", {"dtype": "|O"}),
        ("0/.zarray", {"compressor": {"id": "pickle"}}),
        ("0/.zarray", {"filters": [{"id": "pickle"}]}),
        ("0/.zarray", {"compressor": 5}),
    ]
    for number, (name, change) in enumerate(changes):
        path = tmp_path / f"{number}.zarr"
        shutil.copytree(whole_store, path)
        edit_json(path / name, **change)
        with pytest.raises((SlideReadError, NotASlideError), match=f"{number}.zarr"):
            open_slide(path)


def test_a_damaged_chunk_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", RNG.integers(0, 255, (600, 300, 3), dtype=np.uint8))
    chunk = path / "0" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    with open_slide(path) as slide:
        with pytest.raises(TileReadError, match="a chunk is damaged"):
            slide.read_tile(0, 0, 0)
        assert slide.read_tile(0, 1, 0).shape == (256, 256, 3)
        assert slide.overview(1).unreadable == 1


def test_a_slide_that_is_removed_is_no_slide_of_gaps(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "a.zarr", WAVES)
    with open_slide(path) as slide:
        path.rename(tmp_path / "b.zarr")
        with pytest.raises(SlideReadError, match="the slide is gone") as told:
            slide.read_tile(0, 0, 0)
        assert not isinstance(told.value, TileReadError)
    with serving(tmp_path) as server, open_slide(f"{server.url}/b.zarr") as slide:
        shutil.rmtree(tmp_path / "b.zarr")
        with pytest.raises(SlideReadError, match="the slide is gone"):
            slide.read_tile(0, 0, 0)
