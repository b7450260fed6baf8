"""What is written for other programs, read back by libraries that had no part in writing it."""

from __future__ import annotations

import json
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import tifffile

from maunet_lite.data.checks import LabelError
from maunet_lite.export import geojson
from maunet_lite.export.files import export, write_ome_zarr, write_rois, write_tiff
from maunet_lite.export.geojson import write_geojson
from maunet_lite.export.measure import measure_cells
from maunet_lite.export.polygons import Polygon, fill

# a hole, a one-pixel cell at the corner of the map, pixels that touch at a corner, a cell in two pieces,
# touching cells, a gap in the ids and one above 65,535
LABELS = np.array([
    [7, 0, 0, 0, 0, 0, 0, 0, 4],
    [0, 2, 2, 2, 0, 5, 0, 0, 0],
    [0, 2, 0, 2, 0, 0, 5, 0, 3],
    [0, 2, 2, 2, 9, 9, 0, 0, 0],
    [0, 0, 0, 0, 9, 9, 0, 3, 3],
    [70_000, 70_000, 0, 0, 0, 0, 0, 3, 3],
], dtype=np.int32)  # fmt: skip
IMAGE = (np.arange(54).reshape(6, 9) * 100).astype(np.uint16)


def even_odd(rings):
    """Which pixels lie inside an odd number of rings: how every program fills a path."""
    from skimage.measure import points_in_poly

    centres = np.argwhere(np.ones(LABELS.shape, bool))[:, ::-1] + 0.5  # (x, y)
    return sum(points_in_poly(centres, ring).astype(int) for ring in rings).reshape(LABELS.shape) % 2 == 1


# TIFF


@pytest.mark.parametrize(("factor", "dtype"), [(1, np.uint32), (0, np.uint16)])
def test_tiff_keeps_the_ids(tmp_path, factor, dtype):
    labels = np.where(LABELS == 70_000, 70_000 * factor, LABELS)
    write_tiff(tmp_path / "a.tif", labels, pixel_size=0.25)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[0]
        assert page.dtype == dtype
        assert page.tags["XResolution"].value == (40_000, 1)  # 0.25 µm: forty thousand pixels per centimetre
        assert page.tags["ResolutionUnit"].value == 3
        np.testing.assert_array_equal(page.asarray(), labels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


# ROIs


def test_rois_are_read_by_roifile_and_fill_their_cells(tmp_path):
    roifile = pytest.importorskip("roifile")
    write_rois(tmp_path / "a.zip", LABELS)
    rois = roifile.roiread(tmp_path / "a.zip")
    assert [int(roi.name) for roi in rois] == [2, 3, 4, 5, 7, 9, 70_000]
    for roi in rois:
        mask = LABELS == int(roi.name)
        np.testing.assert_array_equal(even_odd(roi.coordinates(multi=True)), mask, err_msg=roi.name)
        rows, columns = np.nonzero(mask)
        box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert (roi.top, roi.left, roi.bottom, roi.right) == box
    assert {int(roi.name) for roi in rois if roi.composite} == {2, 3, 5}, "only these have holes or pieces"
    assert all(roi.roitype == roifile.ROI_TYPE.TRACED for roi in rois if not roi.composite)


@pytest.mark.parametrize("offset", [0, 32_760, 60_530, 1_000_000])
def test_rois_of_very_large_images(tmp_path, offset):
    roifile = pytest.importorskip("roifile")
    square = np.array([[0, 0], [9, 0], [9, 9], [0, 9]], dtype=np.int32) + offset
    hole = np.array([[2, 2], [2, 4], [4, 4], [4, 2]], dtype=np.int32) + offset
    write_rois(tmp_path / "a.zip", None, polygons={1: [Polygon(square)], 2: [Polygon(square, (hole,))]})
    plain, composite = roifile.roiread(tmp_path / "a.zip")
    assert plain.coordinates().tolist() == square.tolist()
    assert [ring[:-1].tolist() for ring in composite.coordinates(multi=True)] == [
        square.tolist(),
        hole.tolist(),
    ]


# GeoJSON


def test_geojson_is_read_by_shapely_and_gives_back_the_map(tmp_path):
    shapely = pytest.importorskip("shapely")
    write_geojson(tmp_path / "a.geojson", LABELS, classification="Tumor")
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert len(features) == 7, "one feature per cell"
    polygons = {}
    for feature in features:
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        name = int(feature["properties"]["name"])
        assert shape.area == np.count_nonzero(LABELS == name)
        assert feature["properties"]["objectType"] == "detection"
        assert feature["properties"]["classification"] == {"name": "Tumor"}
        polygons[name] = [
            Polygon(np.array(part.exterior.coords), tuple(np.array(ring.coords) for ring in part.interiors))
            for part in getattr(shape, "geoms", [shape])
        ]
        assert all(part.exterior.is_ccw for part in getattr(shape, "geoms", [shape])), "RFC 7946"
    np.testing.assert_array_equal(fill(polygons, LABELS.shape), LABELS)


def test_geojson_carries_measurements(tmp_path):
    table = measure_cells(LABELS, IMAGE)
    table.loc[0, "eccentricity"] = np.nan  # unknown to JSON
    write_geojson(tmp_path / "a.geojson", LABELS, measurements=table)
    first = json.loads((tmp_path / "a.geojson").read_text())["features"][0]["properties"]
    assert first["name"] == "2"
    assert first["measurements"]["area"] == 8
    assert first["measurements"]["n_holes"] == 1
    assert "eccentricity" not in first["measurements"]
    with pytest.raises(ValueError, match="lack 1 of 7 cells, first 2"):
        write_geojson(tmp_path / "b.geojson", LABELS, measurements=table[1:])
    assert not (tmp_path / "b.geojson").exists()


# OME-Zarr


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("channels", [0, 3])
def test_zarr_holds_image_and_labels_as_pyramids(tmp_path, version, channels):
    zarr, models = pytest.importorskip("zarr"), pytest.importorskip("ome_zarr_models")
    labels = np.kron(LABELS, np.ones((111, 101), np.int32))  # (666, 909)
    image = np.random.default_rng(0).integers(
        0, 255, (*labels.shape, channels)[: 2 + bool(channels)], np.uint8
    )
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, labels, image, pixel_size=0.5, version=version)
    root = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(np.squeeze(root["labels/cells/0"][:]), labels)
    np.testing.assert_array_equal(root["0"][:], np.moveaxis(image, -1, 0) if channels else image)
    np.testing.assert_array_equal(root["labels/cells/1"][:], labels[::2, ::2])
    assert [root[f"labels/cells/{level}"].shape for level in range(3)] == [(666, 909), (333, 455), (167, 228)]
    assert "labels/cells/3" not in root, "a level that fits into 256 × 256 is the last"
    assert root["1"].shape[-2:] == (333, 455)
    mean = root["1"][..., 0, 0].astype(float) - image[:2, :2].mean(axis=(0, 1))
    assert np.all(np.abs(mean) <= 0.5)
    kind = models.v04 if version == "0.4" else models.v05
    assert kind.Image.from_zarr(root).labels is not None
    kind.ImageLabel.from_zarr(root["labels/cells"])


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
    with pytest.raises(ValueError, match="expected the same size"):
        write_ome_zarr(tmp_path / "c.ome.zarr", LABELS, IMAGE.T)
    assert {file.name for file in tmp_path.iterdir()} == {"a.ome.zarr", "mine"}


