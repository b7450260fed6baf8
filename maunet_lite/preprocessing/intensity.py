"""Intensities of any microscope to the range that the network is trained on (paper, section 2.1).

A scaling is found first, from at most four million pixels that lie evenly over the image, and then applied.
So an image that is seen piece by piece is scaled like the whole: both find the same pixels.
"""

import logging
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from skimage.exposure import rescale_intensity

from maunet_lite.data import validate_image

logger = logging.getLogger(__name__)

LOW, HIGH = 0.01, 0.99
ScalingMethod = Literal["robust", "authors", "paper"]
SAMPLE = 2**22  # pixels from which a scaling is found
NOISE = 6.0  # standard deviations of the background: what differs by more is no noise
SURROUNDINGS = 15  # sides of what counts as near to a cell, in means of 4 × 4 pixels
SPARSE = 0.25  # share of an image: if cells and what is near to them fill less, the rest does not count
SPIKE = 0.003  # share of the pixels that have the largest value: they are saturated
COLOURLESS = 0.97  # correlation of channels that show the same

Limits = tuple[float, float]


class Scaling(NamedTuple):
    """Which channels of an image the network sees, and what becomes 0.01 and 0.99 in each.

    Attributes
    ----------
    channels : tuple of int
        For each of the three channels of the network the one of the image, or -1 for black.
    limits : tuple of (low, high)
        For each of the three.
    """

    channels: tuple[int, ...]
    limits: tuple[Limits, ...]


def normalize(image: np.ndarray, method: str = "robust", *, scaling: Scaling | None = None) -> np.ndarray:
    """Scale any image to three channels in [0.01, 0.99] (paper, section 2.1).

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C) with C from 1 to 4, of any integer or floating type. NaN counts as black, that is
        as 0.
    method : {"robust", "authors", "paper"}
        ``"authors"`` (the published code): each channel from the 1st to the 99th percentile of its non-zero
        pixels, clipped, so that a few hot pixels or a black surround do not squeeze the cells into a few grey
        levels. Where both percentiles are equal, the channel's minimum and maximum take their place. One
        channel is copied three times; two become the first two of three, the third stays black; of four, the
        last is dropped.
        ``"paper"`` (the text): from the minimum to the maximum of all channels together, which keeps hues.
        ``"robust"``: as ``"authors"``, except where percentiles fail. Channels without signal do not count: a
        single channel with signal, or several that show the same, come out grey, as the same picture without
        colour does. Where cells fill so little of the image that the percentiles lie in the noise of the
        background, the limits are those of the cells; where a saturated part is none of them, it does not
        count.
    scaling : Scaling, optional
        In place of `method`: for a part of an image that must be scaled like the whole.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) float32 in [0.01, 0.99]. A constant channel (for ``"paper"``: image) becomes 0.01; integers
        that are the same in float64 count as constant.

    Raises
    ------
    ImageError
        If the array is boolean, complex, empty, infinite anywhere, channel-first or of another shape.
    ValueError
        If `method` is unknown, or `scaling` names a channel that the image lacks.

    Examples
    --------
    >>> normalize(np.array([[0, 50, 100]], dtype=np.uint8), method="paper")[..., 0]
    array([[0.01, 0.5 , 0.99]], dtype=float32)
    """
    image = validate_image(image)
    channels = image[..., None] if image.ndim == 2 else image
    if scaling is None:
        scaling = find_scaling(channels if method == "paper" else channels[sample_of(channels.shape)], method)
    if max(scaling.channels) >= channels.shape[2]:
        raise ValueError(f"{scaling} needs more channels than the {channels.shape[2]} of the image")
    out = np.full((*channels.shape[:2], 3), LOW, dtype=np.float32)
    for k, (c, (low, high)) in enumerate(zip(*scaling, strict=True)):
        if c in scaling.channels[:k]:
            out[..., k] = out[..., scaling.channels.index(c)]
        elif c >= 0 and float(high) > float(low):  # large integers that differ may be the same float
            _rescale(channels[..., c], float(low), float(high), out[..., k])
    return out


