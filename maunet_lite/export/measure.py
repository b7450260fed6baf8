"""Measure cells: size, shape, place and intensity, one row per cell."""

import cv2
import numpy as np
import pandas as pd
from skimage.measure import regionprops_table
from skimage.segmentation import relabel_sequential

from maunet_lite.data import validate_image, validate_labels, validate_pixel_size
from maunet_lite.export.polygons import Polygon, trace

_PROPERTIES = (
    "label", "area", "centroid", "bbox", "equivalent_diameter_area", "perimeter", "axis_major_length",
    "axis_minor_length", "eccentricity", "orientation",
)  # fmt: skip
# what scikit-image calls it, and what it is called here
_NAMES = {
    "centroid_0": "centroid_row", "centroid_1": "centroid_column",
    "bbox_0": "row_from", "bbox_1": "column_from", "bbox_2": "row_to", "bbox_3": "column_to",
    "equivalent_diameter_area": "equivalent_diameter",
}  # fmt: skip


def measure_cells(
    labels: np.ndarray, image: np.ndarray | None = None, pixel_size: float | None = None
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
        Micrometres per pixel, which is taken for a square: adds columns that end in ``_um`` and ``_um2``.

    Returns
    -------
    pandas.DataFrame
        One row per cell in the order of the ids; empty, with all columns, if there is none. Columns that
        scikit-image's ``regionprops_table`` has, too, mean the same.

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
    properties, sums = list(_PROPERTIES), []
    if image is not None:
        image, sums = validate_image(image, labels.shape), [intensity_sum]
        properties += ["intensity_mean", "intensity_std", "intensity_min", "intensity_max"]
        if image.dtype.kind == "f":
            image = np.nan_to_num(image.astype(np.float64))
    polygons = trace(labels)
    numbered = relabel_sequential(labels)[0]  # scikit-image makes a list as long as the largest id
    measured = regionprops_table(numbered, image, properties, separator="_", extra_properties=sums)
    table = pd.DataFrame(measured).rename(columns=_NAMES).astype({"area": np.int64})
    table["label"] = np.array(list(polygons), dtype=np.int32)
    box = table[["row_from", "column_from", "row_to", "column_to"]].to_numpy()
    table["touches_border"] = (box == (0, 0, *labels.shape)).any(axis=1)
    table = table.assign(**_outlines(polygons, table["area"]))
    if pixel_size is not None:
        size = validate_pixel_size(pixel_size)
        table["area_um2"] = table["area"] * size**2
        for name in ("equivalent_diameter", "axis_major_length", "axis_minor_length", "perimeter"):
            table[f"{name}_um"] = table[name] * size
    return table


def intensity_sum(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Sum of each channel over one cell, for ``regionprops_table``."""
    return image[mask].sum(axis=0, dtype=np.float64)


def _outlines(polygons: dict[int, list[Polygon]], area: pd.Series) -> dict[str, np.ndarray]:
    """Solidity, pieces and holes, from the cells' polygons."""
    shells = [np.concatenate([part.shell for part in parts]) for parts in polygons.values()]
    hulls = np.array([cv2.contourArea(cv2.convexHull(corners)) for corners in shells], dtype=float)
    pieces = [len(parts) for parts in polygons.values()]
    holes = [sum(len(part.holes) for part in parts) for parts in polygons.values()]
    return {"solidity": area / hulls, "n_pieces": np.array(pieces, int), "n_holes": np.array(holes, int)}
