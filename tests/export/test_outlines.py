"""Outlines for Fiji and QuPath, read back by libraries that had no part in writing them."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from maunet_lite.export.measure import measure_cells
from maunet_lite.export.outlines import write_geojson, write_rois
from maunet_lite.export.polygons import Polygon, fill, trace

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


def test_rois_are_read_by_roifile_and_fill_their_cells(tmp_path):
    roifile = pytest.importorskip("roifile")
    write_rois(tmp_path / "a.zip", trace(LABELS))
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
    write_rois(tmp_path / "a.zip", {1: [Polygon(square)], 2: [Polygon(square, (hole,))]})
    plain, composite = roifile.roiread(tmp_path / "a.zip")
    assert plain.coordinates().tolist() == square.tolist()
    assert [ring[:-1].tolist() for ring in composite.coordinates(multi=True)] == [
        square.tolist(),
        hole.tolist(),
    ]


def test_geojson_is_read_by_shapely_and_gives_back_the_map(tmp_path):
    shapely = pytest.importorskip("shapely")
    write_geojson(tmp_path / "a.geojson", trace(LABELS), measure_cells(LABELS))
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert len(features) == 7, "one feature per cell"
    polygons = {}
    for feature in features:
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        name = int(feature["properties"]["name"])
        assert shape.area == np.count_nonzero(LABELS == name)
        assert feature["properties"]["objectType"] == "detection"
        polygons[name] = [
            Polygon(np.array(part.exterior.coords), tuple(np.array(ring.coords) for ring in part.interiors))
            for part in getattr(shape, "geoms", [shape])
        ]
        assert all(part.exterior.is_ccw for part in getattr(shape, "geoms", [shape])), "RFC 7946"
    np.testing.assert_array_equal(fill(polygons, LABELS.shape), LABELS)


def test_geojson_carries_measurements(tmp_path):
    table = measure_cells(LABELS, IMAGE)
    table.loc[0, "eccentricity"] = np.nan  # unknown to JSON
    write_geojson(tmp_path / "a.geojson", trace(LABELS), table)
    first = json.loads((tmp_path / "a.geojson").read_text())["features"][0]["properties"]
    assert first["name"] == "2"
    assert first["measurements"]["area"] == 8
    assert first["measurements"]["n_holes"] == 1
    assert "eccentricity" not in first["measurements"]
    with pytest.raises(ValueError, match="lack 1 of 7 cells, first 2"):
        write_geojson(tmp_path / "b.geojson", trace(LABELS), table[1:])
    assert not (tmp_path / "b.geojson").exists()


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("roifile.ImagejRoi.frompoints", broken)
    with pytest.raises(RuntimeError):
        write_rois(tmp_path / "a.zip", trace(LABELS))
    assert list(tmp_path.iterdir()) == []


def test_no_cells_are_written_too(tmp_path):
    write_geojson(tmp_path / "a.geojson", {}, measure_cells(np.zeros((4, 5), int)))
    assert json.loads((tmp_path / "a.geojson").read_text())["features"] == []
    write_rois(tmp_path / "a.zip", {})
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == []
