"""Measure cells: size, shape, place and intensity, one row per cell.

The columns are named as in scikit-image's ``regionprops_table`` and mean the same; tests compare the two.
They are computed from the runs of the label map (`postprocessing.run_lengths`), for all cells at once:
ten thousand cells take about as long as ten.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from maunet_lite.data import validate_image, validate_labels
from maunet_lite.export.formats import checked_pixel_size
from maunet_lite.export.polygons import Polygon, trace
from maunet_lite.postprocessing import Runs

_ROWS = 512  # rows of the image that are squared at once


def measure_cells(
    labels: np.ndarray,
    image: np.ndarray | None = None,
    pixel_size: float | None = None,
    *,
    polygons: dict[int, list[Polygon]] | None = None,
) -> pd.DataFrame:
    """Measure each cell of a label map.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map; any ids.
    image : numpy.ndarray, optional
        (H, W) or (H, W, C): the pixels as the camera counted them, not normalised, of the same size. NaN
        counts as 0.
    pixel_size : float, optional
        Micrometres per pixel: adds columns that end in ``_um`` and ``_um2``.
    polygons : dict, optional
        ``export.polygons.trace(labels)``, if you have it already.

    Returns
    -------
    pandas.DataFrame
        One row per cell in the order of the ids; empty, with all columns, if there is none.

        - ``label``; ``area`` in pixels; ``centroid_row``, ``centroid_column``; ``row_from``, ``row_to``,
          ``column_from``, ``column_to``: the box, its end not included, as slices have it
        - ``equivalent_diameter``: of the disk of this area; ``axis_major_length``, ``axis_minor_length``:
          of the ellipse with the same second moments; ``eccentricity``, 0 for a disk, towards 1 for a
          line; ``orientation`` of the long axis in radians, -π/2 to π/2, 0 along the rows' direction
          (down)
        - ``perimeter``: length of the outline through the centres of its pixels; ``solidity``: area over
          that of the convex hull, 1 for convex cells; ``n_pieces``, ``n_holes``: 1 and 0 for a whole cell
        - ``touches_border``: the cell may go on outside the image, so that its size means little
        - with an image ``intensity_mean``, ``intensity_std``, ``intensity_min``, ``intensity_max``, and
          ``intensity_sum``; for several channels ``intensity_mean_0``, ``intensity_mean_1`` …
        - with `pixel_size` ``area_um2``, ``equivalent_diameter_um``, ``axis_major_length_um``,
          ``axis_minor_length_um``, ``perimeter_um``

    Raises
    ------
    LabelError, ImageError
        If the labels are no label map, or the image no image.
    ValueError
        If their sizes differ, or `pixel_size` is not positive.

    Examples
    --------
    >>> labels = np.array([[1, 1, 0], [1, 1, 4]])
    >>> image = np.array([[10, 20, 0], [30, 40, 7]])
    >>> measure_cells(labels, image)[["label", "area", "solidity", "intensity_mean"]]
       label  area  solidity  intensity_mean
    0      1     4       1.0            25.0
    1      4     1       1.0             7.0
    """
    labels = validate_labels(labels, masks=True)
    if image is not None:
        image = validate_image(image)
        if image.shape[:2] != labels.shape:
            raise ValueError(
                f"the image is {image.shape[:2]} pixels, the label map {labels.shape}: expected the same"
            )
    runs = Runs.of(labels)
    ids, cell = np.unique(runs.value, return_inverse=True)
    background = int(ids[0] == 0)
    ids, cell = ids[background:], cell - background  # a background's runs have the cell -1
    table = _sizes(runs, ids, cell, labels.shape)
    table |= _outlines(trace(labels) if polygons is None else polygons, table["area"])
    table["perimeter"] = _perimeters(labels, ids)
    if image is not None:
        table |= _intensities(image, runs, cell, table["area"])
    if pixel_size is not None:
        size = checked_pixel_size(pixel_size)
        table["area_um2"] = table["area"] * size**2
        for name in ("equivalent_diameter", "axis_major_length", "axis_minor_length", "perimeter"):
            table[f"{name}_um"] = table[name] * size
    return pd.DataFrame(table)


def _sizes(runs: Runs, ids: np.ndarray, cell: np.ndarray, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Area, place, box and ellipse, from sums over runs."""
    inside = cell >= 0
    of, n = cell[inside], ids.size
    length, start = runs.length[inside], runs.start[inside]
    row, first = start // shape[1], start % shape[1]
    last = first + length - 1

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(of, weights=values, minlength=n)

    area = total(length)
    rows, columns = total(length * row) / area, total(length * (first + last) / 2) / area
    # second moments about the centre; a run of n pixels has (n³ - n) / 12 about its own
    dy, dx = row - rows[of], (first + last) / 2 - columns[of]
    yy = total(length * dy**2) / area
    xx = total(length * dx**2 + (length.astype(float) ** 3 - length) / 12) / area
    xy = total(length * dy * dx) / area
    spread = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    major, minor = (xx + yy + spread) / 2, np.maximum((xx + yy - spread) / 2, 0)
    box = {"row_from": np.full(n, shape[0]), "row_to": np.zeros(n, int),
           "column_from": np.full(n, shape[1]), "column_to": np.zeros(n, int)}  # fmt: skip
    for name, values in (("row_from", row), ("column_from", first)):
        np.minimum.at(box[name], of, values)
    for name, values in (("row_to", row + 1), ("column_to", last + 1)):
        np.maximum.at(box[name], of, values)
    touches = (box["row_from"] == 0) | (box["column_from"] == 0)
    touches |= (box["row_to"] == shape[0]) | (box["column_to"] == shape[1])
    angle = 0.5 * np.arctan2(2 * xy, yy - xx)  # 0 if there is no long axis
    return {
        "label": ids, "area": area.astype(np.int64), "centroid_row": rows, "centroid_column": columns, **box,
        "touches_border": touches, "equivalent_diameter": 2 * np.sqrt(area / np.pi),
        "axis_major_length": 4 * np.sqrt(major), "axis_minor_length": 4 * np.sqrt(minor),
        "eccentricity": np.sqrt(1 - np.divide(minor, major, out=np.ones(n), where=major > 0)),
        "orientation": angle,
    }  # fmt: skip


