"""Image and label files of every kind, and what an image and a label map may be."""

from __future__ import annotations

import contextlib
import logging
import os

import imagecodecs
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.measure import label

from maunet_lite.data import (
    IMAGE_SUFFIXES,
    atomic_path,
    read_image,
    read_labels,
    write_image,
    write_labels,
)
from maunet_lite.data.checks import ImageError, LabelError, validate_image, validate_labels


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    """Draw an array that uses the whole range of an integer type."""
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, size=shape, dtype=dtype, endpoint=True)


# --- label maps in memory -----------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.array([[0, 0, 9], [0, 3, 0]]),
        np.array([[0, 40_000, 70_000], [2**31 - 1, 0, 0]]),
        np.zeros((2, 3), dtype=int),
        np.array([[5, 5, 2], [5, 2, 2]]),
        np.array([[0, 1, 1], [0, 0, 1]]),
        np.array([[1, 0, 0], [0, 1, 0]]),
        np.ones((2, 3), dtype=int),
        np.array([[0, 0, 1]]),
        np.array([[7, 0, 7]]),
        np.array([[1]]),
        np.array([[0, 1, 0, 255]]),
        np.array([[0, 0, 254]]),
    ],
    ids=[
        "gaps",
        "large ids",
        "empty map",
        "no background",
        "one cell 0/1",
        "one cell, corners touch",
        "one cell, no background",
        "one pixel",
        "one id in two pieces",
        "1 x 1",
        "1 and 255",
        "one cell 254",
    ],
)
def test_legal_label_maps(labels):
    for array in (labels, labels.astype(np.uint32), labels.astype(np.float64), labels[:, ::-1]):
        checked = validate_labels(array)
        assert checked.dtype == np.int32
        np.testing.assert_array_equal(checked, array)


def test_int32_labels_are_not_copied():
    labels = np.array([[0, 4], [4, 0]], dtype=np.int32)
    assert validate_labels(labels) is labels


MASK = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [0, 1, 0, 1]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (MASK > 0, r"boolean.*skimage\.measure\.label\(mask\)"),
        (MASK, r"no id but 1, in 3 pieces.*skimage\.measure\.label\(labels == 1\)"),
        (MASK.astype(np.float32), "no id but 1, in 3 pieces"),
        (
            MASK.astype(np.uint8) * 255,
            r"no id but 255, in 3 pieces.*skimage\.measure\.label\(labels == 255\)",
        ),
        (np.array([[0, 255, 255]], dtype=np.uint8), "no id but 255, in 1 piece:"),
        (MASK * 255.0, "no id but 255"),
        (MASK * 0.5, "float64 with fractions.*nearest"),
        (np.array([[0.0, np.nan]]), "NaN"),
        (np.array([[0.0, np.inf]]), "largest possible is 2147483647"),
        (np.array([[0, 2**31]]), "2147483648.*relabel_sequential"),
        (np.array([[0, 2**64 - 1]], dtype=np.uint64), "18446744073709551615"),
        (np.array([[0, -1, 2]]), r"smallest -1.*labels\[labels < 0\] = 0"),
        (np.zeros((5, 6, 3), dtype=np.uint8), r"\(5, 6, 3\): a colour picture.*one integer id per cell"),
        (np.zeros((5, 6, 4), dtype=np.uint8), "a colour picture"),
        (np.zeros((5, 6, 1), dtype=np.uint8), r"expected \(H, W\).*np\.squeeze"),
        (np.zeros((3, 5, 6), dtype=np.uint8), "Pass one slice"),
        (np.zeros(6, dtype=int), r"shape \(6,\)"),
        (np.zeros((0, 6), dtype=int), "no pixels"),
        (np.array([["a"]]), "expected integers"),
        (np.array([[1j]]), "complex128"),
    ],
)
def test_what_is_no_label_map_is_refused(labels, message):
    with pytest.raises(LabelError, match=message):
        validate_labels(labels)


def test_the_advice_works():
    np.testing.assert_array_equal(validate_labels(label(MASK == 1)).max(), 3)
    colours = np.array([[[0, 0, 0], [255, 0, 0]], [[0, 0, 2], [255, 0, 0]]], dtype=np.uint8)
    ids = colours[..., :3].astype(int) @ [65536, 256, 1]
    assert validate_labels(ids).tolist() == [[0, 255 * 65536], [2, 255 * 65536]]


