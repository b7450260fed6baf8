"""Label maps for other programs: Fiji (ImageJ), QuPath, napari, and whatever reads TIFF, GeoJSON or OME-Zarr.

======= =============== ====================================== ====================================
format  file            what it holds                          open it with
======= =============== ====================================== ====================================
tiff    NAME_label.tiff the label map, uint16 or uint32        Fiji, napari: drop it on the window
rois    NAME_rois.zip   one ROI per cell, for the ROI Manager  Fiji: drop it on the window
geojson NAME.geojson    one object per cell, with measurements QuPath: drop it on the open image
zarr    NAME.ome.zarr   image and label map as pyramids        napari, QuPath, Fiji
======= =============== ====================================== ====================================

Outlines follow the edges of the pixels (`polygons`): no program shows a cell larger or
smaller than it is. Whatever is written appears complete or not at all.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from maunet_lite.data import LabelError, atomic_path, validate_labels
from maunet_lite.export.formats import FORMATS, checked_pixel_size, need, parse_formats, require_packages
from maunet_lite.export.geojson import write_geojson
from maunet_lite.export.measure import measure_cells
from maunet_lite.export.polygons import Polygon, trace

__all__ = [
    "FORMATS",
    "export",
    "parse_formats",
    "write_geojson",
    "write_ome_zarr",
    "write_rois",
    "write_tiff",
]


def export(
    labels: np.ndarray,
    stem: str | Path,
    formats: str | Iterable[str] = ("tiff",),
    *,
    image: np.ndarray | None = None,
    pixel_size: float | None = None,
    measurements: pd.DataFrame | None = None,
) -> dict[str, Path]:
    """Write a label map in one or more formats, beside each other.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map.
    stem : str or Path
        Folder and beginning of the names: ``out/a`` gives ``out/a_label.tiff``, ``out/a_rois.zip`` …
    formats : str or iterable of str
        Any of `FORMATS`, as a sequence or in one word: ``"tiff,rois"``.
    image : numpy.ndarray, optional
        (H, W) or (H, W, C): goes into the OME-Zarr beside the labels, and is measured for the GeoJSON.
    pixel_size : float, optional
        Micrometres per pixel.
    measurements : pandas.DataFrame, optional
        What `measure_cells` returned, if you have it already.

    Returns
    -------
    dict of str to Path
        Format → file.

    Raises
    ------
    ValueError
        If a format is not known, or the labels are no label map; before anything is written.
    ImportError
        If a format needs a package that is not installed.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> files = export(np.array([[0, 3, 3], [5, 0, 0]]), folder / "a", "tiff,geojson")
    >>> [file.name for file in files.values()]
    ['a_label.tiff', 'a.geojson']
    """
    names = parse_formats(formats)
    require_packages(names)
    labels = validate_labels(labels, masks=True)
    stem = Path(stem)
    files = {name: stem.with_name(stem.name + FORMATS[name]) for name in names}
    polygons = trace(labels) if {"rois", "geojson"} & set(names) else {}
    for name, path in files.items():
        if name == "tiff":
            write_tiff(path, labels, pixel_size=pixel_size)
        elif name == "rois":
            write_rois(path, labels, polygons=polygons)
        elif name == "geojson":
            if measurements is None:
                measurements = measure_cells(labels, image, pixel_size)
            write_geojson(path, labels, measurements=measurements, polygons=polygons)
        else:
            write_ome_zarr(path, labels, image, pixel_size=pixel_size)
    return files


def write_tiff(path: str | Path, labels: np.ndarray, *, pixel_size: float | None = None) -> None:
    """Write a label map as a compressed TIFF of uint16 or, for ids above 65,535, uint32.

    Fiji and napari open it by dropping it on their window. In *Fiji*, choose Image › Lookup Tables ›
    glasbey to tell cells apart; LabelToROIs or MorphoLibJ take it as it is. Fiji shows uint32 as 32-bit
    floats, which are exact up to 16,777,216. In *napari*, turn the layer into labels: right click ›
    Convert to Labels.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.tif`` or ``.tiff``.
    labels : numpy.ndarray
        (H, W) label map.
    pixel_size : float, optional
        Micrometres per pixel, stored as the resolution.

    Raises
    ------
    LabelError
        If the suffix is another one, or `labels` is no label map.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "a_label.tiff"
    >>> write_tiff(path, np.array([[0, 9]]), pixel_size=0.5)
    >>> tifffile.imread(path)
    array([[0, 9]], dtype=uint16)
    """
    labels = validate_labels(labels, masks=True)
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise LabelError(f"{path}: label maps are written as TIFF; give it the suffix .tiff")
    stored = labels.astype(np.uint16 if labels.max() < 2**16 else np.uint32)
    scale: dict[str, Any] = {}
    if pixel_size is not None:
        per_centimetre = 10_000 / checked_pixel_size(pixel_size)
        scale = {"resolution": (per_centimetre, per_centimetre), "resolutionunit": "CENTIMETER"}
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary, stored, photometric="minisblack", compression="zlib", metadata=None, **scale
        )


def write_rois(
    path: str | Path, labels: np.ndarray, *, polygons: dict[int, list[Polygon]] | None = None
) -> None:
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
    labels : numpy.ndarray
        (H, W) label map.
    polygons : dict, optional
        ``export.polygons.trace(labels)``, if you have it already.

    Raises
    ------
    ValueError
        If the name ends in something else.
    ImportError
        If roifile is not installed.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "a_rois.zip"
    >>> write_rois(path, np.array([[0, 3, 3], [5, 0, 0]]))
    >>> zipfile.ZipFile(path).namelist()
    ['3.roi', '5.roi']
    """
    need("roifile", "to write ImageJ ROIs")
    if Path(path).suffix.lower() != ".zip":
        raise ValueError(f"{path}: ROIs are written as one zip file; give it the suffix .zip")
    polygons = trace(labels) if polygons is None else polygons
    digits = len(str(max(polygons, default=0)))  # leading zeros: programs sort names as text
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
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
    path: list[float] = []  # what Java calls a PathIterator: 0 move, 1 line, 4 close
    for ring in (ring for part in parts for ring in (part.shell, *part.holes)):
        for step, (x, y) in enumerate(ring.tolist()):
            path += [min(step, 1), x, y]
        path.append(4)
    left, top = corners.min(axis=0).tolist()
    right, bottom = corners.max(axis=0).tolist()
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, name=name, shape_roi_size=len(path), left=left, top=top, right=right,
        bottom=bottom, multi_coordinates=np.array(path, dtype=np.float32),
    )  # fmt: skip


def write_ome_zarr(
    path: str | Path, labels: np.ndarray, image: np.ndarray | None = None, **options: Any
) -> None:
    """Write a label map as OME-Zarr, the image under it; see `export.pyramids.write_ome_zarr`."""
    from maunet_lite.export.pyramids import write_ome_zarr as write

    write(path, labels, image, **options)