def _outlines(polygons: dict[int, list[Polygon]], area: np.ndarray) -> dict[str, np.ndarray]:
    """Solidity, pieces and holes, from the cells' polygons."""
    hulls = [
        cv2.contourArea(cv2.convexHull(np.concatenate([part.shell for part in parts])))
        for parts in polygons.values()
    ]
    holes = [sum(len(part.holes) for part in parts) for parts in polygons.values()]
    return {
        "solidity": area / np.array(hulls, dtype=float),
        "n_pieces": np.array([len(parts) for parts in polygons.values()], dtype=np.int64),
        "n_holes": np.array(holes, dtype=np.int64),
    }


def _perimeters(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Length of each outline: 1 for a straight step, √2 for an oblique one, their mean for a mixture.

    The method of Benkrid and Crookes (2003), as in scikit-image: each pixel of the outline counts by how
    many of its neighbours, beside it and across a corner, belong to the outline too.
    """
    wide = np.zeros((labels.shape[0] + 2, labels.shape[1] + 2), dtype=labels.dtype)
    wide[1:-1, 1:-1] = labels
    row, flat = wide.shape[1], wide.ravel()
    edge = np.zeros(wide.shape, dtype=bool)
    for dy, dx in ((-1, 0), (0, 1), (1, 0), (0, -1)):
        edge[1:-1, 1:-1] |= labels != wide[1 + dy : wide.shape[0] - 1 + dy, 1 + dx : wide.shape[1] - 1 + dx]
    outline = np.flatnonzero((edge & (wide > 0)).ravel())
    edge = edge.ravel()
    code = np.ones(outline.size, dtype=np.int64)
    for weight, steps in ((2, (-row, 1, row, -1)), (10, (-row - 1, -row + 1, row - 1, row + 1))):
        for step in steps:
            code += weight * (edge[outline + step] & (flat[outline + step] == flat[outline]))
    lengths = np.zeros(64)
    lengths[[5, 7, 15, 17, 25, 27]] = 1
    lengths[[21, 33]] = np.sqrt(2)
    lengths[[13, 23]] = (1 + np.sqrt(2)) / 2
    return np.bincount(np.searchsorted(ids, flat[outline]), weights=lengths[code], minlength=ids.size)


def _intensities(image: np.ndarray, runs: Runs, cell: np.ndarray, area: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, deviation, extremes and sum of each channel inside each cell."""
    channels = image[..., None] if image.ndim == 2 else image
    table: dict[str, np.ndarray] = {}
    for number in range(channels.shape[2]):
        ending = "" if image.ndim == 2 else f"_{number}"
        for name, values in _channel(channels[..., number], runs, cell, area).items():
            table[f"intensity_{name}{ending}"] = values
    return table


def _channel(plane: np.ndarray, runs: Runs, cell: np.ndarray, area: np.ndarray) -> dict[str, np.ndarray]:
    n = area.size
    sums, squares = np.zeros(n), np.zeros(n)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    inside = cell >= 0
    for top in range(0, plane.shape[0], _ROWS):  # a run never leaves its row, so blocks of rows cut none
        values = np.nan_to_num(plane[top : top + _ROWS].astype(np.float64).ravel())
        first, end = np.searchsorted(runs.start, [top * plane.shape[1], top * plane.shape[1] + values.size])
        starts, mine = runs.start[first:end] - top * plane.shape[1], inside[first:end]
        of = cell[first:end][mine]
        sums += np.bincount(of, weights=np.add.reduceat(values, starts)[mine], minlength=n)
        np.minimum.at(low, of, np.minimum.reduceat(values, starts)[mine])
        np.maximum.at(high, of, np.maximum.reduceat(values, starts)[mine])
        squares += np.bincount(of, weights=np.add.reduceat(values**2, starts)[mine], minlength=n)
    mean = sums / area
    deviation = np.sqrt(np.maximum(squares / area - mean**2, 0))
    return {"mean": mean, "std": deviation, "min": low, "max": high, "sum": sums}
