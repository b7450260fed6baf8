"""Intensity limits of an image that is seen piece by piece: the same numbers as from the whole.

Blocks of a slide must all be scaled alike, or there are seams. :class:`IntensityCount` counts values while
pieces pass by and then knows the limits that `preprocessing.normalize` takes from a whole
image: percentiles 1 and 99 of the non-zero pixels of each channel. Nothing is approximated. Images of 8 and
16 bit need one pass; for floats a first pass counts the upper half of the 32 bits and a second one the lower
half where the percentiles lie.
"""

from __future__ import annotations

import math

import numpy as np

from maunet_lite.data import ImageError
from maunet_lite.preprocessing import histogram_percentiles

Limits = list[tuple[float, float]]


class IntensityCount:
    """Counts the values of an image that comes in pieces.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the pieces: uint8, uint16 or float32.
    channels : int
        Channels of the pieces; 1 also for pieces without an axis of channels.

    Examples
    --------
    >>> count = IntensityCount(np.dtype("uint8"), channels=1)
    >>> for piece in (np.array([[0, 10]]), np.array([[20, 30]])):
    ...     count.add(piece.astype(np.uint8))
    >>> count.done, count.limits()
    (True, [(10.2, 29.8)])
    """

    def __init__(self, dtype: np.dtype, channels: int) -> None:
        if dtype not in (np.uint8, np.uint16, np.float32):
            raise ImageError(f"values of type {dtype} cannot be counted: expected uint8, uint16 or float32")
        self.whole = dtype != np.float32
        size = 256 if dtype == np.uint8 else 65_536
        self.counts = np.zeros((channels, size), dtype=np.int64)  # of values, or of their upper halves
        self.extremes = np.full((channels, 2), (np.inf, -np.inf))
        self.lower: list[dict[int, np.ndarray]] | None = None  # counts of lower halves, by upper half

    @property
    def done(self) -> bool:
        """Tell whether the limits are known; if not after all pieces, call `next_pass` and add them again."""
        return self.whole or self.lower is not None

    def add(self, piece: np.ndarray) -> None:
        """Count a piece, (h, w) or (h, w, C). NaN counts as 0, infinity is refused."""
        for c, values in enumerate(np.atleast_3d(piece).transpose(2, 0, 1)[: len(self.counts)]):
            if self.whole:
                self.counts[c] += np.bincount(values.ravel(), minlength=self.counts.shape[1])
            else:
                self._add_floats(c, np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf))

    def _add_floats(self, c: int, values: np.ndarray) -> None:
        if self.lower is None:
            low, high = float(values.min()), float(values.max())
            if not math.isfinite(low) or not math.isfinite(high):
                raise ImageError(
                    "the image holds values infinite or beyond the range of float32; expected finite numbers "
                    "or NaN (black)"
                )
            self.extremes[c] = min(low, self.extremes[c][0]), max(high, self.extremes[c][1])
        ranks = _sortable(values[values != 0])
        if self.lower is None:
            self.counts[c] += np.bincount(ranks >> 16, minlength=65_536)
            return
        for upper, counts in self.lower[c].items():
            counts += np.bincount(ranks[ranks >> 16 == upper] & 0xFFFF, minlength=65_536)

    def next_pass(self) -> None:
        """Begin the second pass over the pieces of a float image."""
        self.lower = []
        for counts in self.counts:
            up_to = np.cumsum(counts)
            places = {place for q in (1, 99) for place in _places(q, int(up_to[-1]))}
            uppers = {int(np.searchsorted(up_to, place, side="right")) for place in places}
            self.lower.append({upper: np.zeros(65_536, dtype=np.int64) for upper in uppers})

    def limits(self) -> Limits:
        """Return (low, high) of each channel: percentiles, or the extremes where percentiles are equal."""
        if not self.done:
            raise RuntimeError("a float image takes two passes: call next_pass() and add its pieces again")
        return [self._limits(c) for c in range(len(self.counts))]

    def _limits(self, c: int) -> tuple[float, float]:
        counts = self.counts[c]
        if self.whole:
            low, high = histogram_percentiles(counts)
            seen = np.flatnonzero(counts)
            extremes = (int(seen[0]), int(seen[-1])) if seen.size else (0, 0)
        else:
            low, high = (self._percentile(c, q) for q in (1, 99)) if counts.any() else (0.0, 0.0)
            extremes = tuple(self.extremes[c])
        low, high = (low, high) if high > low else extremes
        return float(low), float(high)

    def _percentile(self, c: int, q: float) -> float:
        """Percentile `q` by linear interpolation between two values, as ``np.percentile`` does."""
        up_to = np.cumsum(self.counts[c])
        n = int(up_to[-1])
        below, above = (self._value(c, place, up_to) for place in _places(q, n))
        part = q / 100 * (n - 1) % 1
        return below + (above - below) * part

    def _value(self, c: int, place: int, up_to: np.ndarray) -> float:
        """Return the value at a place in the sorted order."""
        upper = int(np.searchsorted(up_to, place, side="right"))
        before = int(up_to[upper - 1]) if upper else 0
        lower = np.searchsorted(np.cumsum(self.lower[c][upper]), place - before, side="right")
        return _from_sortable(np.uint32((upper << 16) | int(lower)))


def _places(q: float, n: int) -> tuple[int, int]:
    """Places, in n sorted values, of the two between which percentile `q` lies."""
    rank = q / 100 * max(n - 1, 0)
    return int(rank), min(math.ceil(rank), max(n - 1, 0))


def _sortable(values: np.ndarray) -> np.ndarray:
    """Map float32 to uint32 in the same order: negative numbers with all bits turned, others with one."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(2**31))


def _from_sortable(rank: np.uint32) -> float:
    bits = rank & np.uint32(2**31 - 1) if rank >> np.uint32(31) else ~rank
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])