def test_masks_pass_where_cells_are_known_to_be_numbered():
    np.testing.assert_array_equal(validate_labels(MASK, masks=True), MASK)
    np.testing.assert_array_equal(validate_labels(MASK * 255, masks=True), MASK * 255)
    with pytest.raises(LabelError, match="boolean"):
        validate_labels(MASK > 0, masks=True)


def test_errors_are_value_errors():
    assert issubclass(ImageError, ValueError)
    assert issubclass(LabelError, ValueError)


def test_images_are_not_copied():
    for image in (noise(4, 6), noise(4, 6, 3), np.full((2, 3), np.nan)):
        assert validate_image(image) is image


# --- image files --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("channels", "kept"), [(0, 0), (2, 1), (3, 3), (4, 3)])
def test_png(tmp_path, dtype, channels, kept):
    image = noise(*(5, 8, channels)[: 3 if channels else 2], dtype=dtype)
    path = tmp_path / "zellen_µm_細胞.png"
    path.write_bytes(imagecodecs.png_encode(image))
    expected = image if kept in (0, 3) and channels == kept else image[..., :kept]
    expected = expected[..., 0] if kept == 1 else expected
    got = read_image(path)
    assert got.dtype == dtype  # 16-bit colours keep their 16 bits
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)


def test_bilevel_files_become_0_and_255(tmp_path):
    mask = np.array([[0, 1, 1, 0, 1], [1, 0, 0, 0, 1]], dtype=bool)
    for name in ("a.png", "a.bmp", "a.tif"):
        Image.fromarray(mask).save(tmp_path / name)
        got = read_image(tmp_path / name)
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, mask * 255)
    tifffile.imwrite(tmp_path / "b.tif", mask)  # which tifffile stores as "0 is white"
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), ~mask * 255)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "b.tif")), ~mask)  # as others see it


def test_palettes_are_colours_in_images_and_ids_in_labels(tmp_path):
    ids = np.array([[0, 1, 2, 2], [3, 3, 0, 1]], dtype=np.uint8)
    colours = np.array([[0, 0, 0], [200, 10, 20], [30, 210, 40], [50, 60, 220]], dtype=np.uint8)
    palette = Image.frombytes("P", (4, 2), ids.tobytes())
    palette.putpalette(colours.ravel().tolist())
    for name in ("a.png", "a.bmp", "a.tif"):
        palette.save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name), colours[ids], err_msg=name)
        np.testing.assert_array_equal(read_labels(tmp_path / name), ids, err_msg=name)
    palette.save(tmp_path / "b.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), colours[ids])


def test_jpeg_and_bmp(tmp_path):
    smooth = np.add.outer(np.arange(40), 2 * np.arange(60)).astype(np.uint8)
    colour = np.stack([smooth, smooth[::-1], 255 - smooth], axis=-1)
    for name in ("a.jpg", "a.jpeg", "a.bmp"):
        tolerance = 0 if name == "a.bmp" else 12
        for image in (smooth, colour):
            iio.imwrite(tmp_path / name, image)
            got = read_image(tmp_path / name)
            assert got.shape == image.shape
            np.testing.assert_allclose(got.astype(int), image, atol=tolerance)


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("CMYK", (7, 4), (255, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    got = read_image(tmp_path / "a.jpg")
    assert got.shape == (4, 7, 3)
    np.testing.assert_allclose(got[0, 0].astype(int), [0, 255, 255], atol=3)


def test_pixels_stay_where_a_rotated_photograph_stores_them(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # orientation: turn by 90 degrees
    Image.fromarray(noise(20, 30, 3)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (20, 30, 3)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(20, 30), (1, 30), (20, 1), (1, 1), (20, 30, 3), (2, 30, 3), (30, 2, 3)])
def test_tiff(tmp_path, shape, dtype, compression):
    image = noise(*shape, dtype=np.uint16).astype(dtype)
    kind = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", image, photometric=kind, compression=compression)
    got = read_image(tmp_path / "a.tif")
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.int32, np.float16, np.float64])
def test_other_number_types_become_float32(tmp_path, dtype):
    image = np.arange(-60 if np.issubdtype(dtype, np.signedinteger) else 0, 60, dtype=dtype).reshape(-1, 6)
    tifffile.imwrite(tmp_path / "a.tif", image)
    got = read_image(tmp_path / "a.tif")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, image)


def test_nan_survives_reading(tmp_path):
    image = np.array([[0.5, np.nan, 2.0]], dtype=np.float32)
    tifffile.imwrite(tmp_path / "a.tif", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"photometric": "rgb", "planarconfig": "separate"}, False),
        ({"imagej": True, "metadata": {"axes": "CYX"}}, True),
        ({"ome": True, "photometric": "minisblack", "metadata": {"axes": "CYX"}}, True),
    ],
    ids=["planar", "imagej", "ome"],
)
def test_channel_first_tiff_is_turned_and_channels_are_said(tmp_path, options, said, caplog):
    image = noise(20, 30, 3, dtype=np.uint16)
    path = tmp_path / "first.tif"
    tifffile.imwrite(path, np.ascontiguousarray(np.moveaxis(image, -1, 0)), **options)
    with caplog.at_level(logging.WARNING, logger="maunet_lite"):
        np.testing.assert_array_equal(read_image(path), image)
        assert ("first.tif: 3 channels, all with a signal are used; channel=" in caplog.text) == said
        caplog.clear()
        np.testing.assert_array_equal(read_image(path, channel=[3, 1]), image[..., [2, 0]])
    assert not caplog.text


def test_channels_of_tiffs(tmp_path):
    path = tmp_path / "a.tif"
    four = noise(20, 30, 4)
    # declared as alpha: dropped
    tifffile.imwrite(path, four, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(path), four[..., :3])
    Image.fromarray(four).save(path)
    np.testing.assert_array_equal(read_image(path), four[..., :3])
    tifffile.imwrite(path, four[..., :2], photometric="minisblack", planarconfig="contig", extrasamples=[2])
    np.testing.assert_array_equal(read_image(path), four[..., 0])
    # four stains, no alpha: kept
    tifffile.imwrite(path, four, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(read_image(path), four)
    # two channels last, as tifffile writes such an array by default
    tifffile.imwrite(path, four[..., :2])
    np.testing.assert_array_equal(read_image(path), four[..., :2])
    # axes of length 1 are dropped
    for shape in ((1, 20, 30), (20, 30, 1), (1, 1, 20, 30)):
        tifffile.imwrite(path, four[..., 0].reshape(shape))
        np.testing.assert_array_equal(read_image(path), four[..., 0])


def test_pyramids_give_their_full_size(tmp_path):
    image = noise(64, 96, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(image, subifds=1, tile=(32, 32), photometric="rgb")
        file.write(image[::2, ::2], subfiletype=1, tile=(32, 32), photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image)


def test_several_pages_are_refused_with_a_hint(tmp_path):
    path = tmp_path / "stack.tif"
    hint = r"stack\.tif: the file holds .*tifffile\.imread\(path, key=0\)"

    def refused() -> None:
        for read, error in ((read_image, ImageError), (read_labels, LabelError)):
            with pytest.raises(error, match=hint):
                read(path)
        tifffile.imread(path, key=0)  # the hint works

    for pages in (5, 7):
        tifffile.imwrite(path, noise(pages, 20, 30))
        refused()
    tifffile.imwrite(path, noise(5, 20, 30, 3), photometric="rgb")
    refused()
    tifffile.imwrite(path, noise(3, 20, 30), imagej=True, metadata={"axes": "ZYX"})
    refused()
    tifffile.imwrite(path, noise(5, 2, 20, 30), imagej=True, metadata={"axes": "TCYX"})
    refused()
    for step in (0, 1):
        with tifffile.TiffWriter(path) as file:
            for i in range(3):
                file.write(noise(20 + step * i, 30))
        refused()
    Image.fromarray(noise(20, 30)).save(path, save_all=True, append_images=[Image.fromarray(noise(20, 30))])
    refused()


def test_content_counts_not_the_name(tmp_path):
    image = noise(6, 9)
    write_image(tmp_path / "a.tif", image)
    (tmp_path / "a.tif").rename(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def encoded(suffix: str, folder) -> bytes:
    """Return a small valid colour image as the bytes of a file of one kind."""
    path = folder / f"whole{suffix}"
    iio.imwrite(path, np.kron(noise(8, 10, 3), np.ones((8, 8, 1), dtype=np.uint8)))
    return path.read_bytes()


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_damaged_files_are_named_with_the_reason(tmp_path, suffix):
    path = tmp_path / f"bad{suffix}"
    data = encoded(suffix, tmp_path)
    cases = [
        (b"", "is empty"),
        (b"not an image\n", "no PNG, JPEG, BMP or TIFF file .it begins with b'not an i'"),
    ]
    cases += [(data[: len(data) * k // 20], "truncated") for k in range(2, 19)]
    for content, reason in cases:
        path.write_bytes(content)
        with pytest.raises(ImageError, match=rf"bad\{suffix}: .*{reason}"):
            read_image(path)
        with pytest.raises(LabelError, match=rf"bad\{suffix}: "):
            read_labels(path)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "jpeg"])
def test_truncated_tiffs_are_never_filled_up(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(64, 48, 3), compression=compression, rowsperstrip=16, photometric="rgb")
    data = path.read_bytes()
    for end in (len(data) - 40, len(data) * 3 // 4, len(data) // 2, 200, 12):
        path.write_bytes(data[:end])
        with pytest.raises(ImageError, match=r"a\.tif: the file is .*truncated"):
            read_image(path)


def test_missing_files_and_folders(tmp_path):
    for read, error in ((read_image, ImageError), (read_labels, LabelError)):
        with pytest.raises(error, match=r"none\.png: No such file"):
            read(tmp_path / "none.png")
        with pytest.raises(error, match="this is a folder"):
            read(str(tmp_path))


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a plain user"
)
def test_unreadable_files(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, noise(3, 4))
    path.chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        read_image(path)


def test_what_a_file_may_not_hold(tmp_path):
    path = tmp_path / "a.tif"
    for image, options, message in (
        (noise(5, 6, 4), {"photometric": "separated"}, "SEPARATED"),
        (noise(20, 30, 5), {"photometric": "minisblack", "planarconfig": "contig"}, "5 channels"),
        (np.ones((4, 5), dtype=np.complex64), {}, "complex64"),
        (np.array([[np.inf, 1.0]], dtype=np.float32), {}, "infinite"),
        (np.array([[1e300, 1.0]]), {}, "infinite or beyond"),
    ):
        tifffile.imwrite(path, image, **options)
        with pytest.raises(ImageError, match=rf"a\.tif: .*{message}"):
            read_image(path)


# --- writing ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(5, 8), (5, 8, 1), (5, 8, 2), (5, 8, 3), (5, 8, 4)])
def test_written_tiffs_come_back(tmp_path, shape, dtype):
    image = noise(*shape).astype(dtype)
    write_image(tmp_path / "new" / "a.tiff", image)
    np.testing.assert_array_equal(
        read_image(tmp_path / "new" / "a.tiff"), image[..., 0] if shape[2:] == (1,) else image
    )
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.tiff"]


def test_written_pngs_come_back(tmp_path):
    for image in (noise(5, 8), noise(5, 8, 3, dtype=np.uint16)):
        write_image(tmp_path / "a.png", image)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def test_images_that_do_not_fit_their_file(tmp_path):
    for name, image, message in (
        ("a.png", np.zeros((2, 3)), "PNG holds uint8 and uint16, not float64"),
        ("a.jpg", noise(2, 3), r"a\.jpg: images are written as"),
        ("a", noise(2, 3), "give it such a suffix"),
        ("a.png", np.zeros((2, 3), dtype=bool), "boolean"),
    ):
        with pytest.raises(ImageError, match=message):
            write_image(tmp_path / name, image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(0, np.uint16), (3, np.uint16), (65_535, np.uint16), (65_536, np.uint32), (2**31 - 1, np.uint32)],
)
def test_labels_are_written_in_the_smallest_safe_type(tmp_path, largest, dtype):
    labels = np.zeros((40, 70), dtype=np.int64)
    labels[3:30, 5:60] = largest
    labels[0, 0] = min(largest, 2)
    path = tmp_path / "ein_Ordner" / "ä_label.tiff"
    write_labels(path, labels)
    stored = tifffile.imread(path)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, labels)
    got = read_labels(path)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, labels)
    assert path.stat().st_size < 2_000  # 40 * 70 pixels, compressed
    assert [p.name for p in path.parent.iterdir()] == ["ä_label.tiff"]


def test_pixel_size_is_the_resolution(tmp_path):
    write_labels(tmp_path / "a.tif", np.array([[0, 70_000]]), pixel_size=0.25)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages[0].tags
    assert tags["XResolution"].value == (40_000, 1)  # 0.25 µm: forty thousand pixels per centimetre
    assert tags["ResolutionUnit"].value == 3
    with pytest.raises(ValueError, match="pixel_size is -1; expected micrometres per pixel"):
        write_labels(tmp_path / "b.tif", np.array([[0, 1]]), pixel_size=-1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_labels_from_other_programs(tmp_path):
    labels = np.array([[0, 300, 300, 0], [0, 0, 7, 7], [9, 0, 0, 0]])
    iio.imwrite(tmp_path / "a.png", labels.astype(np.uint16))
    iio.imwrite(tmp_path / "b.png", (labels % 256).astype(np.uint8))
    tifffile.imwrite(tmp_path / "c.tif", labels.astype(np.float32))
    tifffile.imwrite(tmp_path / "d.tif", labels[None].astype(np.int32), photometric="minisblack")
    for name in ("a.png", "c.tif", "d.tif"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "b.png"), labels % 256)


def test_label_files_that_hold_none(tmp_path):
    path = tmp_path / "a.png"
    for image, message in (
        (MASK.astype(np.uint8) * 255, "no id but 255"),
        (noise(5, 6, 3), "a colour picture"),
        (MASK.astype(np.uint8), "in 3 pieces"),
    ):
        iio.imwrite(path, image)
        with pytest.raises(LabelError, match=rf"a\.png: .*{message}"):
            read_labels(path)
    iio.imwrite(tmp_path / "a.jpg", noise(5, 6))
    with pytest.raises(LabelError, match="JPEG, whose compression changes ids"):
        read_labels(tmp_path / "a.jpg")


def test_bad_labels_leave_no_file(tmp_path):
    for labels, path in (
        (MASK > 0, "a.tif"),
        (MASK - 1, "a.tif"),
        (MASK * 2, "a.png"),
        (MASK * 0.5, "a.tif"),
    ):
        with pytest.raises(LabelError):
            write_labels(tmp_path / path, labels)
    assert not list(tmp_path.iterdir())


def test_a_result_of_one_cell_in_pieces_is_not_lost(tmp_path):
    write_labels(tmp_path / "a.tif", MASK)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), MASK)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), MASK)
    tifffile.imwrite(tmp_path / "b.tif", MASK.astype(np.uint16))  # of another program: a mask
    with pytest.raises(LabelError, match="no id but 1, in 3 pieces"):
        read_labels(tmp_path / "b.tif")


