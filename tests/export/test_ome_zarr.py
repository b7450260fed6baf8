"""OME-Zarr, read back by libraries that had no part in writing it."""

from __future__ import annotations

import numpy as np
import pytest

from maunet_lite.export.ome_zarr import write_ome_zarr

LABELS = np.arange(54, dtype=np.int32).reshape(6, 9) * 1500
IMAGE = (np.arange(54).reshape(6, 9) * 100).astype(np.uint16)


@pytest.mark.parametrize("channels", [0, 3])
def test_zarr_holds_image_and_labels_as_pyramids(tmp_path, channels):
    zarr, models = pytest.importorskip("zarr"), pytest.importorskip("ome_zarr_models")
    labels = np.kron(LABELS, np.ones((111, 101), np.int32))  # (666, 909)
    image = np.random.default_rng(0).integers(
        0, 255, (*labels.shape, channels)[: 2 + bool(channels)], np.uint8
    )
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, labels, image, pixel_size=0.5)
    root = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(np.squeeze(root["labels/cells/0"][:]), labels)
    np.testing.assert_array_equal(root["0"][:], np.moveaxis(image, -1, 0) if channels else image)
    np.testing.assert_array_equal(root["labels/cells/1"][:], labels[::2, ::2])
    assert [root[f"labels/cells/{level}"].shape for level in range(3)] == [(666, 909), (333, 455), (167, 228)]
    assert "labels/cells/3" not in root, "a level that fits into 256 × 256 is the last"
    assert root["1"].shape[-2:] == (333, 455)
    mean = root["1"][..., 0, 0].astype(float) - image[:2, :2].mean(axis=(0, 1))
    assert np.all(np.abs(mean) <= 0.5)
    scales = [d["coordinateTransformations"][0]["scale"] for d in root.attrs["multiscales"][0]["datasets"]]
    assert [scale[-2:] for scale in scales] == [[0.5, 0.5], [1, 1], [2, 2]]
    # a line in columns 500 and 501 shows there at every level
    for level, first in ((1, 250), (2, 125)):
        _, shift = root.attrs["multiscales"][0]["datasets"][level]["coordinateTransformations"]
        step = 0.5 * 2**level
        left = shift["translation"][-1] + (first - 0.5) * step  # edge of the pixel
        assert left == (500 - 0.5) * 0.5
    assert models.v04.Image.from_zarr(root).labels is not None
    models.v04.ImageLabel.from_zarr(root["labels/cells"])


def test_one_channel_is_white_and_what_is_no_number_has_a_range(tmp_path):
    zarr = pytest.importorskip("zarr")
    image = np.stack([IMAGE, IMAGE, IMAGE]).astype(np.float32).transpose(1, 2, 0)
    image[..., 1], image[0, 0, 2], image[0, 1, 2] = np.nan, np.nan, np.inf
    write_ome_zarr(tmp_path / "a.ome.zarr", LABELS, IMAGE[..., None])
    write_ome_zarr(tmp_path / "b.ome.zarr", LABELS, image)
    one, three = (zarr.open_group(tmp_path / f"{name}.ome.zarr", mode="r").attrs["omero"] for name in "ab")
    assert one["rdefs"]["model"] == "greyscale"
    assert [channel["color"] for channel in one["channels"]] == ["FFFFFF"]
    assert three["rdefs"]["model"] == "color"
    assert [channel["color"] for channel in three["channels"]] == ["FF0000", "00FF00", "0000FF"]
    ranges = [(channel["window"]["min"], channel["window"]["max"]) for channel in three["channels"]]
    assert ranges == [(0, 5300), (0, 255), (200, 5300)]
    assert "NaN" not in (tmp_path / "b.ome.zarr" / ".zattrs").read_text()


def test_zarr_is_opened_by_ome_zarr(tmp_path):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    write_ome_zarr(tmp_path / "a.ome.zarr", LABELS, IMAGE)
    write_ome_zarr(tmp_path / "b.ome.zarr", LABELS)
    found = [node for node in Reader(parse_url(tmp_path / "a.ome.zarr"))() if node.data]
    assert [node.data[0].shape for node in found] == [(6, 9), (6, 9)]
    np.testing.assert_array_equal(found[0].data[0].compute(), IMAGE)
    np.testing.assert_array_equal(found[1].data[0].compute(), LABELS)
    (alone,) = list(Reader(parse_url(tmp_path / "b.ome.zarr"))())
    np.testing.assert_array_equal(alone.data[0].compute(), LABELS)


def test_zarr_replaces_a_zarr_and_nothing_else(tmp_path):
    pytest.importorskip("zarr")
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, LABELS)
    write_ome_zarr(path, LABELS, IMAGE)
    assert (path / "labels").is_dir()
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="is no Zarr"):
        write_ome_zarr(tmp_path / "mine", LABELS)
    assert {file.name for file in tmp_path.iterdir()} == {"a.ome.zarr", "mine"}