def sample_of(shape: Sequence[int]) -> tuple[slice, slice]:
    """Return which rows and columns of an image (H, W, …) its scaling is found from: every k-th.

    Examples
    --------
    >>> sample_of((520, 696))[0].step, sample_of((10_000, 10_000))[0].step
    (1, 5)
    """
    step = math.ceil(math.sqrt(max(1.0, shape[0] * shape[1] / SAMPLE)))
    return slice(None, None, step), slice(None, None, step)


def find_scaling(sample: np.ndarray, method: str = "robust") -> Scaling:
    """Find the scaling of an image from pixels of it.

    Parameters
    ----------
    sample : numpy.ndarray
        (h, w, C): the image, or the rows and columns of it that :func:`sample_of` names.
    method : {"robust", "authors", "paper"}
        See :func:`normalize`.

    Examples
    --------
    Blue cells on black come out grey:

    >>> blue = np.zeros((40, 40, 3), dtype=np.uint8)
    >>> blue[10:20, 10:20, 2] = np.arange(100, 200).reshape(10, 10)
    >>> find_scaling(blue).channels
    (2, 2, 2)
    """
    if method not in get_args(ScalingMethod):
        raise ValueError(f'method is {method!r}; use "robust", "authors" (percentiles) or "paper" (extremes)')
    planes = list(np.moveaxis(sample, -1, 0))
    if sample.dtype.kind == "f":
        planes = [np.nan_to_num(plane, posinf=np.inf, neginf=-np.inf) for plane in planes]
    if method == "paper":
        low, high = min(plane.min() for plane in planes[:3]), max(plane.max() for plane in planes[:3])
        limits: list[Limits] = [(low, high)] * len(planes)
    else:
        limits = [_limits(plane, method == "robust") for plane in planes]
    seen = list(range(len(planes)))
    if method == "robust" and len(planes) > 1:
        seen = channels_with_signal(planes, limits)
    if len(seen) > 3 and method == "robust":
        logger.warning("all %d channels hold signal, the first three are used: choose others", len(seen))
    seen = seen * 3 if len(seen) == 1 else (seen + [-1])[:3]
    return Scaling(tuple(seen), tuple((0.0, 0.0) if c < 0 else limits[c] for c in seen))


def channels_with_signal(planes: Sequence[np.ndarray], limits: Sequence[Limits]) -> list[int]:
    """Return which channels show something of their own: one, if all that hold signal show the same.

    A channel is empty if it is constant, if it only holds noise while another holds more, or if it is a faint
    copy of the strongest, as lossy compression leaves in the other two of a one-colour picture.
    """
    spans = np.array([float(high) - float(low) for low, high in limits])
    shows = [bool(content(plane).any()) for plane in planes]
    if not any(shows):
        return list(range(len(planes)))
    strongest = int(np.argmax(spans * shows))
    leaks = [c != strongest and _is_leak(planes, limits, c, strongest) for c in range(len(planes))]
    seen = [c for c in range(len(planes)) if c == strongest or (shows[c] and not leaks[c])]
    alike = (abs(_correlation(planes[strongest], planes[c])) > COLOURLESS for c in seen)
    return [strongest] if len(seen) < min(len(planes), 3) and all(alike) else seen


