"""Label maps for other programs, in every format at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from maunet_lite.data import pixel_size, read_image
from maunet_lite.data.checks import LabelError
from maunet_lite.export.files import export
from maunet_lite.postprocessing.maps import Maps

LABELS = np.array([[2, 2, 0, 7], [0, 2, 70_000, 7]], dtype=np.int32)
IMAGE = np.array([[100, 300, 0, 7], [0, 200, 5, 9]], dtype=np.uint16)


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


def test_maps_are_channels_with_names(tmp_path):
    rng = np.random.default_rng(0)
    maps = Maps(rng.dirichlet(np.ones(4), (2, 4)).transpose(2, 0, 1).astype(np.float32), IMAGE / 300)
    path = export(LABELS, tmp_path / "a", "maps", maps=maps, pixel_size=0.5)["maps"]
    assert path.name == "a_maps.ome.tif"
    for name, values in zip(("background", "interior", "boundary", "proxy", "distance"),
                            [*maps.probabilities, maps.distance], strict=True):  # fmt: skip
        np.testing.assert_allclose(read_image(path, channel=name), values, atol=1 / 2048)
    assert pixel_size(path) == 0.5
    two = export(LABELS, tmp_path / "b", "maps", maps=Maps(maps.probabilities[:2], None))["maps"]
    np.testing.assert_allclose(read_image(two, channel=2), maps.probabilities[1], atol=1 / 2048)
    assert tifffile.imread(two).shape == (2, 2, 4)


@pytest.mark.parametrize(("formats", "package", "extra"), [
    ("rois", "roifile", "export"), ("zarr", "zarr", "scale"),
])  # fmt: skip
def test_missing_package_is_named_before_anything_is_written(tmp_path, monkeypatch, formats, package, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else name)
    with pytest.raises(ImportError, match=rf'pip install -e "\.\[{extra}\]"'):
        export(LABELS, tmp_path / "a", f"tiff,{formats}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("call", "message"), [
    (lambda folder: export(LABELS, folder / "a", "tiff,png"), "no export format 'png'"),
    (lambda folder: export(LABELS > 0, folder / "a"), "boolean"),
    (lambda folder: export(LABELS, folder / "a", "tiff,zarr", image=IMAGE.T), "expected the same size"),
    (lambda folder: export(LABELS, folder / "a", pixel_size=-1), "pixel_size is -1"),
    (lambda folder: export(LABELS, folder / "a", "tiff,maps"), r"give maps=predict\(model, image\)"),
])  # fmt: skip
def test_mistakes_are_named_and_leave_nothing(tmp_path, call, message):
    with pytest.raises((ValueError, LabelError), match=message):
        call(tmp_path)
    assert list(tmp_path.iterdir()) == []
