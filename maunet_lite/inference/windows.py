"""Cutting an image into overlapping windows and blending what comes back, one axis at a time.

Windows stand on a grid, so everything factors into rows and columns: which pixels to read, how to resample
them to another scale, where the result goes, and with which weight. Along each axis the weights of all
windows sum to one at every pixel, so blended windows need no division at the end and no map of weights beside
the image.
"""

import math
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Taps(NamedTuple):
    """How to read n values from m pixels: each is a weighted sum of k of them.

    index : (k, n) int64, pixels to read.
    weight : (k, n) float32, their weights; they sum to 1 over k.
    """

    index: np.ndarray
    weight: np.ndarray


class AxisWindow(NamedTuple):
    """One window along one axis.

    source : native pixels to read.
    sample : from those to the pixels of the window; mirrors at the border of the image.
    target : native pixels the window has something to say about.
    restore : from the pixels of the window to those.
    weight : (target,) float32, blending weights.
    """

    source: slice
    sample: Taps
    target: slice
    restore: Taps
    weight: np.ndarray


def plan_axis(
    length: int, scale: float = 1.0, window: int = 512, overlap: int = 128, stride: int = 32
) -> list[AxisWindow]:
    """Cover one axis of an image, seen at `scale`, with windows.

    Parameters
    ----------
    length : int
        Pixels of the image along this axis, at least 1.
    scale : float
        The network sees ``round(length * scale)`` pixels.
    window : int
        Largest window in pixels of the network's input, a multiple of `stride`. Windows are only as large as
        needed.
    overlap : int
        Pixels that neighbours share at least, up to ``window - stride``; they blend over all they share.
    stride : int
        Windows start at multiples of it, so that the network's grid is the same in all of them.

    Returns
    -------
    list of AxisWindow
        From left to right, all of the same size. Their weights sum to 1 at every pixel.

    Raises
    ------
    ValueError
        If `window` is no multiple of `stride`, or `overlap` is too large.

    Examples
    --------
    >>> [(w.source.start, w.source.stop) for w in plan_axis(1000)]
    [(0, 448), (288, 736), (576, 1000)]
    """
    nearest, most = max(1, window // stride) * stride, window - stride
    if window != nearest:
        raise ValueError(f"window is {window}; it must be a multiple of {stride}: use {nearest}")
    if not 0 <= overlap <= most:
        raise ValueError(f"overlap is {overlap} pixels; for windows of {window} it must be in [0, {most}]")
    seen = max(1, round(length * scale))
    size, starts = window_starts(seen, window, overlap, stride)
    ratio = seen / length
    centers = (np.arange(length) + 0.5) * ratio  # native pixels, in pixels of the network's input
    shared = size - int(np.diff(starts).max()) if len(starts) > 1 else 1
    profiles = [blending_profile(centers - start, size, max(1, shared)) for start in starts]
    total = np.sum(profiles, axis=0)
    plan = []
    for start, profile in zip(starts, profiles, strict=True):
        pixels = mirrored(np.arange(start, start + size), seen)
        source, sample = taps((pixels + 0.5) / ratio - 0.5, length, 1 / ratio)
        inside = np.flatnonzero(profile)
        target = slice(int(inside[0]), int(inside[-1]) + 1)
        columns, restore = taps(centers[target] - start - 0.5, size, ratio)
        restore = Taps(restore.index + columns.start, restore.weight)
        plan.append(AxisWindow(source, sample, target, restore, (profile / total)[target].astype(np.float32)))
    return plan


def window_starts(length: int, window: int, overlap: int, stride: int) -> tuple[int, list[int]]:
    """Return the side of the windows and their evenly spread starts, all multiples of `stride`.

    The fewest windows that share `overlap` pixels are used, and each is as small as that number allows.

    Examples
    --------
    >>> window_starts(1024, 512, 128, 32)
    (448, [0, 288, 576])
    """
    # A smaller window is filled up by mirroring: instance normalisation needs some pixels to count.
    padded = stride * math.ceil(max(length, min(128, window)) / stride)
    if padded <= window:
        return padded, [0]
    n = math.ceil((padded - overlap) / (window - overlap))
    size = stride * math.ceil(max((padded + (n - 1) * overlap) / n, overlap + stride) / stride)
    while True:
        starts = [stride * round(start) for start in np.linspace(0, (padded - size) // stride, n)]
        if max(np.diff(starts)) <= size - overlap:
            return size, starts
        n += 1  # rounding to the stride has left a gap too wide


def blending_profile(position: np.ndarray, size: int, ramp: int) -> np.ndarray:
    """Weight of a window at `position` from its start: 1 inside, falling over `ramp` pixels, 0 outside."""
    t = np.clip(np.minimum(position, size - position) / ramp, 0, 1)
    return t * t * (3 - 2 * t)


def mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Fold positions outside [0, length) back as a mirror does, the edge pixel repeated; from any distance.

    Examples
    --------
    >>> mirrored(np.arange(-2, 6), 3)
    array([1, 0, 0, 1, 2, 2, 1, 0])
    """
    index = np.mod(index, 2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def taps(positions: np.ndarray, length: int, step: float = 1.0) -> tuple[slice, Taps]:
    """Return the pixels needed to read `positions`, and how to read them by linear interpolation.

    Parameters
    ----------
    positions : ndarray
        (n,) positions on an axis of `length` pixels, whose centres are at 0, 1, …; clipped to these.
    length : int
        Pixels along the axis.
    step : float
        Distance between positions. Above 1 there are fewer positions than pixels, and each averages over as
        many pixels on either side, lest fine detail turns into noise.

    Returns
    -------
    slice, Taps
        Pixels, and indices relative to the first of them.

    Examples
    --------
    >>> pixels, (index, weight) = taps(np.array([1.0, 1.25]), 4)
    >>> pixels, index.tolist(), weight.tolist()
    (slice(1, 3, None), [[0, 0], [1, 1]], [[1.0, 0.75], [0.0, 0.25]])
    """
    positions = np.clip(positions, 0, length - 1)
    reach = max(1.0, step)
    k = 1 if reach == 1 and np.array_equal(positions, np.rint(positions)) else math.ceil(2 * reach)
    first = np.floor(positions - reach).astype(int) + 1 if k > 1 else positions.astype(int)
    index = first + np.arange(k)[:, None]  # (k, n)
    weight = np.clip(1 - np.abs(index - positions) / reach, 0, None) * ((index >= 0) & (index < length))
    index = index.clip(0, length - 1)
    start = int(index.min())
    weight = (weight / weight.sum(axis=0)).astype(np.float32)
    return slice(start, int(index.max()) + 1), Taps(index - start, weight)


def resample(x: Tensor, how: Taps, dim: int) -> Tensor:
    """Read `x` along axis `dim`, -2 or -1, as `how` says; on any device."""
    index = torch.from_numpy(how.index).to(x.device)
    if len(index) == 1:
        first, n = int(how.index[0, 0]), how.index.shape[1]
        straight = np.array_equal(how.index[0], np.arange(first, first + n))
        return x.narrow(dim, first, n) if straight else x.index_select(dim, index[0])
    shape = (-1, 1) if dim == -2 else (-1,)
    weight = torch.from_numpy(how.weight).to(x.device)
    parts = (x.index_select(dim, i).mul_(w.view(shape)) for i, w in zip(index, weight, strict=True))
    return reduce(Tensor.add_, parts)
