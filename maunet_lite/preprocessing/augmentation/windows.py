"""Which part of an image becomes a patch, and how large its cells get: plain functions of shapes and planes.

Planes are (C, H, W).
"""

import math

import cv2
import numpy as np

from maunet_lite.preprocessing.augmentation.config import AugmentationConfig

Rng = np.random.Generator | np.random.RandomState


def random_zoom(config: AugmentationConfig, rng: Rng, diameter: float = math.nan) -> float:
    """Draw the factor by which an image is resized.

    Parameters
    ----------
    config : AugmentationConfig
        Without ``sizes``: within ``zoom`` with probability ``p_resize``, else 1. With them: so that cells get
        a diameter within ``sizes``, else within a fifth of 1; in any case within ``zoom``.
    rng : numpy.random.Generator or RandomState
    diameter : float
        Of the image's cells in pixels; where it is unknown (NaN), that in the middle of ``sizes``.

    Returns
    -------
    float

    Examples
    --------
    >>> config = AugmentationConfig(sizes=(60, 60), zoom=(0.1, 4))
    >>> round(random_zoom(config, np.random.default_rng(0), diameter=20), 6)
    3.0
    """
    resized, log = rng.random() < config.p_resize, config.zoom_spacing == "log"
    if config.sizes:
        known = diameter if diameter > 0 else math.sqrt(math.prod(config.sizes))
        wanted = np.log(config.sizes) - math.log(known) if resized else (-0.2, 0.2)
        return float(np.clip(np.exp(rng.uniform(*wanted)), *config.zoom))
    if not resized:
        return 1.0
    return float(np.exp(rng.uniform(*np.log(config.zoom))) if log else rng.uniform(*config.zoom))


def median_diameter(labels: np.ndarray) -> float:
    """Return the median diameter of the cells in pixels, as of disks of equal area; NaN without cells.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) integer, 0 background.

    Examples
    --------
    >>> round(median_diameter(np.array([[1, 1, 0], [1, 1, 7]])), 2)
    1.69
    """
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    return float(np.median(np.sqrt(4 / np.pi * areas))) if areas.size else math.nan


def random_window(
    shape: tuple[int, int], config: AugmentationConfig, rng: Rng, centre: tuple[int, int] | None = None,
    diameter: float = math.nan,
) -> tuple[slice, slice, float]:  # fmt: skip
    """Choose a window of an image of `shape` and the zoom that turns it into a patch.

    To resize an image and to crop it is the same as to crop a window and to resize that, without the work on
    pixels that are thrown away: a patch of a slide costs as much as a patch of a thumbnail.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the image.
    config : AugmentationConfig
    rng : numpy.random.Generator or RandomState
    centre : tuple of int, optional
        (row, column) to keep inside, within a third of the window's side from its middle where the image
        allows it; anywhere by default.
    diameter : float
        See `random_zoom`.

    Returns
    -------
    rows, columns : slice
        The window; smaller than asked for where the image is smaller (`resize_window` pads it).
    zoom : float

    Examples
    --------
    >>> config, rng = AugmentationConfig(patch=64), np.random.default_rng(0)
    >>> rows, columns, zoom = random_window((300, 200), config, rng)
    >>> rows.stop - rows.start == math.ceil(64 / zoom)
    True
    """
    zoom = random_zoom(config, rng, diameter)
    side = math.ceil(config.patch / zoom - 1e-9)  # rounded up: no seam of padding beside large images
    slices = []
    for axis, size in enumerate(shape):
        room = max(0, size - side)
        start = int(rng.uniform(0, room + 1))
        if centre is not None:
            start = min(max(0, centre[axis] - side // 2 + int(rng.uniform(-1, 1) * side / 3)), room)
        slices.append(slice(start, min(start + side, size)))
    return slices[0], slices[1], zoom


def random_cell_pixel(classes: np.ndarray, rng: Rng) -> tuple[int, int] | None:
    """Return a random pixel of a cell, or None if 4,096 looks find none: a whole slide is not searched."""
    for _ in range(16):
        rows, columns = (rng.uniform(0, size, 256).astype(int) for size in classes.shape)
        hits = np.flatnonzero(classes[rows, columns])
        if hits.size:
            return int(rows[hits[0]]), int(columns[hits[0]])
    return None


def resize_window(
    planes: np.ndarray, zoom: float, patch: int, offset: tuple[float, float] = (0.0, 0.0), *,
    smoothly: bool = True, fill: float | None = None,
) -> np.ndarray:  # fmt: skip
    """Resize a window by `zoom` and pad it to `patch` × `patch`.

    Parameters
    ----------
    planes : numpy.ndarray
        (C, h, w) image or target, uint8, uint16 or float32.
    zoom : float
    patch : int
        Side of the result.
    offset : tuple of float
        In [0, 1): where the content lies along each axis if it does not fill the patch.
    smoothly : bool
        Average pixels that shrink and interpolate those that grow, as images need it; otherwise the nearest
        pixel's value is kept, as targets need it.
    fill : float, optional
        Value of the padding. By default the content is mirrored at its edges, as often as it takes.

    Returns
    -------
    numpy.ndarray
        (C, patch, patch), dtype of `planes`.

    Examples
    --------
    >>> classes = np.array([[[0, 1], [2, 0]]], dtype=np.uint8)
    >>> resize_window(classes, zoom=1.0, patch=4)[0]
    array([[0, 1, 1, 0],
           [2, 0, 0, 2],
           [2, 0, 0, 2],
           [0, 1, 1, 0]], dtype=uint8)
    """
    height, width = (max(1, min(patch, round(size * zoom))) for size in planes.shape[1:])
    mode = (cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR) if smoothly else cv2.INTER_NEAREST_EXACT
    top, left = int(offset[0] * (patch - height + 1)), int(offset[1] * (patch - width + 1))
    borders = (top, patch - height - top, left, patch - width - left)
    kind = cv2.BORDER_REFLECT if fill is None else cv2.BORDER_CONSTANT
    out = np.empty((len(planes), patch, patch), planes.dtype)
    for plane, result in zip(planes, out, strict=True):
        inner = result[top : top + height, left : left + width]
        cv2.resize(plane, (width, height), dst=inner, interpolation=mode)
        if any(borders):
            result[...] = cv2.copyMakeBorder(inner, *borders, kind, value=fill)
    return out
