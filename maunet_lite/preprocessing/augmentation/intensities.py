"""Random changes of training patches (paper, section 3.2.2): resize, pad, crop, flip, rotate, intensities.

What the steps do to pixels, as plain functions of images with the channels first. `build_augmentation`
(`steps`) puts them together; to add a change of intensity, write such a function and name it
there.

The paper gives ranges and an order; where it is silent, the defaults are those of the published code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np

from maunet_lite.preprocessing.options import POSITIVE, SHARE, Options


@dataclass(frozen=True)
class AugmentationConfig(Options):
    """How training patches are drawn. The defaults are the paper's.

    Attributes
    ----------
    patch : int
        Side of the square patch in pixels.
    zoom : tuple of float
        Range of the random resize.
    zoom_spacing : {"uniform", "log"}
        ``"uniform"``, as in the published code: enlarging is the rule. ``"log"``: halving is as likely as
        doubling.
    around_cell : float
        Share of patches that are centred near a random cell, 0 in the paper. Where cells are rare, patches
        drawn anywhere show none.
    padding : {"mirror", "black"}
        What surrounds an image that is smaller than the patch: its mirror image, as in the published code and
        in inference, or black background.
    p_resize : float
        Probability of a resize.
    p_geometry : float
        Probability of each flip, and of a rotation by a multiple of 90°.
    p_intensity : float
        Probability of each of noise, contrast, smoothing and histogram shift.
    """

    patch: Annotated[int, POSITIVE] = 512
    zoom: tuple[Annotated[float, POSITIVE], Annotated[float, POSITIVE]] = (0.25, 2.0)
    zoom_spacing: Literal["uniform", "log"] = "uniform"
    around_cell: Annotated[float, SHARE] = 0.0
    padding: Literal["mirror", "black"] = "mirror"
    p_resize: Annotated[float, SHARE] = 1.0
    p_geometry: Annotated[float, SHARE] = 0.5
    p_intensity: Annotated[float, SHARE] = 0.25

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        if self.zoom[0] > self.zoom[1]:
            raise ValueError(f"zoom={self.zoom!r} must be two numbers, the smaller one first")


# --- geometry -----------------------------------------------------------------------------------------


def random_window(
    shape: tuple[int, int],
    config: AugmentationConfig,
    rng: np.random.Generator | np.random.RandomState,
    centre: tuple[int, int] | None = None,
) -> tuple[slice, slice, float]:
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
        (row, column) to keep inside, within a quarter of the window's side from its middle where the image
        allows it; anywhere by default.

    Returns
    -------
    rows, columns : slice
        The window; smaller than asked for where the image is smaller (`resize_window` pads it).
    zoom : float
        1 with probability ``1 - p_resize``.

    Examples
    --------
    >>> config, rng = AugmentationConfig(patch=64), np.random.default_rng(0)
    >>> rows, columns, zoom = random_window((300, 200), config, rng)
    >>> rows.stop - rows.start == math.ceil(64 / zoom)
    True
    """
    zoom = 1.0
    if rng.random() < config.p_resize:
        log = config.zoom_spacing == "log"
        zoom = float(np.exp(rng.uniform(*np.log(config.zoom))) if log else rng.uniform(*config.zoom))
    side = math.ceil(config.patch / zoom - 1e-9)  # rounded up: no seam of padding beside large images
    slices = []
    for axis, size in enumerate(shape):
        room = max(0, size - side)
        start = int(rng.uniform(0, room + 1))
        if centre is not None:
            shift = round(rng.uniform(-0.25, 0.25) * side)
            start = min(max(0, centre[axis] - side // 2 + shift), room)
        slices.append(slice(start, min(start + side, size)))
    return slices[0], slices[1], zoom


def random_cell_pixel(
    classes: np.ndarray, rng: np.random.Generator | np.random.RandomState
) -> tuple[int, int] | None:
    """Return a random pixel of a cell, or None if 4,096 looks find none: a whole slide is not searched."""
    for _ in range(16):
        rows, columns = (rng.uniform(0, size, 256).astype(int) for size in classes.shape)
        hits = np.flatnonzero(classes[rows, columns])
        if hits.size:
            return int(rows[hits[0]]), int(columns[hits[0]])
    return None


def resize_window(
    planes: np.ndarray,
    zoom: float,
    patch: int,
    offset: tuple[float, float] = (0.0, 0.0),
    *,
    smoothly: bool = True,
    fill: float | None = None,
) -> np.ndarray:
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


# --- intensities: functions of image (C, H, W) float32, an amount and a generator ----------------------


def add_noise(image: np.ndarray, std: float, rng: np.random.Generator) -> np.ndarray:
    """Add independent Gaussian noise of standard deviation `std` to every pixel and channel."""
    return image + np.float32(std) * rng.standard_normal(image.shape, dtype=np.float32)


def adjust_contrast(image: np.ndarray, gamma: float, rng: np.random.Generator | None = None) -> np.ndarray:
    """Raise intensities, scaled to [0, 1] between the image's extremes, to the power `gamma`.

    Examples
    --------
    >>> adjust_contrast(np.array([[[0.0, 0.5, 1.0]]], dtype=np.float32), gamma=2.0)
    array([[[0.  , 0.25, 1.  ]]], dtype=float32)
    """
    low, high = image.min(), image.max()
    if low == high:
        return image
    return ((image - low) / (high - low)) ** np.float32(gamma) * (high - low) + low


def smooth(image: np.ndarray, sigma: float, rng: np.random.Generator | None = None) -> np.ndarray:
    """Blur by a Gaussian of `sigma` pixels; beyond its edges the image goes on mirrored."""
    return np.stack([cv2.GaussianBlur(p, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for p in image])


def shift_histogram(image: np.ndarray, middle: float, rng: np.random.Generator | None = None) -> np.ndarray:
    """Map the middle of the image's range to the share `middle` of it, and all else piecewise linearly.

    `middle` goes from 0 (darker) to 1 (brighter); 0.5 changes nothing. The range stays the same.

    Examples
    --------
    >>> shift_histogram(np.array([[[0, 0.25, 0.5, 0.75, 1]]], dtype=np.float32), middle=0.8)
    array([[[0. , 0.4, 0.8, 0.9, 1. ]]], dtype=float32)
    """
    low, high = image.min(), image.max()
    dark = np.float32(2 * middle) * (image - low)  # the line of the lower half, offset `low`
    bright = np.float32(2 - 2 * middle) * (image - high) + (high - low)  # of the upper half
    # Two lines that meet in the middle: their larger value bends down, their smaller one up.
    return low + (np.minimum(dark, bright) if middle > 0.5 else np.maximum(dark, bright))
