"""Label maps and images as OME-Zarr: pyramids in chunks, of which a viewer reads only what it shows.

The layout is that of OME-NGFF 0.4 (Zarr 2, which all current viewers read) or 0.5 (Zarr 3)::

    NAME.ome.zarr/            with an image: the image itself
        0 1 2 …               its levels, each half as large as the one before
        labels/cells/         the label map
            0 1 2 …           its levels, as many
    NAME.ome.zarr/            without an image: the label map itself
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from maunet_lite.data import atomic_path, validate_image, validate_labels
from maunet_lite.export.formats import checked_pixel_size, need

CHUNK = 512  # pixels on a side
SMALLEST = 256  # no level is made of one that fits into a square of this side


def write_ome_zarr(
    path: str | Path,
    labels: np.ndarray,
    image: np.ndarray | None = None,
    *,
    pixel_size: float | None = None,
    name: str = "cells",
    version: str = "0.4",
) -> None:
    """Write a label map, and the image under it if given, as OME-Zarr.

    Smaller levels of the labels take every second pixel (nearest neighbour: an id is never mixed with
    another); those of the image are means of 2 × 2 pixels.

    *napari*: ``pip install napari-ome-zarr``, then ``napari NAME.ome.zarr``, or drop the folder on the
    window: image and cells appear as layers. *QuPath*: drop the folder on the window, which opens the
    image; drop the GeoJSON on it for cells as objects. *Fiji*: File › Import › HDF5/N5/Zarr/OME-NGFF.
    *Python*: ``zarr.open(path)["0"]`` is the full size.

    Parameters
    ----------
    path : str or Path
        The folder to write, by custom ``NAME.ome.zarr``. One that is there is replaced once the new one
        is whole.
    labels : numpy.ndarray
        (H, W) label map; stored as uint16 or, for ids above 65,535, uint32.
    image : numpy.ndarray, optional
        (H, W) or (H, W, C) of the same size; stored as (H, W) or (C, H, W) in its own type.
    pixel_size : float, optional
        Micrometres per pixel.
    name : str
        Of the labels in ``labels/``.
    version : str
        ``"0.4"`` or ``"0.5"``.

    Raises
    ------
    ImportError
        If zarr is not installed.
    ValueError
        If the image is of another size, or the version is not known.
    """
    zarr = need("zarr", "to write OME-Zarr")
    if version not in ("0.4", "0.5"):
        raise ValueError(f"version is {version!r}; expected '0.4' or '0.5'")
    labels = validate_labels(labels, masks=True)
    labels = labels.astype(np.uint16 if labels.max() < 2**16 else np.uint32)
    scale = None if pixel_size is None else checked_pixel_size(pixel_size)
    if image is not None:
        image = validate_image(image)
        if image.shape[:2] != labels.shape:
            raise ValueError(
                f"the image has shape {image.shape[:2]}, the label map {labels.shape}: expected the same size"
            )
    path = Path(path)
    with _whole_folder(path) as temporary:
        root = zarr.open_group(temporary, mode="w", zarr_format=2 if version == "0.4" else 3)
        if image is None:
            _write_labels(root, labels, scale, path, version, source=None)
            return
        _write_image(root, image, scale, path, version)
        group = root.create_group("labels")
        _set(group, {"labels": [name]}, version)
        _write_labels(group.create_group(name), labels, scale, Path(name), version, source="../../")


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `path`, also of an older OME-Zarr there, at the end."""
    if path.exists() and not any((path / mark).exists() for mark in (".zgroup", "zarr.json")):
        raise ValueError(f"{path} is there and is no Zarr: it is left alone; give another name")
    aside = path.with_name(f".old-{secrets.token_hex(4)}.zarr")
    with atomic_path(path) as temporary:
        yield temporary
        if path.exists():
            path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _write_labels(
    group: Any, labels: np.ndarray, scale: float | None, path: Path, version: str, source: str | None
) -> None:
    levels = _write_levels(group, labels, lambda level: level[::2, ::2], version)
    about: dict[str, Any] = {"version": version}
    if source:
        about["source"] = {"image": source}
    _set(group, {"multiscales": _multiscales(levels, 2, scale, path, version), "image-label": about}, version)


