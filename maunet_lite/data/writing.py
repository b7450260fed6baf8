"""Write images and label maps: what appears under its name is complete."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

from maunet_lite.data.checks import ImageError, LabelError, validate_image, validate_labels
from maunet_lite.data.reading.calibration import validate_pixel_size

PROGRAM = "maunet-lite"  # the TIFF tag Software of label maps: they number cells, whatever they look like
_TIFF = {"compression": "zlib", "metadata": None}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, and rename what was written there to `path` at the end.

    Readers see the old file or the whole new one, never a part; if the block raises, the temporary file is
    removed and `path` stays as it was. A folder takes the place of an empty one, too.

    Parameters
    ----------
    path : str or pathlib.Path
        The file or folder to write. Its folder is created if need be.

    Yields
    ------
    pathlib.Path
        A name in the same folder, with the same suffix, that does not exist yet.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> with atomic_path(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("done")
    >>> [file.name for file in folder.iterdir()]
    ['note.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir() and not any(path.iterdir()):
            path.rmdir()  # not every system can rename a folder over an empty one
        os.replace(temporary, path)
    finally:  # there is something left only if it failed
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, complete or not at all (`atomic_path`).

    Parameters
    ----------
    path : str or pathlib.Path
        The file to write. Its folder is created if need be.
    text : str

    Examples
    --------
    >>> path = getfixture("tmp_path") / "note.txt"
    >>> write_text(path, "34 µm")
    >>> path.read_text(encoding="utf-8")
    '34 µm'
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an image as PNG or compressed TIFF, by the suffix of `path`; nothing is left behind if it fails.

    Parameters
    ----------
    path : str or pathlib.Path
        The file to write, ``.png``, ``.tif`` or ``.tiff``.
    image : numpy.ndarray
        (H, W) or (H, W, C) with 1 to 4 channels. PNG holds only uint8 and uint16, and takes a second or
        fourth channel for alpha.

    Raises
    ------
    ImageError
        If the suffix is another one or the image does not fit into such a file.
    """
    image, suffix = validate_image(image), Path(path).suffix.lower()
    image = image[..., 0] if image.shape[2:] == (1,) else image
    if suffix not in (".png", ".tif", ".tiff"):
        raise ImageError(f"{path}: images are written as .png, .tif or .tiff; give it such a suffix")
    if suffix == ".png" and image.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: PNG holds uint8 and uint16, not {image.dtype}; convert it or write .tiff")
    with atomic_path(path) as temporary:
        if suffix == ".png":
            room = 2 * image.nbytes + 16 * len(image) + 4096  # its own guess is too small for narrow noise
            temporary.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(image), out=room))
        else:
            kind = "rgb" if image.shape[2:] == (3,) else "minisblack"
            tifffile.imwrite(temporary, image, photometric=kind, planarconfig="contig", **_TIFF)


def write_labels(
    path: str | Path, labels: np.ndarray, *, pixel_size: float | None = None, description: str | None = None
) -> None:
    """Write a label map as a compressed TIFF of uint16 or, for ids above 65,535, uint32.

    Drop it on *Fiji* (Lookup Tables › glasbey; uint32 becomes floats, exact up to 16,777,216) or on *napari*
    (right click on the layer › Convert to Labels).

    Parameters
    ----------
    path : str or pathlib.Path
        The file to write, ``.tif`` or ``.tiff``. It appears complete or not at all.
    labels : numpy.ndarray
        (H, W) label map.
    pixel_size, description : float and str, optional
        Micrometres per pixel, stored as the resolution, and a text of ASCII characters.

    Raises
    ------
    LabelError
        If the suffix is another one, or `labels` is no label map; a lone id 1 or 255 counts as a cell here.

    Examples
    --------
    >>> from maunet_lite.data import read_labels
    >>> path = getfixture("tmp_path") / "cells_label.tiff"
    >>> write_labels(path, np.array([[0, 70_000], [3, 3]]))
    >>> read_labels(path)
    array([[    0, 70000],
           [    3,     3]], dtype=int32)
    """
    labels = validate_labels(labels, masks=True)
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise LabelError(f"{path}: label maps are written as TIFF; give it the suffix .tiff")
    stored = labels.astype(np.uint16 if labels.max() < 2**16 else np.uint32)
    tags = _TIFF | {"description": description} | label_tags(pixel_size)
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, stored, photometric="minisblack", **tags)


def label_tags(pixel_size: float | None) -> dict[str, Any]:
    """Return options of ``tifffile.imwrite``: who numbered the cells, and the size of a pixel for Fiji."""
    if pixel_size is None:
        return {"software": PROGRAM}
    per_cm = 10_000 / validate_pixel_size(pixel_size)  # Fiji turns small centimetres into micrometres
    return {"software": PROGRAM, "resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