def content(plane: np.ndarray) -> np.ndarray:
    """Return where a plane (H, W) shows anything but noise on an even ground: (H, W) bool, with surroundings.

    In means of 4 × 4 pixels noise fades to a quarter of its strength; cells do not.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(100, 5, (400, 400))
    >>> cell = noise + 200 * (np.hypot(*np.mgrid[-200:200, -200:200]) < 9)
    >>> bool(content(noise).any()), round(float(content(cell).mean()), 2)
    (False, 0.04)
    """
    values = plane.astype(np.float32)
    height, width = values.shape
    if min(height, width) < 8:
        return np.full(plane.shape, values.min() < values.max())
    values /= max(1.0, float(np.abs(values).max()))  # differences of huge numbers stay finite
    noise = float(np.median(np.abs(np.diff(values, axis=1)))) / (0.6745 * math.sqrt(2))
    means = cv2.resize(values, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    differs = np.abs(means - np.median(means)) > max(NOISE * noise / 4, 1e-3 * float(np.ptp(means)))
    around = cv2.dilate(differs.astype(np.uint8), np.ones((SURROUNDINGS, SURROUNDINGS), np.uint8))
    return cv2.resize(around, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)


def _is_leak(planes: Sequence[np.ndarray], limits: Sequence[Limits], c: int, strongest: int) -> bool:
    """Tell whether a channel is what lossy compression, which knows 8 bits, leaves of the strongest one.

    With more bits a dim channel is one of its own: another dye, exposed less.
    """
    share = limits[c][1] / max(limits[strongest][1], 1e-12)
    like = abs(_correlation(planes[c], planes[strongest])) > 0.3
    return planes[c].dtype == np.uint8 and (share < 0.08 or (share < 0.25 and like))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if one.min() == one.max() or other.min() == other.max():
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _limits(plane: np.ndarray, robust: bool) -> Limits:
    """Percentiles 1 and 99 of the non-zero pixels, mended if they fail; the extremes where they are equal."""
    values = plane[plane != 0]
    if robust and values.size:
        inside = content(plane)
        if 0 < np.count_nonzero(inside) < SPARSE * plane.size:  # percentiles would lie in the noise around
            values = plane[inside & (plane != 0)]
    values = np.sort(values, axis=None, kind="stable" if values.dtype.itemsize <= 2 else None)  # radix sort
    if not values.size:
        return 0.0, 0.0
    low, high = _at(values, 0.01), _at(values, 0.99)
    if robust:
        high = _below_saturation(values, low, high)
    return (low, high) if high > low else (float(plane.min()), float(plane.max()))


def _below_saturation(values: np.ndarray, low: float, high: float) -> float:
    """Return the 99th percentile of sorted values without saturated debris, if that is what lies on top.

    It is if the largest value is frequent and far above nearly all others, of which more are bright.
    """
    start = int(np.searchsorted(values, values[-1]))
    saturated = 1 - start / values.size
    if not start or saturated < SPIKE:
        return high
    rest = values[:start]
    quarter, middle, cells = _at(rest, 0.25), _at(rest, 0.5), _at(rest, 0.99)
    bright = 1 - np.searchsorted(rest, middle + NOISE * max(middle - quarter, 0.2) / 0.6745) / start
    return cells if low < cells < low + 0.6 * (float(values[-1]) - low) and bright > saturated else high


def _at(values: np.ndarray, share: float) -> float:
    """Quantile of sorted values, as ``np.quantile`` gives it."""
    rank = share * (values.size - 1)
    below, above = float(values[int(rank)]), float(values[math.ceil(rank)])
    return below + (above - below) * (rank - int(rank))


def _rescale(channel: np.ndarray, low: float, high: float, out: np.ndarray) -> None:
    """Write `channel`, mapped linearly from [low, high] to [0.01, 0.99] and clipped, into `out`."""
    if channel.dtype in (np.uint8, np.uint16):
        grey_levels = np.arange(int(channel.max()) + 1, dtype=np.float64)
        out[...] = rescale_intensity(grey_levels, (low, high), (LOW, HIGH)).astype(np.float32)[channel]
        return
    rows = max(1, 2**20 // channel.shape[1])  # in strips: no second copy of a huge image in float64
    for top in range(0, channel.shape[0], rows):
        strip = np.nan_to_num(channel[top : top + rows].astype(np.float64), nan=0.0)
        out[top : top + rows] = rescale_intensity(strip, (low, high), (LOW, HIGH))
