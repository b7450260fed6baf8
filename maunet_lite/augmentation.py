"""Random changes of training patches (paper section 3.2.2): resize, pad, crop, flip, rotate, and change intensities.

Geometry works on the window that the patch needs and not on the whole image, so that a patch of a slide costs as much as
a patch of a thumbnail. Intensities are MONAI's transforms. Every function takes its random generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from maunet_lite.intensity import HIGH, LOW


@dataclass(frozen=True)
class AugmentationConfig:
    """How training patches are drawn. The defaults are the paper's where it gives a number.

    patch : side of the square patch in pixels.
    zoom : range of the random resize, log-uniform, so that halving is as likely as doubling.
    around_cell : share of patches that are centred near a random cell (0 in the paper: anywhere). Where cells are rare,
        patches drawn anywhere show none.
    p_geometry : probability of a resize, of each flip and of a rotation by a multiple of 90°.
    p_intensity : probability of each of noise, contrast, smoothing and histogram shift.
    """

    patch: int = 512
    zoom: tuple[float, float] = (0.25, 2.0)
    around_cell: float = 0.0
    p_geometry: float = 0.5
    p_intensity: float = 0.25


def random_window(
    shape: tuple[int, int], config: AugmentationConfig, rng: np.random.Generator, centre: tuple[int, int] | None = None
) -> tuple[slice, slice, float]:
    """Choose a window of an image of `shape` and the zoom that turns it into a patch.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the image.
    config : AugmentationConfig
    rng : numpy.random.Generator
    centre : tuple of int, optional
        (row, column) to keep near the window's middle; anywhere by default.

    Returns
    -------
    rows, columns : slice
        The window; smaller than asked for where the image is smaller (the rest is padded by `resize_window`).
    zoom : float

    Examples
    --------
    >>> rows, columns, zoom = random_window((300, 200), AugmentationConfig(patch=64), np.random.default_rng(0))
    >>> rows.stop - rows.start == round(64 / zoom)
    True
    """
    low, high = config.zoom
    zoom = float(np.exp(rng.uniform(np.log(low), np.log(high)))) if rng.random() < config.p_geometry else 1.0
    side = max(1, round(config.patch / zoom))
    slices = []
    for axis, size in enumerate(shape):
        if size <= side:
            slices.append(slice(0, size))
            continue
        if centre is None:
            start = int(rng.integers(0, size - side + 1))
        else:
            shift = int(rng.integers(-side // 4, side // 4 + 1))
            start = int(np.clip(centre[axis] - side // 2 + shift, 0, size - side))
        slices.append(slice(start, start + side))
    return slices[0], slices[1], zoom


def resize_window(array: np.ndarray, zoom: float, patch: int, offset: tuple[float, float], fill: float) -> np.ndarray:
    """Resize a window by `zoom` and pad it to `patch` × `patch`.

    Parameters
    ----------
    array : numpy.ndarray
        (h, w) or (h, w, C). Images (float32, three axes) are averaged when they shrink and interpolated when they grow;
        targets (two axes) keep their values (nearest pixel).
    zoom : float
    patch : int
        Side of the result.
    offset : tuple of float
        In [0, 1): where the content lies along each axis if it does not fill the patch.
    fill : float
        Value of the padding.

    Returns
    -------
    numpy.ndarray
        (patch, patch) or (patch, patch, C), dtype of `array`.
    """
    height, width = (max(1, min(patch, round(size * zoom))) for size in array.shape[:2])
    if (height, width) != array.shape[:2]:
        smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        mode = smooth if array.ndim == 3 else cv2.INTER_NEAREST_EXACT
        array = cv2.resize(np.ascontiguousarray(array), (width, height), interpolation=mode)
    if (height, width) == (patch, patch):
        return array
    out = np.full((patch, patch, *array.shape[2:]), fill, dtype=array.dtype)
    top, left = int(offset[0] * (patch - height + 1)), int(offset[1] * (patch - width + 1))
    out[top : top + height, left : left + width] = array
    return out


def random_flips(arrays: Sequence[np.ndarray], rng: np.random.Generator, p: float = 0.5) -> list[np.ndarray]:
    """Flip and rotate by multiples of 90°, the same way for all `arrays` (square in their first two axes)."""
    arrays = list(arrays)
    for axis in (0, 1):
        if rng.random() < p:
            arrays = [np.flip(a, axis) for a in arrays]
    if rng.random() < p:
        turns = int(rng.integers(1, 4))
        arrays = [np.rot90(a, turns) for a in arrays]
    return [np.ascontiguousarray(a) for a in arrays]


@lru_cache(maxsize=4)
def _intensity_transforms(p: float) -> tuple[Any, ...]:
    # Imported here: MONAI takes seconds to import, and only training needs it.
    from monai.transforms import RandAdjustContrast, RandGaussianNoise, RandGaussianSmooth, RandHistogramShift

    sigma = (0.5, 2.0)
    return (
        RandGaussianNoise(prob=p, std=0.1),
        RandAdjustContrast(prob=p, gamma=(1.0, 2.0)),
        RandGaussianSmooth(prob=p, sigma_x=sigma, sigma_y=sigma),
        RandHistogramShift(prob=p, num_control_points=3),
    )


def random_intensity(image: np.ndarray, rng: np.random.Generator, p: float = 0.25) -> np.ndarray:
    """Add noise, change contrast, smooth and shift the histogram, each with probability `p`.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W, 3) float32 in [0.01, 0.99].
    rng : numpy.random.Generator
    p : float

    Returns
    -------
    numpy.ndarray
        (H, W, 3) float32, clipped to [0.01, 0.99].
    """
    if p == 0:
        return image
    x = np.ascontiguousarray(image.transpose(2, 0, 1))  # MONAI wants channels first
    for transform in _intensity_transforms(p):
        transform.set_random_state(seed=int(rng.integers(2**32)))
        x = transform(x)
    return np.clip(np.asarray(x, dtype=np.float32).transpose(1, 2, 0), LOW, HIGH)
