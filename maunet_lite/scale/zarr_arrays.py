"""Zarr arrays and OME-Zarr images, read region by region (the extra ``[scale]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maunet_lite.data import ImageError
from maunet_lite.scale.reading import Slide, array_slide

INSTALL = "pip install 'maunet-lite[scale]' (Python 3.11 or newer)"


def require_zarr() -> Any:
    """Return the module zarr, or say how to install it."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError(f"Zarr is not installed: {INSTALL}") from error
    return zarr


def zarr_slide(path: Path) -> Slide:
    """Open a Zarr array, or the largest level of an OME-Zarr image.

    Parameters
    ----------
    path : Path
        Folder of an array, of an OME-Zarr image (0.4 or 0.5), of what ``bioformats2raw`` writes, or of a
        group that holds one array.
    """
    zarr = require_zarr()
    try:
        array, axes = _level(zarr, zarr.open(path, mode="r"), path)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{path}: this Zarr cannot be opened ({error})") from error
    return array_slide(array, str(path), axes, chunk=array.chunks)


def multiscales(group: Any) -> list[dict[str, Any]]:
    """Return the OME-Zarr metadata of a group, of version 0.5 or older; empty if there is none."""
    attributes = dict(group.attrs)
    return attributes.get("ome", attributes).get("multiscales", [])


def _level(zarr: Any, node: Any, path: Path) -> tuple[Any, str | None]:
    if isinstance(node, zarr.Array):
        return node, None
    described = multiscales(node)
    if described:
        axes = described[0].get("axes")
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in axes] if axes else None
        return node[described[0]["datasets"][0]["path"]], "".join(names).upper() if names else None
    attributes = dict(node.attrs)
    if "plate" in attributes.get("ome", attributes):
        raise ImageError(f"{path}: this is a plate; open one of its fields, such as {path / 'A' / '1' / '0'}")
    members = list(node.keys())
    if "0" in members or len(members) == 1:
        return _level(zarr, node["0" if "0" in members else members[0]], path)
    raise ImageError(
        f"{path}: the group holds {', '.join(sorted(members)) or 'nothing'}; expected an OME-Zarr image or "
        "one array. Give the path of one of them"
    )
