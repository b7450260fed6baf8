"""Label maps, and the maps they came from, for Fiji, QuPath, napari and what reads TIFF, GeoJSON, OME-Zarr.

======= =============== ====================================== ====================================
format  file            what it holds                          open it with
======= =============== ====================================== ====================================
tiff    NAME_label.tiff the label map, uint16 or uint32        Fiji, napari: drop it on the window
rois    NAME_rois.zip   one ROI per cell, for the ROI Manager  Fiji: drop it on the window
geojson NAME.geojson    one object per cell, with measurements QuPath: drop it on the open image
zarr    NAME.ome.zarr   image and label map as pyramids        napari, QuPath, Fiji
maps    NAME_maps.ome.  what the network says about every      Fiji, napari, QuPath
        tif             pixel: a channel for each map
======= =============== ====================================== ====================================

Outlines follow the edges of the pixels (`polygons`): no program shows a cell larger or
smaller than it is. Whatever is written appears complete or not at all.
"""

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from maunet_lite.data import atomic_path, validate_image, validate_labels, validate_pixel_size, write_labels
from maunet_lite.export.measure import measure_cells
from maunet_lite.export.ome_zarr import write_ome_zarr
from maunet_lite.export.outlines import write_geojson, write_rois
from maunet_lite.export.polygons import trace
from maunet_lite.postprocessing import Maps

# format: what the name of the file ends in
FORMATS = {"tiff": "_label.tiff", "rois": "_rois.zip", "geojson": ".geojson", "zarr": ".ome.zarr"}
FORMATS |= {"maps": "_maps.ome.tif"}
CHANNELS = ("background", "interior", "boundary", "proxy")  # of `Maps.probabilities`
_STEPS = 1024  # values of maps are rounded to parts of this: half the size, and finer than any threshold
_PACKAGES = {"rois": ("roifile", "export"), "zarr": ("zarr", "scale")}  # what is needed, the extra with it


def export(
    labels: np.ndarray, stem: str | Path, formats: str | Iterable[str] = ("tiff",), *,
    image: np.ndarray | None = None, pixel_size: float | None = None,
    measurements: pd.DataFrame | None = None, maps: Maps | None = None,
) -> dict[str, Path]:  # fmt: skip
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
    maps : Maps, optional
        What `predict` returned, for the format ``"maps"``.

    Returns
    -------
    dict of str to Path
        Format → file.

    Raises
    ------
    ValueError
        If a format is not known, the labels are no label map, the image is of another size, the pixel size
        is no positive number, or maps are asked for and not given; before anything is written.
    ImportError
        If a format needs a package that is not installed; before anything is written.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> files = export(np.array([[0, 3, 3], [5, 0, 0]]), folder / "a", "tiff,geojson")
    >>> [file.name for file in files.values()]
    ['a_label.tiff', 'a.geojson']
    """
    names = parse_formats(formats)
    labels, stem = validate_labels(labels, masks=True), Path(stem)
    if pixel_size is not None:
        validate_pixel_size(pixel_size)
    if image is not None:
        validate_image(image, labels.shape)
    if "maps" in names and maps is None:
        raise ValueError("a label map does not hold the maps it came from: give maps=predict(model, image)")
    polygons = trace(labels) if {"rois", "geojson"} & set(names) else {}
    files = {name: stem.with_name(stem.name + FORMATS[name]) for name in names}
    for name, path in files.items():
        if name == "tiff":
            write_labels(path, labels, pixel_size=pixel_size)
        elif name == "rois":
            write_rois(path, polygons)
        elif name == "geojson":
            table = measure_cells(labels, image, pixel_size) if measurements is None else measurements
            write_geojson(path, polygons, table, pixel_size)
        elif name == "maps":
            distance = {} if maps.distance is None else {"distance": maps.distance}
            write_maps(path, dict(zip(CHANNELS, maps.probabilities, strict=False)) | distance, pixel_size)
        else:
            write_ome_zarr(path, labels, image, pixel_size)
    return files


def write_maps(path: str | Path, maps: Mapping[str, np.ndarray], pixel_size: float | None = None) -> None:
    """Write maps with names as the channels of a compressed OME-TIFF.

    Parameters
    ----------
    path : str or Path
    maps : mapping of str to numpy.ndarray
        Name → (H, W) numbers, stored as float32 and rounded to 1/1024.
    pixel_size : float, optional
        Micrometres per pixel.

    Examples
    --------
    >>> from maunet_lite.data import read_image
    >>> path = getfixture("tmp_path") / "a_maps.ome.tif"
    >>> write_maps(path, {"interior": np.eye(2), "distance": np.full((2, 2), 0.25)}, pixel_size=0.5)
    >>> read_image(path, channel="distance").tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    values = np.stack([np.round(m * _STEPS) / _STEPS for m in maps.values()]).astype(np.float32)
    about = {"axes": "CYX", "Channel": {"Name": list(maps)}}
    if pixel_size is not None:
        about |= {f"PhysicalSize{axis}": validate_pixel_size(pixel_size) for axis in "XY"}  # µm by default
    with atomic_path(path) as file:
        tifffile.imwrite(file, values, ome=True, photometric="minisblack", compression="zlib", metadata=about)


def parse_formats(formats: str | Iterable[str]) -> tuple[str, ...]:
    """Return names of formats, each once, from ``"tiff,rois"`` or a sequence.

    Raises
    ------
    ValueError
        If one is not known; the message lists those that are.
    ImportError
        If one needs a package that is not installed; the message holds the line to type.

    Examples
    --------
    >>> parse_formats("tiff, GeoJSON")
    ('tiff', 'geojson')
    >>> parse_formats("fiji")
    Traceback (most recent call last):
    ...
    ValueError: no export format 'fiji': there are tiff, rois (Fiji), geojson (QuPath), zarr (napari) ...
    """
    names = formats.split(",") if isinstance(formats, str) else formats
    names = [name.strip().lower() for name in names if name.strip()]
    for name in names:
        if name not in FORMATS:
            known = "tiff, rois (Fiji), geojson (QuPath), zarr (napari) and maps (what the network says)"
            raise ValueError(f"no export format {name!r}: there are {known}; several are joined by commas")
        package, extra = _PACKAGES.get(name, (None, None))
        if package and importlib.util.find_spec(package) is None:
            raise ImportError(f'{package} is needed to write {name}: pip install -e ".[{extra}]"')
    return tuple(dict.fromkeys(names))
