"""A zoo of TIFFs: whole and in blocks they give the same verdict and the same pixels, those of a viewer."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from maunet_lite.data import ImageError, Slide, image_size, open_slide, pixel_size, read_image, read_labels
from maunet_lite.scale import needs_blocks

RNG = np.random.default_rng(0)
G = RNG.integers(0, 256, (70, 90), dtype=np.uint8)
G16 = RNG.integers(0, 2**16, (70, 90), dtype=np.uint16)
RGB = RNG.integers(0, 256, (70, 90, 3), dtype=np.uint8)
FOUR = RNG.integers(0, 256, (70, 90, 4), dtype=np.uint8)
STACK = RNG.integers(0, 256, (3, 70, 90), dtype=np.uint8)
BITS = G > 128
TILED = {"tile": (32, 16), "compression": "zlib"}
STRIPS = {"rowsperstrip": 7, "compression": "lzw"}
COLORS = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
MAP = COLORS.T.astype(np.uint16) * 257
GREEN = np.zeros((3, 256), np.uint16)
GREEN[1] = np.arange(256) * 257

# stored array, how it is written, what a viewer shows
ANIMALS = {
    "white-8": (G, {"photometric": "miniswhite"}, 255 - G),
    "white-8-tiled": (G, {"photometric": "miniswhite", **TILED}, 255 - G),
    "white-16": (G16, {"photometric": "miniswhite", "predictor": True, **STRIPS}, 65535 - G16),
    "white-16-big-endian": (G16, {"photometric": "miniswhite", "byteorder": ">"}, 65535 - G16),
    "white-4-bit": (G >> 4, {"photometric": "miniswhite", "bitspersample": 4}, 15 - (G >> 4)),
    "white-signed": (
        G16.view(np.int16),
        {"photometric": "miniswhite"},
        -1 - G16.view(np.int16).astype(np.float32),
    ),
    "white-1-bit": (BITS, {"photometric": "miniswhite"}, ~BITS * 255),
    "black-1-bit": (BITS, {"photometric": "minisblack", **STRIPS}, BITS * 255),
    "black-4-bit": (G >> 4, {"photometric": "minisblack", "bitspersample": 4, "tile": (16, 16)}, G >> 4),
    "palette": (G, {"photometric": "palette", "colormap": MAP}, COLORS[G]),
    "palette-tiled": (G, {"photometric": "palette", "colormap": MAP, **TILED}, COLORS[G]),
    "palette-8-bit-map": (G, {"photometric": "palette", "colormap": MAP >> 8}, COLORS[G]),
    "palette-1-bit": (
        BITS,
        {"photometric": "minisblack", "extratags": [(320, 3, 6, MAP[:, :2].ravel().tolist())], **STRIPS},
        COLORS[BITS.astype(int)],
    ),
    "palette-green": (
        G,
        {"photometric": "palette", "colormap": GREEN, **STRIPS},
        np.dstack([0 * G, G, 0 * G]),
    ),
    "rgb-planes": (
        RGB.transpose(2, 0, 1),
        {"photometric": "rgb", "planarconfig": "separate", **TILED},
        RGB,
    ),
    "grey-planes": (
        STACK,
        {"photometric": "minisblack", "planarconfig": "separate"},
        STACK.transpose(1, 2, 0),
    ),
    "four-channels": (FOUR, {"photometric": "minisblack", "planarconfig": "contig", **TILED}, FOUR),
    "fourth-no-alpha": (FOUR, {"photometric": "rgb", "extrasamples": [0], **STRIPS}, FOUR),
    "fourth-alpha": (FOUR, {"photometric": "rgb", "extrasamples": [1]}, FOUR[..., :3]),
    "alpha-first": (
        RNG.integers(0, 256, (70, 90, 4), dtype=np.uint8),
        {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [2, 0, 0], **TILED},
        None,
    ),
    "grey-alpha-planes": (
        STACK[:2],
        {"photometric": "minisblack", "planarconfig": "separate", "extrasamples": [2], **TILED},
        STACK[0],
    ),
    "float-predictor": (
        G.astype(np.float32) / 7,
        {"predictor": True, "compression": "zlib", "tile": (16, 32)},
        G.astype(np.float32) / 7,
    ),
    "predictor-alone": (G16, {"predictor": 2, "compression": "packbits", "byteorder": ">"}, G16),
    "bigtiff": (RGB, {"bigtiff": True, "photometric": "rgb", **STRIPS}, RGB),
    "imagej": (STACK[:2], {"imagej": True, "metadata": {"axes": "CYX"}}, STACK[:2].transpose(1, 2, 0)),
    "ome": (
        STACK[None, :, None],
        {"ome": True, "metadata": {"axes": "TCZYX"}, "photometric": "minisblack", **TILED},
        STACK.transpose(1, 2, 0),
    ),
    "ome-rgb": (RGB, {"ome": True, "photometric": "rgb", "compression": "zlib"}, RGB),
    "one-row": (G[:1], STRIPS, G[:1]),
}


def write(path: Path, stored: np.ndarray, options: dict) -> None:
    """Write a file; a palette of one bit, which tifffile does not write, is made of a grey image."""
    tifffile.imwrite(path, stored, **options)
    if "extratags" in options:
        overwrite(path, 262, 3)


def both(path: Path, **options) -> np.ndarray | str:
    """Read a file whole and in blocks; return the pixels, or the message that both end with."""
    found: list[np.ndarray | str] = []
    for way in ("whole", "blocks"):
        try:
            if way == "whole":
                found.append(read_image(path, **options))
                continue
            with open_slide(path, **options) as slide:
                image = np.zeros((*slide.shape, *[slide.channels] * (slide.channels > 1)), slide.dtype)
                for place in slide.tiles(side=23):
                    image[place] = slide.read(*place)
            assert slide.shape == image_size(path)
            found.append(image)
        except ImageError as error:
            found.append(str(error))
    whole, blocks = found
    if isinstance(whole, str) or isinstance(blocks, str):
        assert whole == blocks
        assert whole.startswith(str(path))
        return whole
    assert whole.dtype == blocks.dtype
    np.testing.assert_array_equal(whole, blocks)
    return whole


@pytest.mark.parametrize("name", ANIMALS)
def test_whole_and_blocks_are_what_a_viewer_shows(name: str, tmp_path: Path) -> None:
    stored, options, expected = ANIMALS[name]
    write(tmp_path / "a.tif", stored, options)
    expected = stored[..., [0, 2, 3]] if expected is None else expected
    np.testing.assert_array_equal(both(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("name", ["white-8", "white-1-bit", "palette", "palette-green", "bigtiff"])
def test_an_independent_viewer_agrees(name: str, tmp_path: Path) -> None:
    stored, options, _ = ANIMALS[name]
    write(tmp_path / "a.tif", stored, options)
    with Image.open(tmp_path / "a.tif") as picture:
        seen = np.array(picture.convert("RGB" if picture.mode in ("P", "RGB") else "L"))
    np.testing.assert_array_equal(both(tmp_path / "a.tif"), seen)


def test_labels_are_read_as_stored(tmp_path: Path) -> None:
    ids = (G // 50).astype(np.uint8)
    for options in ({"photometric": "miniswhite"}, {"photometric": "palette", "colormap": MAP}, TILED):
        tifffile.imwrite(tmp_path / "a.tif", ids, **options)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), ids)
    large = ids.astype(np.uint32) + 2**24 + 1  # float32 would round them
    tifffile.imwrite(tmp_path / "a.tif", large, **TILED)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), large)


def change_tag(path: Path, tag: int, new: int) -> None:
    """Give a tag of the first directory another number, as if it had never been written."""
    with tifffile.TiffFile(path) as file:
        place, order = file.pages[0].tags[tag].offset, file.byteorder
    data = bytearray(path.read_bytes())
    data[place : place + 2] = struct.pack(f"{order}H", new)
    path.write_bytes(data)


def overwrite(path: Path, tag: int, value: int) -> None:
    """Change the value of a tag of the first directory."""
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags[tag].overwrite(value)


def test_a_file_that_does_not_name_its_colours_is_grey(tmp_path: Path) -> None:
    for options in ({"photometric": "minisblack"}, {"photometric": "miniswhite", **TILED}):
        tifffile.imwrite(tmp_path / "a.tif", G, **options)
        change_tag(tmp_path / "a.tif", 262, 65_000)
        np.testing.assert_array_equal(both(tmp_path / "a.tif"), G)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("YCBCR", {"photometric": "ycbcr"}),
        ("SEPARATED", {"photometric": "separated", **TILED}),
        ("CIELAB", {"photometric": "cielab"}),
    ],
)
def test_other_colours_are_refused_by_name(kind: str, options: dict, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", FOUR if kind == "SEPARATED" else RGB, **options)
    assert f"colours are stored as {kind}; expected grey, RGB or a palette" in both(tmp_path / "a.tif")


@pytest.mark.parametrize("how", ["pages", "nameless", "imagej", "ome", "tiled"])
def test_planes_are_asked_for(how: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    options = {
        "pages": {"metadata": None},
        "nameless": {},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"},
        "tiled": {"metadata": None, **TILED},
    }[how]
    tifffile.imwrite(path, STACK, photometric="minisblack", **options)
    refusal = both(path)
    assert "the file holds 3 planes" in refusal
    assert all(option in refusal for option in ("plane=1 (--plane)", "project='max'", "(--project)"))
    assert ("channel=1 (--channel)" in refusal) == (how in ("pages", "nameless", "tiled"))
    np.testing.assert_array_equal(both(path, plane=2), STACK[1])
    np.testing.assert_array_equal(both(path, plane="3"), STACK[2])
    np.testing.assert_array_equal(both(path, project="max"), STACK.max(axis=0))
    np.testing.assert_allclose(both(path, project="mean"), STACK.mean(axis=0), rtol=1e-6)
    for plane in (0, 4, -1, "two"):
        assert f"there is no plane {plane!r}: planes are counted from 1 to 3" in both(path, plane=plane)
    assert "project is 'sum'; expected 'max' or 'mean'" in both(path, project="sum")
    if how in ("pages", "nameless", "tiled"):  # who asks for a channel says what they are
        np.testing.assert_array_equal(both(path, channel=[3, 1]), STACK[[2, 0]].transpose(1, 2, 0))
    else:
        assert "holds 3 planes" in both(path, channel=1)


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True, "photometric": "minisblack", **TILED}])
def test_channels_of_stacks(options: dict, tmp_path: Path) -> None:
    stack = RNG.integers(0, 256, (2, 3, 2, 40, 50), dtype=np.uint8)  # T Z C Y X
    axes = "TZCYX"
    if "ome" in options:
        options = options | {"metadata": {"axes": axes, "Channel": {"Name": ["DAPI", "GFP"]}}}
    tifffile.imwrite(tmp_path / "a.tif", stack, **({"metadata": {"axes": axes}} | options))
    assert "12" not in both(tmp_path / "a.tif")
    assert "the file holds 6 planes" in both(tmp_path / "a.tif")
    # planes are counted in the order of the file: those of the first time, then those of the second
    np.testing.assert_array_equal(both(tmp_path / "a.tif", plane=5, channel=2), stack[1, 1, 1])
    # the projection joins the z planes; what is left are times
    np.testing.assert_array_equal(
        both(tmp_path / "a.tif", plane=2, channel=2, project="max"), stack[1, :, 1].max(axis=0)
    )
    assert "the file holds 6 planes" in both(tmp_path / "a.tif", project="max")
    if "ome" in options:
        np.testing.assert_array_equal(both(tmp_path / "a.tif", plane=1, channel="gfp"), stack[0, 0, 1])
        assert "no channel 'Cy5'; channels are counted from 1: 1 to 2 (DAPI, GFP)" in both(
            tmp_path / "a.tif", plane=1, channel="Cy5"
        )


def test_channels_are_numbers_or_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, planes = tmp_path / "a.ome.tif", RNG.integers(0, 256, (6, 30, 40), dtype=np.uint8)
    names = ["DAPI", "GFP", "CD3+", "a, b", "5", "last"]
    tifffile.imwrite(
        path,
        planes,
        ome=True,
        photometric="minisblack",
        metadata={"axes": "CYX", "Channel": {"Name": names}},
    )
    assert "has 6 channels; expected 1 to 4" in both(path)
    assert ", ".join(names) in both(path)
    for channel, chosen in {
        2: [1], "2.0": [1], "dapi": [0], "CD3+": [2], "a, b": [3], "DAPI, gfp": [0, 1], "1;6": [0, 5],
        "6+1": [5, 0], (3, "Last"): [2, 5], np.int64(4): [3],
    }.items():  # fmt: skip
        expected = planes[chosen].transpose(1, 2, 0)
        found = both(path, channel=channel)
        np.testing.assert_array_equal(found, expected[..., 0] if len(chosen) == 1 else expected)
    for channel in (0, 7, -1, "cy5", "1,,2", "", [], 1.5):
        assert "channel" in both(path, channel=channel)
    assert not caplog.text
    tifffile.imwrite(path, planes[:2], ome=True, metadata={"axes": "CYX", "Channel": {"Name": names[:2]}})
    read_image(path)
    assert f"{path}: 2 channels (DAPI, GFP), all with a signal are used" in caplog.text
    tifffile.imwrite(tmp_path / "rgb.tif", RGB, photometric="rgb")
    np.testing.assert_array_equal(both(tmp_path / "rgb.tif", channel="green"), RGB[..., 1])
    np.testing.assert_array_equal(both(tmp_path / "rgb.tif", channel=3), RGB[..., 2])


OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{me}"><Image ID="Image:0">
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="90" SizeY="70" SizeC="2" SizeZ="1" SizeT="1">
<Channel ID="Channel:0:0" SamplesPerPixel="1"/><Channel ID="Channel:0:1" SamplesPerPixel="1"/>
{data}</Pixels></Image></OME>"""
PARTS = "".join(
    f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1"><UUID FileName="{n}.ome.tif">urn:uuid:{n}</UUID>'
    "</TiffData>"
    for c, n in enumerate("ab")
)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, TILED])
def test_one_file_of_several_gives_its_own_plane(options: dict, tmp_path: Path) -> None:
    for name, plane in (("a", G), ("b", 255 - G)):
        text = OME.format(me=name, data=PARTS)
        how = {} if name == "a" else options
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", plane, description=text, metadata=None, **how)
    np.testing.assert_array_equal(both(tmp_path / "a.ome.tif"), G)
    np.testing.assert_array_equal(both(tmp_path / "b.ome.tif"), 255 - G)
    (tmp_path / "a.ome.tif").unlink()  # the others need not be there
    np.testing.assert_array_equal(both(tmp_path / "b.ome.tif"), 255 - G)
    text = OME.format(me="b", data=PARTS)
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK[:2], description=text, metadata=None, **options)
    assert "holds 2 planes (axes IYX, shape (2, 70, 90)); further planes are in a.ome.tif" in both(
        tmp_path / "b.ome.tif"
    )