def _write_image(root: Any, image: np.ndarray, scale: float | None, path: Path, version: str) -> None:
    planes = image if image.ndim == 2 else np.moveaxis(image, -1, 0)  # (H, W, C) → (C, H, W)
    levels = _write_levels(root, planes, _halve_by_mean, version)
    attributes = {
        "multiscales": _multiscales(levels, planes.ndim, scale, path, version),
        "omero": {
            "channels": _channels(planes),
            "rdefs": {"model": "greyscale" if image.ndim == 2 else "color"},
        },
    }
    _set(root, attributes, version)


def _write_levels(
    group: Any, full: np.ndarray, halve: Callable[[np.ndarray], np.ndarray], version: str
) -> int:
    """Write an array and smaller ones until all fits into a chunk; return how many."""
    level, count = full, 0
    separator = {"name": "v2" if version == "0.4" else "default", "separator": "/"}
    names = {} if version == "0.4" else {"dimension_names": ["c", "y", "x"][-full.ndim :]}
    while True:
        chunks = (*(1 for _ in level.shape[:-2]), *(min(CHUNK, side) for side in level.shape[-2:]))
        group.create_array(
            str(count), data=np.ascontiguousarray(level), chunks=chunks, chunk_key_encoding=separator, **names
        )
        count += 1
        if max(level.shape[-2:]) <= SMALLEST:
            return count
        level = halve(level)


def _halve_by_mean(level: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels, in the array's own type; a last odd row or column counts twice."""
    odd = [(0, 0)] * (level.ndim - 2) + [(0, side % 2) for side in level.shape[-2:]]
    padded = np.pad(level, odd, mode="edge")
    quarters = [padded[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
    if level.dtype.kind == "f":
        return (sum(quarters) / 4).astype(level.dtype)
    total = sum(quarter.astype(np.int64) for quarter in quarters)
    return ((total + 2) // 4).astype(level.dtype)


def _multiscales(
    levels: int, ndim: int, scale: float | None, path: Path, version: str
) -> list[dict[str, Any]]:
    space: dict[str, Any] = {"type": "space"} | ({} if scale is None else {"unit": "micrometer"})
    axes = [{"name": axis, **space} for axis in "yx"]
    if ndim == 3:
        axes.insert(0, {"name": "c", "type": "channel"})
    size = 1.0 if scale is None else scale
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0] * (ndim - 2) + [size * 2**level] * 2}
            ],
        }
        for level in range(levels)
    ]
    name = path.name.removesuffix(".zarr").removesuffix(".ome")
    numbered = {"version": version} if version == "0.4" else {}
    return [{**numbered, "name": name, "axes": axes, "datasets": datasets}]


def _channels(planes: np.ndarray) -> list[dict[str, Any]]:
    """Colour and range of each channel: white for one, red, green and blue for more."""
    planes = planes[None] if planes.ndim == 2 else planes
    colors = ("FFFFFF",) if len(planes) == 1 else ("FF0000", "00FF00", "0000FF", "FFFFFF")
    channels = []
    for number, (plane, color) in enumerate(zip(planes, colors, strict=False)):
        low, high = (float(value) for value in (np.nanmin(plane), np.nanmax(plane)))
        if plane.dtype == np.uint8:
            low, high = 0.0, 255.0
        window = {"min": low, "max": high, "start": low, "end": high}
        channels.append({"label": f"channel {number}", "color": color, "window": window, "active": True})
    return channels


def _set(group: Any, attributes: dict[str, Any], version: str) -> None:
    """Store the metadata where the version wants it."""
    group.attrs.update(attributes if version == "0.4" else {"ome": {"version": version, **attributes}})
