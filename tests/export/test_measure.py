"""Measurements: by eye, and against scikit-image's regionprops_table."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import regionprops_table

from maunet_lite.export.measure import measure_cells

THEIRS = {
    "label": "label", "area": "area", "centroid-0": "centroid_row", "centroid-1": "centroid_column",
    "bbox-0": "row_from", "bbox-1": "column_from", "bbox-2": "row_to", "bbox-3": "column_to",
    "equivalent_diameter_area": "equivalent_diameter", "axis_major_length": "axis_major_length",
    "axis_minor_length": "axis_minor_length", "eccentricity": "eccentricity", "orientation": "orientation",
    "perimeter": "perimeter", "intensity_mean": "intensity_mean", "intensity_std": "intensity_std",
    "intensity_min": "intensity_min", "intensity_max": "intensity_max",
}  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_regionprops(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(3, 40, 2)
    labels = np.kron(rng.integers(0, 6, shape) * 11_000, np.ones((2, 3), int))[1:]
    image = rng.integers(0, 65_535, labels.shape).astype(np.uint16)
    got = measure_cells(labels, image)
    properties = [name.split("-")[0] for name in THEIRS]
    theirs = regionprops_table(labels, image, properties=list(dict.fromkeys(properties)))
    for name, mine in THEIRS.items():
        ours = got[mine].to_numpy(float)
        long = got["axis_major_length"] > got["axis_minor_length"] + 1e-6
        compared = long if name == "orientation" else slice(None)  # what is round has none
        np.testing.assert_allclose(ours[compared], theirs[name][compared], rtol=1e-6, atol=1e-6, err_msg=mine)


def test_a_cell_by_hand():
    labels = np.zeros((6, 8), int)
    labels[1:4, 2:7] = 5
    labels[2, 4] = 0  # a hole
    image = np.where(labels == 5, 10, 99)
    image[1, 2] = 24
    row = measure_cells(labels, image, pixel_size=0.5).iloc[0]
    assert (row["area"], row["n_holes"], row["n_pieces"], row["touches_border"]) == (14, 1, 1, False)
    assert (row["row_from"], row["row_to"], row["column_from"], row["column_to"]) == (1, 4, 2, 7)
    assert (row["centroid_row"], row["centroid_column"]) == (2, 4)
    assert row["solidity"] == pytest.approx(14 / 15)
    assert row["intensity_mean"] == pytest.approx((13 * 10 + 24) / 14)
    assert (row["intensity_sum"], row["intensity_max"]) == (154, 24)
    assert (row["area_um2"], row["perimeter_um"]) == (3.5, row["perimeter"] / 2)


def test_solidity_is_close_to_that_of_regionprops():
    rows, columns = np.mgrid[:60, :80]
    labels = ((rows - 30) ** 2 / 25**2 + (columns - 40) ** 2 / 35**2 < 1).astype(int)
    labels[25:35, :40] = 0  # a bite
    theirs = regionprops_table(labels, properties=["solidity"])["solidity"][0]
    assert measure_cells(labels)["solidity"].iloc[0] == pytest.approx(theirs, abs=0.02)


@pytest.mark.parametrize("labels", [np.zeros((4, 5), int), np.full((4, 5), 3)])
def test_no_cell_and_no_background(labels):
    table = measure_cells(labels, np.ones((4, 5), np.uint8))
    assert len(table) == len(np.unique(labels[labels > 0]))
    assert {"area", "solidity", "intensity_mean", "touches_border"} <= set(table.columns)


def test_each_channel_is_measured():
    labels = np.array([[1, 1], [0, 2]])
    image = np.stack([labels * 10, labels * 20, labels * 0], axis=2)
    table = measure_cells(labels, image)
    assert table["intensity_mean_1"].tolist() == [20, 40]
    assert "intensity_mean" not in table


def test_not_a_number_counts_as_black():
    table = measure_cells(np.array([[1, 1]]), np.array([[np.nan, 4]], dtype=np.float32))
    assert table["intensity_mean"].tolist() == [2]


def test_ids_may_be_as_large_as_they_like():
    table = measure_cells(np.array([[2**31 - 1, 0], [0, 9]]))
    assert table["label"].tolist() == [9, 2**31 - 1]
    assert table["centroid_column"].tolist() == [1, 0]


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="expected the same"):
        measure_cells(np.ones((3, 4), int), np.ones((4, 3)))
    with pytest.raises(ValueError, match="micrometres per pixel"):
        measure_cells(np.ones((3, 4), int), pixel_size=0)
