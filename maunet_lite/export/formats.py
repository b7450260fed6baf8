"""Names of export formats, and the packages they need."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType

# format: what the name of the file ends in
FORMATS = {"tiff": "_label.tiff", "rois": "_rois.zip", "geojson": ".geojson", "zarr": ".ome.zarr"}

_OTHER_NAMES = {
    "tif": "tiff", "roi": "rois", "imagej": "rois", "fiji": "rois", "zip": "rois", "json": "geojson",
    "qupath": "geojson", "ome-zarr": "zarr", "omezarr": "zarr", "ome.zarr": "zarr", "ngff": "zarr",
    "napari": "zarr",
}  # fmt: skip
_PACKAGES = {"rois": "roifile", "zarr": "zarr"}
_EXTRAS = {"roifile": "export", "zarr": "scale", "pyarrow": "scale"}


def parse_formats(formats: str | Iterable[str]) -> tuple[str, ...]:
    """Return names of formats, each once, from ``"tiff,rois"`` or a sequence.

    Raises
    ------
    ValueError
        If one is not known; the message lists those that are.

    Examples
    --------
    >>> parse_formats("tiff, GeoJSON")
    ('tiff', 'geojson')
    >>> parse_formats("qupath")
    Traceback (most recent call last):
    ...
    ValueError: no export format 'qupath' (did you mean geojson?): there are tiff, rois, geojson, zarr; ...
    """
    names = formats.split(",") if isinstance(formats, str) else list(formats)
    names = [name.strip().lower() for name in names if name.strip()]
    for name in names:
        if name not in FORMATS:
            meant = f" (did you mean {_OTHER_NAMES[name]}?)" if name in _OTHER_NAMES else ""
            known = ", ".join(FORMATS)
            raise ValueError(
                f"no export format {name!r}{meant}: there are {known}; several are joined by commas"
            )
    return tuple(dict.fromkeys(names))


def require_packages(formats: Iterable[str]) -> None:
    """Raise an ImportError with the line to type if a format needs a package that is not installed."""
    for name in formats:
        if name in _PACKAGES:
            need(_PACKAGES[name], f"to write {name}")


def need(module: str, purpose: str) -> ModuleType:
    """Import a module of an optional extra, or say how to install it.

    Raises
    ------
    ImportError
        With the command to type.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} is needed {purpose}: pip install 'maunet-lite[{_EXTRAS[module]}]'"
        ) from error


def checked_pixel_size(pixel_size: float) -> float:
    """Return micrometres per pixel if they are a positive number, or raise ValueError."""
    if not 0 < pixel_size < float("inf"):
        raise ValueError(f"pixel_size is {pixel_size}; expected micrometres per pixel, such as 0.325")
    return float(pixel_size)
