"""Read and write images and label maps, and check both.

An image is an array (H, W) or (H, W, C) with 1 to 4 channels; a label map is (H, W), 0 for background and any positive
id for a cell. Files that hold anything else are refused with the reason and the way out.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import imagecodecs
import imageio.v3 as iio
import numpy as np
import tifffile

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MAX_ID = 2**31 - 1


class ImageError(ValueError):
    """An image, or the file that should hold one, cannot be used; the message says why and what to do."""


class LabelError(ValueError):
    """A label map, or the file that should hold one, cannot be used; the message says why and what to do."""


# --- checks ---------------------------------------------------------------------------------------------------


def validate_image(image: np.ndarray) -> np.ndarray:
    """Return `image` as an array if it is one that this package can work with.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C) with C from 1 to 4, of any integer or floating type, finite or NaN.

    Returns
    -------
    numpy.ndarray
        The same values; no copy is made of an array.

    Raises
    ------
    ImageError
        If the array is empty, boolean, complex, no array of numbers, infinite anywhere, or neither (H, W) nor (H, W, C).

    Examples
    --------
    >>> validate_image(np.zeros((3, 60, 80)))
    Traceback (most recent call last):
    ...
    maunet_lite.images.ImageError: the image has shape (3, 60, 80): channels come first; expected (H, W, C). Convert it with np.moveaxis(image, 0, -1)
    """
    image = np.asarray(image)
    if image.dtype == bool:
        raise ImageError("the image is boolean: a mask, not intensities. If it is meant, pass image.astype(np.uint8)")
    if image.dtype.kind not in "uif":
        raise ImageError(f"the image has type {image.dtype}; expected integers or floating-point numbers")
    if image.ndim not in (2, 3):
        raise ImageError(
            f"the image has shape {image.shape}; expected (H, W) or (H, W, C). Pass one image at a time, one slice of a stack"
        )
    if image.size == 0:
        raise ImageError(f"the image has shape {image.shape}: it has no pixels")
    if image.ndim == 3 and image.shape[2] > 4:
        if image.shape[0] <= 4:
            raise ImageError(
                f"the image has shape {image.shape}: channels come first; expected (H, W, C). "
                "Convert it with np.moveaxis(image, 0, -1)"
            )
        raise ImageError(
            f"the image has {image.shape[2]} channels (shape {image.shape}); expected 1 to 4. "
            "Choose up to three of them, for example image[..., :3]"
        )
    if image.dtype.kind == "f" and np.isinf(image).any():
        raise ImageError(
            "the image holds infinite values. Replace them, for example with np.nan_to_num(image, posinf=0, neginf=0)"
        )
    return image


def validate_labels(labels: np.ndarray) -> np.ndarray:
    """Return `labels` as an int32 label map, if it is one.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) with 0 for background and a positive id up to 2³¹ − 1 per cell, integers or whole-numbered floats. Gaps
        between ids, an empty map, a map without background, cells of one pixel and of several pieces are all legal.

    Returns
    -------
    numpy.ndarray
        (H, W) int32; the input itself if it has that type already.

    Raises
    ------
    LabelError
        If the array is boolean, a 0/255 mask, a 0/1 mask (its foreground falls into several 8-connected pieces), has
        fractions, NaN or negative values, is a colour picture, has another shape or no pixels.

    Examples
    --------
    >>> validate_labels(np.array([[0, 0, 4], [70_000, 0, 4]]))
    array([[    0,     0,     4],
           [70000,     0,     4]], dtype=int32)
    """
    labels = np.asarray(labels)
    _check_label_shape(labels)
    if labels.dtype.kind == "f":
        if not np.array_equal(labels, np.rint(labels)):  # also true for NaN, which equals nothing
            raise LabelError(
                f"the label map has type {labels.dtype} and holds fractions or NaN; expected whole numbers, one per cell. "
                "Was it resized with interpolation? Resize label maps with nearest-neighbour (order=0)"
            )
    smallest, largest = labels.min(), labels.max()
    if smallest < 0:
        raise LabelError(
            f"the label map holds negative values (smallest {smallest}); expected 0 for background and positive ids. "
            "If negative means ignore or outline, set it to 0: labels[labels < 0] = 0"
        )
    if largest > MAX_ID:
        raise LabelError(
            f"the label map holds the id {largest}; the largest possible id is {MAX_ID}. "
            "Renumber it with skimage.segmentation.relabel_sequential(labels)[0]"
        )
    labels = labels.astype(np.int32, copy=False)
    if largest in (1, 255):
        _refuse_mask(labels, int(largest))
    return labels


def _check_label_shape(labels: np.ndarray) -> None:
    if labels.dtype == bool:
        raise LabelError(
            "the label map is boolean: a mask of foreground, which does not tell cells apart; expected one integer id per "
            "cell. If cells do not touch, skimage.measure.label(mask) numbers them"
        )
    if labels.dtype.kind not in "uif":
        raise LabelError(f"the label map has type {labels.dtype}; expected integers")
    if labels.ndim == 3 and labels.shape[2] in (3, 4):
        raise LabelError(
            f"the label map has shape {labels.shape}: a colour picture; expected (H, W) with one integer id per cell. "
            "If every cell has its own colour, number the colours with "
            "np.unique(labels.reshape(-1, labels.shape[2]), axis=0, return_inverse=True)[1].reshape(labels.shape[:2])"
        )
    if labels.ndim != 2:
        raise LabelError(
            f"the label map has shape {labels.shape}; expected (H, W). Pass one slice, or drop axes of length 1 with "
            "np.squeeze(labels)"
        )
    if labels.size == 0:
        raise LabelError(f"the label map has shape {labels.shape}: it has no pixels")


def _refuse_mask(labels: np.ndarray, only: int) -> None:
    """Raise if the map is a mask of foreground: 0 and 255, or 0 and 1 in several pieces."""
    foreground = labels == only
    if np.count_nonzero(foreground) != np.count_nonzero(labels):
        return  # other ids are there
    pieces = cv2.connectedComponents(foreground.view(np.uint8), connectivity=8)[0] - 1
    if only == 255 or pieces > 1:
        raise LabelError(
            f"the label map holds only 0 and {only}, in {pieces} separate piece{'s' * (pieces > 1)}: a mask of foreground, "
            "which does not tell cells apart; expected one integer id per cell. If cells do not touch, "
            f"skimage.measure.label(labels == {only}) numbers them"
        )


# --- files ----------------------------------------------------------------------------------------------------


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, and rename what was written there to `path` at the end.

    Readers see the old file or the whole new one, never a part; if the block raises, the temporary file is removed
    and `path` stays as it was.

    Parameters
    ----------
    path : str or pathlib.Path
        The file to write. Its folder is created if need be.

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
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file: (H, W) or (H, W, C)."""
    path = Path(path)
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            return tifffile.imread(path)
        image = iio.imread(path)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be read ({error})") from error
    return image[..., :3] if image.ndim == 3 else image


def read_labels(path: str | Path) -> np.ndarray:
    """Read a label map: (H, W) int32."""
    path = Path(path)
    try:
        return validate_labels(tifffile.imread(path) if path.suffix.lower() in (".tif", ".tiff") else iio.imread(path))
    except LabelError as error:
        raise LabelError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise LabelError(f"{path}: cannot be read ({error})") from error


def write_labels(path: str | Path, labels: np.ndarray) -> None:
    """Write a label map as a compressed TIFF of the smallest safe integer type."""
    labels = validate_labels(labels)
    dtype = np.uint16 if labels.max() < 2**16 else np.uint32
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, labels.astype(dtype), compression="zlib", photometric="minisblack", metadata=None)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write an image as PNG or TIFF, by the suffix of `path`."""
    with atomic_path(path) as temporary:
        if Path(path).suffix.lower() in (".tif", ".tiff"):
            tifffile.imwrite(temporary, validate_image(image), compression="zlib")
        else:
            iio.imwrite(temporary, validate_image(image))
