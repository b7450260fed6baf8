"""Cells as outlines for QuPath (GeoJSON) and Fiji (ImageJ ROIs), from the polygons of `polygons.trace`."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maunet_lite.data import atomic_path
from maunet_lite.export.polygons import Polygon


def write_geojson(
    path: str | Path, polygons: dict[int, list[Polygon]], measurements: pd.DataFrame,
    pixel_size: float | None = None,
) -> None:  # fmt: skip
    """Write each cell as a feature of a GeoJSON FeatureCollection, as QuPath reads and writes them.

    *QuPath* (0.4 or later): open the image, drop the file on it, or choose File › Import objects from
    file. Cells appear as detections named by their id; Measure › Show detection measurements lists the
    table, and Measure › Show measurement maps paints cells by area or intensity. Coordinates are pixels
    of the full image. Any program that reads GeoJSON opens it too; in Python, ``json`` and shapely.

    Parameters
    ----------
    path : str or Path
        The file to write.
    polygons : dict of int to list of Polygon
        ``export.polygons.trace(labels)``.
    measurements : pandas.DataFrame
        One row per cell with a column ``label``; all other columns of numbers go to the cell. What is no
        finite number is left out, for JSON knows no NaN.
    pixel_size : float, optional
        Micrometres per pixel: a member ``pixel_size_um`` of the collection.

    Raises
    ------
    ValueError
        If the measurements lack a cell.

    Examples
    --------
    >>> from maunet_lite.export.polygons import trace
    >>> path = getfixture("tmp_path") / "a.geojson"
    >>> write_geojson(path, trace(np.array([[0, 3], [5, 0]])), pd.DataFrame({"label": [3, 5]}))
    >>> [cell["properties"]["name"] for cell in json.loads(path.read_text())["features"]]
    ['3', '5']
    """
    rows = measurements.set_index("label").select_dtypes(["number", "bool"]).astype(float).to_dict("index")
    if missing := sorted(polygons.keys() - rows):
        lack = f"the measurements lack {len(missing)} of {len(polygons)} cells, first {missing[0]}"
        raise ValueError(f"{lack}: measure the same label map that you export")
    features = []
    for cell, parts in polygons.items():
        rings = [[[*ring.tolist(), ring[0].tolist()] for ring in (part.shell, *part.holes)] for part in parts]
        numbers = {name: float(f"{value:.7g}") for name, value in rows[cell].items() if np.isfinite(value)}
        kind, coordinates = ("Polygon", rings[0]) if len(rings) == 1 else ("MultiPolygon", rings)
        feature = {
            "type": "Feature",
            "geometry": {"type": kind, "coordinates": coordinates},
            "properties": {"objectType": "detection", "name": str(cell), "measurements": numbers},
        }
        features.append(json.dumps(feature, separators=(",", ":"), allow_nan=False))
    size = f'"pixel_size_um":{pixel_size:.7g},' if pixel_size else ""
    text = f'{{"type":"FeatureCollection",{size}"features":[\n' + ",\n".join(features) + "\n]}\n"
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_rois(path: str | Path, polygons: dict[int, list[Polygon]]) -> None:
    """Write each cell as an ImageJ ROI, named by its id, all in one zip file.

    *Fiji*: open the image, drop the zip file on Fiji's window; the ROI Manager opens with all cells.
    "Show All" draws them, "Measure" measures them. *napari* reads the file with the plugin napari-roi.

    A polygon of ImageJ has neither holes nor several pieces. Cells that do are written as composite ROIs,
    as Fiji's own XOR and OR make them; all others as traced polygons. The format holds whole coordinates
    up to 60,535; cells beyond that are written with floating-point corners, which are exact up to
    16,777,216.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.zip``.
    polygons : dict of int to list of Polygon
        ``export.polygons.trace(labels)``.

    Examples
    --------
    >>> from maunet_lite.export.polygons import trace
    >>> path = getfixture("tmp_path") / "a_rois.zip"
    >>> write_rois(path, trace(np.array([[0, 3, 3], [5, 0, 0]])))
    >>> zipfile.ZipFile(path).namelist()
    ['3.roi', '5.roi']
    """
    digits = len(str(max(polygons, default=0)))  # leading zeros: programs sort names as text
    how = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", **how) as archive:
        for cell, parts in polygons.items():
            name = f"{cell:0{digits}d}"
            archive.writestr(f"{name}.roi", _roi(name, parts).tobytes())


def _roi(name: str, parts: list[Polygon]) -> Any:
    """Return one cell as a roifile.ImagejRoi."""
    import roifile

    corners = np.concatenate([part.shell for part in parts])
    if len(parts) == 1 and not parts[0].holes:
        roi = roifile.ImagejRoi.frompoints(corners, name=name)
        roi.roitype = roifile.ROI_TYPE.TRACED
        roi.right, roi.bottom = roi.right - 1, roi.bottom - 1  # corners lie between pixels: nothing to add
        return roi
    rings = [ring for part in parts for ring in (part.shell, *part.holes)]
    # what Java calls a PathIterator: 0 x y moves, 1 x y draws a line, 4 closes
    path = [np.append(np.insert(ring, 0, np.arange(len(ring)) > 0, axis=1), 4) for ring in rings]
    path = np.concatenate(path).astype(np.float32)
    left, top, right, bottom = *corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, name=name, shape_roi_size=len(path), left=left, top=top, right=right,
        bottom=bottom, multi_coordinates=path,
    )  # fmt: skip
