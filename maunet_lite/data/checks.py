"""What an image and a label map may be; everything else is refused with the reason and the way out."""

import cv2
import numpy as np

MAX_ID = 2**31 - 1
_MASK = "a mask of foreground, which does not tell cells apart; expected one integer id per cell. "


class ImageError(ValueError):
    """An image, or the file that should hold one, cannot be used; the message says why and what to do."""


class LabelError(ValueError):
    """A label map, or the file that should hold one, cannot be used; the message says why and what to do."""


class DatasetError(ValueError):
    """A folder that is no dataset, or a part of it that does not exist; the message says what to do."""


def validate_image(image: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return `image` as an array if it is one that this package can work with.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C) with C from 1 to 4, of any integer or floating type, finite in float32 or NaN.
    size : (int, int), optional
        (H, W) of the label map that belongs to it.

    Returns
    -------
    numpy.ndarray
        The same values; no copy is made of an array.

    Raises
    ------
    ImageError
        If the array is empty, boolean, complex, no array of numbers, infinite anywhere, or of another shape
        or size.

    Examples
    --------
    >>> validate_image(np.zeros((3, 60, 80)))
    Traceback (most recent call last):
    ...
    maunet_lite.data.checks.ImageError: the image has shape (3, 60, 80): channels come first; ...
    """
    image = np.asarray(image)
    if fault := _fault_of_image(image):
        raise ImageError(f"the image {fault}")
    if size is not None and image.shape[:2] != size:
        raise ImageError(f"the image is {image.shape[:2]}, the label map {size}: expected the same size")
    return image


def _fault_of_image(image: np.ndarray) -> str | None:
    """Say what keeps an array from being an image, and what to do."""
    shape, dtype = image.shape, image.dtype
    if dtype.kind == "b":
        return "is boolean: a mask, not intensities. If meant, pass image.astype(np.uint8)"
    if dtype.kind not in "uif":
        return f"has type {dtype}; expected integers or floating-point numbers"
    if image.ndim not in (2, 3):
        return f"has shape {shape}; expected (H, W) or (H, W, C). Pass a single image or slice"
    if image.size == 0:
        return f"has shape {shape}: it has no pixels"
    if image.ndim == 3 and shape[0] <= 4 < shape[2]:
        return f"has shape {shape}: channels come first; expected (H, W, C). Use np.moveaxis(image, 0, -1)"
    if image.ndim == 3 and shape[2] > 4:
        return f"has {shape[2]} channels, shape {shape}; expected 1 to 4. Choose some, such as image[..., :3]"
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite
        if dtype.kind == "f" and np.isinf(image.astype(np.float32, copy=False)).any():
            return (
                "holds values infinite or beyond the range of float32; expected finite numbers or NaN "
                "(black). Replace them, for example with np.where(np.abs(image) < 1e30, image, 0)"
            )
    return None


def validate_labels(labels: np.ndarray, *, masks: bool = False) -> np.ndarray:
    """Return `labels` as an int32 label map, if it is one.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) with 0 for background and a positive id up to 2³¹ - 1 per cell, integers or whole floats. Gaps
        between ids, an empty map, a map without background and cells of one pixel are all legal.
    masks : bool
        Accept what looks like a mask of foreground (one id in several pieces). One rule for the whole kit:
        where cells are known to be numbered (what the kit wrote itself, and whatever is measured, traced or
        written) it is a cell in pieces; where a map comes from elsewhere (files, truth to learn from or to
        score by) it is a mask.

    Returns
    -------
    numpy.ndarray
        (H, W) int32; the input itself if it has that type already.

    Raises
    ------
    LabelError
        If the array is boolean, a 0/255 mask, a 0/1 map whose foreground falls into several (8-connected)
        pieces, holds fractions, NaN, negative values or larger ids, is a colour picture or has another shape.

    Examples
    --------
    >>> validate_labels(np.array([[0, 0, 4], [70_000, 0, 4]]))
    array([[    0,     0,     4],
           [70000,     0,     4]], dtype=int32)
    """
    labels = np.asarray(labels)
    if fault := _fault_of_labels(labels) or (None if masks else _fault_of_mask(labels)):
        raise LabelError(f"the label map {fault}")
    return labels.astype(np.int32, copy=False)


def _fault_of_labels(labels: np.ndarray) -> str | None:
    """Say what keeps an array from being a label map, and what to do."""
    shape, dtype = labels.shape, labels.dtype
    if dtype.kind == "b":
        return f"is boolean: {_MASK}If no cells touch, number them: skimage.measure.label(mask)"
    if dtype.kind not in "uif":
        return f"has type {dtype}; expected integers, one id per cell"
    if labels.ndim == 3 and shape[2] in (3, 4):
        return (
            f"has shape {shape}: a colour picture; expected (H, W), one integer id per cell. If each cell "
            "has its own 8-bit colour on black, make them ids: labels[..., :3].astype(int) @ [65536, 256, 1]"
        )
    if labels.ndim != 2:
        return f"has shape {shape}; expected (H, W). Pass one slice, or np.squeeze(labels)"
    if labels.size == 0:
        return f"has shape {shape}: it has no pixels"
    if dtype.kind == "f" and (labels != np.rint(labels)).any():  # also true of NaN
        return (
            f"has type {dtype} with fractions or NaN; expected one whole id per cell. Was it resized by "
            "interpolation? Resize label maps to the nearest neighbour (order=0)"
        )
    smallest, largest = labels.min().item(), labels.max().item()
    if smallest < 0:
        return (
            f"holds negative values (smallest {smallest}); expected 0 for background and positive ids. If "
            "they mark outlines or pixels to ignore, clear them: labels[labels < 0] = 0"
        )
    if largest > MAX_ID:
        renumbered = "skimage.segmentation.relabel_sequential(labels)[0]"
        return f"holds the id {largest}; the largest possible is {MAX_ID}. Renumber it: {renumbered}"
    return None


def _fault_of_mask(labels: np.ndarray) -> str | None:
    """Say that a map with a single id is a mask of foreground, if it is.

    255 is a mask, and so is 1 in several pieces. One piece of any other id is a cell, and so are several,
    unless they lie far apart.
    """
    only = int(labels.max())
    foreground = labels == only
    if not only or (labels[~foreground] != 0).any():
        return None
    pieces = cv2.connectedComponents(foreground.view(np.uint8), connectivity=8)[0] - 1
    if only != 255 and (pieces == 1 or (only != 1 and not scattered_ids(labels))):
        return None
    return (
        f"holds no id but {only}, in {pieces} piece{'s' * (pieces > 1)}: {_MASK}If no cells touch, number "
        f"them: skimage.measure.label(labels == {only})"
    )


def scattered_ids(labels: np.ndarray) -> list[int]:
    """Return the ids whose pieces lie farther apart than thrice the length of the longest of them.

    In a label map there are hardly any. There are many in a mask that was blurred, in ids that were resized
    by interpolation, and in ids that were cut to 8 bits.

    Examples
    --------
    >>> scattered_ids(np.array([[7, 0, 7, 0, 0, 0, 0], [7, 0, 7, 9, 0, 0, 9]]))
    [9]
    """
    import pandas as pd
    from skimage import measure

    pieces = measure.label(labels, connectivity=2)
    table = pd.DataFrame(measure.regionprops_table(pieces, labels, ("bbox", "intensity_max")))
    table["side"] = np.maximum(table["bbox-2"] - table["bbox-0"], table["bbox-3"] - table["bbox-1"])
    cells = table.groupby("intensity_max")
    first, last = cells[["bbox-0", "bbox-1"]].min(), cells[["bbox-2", "bbox-3"]].max()
    span = (last.to_numpy() - first.to_numpy()).max(axis=1, initial=0)
    return first.index[span > 3 * cells["side"].max()].astype(int).tolist()


def doubt_of_labels(labels: np.ndarray) -> str:
    """Return a warning if a map has as many scattered ids as no label map has; "" otherwise."""
    if len(ids := scattered_ids(labels)) < 3:
        return ""
    shown = ", ".join([*map(str, ids[:3]), "…"][: len(ids)])
    return (
        f"{len(ids)} ids lie in several pieces far apart ({shown}): was the map blurred, resized by "
        "interpolation, or saved with 8 bits? Export one id per cell anew, as 16-bit TIFF"
    )
