"""Cells as GeoJSON, the way QuPath reads and writes its objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from maunet_lite.data import atomic_path
from maunet_lite.export.polygons import Polygon, trace


def write_geojson(
    path: str | Path,
    labels: np.ndarray,
    *,
    measurements: pd.DataFrame | None = None,
    classification: str | None = None,
    object_type: str = "detection",
    polygons: dict[int, list[Polygon]] | None = None,
) -> None:
    """Write each cell as a feature of a GeoJSON FeatureCollection, as QuPath reads and writes them.

    *QuPath* (0.4 or later): open the image, drop the file on it, or choose File › Import objects from
    file. Cells appear as detections named by their id; Measure › Show detection measurements lists the
    table, and Measure › Show measurement maps paints cells by area or intensity. Coordinates are pixels
    of the full image. Any program that reads GeoJSON opens it too; in Python, ``json`` and shapely.

    Parameters
    ----------
    path : str or Path
        The file to write.
    labels : numpy.ndarray
        (H, W) label map.
    measurements : pandas.DataFrame, optional
        One row per cell with a column ``label``; all other columns of numbers go to the cell.
    classification : str, optional
        QuPath's class of all cells, such as ``"Tumor"``.
    object_type : str
        ``"detection"``, ``"annotation"`` (may be edited, but is slow beyond some thousand) or ``"cell"``.
    polygons : dict, optional
        ``export.polygons.trace(labels)``, if you have it already.

    Raises
    ------
    ValueError
        If the measurements lack a cell, or the kind of object is not known.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "a.geojson"
    >>> write_geojson(path, np.array([[0, 3], [5, 0]]))
    >>> [cell["properties"]["name"] for cell in json.loads(path.read_text())["features"]]
    ['3', '5']
    """
    if object_type not in ("detection", "annotation", "cell"):
        raise ValueError(f"object_type is {object_type!r}; expected 'detection', 'annotation' or 'cell'")
    polygons = trace(labels) if polygons is None else polygons
    numbers = _numbers(measurements, polygons)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for count, (cell, parts) in enumerate(polygons.items()):
            properties: dict[str, Any] = {"objectType": object_type, "name": str(cell)}
            if classification:
                properties["classification"] = {"name": classification}
            if measurements is not None:
                properties["measurements"] = numbers[cell]
            feature = {"type": "Feature", "geometry": _geometry(parts), "properties": properties}
            file.write(",\n" if count else "\n")
            json.dump(feature, file, separators=(",", ":"), allow_nan=False)
        file.write("\n]}\n")


def _geometry(parts: list[Polygon]) -> dict[str, Any]:
    """Return a cell as GeoJSON: a Polygon, or a MultiPolygon if it has several pieces."""
    rings = [[_closed(ring) for ring in (part.shell, *part.holes)] for part in parts]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _closed(ring: np.ndarray) -> list[list[int]]:
    points = ring.tolist()
    return [*points, points[0]]


def _numbers(measurements: pd.DataFrame | None, polygons: dict[int, Any]) -> dict[int, dict[str, float]]:
    """Measurements by cell; what is no finite number is left out, for JSON knows no NaN."""
    if measurements is None:
        return {}
    table = measurements.set_index("label").select_dtypes(["number", "bool"])
    missing = sorted(set(polygons) - set(table.index))
    if missing:
        raise ValueError(
            f"the measurements lack {len(missing)} of {len(polygons)} cells, first {missing[0]}: "
            "measure the same label map that you export"
        )
    rows = table.astype(float).to_dict("index")
    return {
        cell: {name: float(f"{value:.7g}") for name, value in row.items() if np.isfinite(value)}
        for cell, row in rows.items()
    }