def test_atomic_path_replaces_or_leaves_alone(tmp_path):
    target = tmp_path / "deep" / "er" / "a.tar.gz"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".gz"
        assert not temporary.exists()
        temporary.write_text("first")
        assert not target.exists()
    assert target.read_text() == "first"
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), atomic_path(target) as temporary:  # noqa: PT012
            temporary.write_text("half")
            raise error
    assert target.read_text() == "first"
    with pytest.raises(FileNotFoundError), atomic_path(target):
        pass  # nothing was written: say so rather than keep quiet
    assert [p.name for p in target.parent.iterdir()] == ["a.tar.gz"]


def test_atomic_path_for_a_folder(tmp_path):
    with atomic_path(tmp_path / "set") as temporary:
        temporary.mkdir()
        (temporary / "x").write_text("1")
    assert (tmp_path / "set" / "x").read_text() == "1"
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "other") as temporary:  # noqa: PT012
        temporary.mkdir()
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    (tmp_path / "empty").mkdir()
    for name, replaced in (("empty", True), ("set", False)):
        with contextlib.suppress(OSError), atomic_path(tmp_path / name) as temporary:
            temporary.mkdir()
            (temporary / "y").write_text("2")
        assert (tmp_path / name / "y").exists() == replaced
    assert (tmp_path / "set" / "x").exists(), "a folder that holds something stays"


def test_real_files(cells_folder):
    for path in sorted((cells_folder / "images").iterdir())[::80]:
        image = read_image(path)
        labels = read_labels(cells_folder / "labels" / f"{path.stem}_label.tiff")
        assert image.shape[:2] == labels.shape
        assert image.dtype == np.uint8