# all of them


def test_all_formats_beside_each_other(tmp_path):
    for package in ("roifile", "zarr"):
        pytest.importorskip(package)
    files = export(LABELS, tmp_path / "a.b", ["tiff", "rois", "geojson", "zarr"], image=IMAGE)
    assert {key: path.name for key, path in files.items()} == {
        "tiff": "a.b_label.tiff", "rois": "a.b_rois.zip", "geojson": "a.b.geojson", "zarr": "a.b.ome.zarr",
    }  # fmt: skip
    assert all(path.exists() for path in files.values())
    cell = json.loads(files["geojson"].read_text())["features"][0]["properties"]["measurements"]
    assert cell["intensity_max"] == IMAGE[LABELS == 2].max()


def test_empty_map_is_written_too(tmp_path):
    files = export(np.zeros((4, 5), int), tmp_path / "a", "tiff,geojson")
    assert json.loads(files["geojson"].read_text())["features"] == []
    if "roifile" in sys.modules:
        write_rois(tmp_path / "a.zip", np.zeros((4, 5), int))
        assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == []


@pytest.mark.parametrize(("formats", "package", "extra"), [
    ("rois", "roifile", "export"), ("zarr", "zarr", "scale"),
])  # fmt: skip
def test_missing_package_is_named_before_anything_is_written(tmp_path, monkeypatch, formats, package, extra):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ImportError, match=rf"pip install 'maunet-lite\[{extra}\]'"):
        export(LABELS, tmp_path / "a", f"tiff,{formats}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("call", "message"), [
    (lambda folder: export(LABELS, folder / "a", "tiff,png"), "no export format 'png'"),
    (lambda folder: export(LABELS > 0, folder / "a"), "boolean"),
    (lambda folder: write_tiff(folder / "a.png", LABELS), "suffix .tiff"),
    (lambda folder: write_geojson(folder / "a.json", LABELS, object_type="blob"), "object_type is 'blob'"),
    (lambda folder: write_tiff(folder / "a.tif", LABELS, pixel_size=-1), "pixel_size is -1"),
])  # fmt: skip
def test_mistakes_are_named_and_leave_nothing(tmp_path, call, message):
    with pytest.raises((ValueError, LabelError), match=message):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def broken(*args):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(geojson, "_geometry", broken)
    with pytest.raises(RuntimeError):
        write_geojson(tmp_path / "a.geojson", LABELS, measurements=pd.DataFrame({"label": np.unique(LABELS)}))
    assert list(tmp_path.iterdir()) == []
