"""Intensities of any microscope to the range that the network is trained on (paper, section 2.1)."""

import math
from collections.abc import Sequence

import numpy as np
from skimage.exposure import rescale_intensity

from maunet_lite.data import validate_image

LOW, HIGH = 0.01, 0.99


def normalize(
    image: np.ndarray, method: str = "authors", *, limits: Sequence[tuple[float, float]] | None = None
) -> np.ndarray:
    """Scale any image to three channels in [0.01, 0.99] (paper, section 2.1).

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C) with C from 1 to 4, of any integer or floating type. One channel is copied three
        times; two become the first two of three, the third stays black; of four, the last (alpha) is dropped.
        NaN counts as black, that is as 0.
    method : {"authors", "paper"}
        ``"authors"`` (the published code): each channel from the 1st to the 99th percentile of its non-zero
        pixels, clipped, so that a few hot pixels or a black surround do not squeeze the cells into a few grey
        levels. Where both percentiles are equal, the channel's minimum and maximum take their place.
        ``"paper"`` (the text): from the minimum to the maximum of all channels together, which keeps hues.
    limits : sequence of (low, high), optional
        What becomes 0.01 and 0.99, for each channel, in place of `method`: for a part of an image that must
        be scaled like the whole (`scale.slides.intensity`).

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
        If `method` is unknown.

    Examples
    --------
    >>> normalize(np.array([[0, 50, 100]], dtype=np.uint8), method="paper")[..., 0]
    array([[0.01, 0.5 , 0.99]], dtype=float32)
    """
    if method not in ("authors", "paper"):
        raise ValueError(f'method is {method!r}; use "authors" (percentiles) or "paper" (minimum to maximum)')
    image = validate_image(image)
    channels = image[..., None] if image.ndim == 2 else image[..., :3]
    if image.dtype.kind == "f" and np.isnan(channels).any():
        channels = np.nan_to_num(channels, nan=0.0)
    if limits is None and method == "paper":
        limits = [(channels.min(), channels.max())] * channels.shape[2]
    elif limits is None:
        limits = [_percentile_range(channels[..., c]) for c in range(channels.shape[2])]
    if len(limits) != channels.shape[2]:
        raise ValueError(f"limits are given for {len(limits)} channels; the image has {channels.shape[2]}")
    out = np.full((*channels.shape[:2], 3), LOW, dtype=np.float32)
    for c, (low, high) in enumerate(limits):
        low, high = float(low), float(high)  # large integers that differ may be the same float
        if high > low:
            _rescale(channels[..., c], low, high, out[..., c])
    if channels.shape[2] == 1:
        out[..., 1] = out[..., 2] = out[..., 0]
    return out


def _percentile_range(channel: np.ndarray) -> tuple[float, float]:
    """Percentiles 1 and 99 of the non-zero pixels, or minimum and maximum where these are equal."""
    if channel.dtype in (np.uint8, np.uint16):
        low, high = histogram_percentiles(np.bincount(channel.ravel(), minlength=2))
    else:
        nonzero = channel[channel != 0].astype(np.float64)
        low, high = np.percentile(nonzero, (1, 99), overwrite_input=True) if nonzero.size else (0, 0)
    return (low, high) if high > low else (channel.min(), channel.max())


def histogram_percentiles(counts: np.ndarray) -> tuple[float, float]:
    """Return percentiles 1 and 99 of the non-zero pixels from a histogram, as ``np.percentile`` gives them.

    Parameters
    ----------
    counts : numpy.ndarray
        (N,) integers, N ≥ 2: how many pixels have the value 0, 1, 2, …

    Examples
    --------
    >>> histogram_percentiles(np.array([70, 1, 99, 1]))
    (2.0, 2.0)
    """
    up_to = np.cumsum(counts[1:])  # non-zero pixels of value 1, up to 2, …
    if up_to[-1] == 0:
        return 0, 0

    def percentile(q: float) -> float:
        rank = q / 100 * (up_to[-1] - 1)
        below, above = np.searchsorted(up_to, (int(rank), math.ceil(rank)), side="right") + 1
        return float(below + (above - below) * (rank - int(rank)))

    return percentile(1), percentile(99)


def _rescale(channel: np.ndarray, low: float, high: float, out: np.ndarray) -> None:
    """Write `channel`, mapped linearly from [low, high] to [0.01, 0.99] and clipped, into `out`."""
    if channel.dtype in (np.uint8, np.uint16):
        grey_levels = np.arange(int(channel.max()) + 1, dtype=np.float64)
        out[...] = rescale_intensity(grey_levels, (low, high), (LOW, HIGH)).astype(np.float32)[channel]
        return
    rows = max(1, 2**20 // channel.shape[1])  # in strips: no second copy of a huge image in float64
    for top in range(0, channel.shape[0], rows):
        strip = channel[top : top + rows].astype(np.float64)
        out[top : top + rows] = rescale_intensity(strip, (low, high), (LOW, HIGH))
