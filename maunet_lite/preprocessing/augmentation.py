"""Random changes of training patches (paper, section 3.2.2): resize, pad, crop, flip, rotate, intensities.

Geometry works on the window that the patch needs and not on the whole image, so that a patch of a slide costs
as much as a patch of a thumbnail. The intensity changes compute what MONAI's transforms of the same names do,
on NumPy arrays and several times faster, and smooth without darkening the borders. Every random function
takes its generator.

The paper gives ranges and an order; where it is silent, the defaults are those of the published code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from maunet_lite.preprocessing.intensity import HIGH, LOW

NOISE = 0.1  # largest standard deviation of the noise
GAMMA = (1.0, 2.0)  # exponents of the contrast
SIGMA = (0.5, 2.0)  # pixels of smoothing; the published code: 1 to 2 along rows, 0.25 to 1.5 along columns


@dataclass(frozen=True)
class AugmentationConfig:
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

    patch: int = 512
    zoom: tuple[float, float] = (0.25, 2.0)
    zoom_spacing: str = "uniform"
    around_cell: float = 0.0
    padding: str = "mirror"
    p_resize: float = 1.0
    p_geometry: float = 0.5
    p_intensity: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.patch < 1:
            raise ValueError(f"patch is {self.patch}; expected a side of at least 1 pixel")
        if len(self.zoom) != 2 or not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"zoom is {self.zoom}; expected two positive numbers, the smaller one first")
        choices = {"zoom_spacing": ("uniform", "log"), "padding": ("mirror", "black")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        for name in ("around_cell", "p_resize", "p_geometry", "p_intensity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a probability from 0 to 1")


# --- geometry -----------------------------------------------------------------------------------------


def random_zoom(config: AugmentationConfig, rng: np.random.Generator) -> float:
    """Return the factor of a random resize, 1 with probability ``1 - p_resize``."""
    if rng.random() >= config.p_resize:
        return 1.0
    low, high = config.zoom
    if config.zoom_spacing == "log":
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


def random_window(
    shape: tuple[int, int],
    config: AugmentationConfig,
    rng: np.random.Generator,
    centre: tuple[int, int] | None = None,
) -> tuple[slice, slice, float]:
    """Choose a window of an image of `shape` and the zoom that turns it into a patch.

    To resize an image and to crop it is the same as to crop a window and to resize that, without the work on
    pixels that are thrown away.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the image.
    config : AugmentationConfig
    rng : numpy.random.Generator
    centre : tuple of int, optional
        (row, column) to keep inside, within a quarter of the window's side from its middle where the image
        allows it; anywhere by default.

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
    zoom = random_zoom(config, rng)
    side = math.ceil(config.patch / zoom - 1e-9)  # rounded up: no seam of padding beside large images
    slices = []
    for axis, size in enumerate(shape):
        start = 0
        if size > side and centre is None:
            start = int(rng.integers(0, size - side + 1))
        elif size > side:
            shift = int(rng.integers(-(side // 4), side // 4 + 1))
            start = int(np.clip(centre[axis] - side // 2 + shift, 0, size - side))
        slices.append(slice(start, min(start + side, size)))
    return slices[0], slices[1], zoom


def resize_window(
    array: np.ndarray, zoom: float, patch: int, offset: tuple[float, float], fill: float | None = None
) -> np.ndarray:
    """Resize a window by `zoom` and pad it to `patch` × `patch`.

    Parameters
    ----------
    array : numpy.ndarray
        (h, w, C) image or (h, w) target, uint8, uint16 or float32. Images are averaged when they shrink and
        interpolated when they grow; targets keep their values (the nearest pixel's).
    zoom : float
    patch : int
        Side of the result.
    offset : tuple of float
        In [0, 1): where the content lies along each axis if it does not fill the patch.
    fill : float, optional
        Value of the padding. By default the content is mirrored at its edges, as often as it takes.

    Returns
    -------
    numpy.ndarray
        (patch, patch, C) or (patch, patch), dtype of `array`.

    Examples
    --------
    >>> classes = np.array([[0, 1], [2, 0]], dtype=np.uint8)
    >>> resize_window(classes, zoom=1.0, patch=4, offset=(0, 0))
    array([[0, 1, 1, 0],
           [2, 0, 0, 2],
           [2, 0, 0, 2],
           [0, 1, 1, 0]], dtype=uint8)
    """
    height, width = (max(1, min(patch, round(size * zoom))) for size in array.shape[:2])
    out = np.ascontiguousarray(array)
    if (height, width) != array.shape[:2]:
        smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        mode = smooth if array.ndim == 3 else cv2.INTER_NEAREST_EXACT
        out = cv2.resize(out, (width, height), interpolation=mode)
    if (height, width) != (patch, patch):
        top, left = int(offset[0] * (patch - height + 1)), int(offset[1] * (patch - width + 1))
        border = (top, patch - height - top, left, patch - width - left)
        if fill is None:
            out = cv2.copyMakeBorder(out, *border, cv2.BORDER_REFLECT)
        else:
            out = cv2.copyMakeBorder(out, *border, cv2.BORDER_CONSTANT, value=(fill,) * 4)
    return out.reshape(patch, patch, *array.shape[2:])  # OpenCV drops the axis of a single channel


def random_flips(arrays: Sequence[np.ndarray], rng: np.random.Generator, p: float = 0.5) -> list[np.ndarray]:
    """Flip along each axis and rotate by a multiple of 90°, each with probability `p`.

    Parameters
    ----------
    arrays : sequence of numpy.ndarray
        Square in their first two axes; all are turned the same way.
    rng : numpy.random.Generator
    p : float

    Returns
    -------
    list of numpy.ndarray
        Contiguous arrays of the same shapes and types.
    """
    flips = [axis for axis in (0, 1) if rng.random() < p]
    turns = int(rng.integers(1, 4)) if rng.random() < p else 0
    return [np.ascontiguousarray(np.rot90(np.flip(a, flips), turns)) for a in arrays]


# --- intensities --------------------------------------------------------------------------------------


def random_intensity(image: np.ndarray, rng: np.random.Generator, p: float = 0.25) -> np.ndarray:
    """Add noise, change contrast, smooth and shift the histogram, in this order, each with probability `p`.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, C) float32 in [0.01, 0.99].
    rng : numpy.random.Generator
    p : float

    Returns
    -------
    numpy.ndarray
        (H, W, C) float32, clipped to [0.01, 0.99].
    """
    if rng.random() < p:
        image = add_noise(image, rng.uniform(0, NOISE), rng)
    if rng.random() < p:
        image = adjust_contrast(image, rng.uniform(*GAMMA))
    if rng.random() < p:
        image = smooth(image, rng.uniform(*SIGMA))
    if rng.random() < p:
        image = shift_histogram(image, rng.uniform())
    return np.clip(image, LOW, HIGH)


def add_noise(image: np.ndarray, std: float, rng: np.random.Generator) -> np.ndarray:
    """Add independent Gaussian noise of standard deviation `std` to every pixel and channel."""
    return image + np.float32(std) * rng.standard_normal(image.shape, dtype=np.float32)


def adjust_contrast(image: np.ndarray, gamma: float) -> np.ndarray:
    """Raise intensities, scaled to [0, 1] between the image's extremes, to the power `gamma`.

    Examples
    --------
    >>> adjust_contrast(np.array([[0.0, 0.5, 1.0]], dtype=np.float32), gamma=2.0)
    array([[0.  , 0.25, 1.  ]], dtype=float32)
    """
    low, high = image.min(), image.max()
    if low == high:
        return image
    return ((image - low) / (high - low)) ** np.float32(gamma) * (high - low) + low


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an image (H, W, C) by a Gaussian of `sigma` pixels; beyond its edges it goes on mirrored."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT).reshape(image.shape)


def shift_histogram(image: np.ndarray, middle: float) -> np.ndarray:
    """Map the middle of the image's range to the share `middle` of it, and all else piecewise linearly.

    Parameters
    ----------
    image : numpy.ndarray
        float32, any shape.
    middle : float
        From 0 (darker) to 1 (brighter); 0.5 changes nothing.

    Returns
    -------
    numpy.ndarray
        float32 in the same range.

    Examples
    --------
    >>> shift_histogram(np.array([[0, 0.25, 0.5, 0.75, 1]], dtype=np.float32), middle=0.8)
    array([[0. , 0.4, 0.8, 0.9, 1. ]], dtype=float32)
    """
    low, high = image.min(), image.max()
    dark = np.float32(2 * middle) * (image - low)  # the line of the lower half, offset `low`
    bright = np.float32(2 - 2 * middle) * (image - high) + (high - low)  # of the upper half
    # Two lines that meet in the middle: their larger value bends down, their smaller one up.
    return low + (np.minimum(dark, bright) if middle > 0.5 else np.maximum(dark, bright))
