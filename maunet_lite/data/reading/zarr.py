"""Zarr arrays and OME-Zarr images, read region by region."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maunet_lite.data.checks import ImageError
from maunet_lite.data.reading.calibration import zarr_pixel_size
from maunet_lite.data.reading.choice import guess_axes
from maunet_lite.data.reading.slide import Stored

logger = logging.getLogger(__name__)


def is_zarr(path: Path) -> bool:
    """Tell whether a path is the folder of a Zarr array or group."""
    return path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def require_zarr() -> Any:
    """Return the module zarr, or say how to install it."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError('Zarr is not installed: pip install -e ".[scale]"') from error
    return zarr


def open_zarr(path: Path) -> Stored:
    """Open a Zarr array, or the largest level of an OME-Zarr image.

    Parameters
    ----------
    path : Path
        Folder of an array, of an OME-Zarr image (0.4 or 0.5), of what ``bioformats2raw`` writes, or of a
        group that holds one array. Of several images the one is taken that is more than twice as large as any
        other; else the error lists them.
    """
    zarr = require_zarr()
    return _image(zarr, zarr.open(path, mode="r"), path)


def _image(zarr: Any, node: Any, path: Path) -> Stored:
    """Return the image that a node holds."""
    if isinstance(node, zarr.Array):
        return Stored(node, guess_axes(node.shape, str(path)), node.chunks)
    described = dict(node.attrs)
    described = described.get("ome", described)  # OME-Zarr 0.5, or older
    if "plate" in described:
        raise ImageError(f"a plate of many images. Give the path of one, such as {path / 'A' / '1' / '0'}")
    if described.get("multiscales"):
        images = described["multiscales"]
        found = {image["datasets"][0]["path"]: _level(node, image, described) for image in images}
    else:
        members = {name: member for name, member in node.members() if name not in ("OME", "labels")}
        found = {name: _image(zarr, member, path / name) for name, member in sorted(members.items())}
    if not found:
        raise ImageError("the group holds nothing; expected an OME-Zarr image or an array")
    first, *others = sorted(found, key=lambda name: -math.prod(found[name].array.shape))
    names = ", ".join(f"{name} {tuple(one.array.shape)}" for name, one in found.items())
    if others and math.prod(found[others[0]].array.shape) > 0.5 * math.prod(found[first].array.shape):
        raise ImageError(
            f"the group holds {len(found)} images: {names}; expected one. Give the path of one of them, such "
            f"as {path / first}"
        )
    if others:
        logger.warning("%s: %s is taken, the largest of %s; others by their path", path, first, names)
    return found[first]


def _level(node: Any, image: Mapping[str, Any], described: Mapping[str, Any]) -> Stored:
    """Return the largest level of an image, with what its description says."""
    array = node[image["datasets"][0]["path"]]
    axes = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes") or ()]
    channels = (described.get("omero") or {}).get("channels") or ()
    names = tuple(str(channel.get("label") or "") for channel in channels)
    return Stored(
        array, "".join(axes).upper() or guess_axes(array.shape, "OME-Zarr"), array.chunks,
        names=names if all(names) else (), pixel_size=zarr_pixel_size(image),
    )  # fmt: skip
