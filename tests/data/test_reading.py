from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from maunet_lite.data import ImageError, Slide, open_slide, read_image, write_image
from maunet_lite.data.reading.slide import Stored
from maunet_lite.scale import needs_blocks

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (70, 90), dtype=np.uint8)
RGB16 = RNG.integers(0, 60_000, (70, 90, 3)).astype(np.uint16)
RGB = (RGB16 >> 8).astype(np.uint8)
PLANES = np.ascontiguousarray(RGB16.transpose(2, 0, 1))
TILED = {"tile": (32, 16), "compression": "zlib"}

# array as written, what is to be read, how it is written
TIFFS = {
    "striped": (GREY, GREY, {}),
    "big-endian": (RGB16, RGB16, {"byteorder": ">", "photometric": "rgb"}),
    "tiled": (GREY, GREY, TILED),
    "strips": (RGB, RGB, {"rowsperstrip": 8, "compression": "zstd", "photometric": "rgb"}),
    "one-strip": (RGB, RGB, {"rowsperstrip": 70, "compression": "zlib", "photometric": "rgb"}),
    "planes": (
        RGB.transpose(2, 0, 1),
        RGB,
        {"planarconfig": "separate", "photometric": "rgb", "tile": (32, 32)},
    ),
    "bigtiff": (RGB16, RGB16, {"bigtiff": True, "photometric": "rgb", "predictor": True, **TILED}),
    "imagej": (PLANES, RGB16, {"imagej": True, "metadata": {"axes": "CYX"}}),
    "ome": (
        PLANES[None, :, None],
        RGB16,
        {"ome": True, "metadata": {"axes": "TCZYX"}, "photometric": "minisblack", **TILED},
    ),
    "alpha": (
        np.dstack([RGB, GREY]),
        RGB,
        {"photometric": "rgb", "extrasamples": ["unassalpha"], **TILED},
    ),
    "float64": (GREY / 3, (GREY / 3).astype(np.float32), TILED),
}


def check(path: object, expected: np.ndarray) -> None:
    """Whole, in part, and tile by tile, the slide gives what is expected."""
    with open_slide(path) as slide:
        height, width = expected.shape[:2]
        assert slide.shape == (height, width)
        assert slide.channels == (1 if expected.ndim == 2 else expected.shape[2])
        assert slide.dtype == expected.dtype
        np.testing.assert_array_equal(slide.read(slice(0, height), slice(0, width)), expected)
        np.testing.assert_array_equal(slide.read(slice(11, 57), slice(30, 89)), expected[11:57, 30:89])
        np.testing.assert_array_equal(slide.read(slice(69, 70), slice(0, 1)), expected[69:70, :1])
        together = np.zeros_like(expected)
        for place in slide.tiles(side=20):
            together[place] = slide.read(*place)
        np.testing.assert_array_equal(together, expected)


@pytest.mark.parametrize("name", TIFFS)
def test_tiff(name: str, tmp_path: Path) -> None:
    stored, expected, options = TIFFS[name]
    tifffile.imwrite(tmp_path / "slide.tif", stored, **options)
    check(tmp_path / "slide.tif", expected)


@pytest.mark.parametrize("color", ["rgb", "ycbcr"])
def test_jpeg_tiles(color: str, tmp_path: Path) -> None:
    smooth = np.kron(RGB[:20, :24], np.ones((8, 8, 1), dtype=np.uint8))
    tifffile.imwrite(tmp_path / "s.tif", smooth, tile=(64, 64), compression="jpeg", photometric=color)
    check(tmp_path / "s.tif", tifffile.imread(tmp_path / "s.tif"))


