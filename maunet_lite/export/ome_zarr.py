"""Label maps and images as OME-Zarr: pyramids in chunks, of which a viewer reads only what it shows.

The layout is that of OME-NGFF 0.4 (Zarr 2), which all current viewers read::

    NAME.ome.zarr/            with an image: the image itself
        0 1 2 …               its levels, each half as large as the one before
        labels/cells/         the label map
            0 1 2 …           its levels, as many
    NAME.ome.zarr/            without an image: the label map itself

It is written here and not by ``ome_zarr.writer``, whose names of levels depend on its version, whose pixel
sizes are not exactly doubled where a side is odd, and which takes two seconds to import. In the tests that
package reads the result.
"""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from skimage.transform import downscale_local_mean

from maunet_lite.data import atomic_path

SMALLEST = 256  # no level is made of one that fits into a square of this side


def write_ome_zarr(
    path: str | Path, labels: np.ndarray, image: np.ndarray | None = None, pixel_size: float | None = None
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
        The folder to write, by custom ``NAME.ome.zarr``. An older Zarr there is replaced once the new one
        is whole.
    labels : numpy.ndarray
        (H, W) int32 label map; stored as uint16 or, for ids above 65,535, uint32.
    image : numpy.ndarray, optional
        (H, W) or (H, W, C) of the same size; stored as (H, W) or (C, H, W) in its own type.
    pixel_size : float, optional
        Micrometres per pixel.

    Raises
    ------
    ValueError
        If something that is no Zarr is there already.
    """
    import zarr

    path = Path(path)
    if path.exists() and not any((path / mark).exists() for mark in (".zgroup", "zarr.json")):
        raise ValueError(f"{path} is there and is no Zarr: it is left alone; give another name")
    older = path.with_name(f".old-{secrets.token_hex(4)}.zarr")
    name = path.name.removesuffix(".zarr").removesuffix(".ome")
    labels = labels.astype(np.uint16 if labels.max() < 2**16 else np.uint32)
    with atomic_path(path) as temporary:
        group = zarr.open_group(temporary, mode="w", zarr_format=2)
        if image is not None:
            planes = image if image.ndim == 2 else np.moveaxis(image, -1, 0)  # (H, W, C) → (C, H, W)
            _write_levels(group, planes, _halve_by_mean)
            describe_levels(group, name, pixel_size)
            model = "color" if image.shape[2:] > (1,) else "greyscale"
            group.attrs["omero"] = {"channels": _channels(image), "rdefs": {"model": model}}
            group, name = group.create_group("labels"), "cells"
            group.attrs["labels"] = [name]
            group = group.create_group(name)
        _write_levels(group, labels, lambda level: level[::2, ::2])
        describe_levels(group, name, pixel_size)
        group.attrs["image-label"] = {"version": "0.4"}
        if path.exists():
            path.rename(older)
    shutil.rmtree(older, ignore_errors=True)


def _write_levels(group: Any, level: np.ndarray, halve: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write an array, (H, W) or (C, H, W), and ever smaller ones."""
    add_level(group, level.shape, level.dtype)[:] = level
    if max(level.shape[-2:]) > SMALLEST:
        _write_levels(group, halve(level), halve)


def add_level(group: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Add the next level to a pyramid, (H, W) or (C, H, W), and return its array, to be filled.

    Parameters
    ----------
    group : zarr.Group
        Of Zarr 2; the levels in it are called 0, 1, 2 …
    shape : tuple of int
        Each level has half the rows and columns of the one before, rounded up.
    dtype : numpy.dtype
    """
    chunks = tuple(map(min, (1, 512, 512)[-len(shape) :], shape))  # channels, rows, columns
    name, separator = str(len(list(group.array_keys()))), {"name": "v2", "separator": "/"}
    return group.create_array(name, shape=shape, dtype=dtype, chunks=chunks, chunk_key_encoding=separator)


def describe_levels(group: Any, name: str, pixel_size: float | None = None) -> None:
    """Say, once all levels are there, which they are and how large their pixels."""
    space = {"type": "space"} if pixel_size is None else {"type": "space", "unit": "micrometer"}
    axes = [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}]
    n, datasets = group["0"].ndim, []
    for level in range(len(list(group.array_keys()))):
        size, shift = (pixel_size or 1.0) * 2**level, (pixel_size or 1.0) * (2**level - 1) / 2
        steps = [{"type": "scale", "scale": [1.0, size, size][-n:]}]
        if level:  # the centre of its first pixel lies between those of the pixels that it is made of
            steps.append({"type": "translation", "translation": [0.0, shift, shift][-n:]})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    group.attrs["multiscales"] = [{"version": "0.4", "name": name, "axes": axes[-n:], "datasets": datasets}]


def _halve_by_mean(level: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels, in the array's own type; a last odd row or column counts twice."""
    odd = [(0, 0)] * (level.ndim - 2) + [(0, side % 2) for side in level.shape[-2:]]
    mean = downscale_local_mean(np.pad(level, odd, mode="edge"), (1, 2, 2)[-level.ndim :])
    return (mean if level.dtype.kind == "f" else np.floor(mean + 0.5)).astype(level.dtype)


def _channels(image: np.ndarray) -> list[dict[str, Any]]:
    """Colour and range of each channel: white for one, red, green and blue for more."""
    colors = ("FF0000", "00FF00", "0000FF", "FFFFFF") if image.shape[2:] > (1,) else ("FFFFFF",)
    channels = []
    for n, plane in enumerate(np.moveaxis(np.atleast_3d(image), -1, 0)):
        known = plane[np.isfinite(plane)]  # JSON has no NaN
        low, high = (0, 255) if image.dtype == np.uint8 or not known.size else (known.min(), known.max())
        window = {"min": float(low), "max": float(high), "start": float(low), "end": float(high)}
        channels.append({"label": f"channel {n}", "color": colors[n], "window": window, "active": True})
    return channels
