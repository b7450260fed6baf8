"""Intensity limits of an image that is seen piece by piece: the same numbers as from the whole.

Blocks of a slide must all be scaled alike, or there are seams. What becomes 0.01 and 0.99 is found as
`preprocessing.normalize` finds it in a whole image: percentiles 1 and 99 of the non-zero pixels of each
channel. Nothing is approximated. Images of 8 and 16 bit need one pass; for floats a first pass counts the
upper half of the 32 bits and a second one the lower half where the percentiles lie.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from tqdm.auto import tqdm

from maunet_lite.data import ImageError
from maunet_lite.preprocessing import histogram_percentiles
from maunet_lite.scale.reading.slide import Slide

Limits = list[tuple[float, float]]
Pieces = Callable[[], Iterable[np.ndarray]]
_HALF = 2**16


def find_limits(slide: Slide, progress: bool = False) -> Limits:
    """Return the intensities that become 0.01 and 0.99 in each channel, from all pixels of a slide.

    Examples
    --------
    >>> from maunet_lite.scale import open_slide
    >>> find_limits(open_slide(np.array([[0, 10, 20, 30]], dtype=np.uint8)))
    [(10.2, 29.8)]
    """

    def pieces() -> Iterator[np.ndarray]:
        bar = tqdm(list(slide.tiles()), desc="intensities", unit="tile", disable=not progress, leave=False)
        return (slide.read(*place) for place in bar)

    return limits_of_pieces(pieces, slide.dtype, min(slide.channels, 3))


def limits_of_pieces(pieces: Pieces, dtype: np.dtype, channels: int) -> Limits:
    """Return (low, high) of each channel: percentiles, or the extremes where percentiles are equal.

    Parameters
    ----------
    pieces : callable
        Gives the pieces of the image, (h, w) or (h, w, C), as often as it is called.
    dtype : numpy.dtype
        Of the pieces: uint8, uint16 or float32, of which NaN counts as 0.
    channels : int
        How many of the channels of a piece count.

    Raises
    ------
    ImageError
        If the type is another one, or a value infinite.

    Examples
    --------
    >>> rows = np.array([[[0, 10]], [[20, 30]]], dtype=np.uint8)
    >>> limits_of_pieces(lambda: rows, rows.dtype, 1)
    [(10.2, 29.8)]
    """
    if dtype not in (np.uint8, np.uint16, np.float32):
        raise ImageError(f"values of type {dtype} cannot be counted: expected uint8, uint16 or float32")
    find = _limits_of_floats if dtype == np.float32 else _limits_of_integers
    return [(float(low), float(high)) for low, high in find(pieces, channels)]


def _planes(pieces: Pieces, channels: int) -> Iterator[tuple[int, np.ndarray]]:
    """Go through the channels of all pieces; NaN has become 0."""
    for piece in pieces():
        for c, plane in enumerate(np.atleast_3d(piece).transpose(2, 0, 1)[:channels]):
            yield c, np.nan_to_num(plane, posinf=np.inf, neginf=-np.inf) if plane.dtype.kind == "f" else plane


def _limits_of_integers(pieces: Pieces, channels: int) -> Iterator[tuple[float, float]]:
    counts = np.zeros((channels, _HALF), dtype=np.int64)
    for c, values in _planes(pieces, channels):
        counts[c] += np.bincount(values.ravel(), minlength=_HALF)
    for c in range(channels):
        low, high = histogram_percentiles(counts[c])
        yield (low, high) if high > low else np.flatnonzero(counts[c])[[0, -1]]


def _limits_of_floats(pieces: Pieces, channels: int) -> Iterator[tuple[float, float]]:
    upper = np.zeros((channels, _HALF), dtype=np.int64)
    extremes = np.full((channels, 2), (np.inf, -np.inf))
    for c, values in _planes(pieces, channels):
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise ImageError(
                "the image holds values infinite or beyond the range of float32; expected finite numbers or "
                "NaN (black)"
            )
        extremes[c] = min(low, extremes[c][0]), max(high, extremes[c][1])
        upper[c] += np.bincount(_sortable(values[values != 0]) >> 16, minlength=_HALF)
    up_to = np.cumsum(upper, axis=1)
    # the four places, in all values in order, from which each channel's percentiles are interpolated
    ranks = np.maximum(up_to[:, -1:] - 1, 0) * [0.01, 0.99]
    places = np.concatenate([np.floor(ranks), np.ceil(ranks)], axis=1).astype(int)
    halves = [np.searchsorted(up_to[c], places[c], side="right") for c in range(channels)]
    lower = [{int(half): np.zeros(_HALF, dtype=np.int64) for half in one} for one in halves]
    for c, values in _planes(pieces, channels):
        ordered = _sortable(values[values != 0])
        for half, counts in lower[c].items():
            counts += np.bincount(ordered[ordered >> 16 == half] & 0xFFFF, minlength=_HALF)
    for c in range(channels):
        if not up_to[c, -1]:  # nothing but zeros
            yield tuple(extremes[c])
            continue
        found = []
        for place, half in zip(places[c], map(int, halves[c]), strict=True):
            before = up_to[c, half] - upper[c, half]
            rest = np.searchsorted(np.cumsum(lower[c][half]), place - before, side="right")
            found.append(half << 16 | int(rest))
        below, above = _from_sortable(np.array(found, np.uint32)).reshape(2, 2)
        low, high = below + (above - below) * (ranks[c] % 1)
        yield (low, high) if high > low else tuple(extremes[c])


def _sortable(values: np.ndarray) -> np.ndarray:
    """Map float32 to uint32 in the same order: negative numbers with all bits turned, others with one."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(2**31))


def _from_sortable(values: np.ndarray) -> np.ndarray:
    bits = np.where(values >> 31, values ^ np.uint32(2**31), ~values)
    return bits.view(np.float32).astype(float)
