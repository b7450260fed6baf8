"""Images that are read region by region: tiled and pyramidal TIFF, OME-TIFF, Zarr, OME-Zarr, NumPy arrays.

:func:`open_slide` opens any of them, of any order of axes, and the `Slide` it returns gives parts as (h, w)
or (h, w, C), as `data.read_image` would give the whole. Of a pyramid the largest level is read. A file that
can only be read as a whole (PNG, JPEG, a TIFF in one compressed piece) is read once, if it fits.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from maunet_lite.data.amounts import parse_bytes
from maunet_lite.data.checks import ImageError
from maunet_lite.data.reading.images import read_image
from maunet_lite.data.reading.slide import Slide, refuse_too_large
from maunet_lite.data.reading.tiff import tiff_size, tiff_slide


def open_slide(source: str | Path | np.ndarray | Slide, *, memory: str | int = "4GiB") -> Slide:
    """Open an image to read it region by region.

    Parameters
    ----------
    source : path or array
        A TIFF (tiled, striped, pyramidal, OME, ImageJ), a Zarr array or OME-Zarr folder, any other image
        file, or an array (H, W) or (H, W, C): also ``np.memmap`` or anything else that gives NumPy arrays
        when sliced, such as a ``zarr.Array``. An open slide is returned as it is.
    memory : str or int
        An image that can only be read as a whole may take a fourth of this.

    Returns
    -------
    Slide
        Close it after use, best by a ``with`` statement.

    Raises
    ------
    ImageError
        If the file is missing, damaged, no single image or too large to be read as a whole.
    ImportError
        If Zarr is needed and not installed.

    Examples
    --------
    >>> with open_slide(np.arange(12, dtype=np.uint8).reshape(3, 4)) as slide:
    ...     slide.shape, slide.read(slice(1, 3), slice(0, 2)).tolist()
    ((3, 4), [[4, 5], [8, 9]])
    """
    if isinstance(source, Slide):
        return source
    if not isinstance(source, (str, Path)):
        return Slide(source, "array")
    path, limit = Path(source), parse_bytes(memory)
    if not path.exists():
        raise ImageError(f"{path}: there is no such file")
    if is_zarr(path):
        return zarr_slide(path)
    if path.is_dir():
        raise ImageError(f"{path}: this folder is no Zarr; expected an image file or a Zarr folder")
    if is_tiff(path):
        return tiff_slide(path, limit)
    refuse_too_large(path, math.prod(image_size(path)) * 3, limit)
    image = read_image(path)
    return Slide(image, str(path), resident=image.nbytes)


def is_zarr(path: Path) -> bool:
    """Tell whether a path is the folder of a Zarr array or group."""
    return path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def is_tiff(path: Path) -> bool:
    """Tell whether a file begins like a TIFF or BigTIFF of either byte order."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image file from its head."""
    if is_tiff(path):
        return tiff_size(path)
    try:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # large images are no attack here
        with Image.open(path) as image:
            return image.size[1], image.size[0]
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: this is no image that can be read") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def require_zarr() -> Any:
    """Return the module zarr, or say how to install it."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError(
            "Zarr is not installed: pip install -e '.[scale]' (Python 3.11 or newer)"
        ) from error
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
        array, axes = _largest_level(zarr, zarr.open(path, mode="r"), path)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{path}: this Zarr cannot be opened ({error})") from error
    return Slide(array, str(path), axes, chunk=array.chunks)


def _largest_level(zarr: Any, node: Any, path: Path) -> tuple[Any, str | None]:
    """Return the array of a node and the letters of its axes, if they have names."""
    if isinstance(node, zarr.Array):
        return node, None
    described = dict(node.attrs)
    described = described.get("ome", described)  # OME-Zarr 0.5, or older
    if described.get("multiscales"):
        image = described["multiscales"][0]
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes") or ()]
        return node[image["datasets"][0]["path"]], "".join(names).upper() or None
    members = list(node.keys())
    if "0" in members or len(members) == 1:
        return _largest_level(zarr, node["0" if "0" in members else members[0]], path)
    raise ImageError(
        f"{path}: the group holds {', '.join(sorted(members)) or 'nothing'}; expected an OME-Zarr image or "
        f"one array. Give the path of one of them, or of a field of a plate, such as {path / 'A' / '1' / '0'}"
    )
