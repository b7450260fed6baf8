"""The paper's changes of intensity (section 3.2.2): functions of image (C, H, W) float32, amount, generator.

The paper gives ranges and an order; where it is silent, the defaults are those of the published code.
"""

import cv2
import numpy as np


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
