"""Cutting an image into overlapping windows and blending what comes back: pure arithmetic, one axis at a time.

Windows stand on a grid, so everything factors into rows and columns: which pixels to read, how to resample them to
another scale, where the result goes, and with which weight. For each axis the weights of all windows sum to one at
every pixel, so blended windows need no division at the end and no map of weights beside the image.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

MIN_SIDE = 128  # smaller windows are filled up by mirroring: instance normalisation needs some pixels to count


class AxisWindow(NamedTuple):
    """One window along one axis; the two matrices are applied from the left to rows (or, transposed, to columns).

    source : native pixels to read.
    sample : (window, source) float32, from native pixels to window pixels; mirrors at the border of the image.
    target : native pixels that the window writes to.
    restore : (target, window) float32, from window pixels to native pixels, blending weights included.
    """

    source: slice
    sample: np.ndarray
    target: slice
    restore: np.ndarray


def plan_axis(length: int, scale: float = 1.0, window: int = 512, overlap: float = 0.25, stride: int = 32):
    """Return the list of `AxisWindow` that covers `length` pixels seen at `scale`.

    Parameters
    ----------
    length : int
        Pixels of the image along this axis, at least 1.
    scale : float
        The network sees ``round(length * scale)`` pixels.
    window : int
        Largest window in pixels of the network's input, a multiple of `stride`. A shorter image makes one window.
    overlap : float
        Smallest fraction of the window shared with its neighbour, in [0, 1).
    stride : int
        Windows start at multiples of it, so that the network's grid is the same in all of them.

    Returns
    -------
    list of AxisWindow
        The weights in ``restore`` of all windows sum to 1 at every pixel.

    Examples
    --------
    >>> [(w.source.start, w.source.stop) for w in plan_axis(1000, window=512)]
    [(0, 512), (256, 768), (512, 1000)]
    """
    scaled = max(1, round(length * scale))
    padded = max(-(-scaled // stride) * stride, -(-MIN_SIDE // stride) * stride)
    size = min(window, padded)
    starts = window_starts(padded, size, overlap, stride)
    ramp = max(1, size - max(np.diff(starts), default=0)) if len(starts) > 1 else 1
    ratio = scaled / length
    native = (np.arange(length) + 0.5) * ratio  # positions of native pixels in network pixels
    profiles = [_profile(native - start, size, ramp) for start in starts]
    total = np.sum(profiles, axis=0)
    plan = []
    for start, profile in zip(starts, profiles, strict=True):
        seen = mirrored(np.arange(start, start + size), scaled)
        source, sample = resampling((seen + 0.5) / ratio - 0.5, length, max(1.0, 1 / ratio))
        inside = np.flatnonzero(profile)
        target = slice(int(inside[0]), int(inside[-1]) + 1)
        columns, restore = resampling(native[target] - start - 0.5, size, max(1.0, ratio))
        full = np.zeros((len(restore), size))
        full[:, columns] = restore * (profile / total)[target, None]
        plan.append(AxisWindow(source, sample.astype(np.float32), target, full.astype(np.float32)))
    return plan


def window_starts(length: int, size: int, overlap: float, stride: int) -> list[int]:
    """Return evenly spread starts, multiples of `stride`, of windows that cover `length` (a multiple of `stride`)."""
    step = max(1, int(size * (1 - overlap) / stride)) * stride
    n = math.ceil((length - size) / step) + 1
    return [round(start) * stride for start in np.linspace(0, (length - size) // stride, n)]


def mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Fold positions outside [0, length) back as a mirror does, the edge pixel repeated: any distance, any length.

    Examples
    --------
    >>> mirrored(np.arange(-2, 6), 3)
    array([1, 0, 0, 1, 2, 2, 1, 0])
    """
    index = np.mod(index, 2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def resampling(positions: np.ndarray, length: int, support: float = 1.0) -> tuple[slice, np.ndarray]:
    """Return the pixels needed to read `positions`, and the matrix that reads them by linear interpolation.

    A `support` above 1 averages over that many pixels on each side: needed when the result has fewer pixels.

    Examples
    --------
    >>> pixels, matrix = resampling(np.array([1.0, 1.25]), 4)
    >>> pixels, matrix.tolist()
    (slice(1, 3, None), [[1.0, 0.0], [0.75, 0.25]])
    """
    positions = np.clip(positions, 0, length - 1)
    first = max(0, math.floor(positions.min() - support + 1))
    last = min(length - 1, math.ceil(positions.max() + support - 1))
    distance = np.abs(np.arange(first, last + 1) - positions[:, None])
    matrix = np.clip(1 - distance / support, 0, None)
    return slice(first, last + 1), matrix / matrix.sum(axis=1, keepdims=True)


def _profile(position: np.ndarray, size: int, ramp: int) -> np.ndarray:
    """Weight of a window at `position` from its start: 1 inside, falling smoothly over `ramp` pixels, 0 outside."""
    depth = np.minimum(position, size - position)  # from the nearer end of the window
    t = np.clip(depth / ramp, 0, 1)
    return t * t * (3 - 2 * t)