def test_planes_that_are_not_in_the_file_are_never_zeros(tmp_path: Path) -> None:
    text = OME.format(me="q", data="<TiffData/>")
    tifffile.imwrite(tmp_path / "q.ome.tif", G, description=text, metadata=None)
    assert "its OME-XML counts 2 planes, and 1 are not in it" in both(tmp_path / "q.ome.tif")
    assert "its OME-XML counts 2 planes" in both(tmp_path / "q.ome.tif", channel=1)


def test_pyramids_and_thumbnails(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "p.tif") as file:
        file.write(RGB, subifds=1, photometric="rgb", **TILED)
        file.write(RGB[::2, ::2], subfiletype=1, photometric="rgb", **TILED)
    np.testing.assert_array_equal(both(tmp_path / "p.tif"), RGB)
    for first in (True, False):
        with tifffile.TiffWriter(tmp_path / "t.tif") as file:
            for image in (RGB, RGB[::3, ::3])[:: 1 if first else -1]:
                file.write(image, photometric="rgb", metadata=None)
        np.testing.assert_array_equal(both(tmp_path / "t.tif"), RGB)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        for image in (G, G[1:]):
            file.write(image, metadata=None)
    assert "the file holds 2 images of like size" in both(tmp_path / "two.tif")


@pytest.mark.parametrize("options", [TILED, STRIPS, {"rowsperstrip": 10}])
def test_the_directory_decides_on_the_size(options: dict, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, G, **options)
    assert image_size(path) == (70, 90)
    overwrite(path, 257, 22_000)
    assert both(path).endswith("are listed")
    with pytest.raises(ImageError, match=r"22000 × 90 pixels needs \d+ strips or tiles"):
        image_size(path)
    tifffile.imwrite(path, np.zeros((3000, 3000), np.uint8), tile=(512, 512), compression="zlib")
    assert image_size(path) == (3000, 3000)
    tifffile.imwrite(path, G)
    overwrite(path, 257, 7_000)
    overwrite(path, 278, 7_000)
    assert both(path).endswith("the file is truncated")