def test_largest_level_of_a_pyramid(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as file:
        options = {"photometric": "rgb", **TILED}
        file.write(RGB, subifds=1, metadata={"axes": "YXS"}, **options)
        file.write(RGB[::2, ::2], subfiletype=1, **options)
    check(tmp_path / "p.ome.tif", RGB)


def test_a_thumbnail_is_not_the_image(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        file.write(RGB[::7, ::7], photometric="rgb", metadata=None)
        file.write(RGB, photometric="rgb", metadata=None)
    check(tmp_path / "s.tif", RGB)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(RGB, photometric="rgb", metadata=None)
        file.write(GREY, photometric="minisblack", metadata=None, **TILED)
        file.write(GREY[:, 1:], photometric="minisblack", metadata=None, **TILED)
    check(tmp_path / "two.tif", RGB)
    with tifffile.TiffWriter(tmp_path / "twins.tif") as file:
        file.write(GREY, metadata=None, **TILED)
        file.write(GREY[:, 1:], metadata=None, **TILED)
    with pytest.raises(ImageError, match="2 images of like size"):
        open_slide(tmp_path / "twins.tif")


def test_arrays(tmp_path: Path) -> None:
    check(GREY, GREY)
    check(RGB16, RGB16)
    with pytest.raises(ImageError, match=r"3 planes \(axes QYX.*channel=1"):
        open_slide(PLANES)
    with open_slide(PLANES, channel=[1, 2, 3]) as slide:
        np.testing.assert_array_equal(slide.whole(), RGB16)
    check(GREY.astype(np.int32), GREY.astype(np.float32))
    check(GREY[..., None], GREY)
    memmap = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=GREY.shape)
    memmap[:] = GREY
    check(memmap, GREY)
    mask = open_slide(GREY > 100)
    np.testing.assert_array_equal(mask.read(slice(0, 70), slice(0, 90)), 255 * (GREY > 100).astype(np.uint8))


def test_whole_files(tmp_path: Path) -> None:
    write_image(tmp_path / "i.png", RGB16)
    check(tmp_path / "i.png", RGB16)
    with open_slide(tmp_path / "i.png") as slide:
        assert slide.resident == RGB16.nbytes
    with pytest.raises(ImageError, match="only be read as a whole.*tiled TIFF"):
        open_slide(tmp_path / "i.png", memory="50KB")


def test_zarr(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    for version in (2, 3):
        path = tmp_path / f"{version}.zarr"
        array = zarr.create_array(
            path, shape=RGB16.shape, chunks=(32, 32, 3), dtype="u2", zarr_format=version
        )
        array[:] = RGB16
        check(path, RGB16)
        check(array, RGB16)
    group = zarr.open_group(tmp_path / "group.zarr", mode="w")
    group.create_array("only", data=GREY)
    check(tmp_path / "group.zarr", GREY)
    group.create_array("other", data=GREY)
    with pytest.raises(ImageError, match=r"2 images: only \(70, 90\), other"):
        open_slide(tmp_path / "group.zarr")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ome-zarr of its own Scaler, when it is imported
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(version: str, tmp_path: Path) -> None:
    """The image that the independent writer ome-zarr makes; axes as it likes them."""
    pytest.importorskip("ome_zarr")
    from ome_zarr.format import format_from_version
    from ome_zarr.writer import write_image as write_ome

    path = tmp_path / "i.zarr"
    write_ome(PLANES[None, :, None], str(path), axes="tczyx", fmt=format_from_version(version))
    check(path, RGB16)
    assert not needs_blocks(path)
    assert needs_blocks(path, 2**29)


def test_what_is_no_single_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([GREY] * 9), photometric="minisblack")
    with pytest.raises(ImageError, match="9 planes .*--plane"):
        open_slide(tmp_path / "stack.tif")
    with pytest.raises(ImageError, match="7 channels"):
        Slide(Stored(np.zeros((7, 20, 30)), "CYX"), "many")
    with pytest.raises(ImageError, match="No such file"):
        open_slide(tmp_path / "nothing.tif")
    with pytest.raises(ImageError, match="no Zarr"):
        open_slide(tmp_path)
    with pytest.raises(ImageError, match="complex"):
        open_slide(np.zeros((4, 4), dtype=complex))


def test_regions_beyond_the_image() -> None:
    slide = open_slide(GREY)
    for rows in (slice(0, 71), slice(5, 5), slice(-1, 4)):
        with pytest.raises(ImageError, match="no region"):
            slide.read(rows, slice(0, 9))


def test_a_truncated_file(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", RNG.integers(0, 255, (700, 900), dtype=np.uint8), **TILED)
    data = (tmp_path / "s.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) * 2 // 3])
    for read in (open_slide, read_image):
        with pytest.raises(ImageError, match=r"cut\.tif: the file is truncated"):
            read(tmp_path / "cut.tif")


def test_needs_blocks(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((3000, 3000), dtype=np.uint8), **TILED)
    assert needs_blocks(tmp_path / "s.tif", "1GiB")
    assert not needs_blocks(tmp_path / "s.tif", "4GiB")
    (tmp_path / "text.png").write_text("no image")
    assert not needs_blocks(tmp_path / "text.png", "1GiB")