def test_directories_in_a_circle_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for options, size in (({}, 4), ({"bigtiff": True}, 8), ({"byteorder": ">"}, 4)):
        with tifffile.TiffWriter(path, **options) as writer:
            for _ in range(9):
                writer.write(G[:5, :5], metadata=None)
        with tifffile.TiffFile(path) as file:
            offsets, order = [page.offset for page in file.pages], file.byteorder
            count = len(file.pages[8].tags)
        data = bytearray(path.read_bytes())
        for target in (offsets[6], offsets[8], offsets[0]):
            place = offsets[8] + (8 + 20 * count if size == 8 else 2 + 12 * count)
            data[place : place + size] = struct.pack(f"{order}{'Q' if size == 8 else 'I'}", target)
            path.write_bytes(data)
            assert "its 9 directories form a circle" in both(path)
        data[place : place + size] = struct.pack(f"{order}{'Q' if size == 8 else 'I'}", len(data) + 10)
        path.write_bytes(data)
        assert "the file is damaged, truncated or" in both(path)


@pytest.mark.parametrize("name", ["white-16", "palette-tiled", "ome", "imagej", "bigtiff"])
def test_mutated_files_end_in_an_error_that_names_them(name: str, tmp_path: Path) -> None:
    path, rng = tmp_path / "a.tif", np.random.default_rng(len(name))
    stored, options, _ = ANIMALS[name]
    tifffile.imwrite(path, stored, **options)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    refused = []
    for _ in range(12):
        changed = data.copy()
        changed[rng.integers(0, min(len(data), 700), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(changed.tobytes()[: rng.choice([len(data), len(data) // 2], p=[0.9, 0.1])])
        needs_blocks(path, "1GiB")
        for read in (image_size, pixel_size, open_slide):
            try:
                found = read(path)
                if isinstance(found, Slide):
                    with found:
                        found.read(slice(0, 1), slice(0, 1))
            except ImageError as error:
                refused.append(str(error))
    assert len(refused) > 2
    assert [text for text in refused if not text.startswith(str(path))] == []
