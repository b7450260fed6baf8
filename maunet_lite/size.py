"""How large are the cells, and are they dark or bright? Asked before an image is segmented.

The network knows cells of some sizes best (:data:`TYPICAL`). Here it looks at the image, or at a window of
it, at several scales an octave apart. At the right one it is sure of itself: pixels belong clearly to cells
or to the background, and the distance field is that of the cells which the post-processing finds in it. Where
cells are too large or too small, it is not. The surest look measures the cells (:func:`estimate_diameter`).
In the same way it tells a picture from its negative: if it is surer of that, cells are sought there.

The looks cost little: a coarse one has few pixels, and a fine one is taken at the window where the coarse
ones saw most cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from maunet_lite.intensity import HIGH, LOW
from maunet_lite.postprocessing import Maps, segment
from maunet_lite.preprocessing import distance_field

TYPICAL = 28.0  # pixels: diameter of cells that the shipped networks segment best, measured on `val`
RANGE = (
    16.0,
    42.0,
)  # pixels: cells of about these sizes are segmented as well, so the image is left as it is
TOLERATED = (10.0, 56.0)  # pixels: so it is with these, unless another look is surer by more than …
MARGIN = 0.06
TARGET = 38.0  # pixels: of estimates, which lean to the larger cells; TYPICAL is of true diameters
SCALES = (0.25, 0.5, 1.0, 2.0)  # of the looks
WINDOWS = (
    160,
    320,
)  # least and largest side of a look in pixels of the network; between, a share of the image's
SHARES = {0.25: 0.5, 0.5: 0.45, 1.0: 0.35, 2.0: 0.3}  # of the sides of the image, in pixels of the network
ZOOMS = (1 / 16, 3.0)  # no image is enlarged or reduced further
SURER = 0.05  # the network must be surer of the negative by so much, and see there …
AS_MANY = 0.6  # … such a share of the cells at least: not only the gaps in a crowd
SMALLEST = 16  # pixels: no look is taken at images or windows that have a smaller side
FEWEST_PIXELS = 12  # of a cell that counts

Look = Callable[[np.ndarray], Maps]


class Seen(NamedTuple):
    """What a look at one scale found.

    Attributes
    ----------
    scale : float
        Of the look, relative to the image.
    diameter : float
        Of the cells found, in pixels of the image; NaN if there are none.
    cells : int
        Number of them.
    certainty : float
        From about -1 to 1; -inf without cells.
    maps : Maps or None
        Of the look at scale 1, if it saw the whole image: they need not be computed again.
    """

    scale: float
    diameter: float
    cells: int
    certainty: float
    maps: Maps | None = None


class Size(NamedTuple):
    """How large the cells of an image are, and what that means for the network.

    Attributes
    ----------
    diameter : float
        Pixels of the image; NaN if no cell was found at any scale.
    zoom : float
        Scale at which the network is to see the image; 1 where `diameter` is about right or unknown.
    looks : tuple of Seen
        From coarse to fine.
    negative : bool
        The network is to see the negative of the image: cells there look like those that it knows.
    """

    diameter: float
    zoom: float
    looks: tuple[Seen, ...] = ()
    negative: bool = False

    @property
    def maps(self) -> Maps | None:
        """Maps of the whole image, or of its negative, at `zoom`, if one of the looks made them."""
        return next((seen.maps for seen in self.looks if seen.maps is not None and self.zoom == 1), None)

    @property
    def certainty(self) -> float:
        """Of the surest look; -inf without one."""
        return max((seen.certainty for seen in self.looks), default=-math.inf)

    def sentence(self) -> str:
        """Say in one line what was found and chosen.

        Examples
        --------
        >>> Size(104.2, 0.25).sentence()
        'cells measure about 104 pixels: the network sees the image at 0.25 of its size'
        """
        if math.isnan(self.diameter):
            return "no cells were found at any scale, so their size is unknown: give it with diameter="
        seen = "as it is" if self.zoom == 1 else f"at {self.zoom:.2g} of its size"
        what = "its negative" if self.negative else "the image"
        return f"cells measure about {self.diameter:.3g} pixels: the network sees {what} {seen}"


def zoom_for(diameter: float) -> float:
    """Return the scale at which cells of `diameter` pixels have the size that the networks know best.

    Examples
    --------
    >>> [round(zoom_for(d), 2) for d in (104, 30, 13)]
    [0.27, 1.0, 2.15]
    """
    if not diameter > 0 or math.isinf(diameter):
        raise ValueError(f"diameter is {diameter}; expected that of the cells in pixels, a positive number")
    if RANGE[0] <= diameter <= RANGE[1]:
        return 1.0
    return float(np.clip(TYPICAL / diameter, *ZOOMS))


def estimate_diameter(look: Look, image: np.ndarray, scales: Sequence[float] = SCALES) -> Size:
    """Estimate the diameter of the cells of an image, and how the network is to see it.

    Parameters
    ----------
    look : callable
        Takes an image (h, w, 3) like `image`, at least 16 × 16 pixels, and returns the network's maps of it.
    image : numpy.ndarray
        (H, W, 3) float32 in [0.01, 0.99], normalised as a whole.
    scales : sequence of float
        At which to look.

    Returns
    -------
    Size
        The median diameter (as of disks of equal area, weighted towards large cells, lest specks decide),
        the zoom, whether to take the negative, and what was seen at each scale.

    Examples
    --------
    A network that finds what is bright, and that is sure if the squares it sees measure 10 to 30 pixels:

    >>> def look(image):
    ...     bright = image[..., 0] > 0.5
    ...     side = np.sqrt(bright.sum() / 4)
    ...     interior = bright * np.float32(0.99 if 10 < side < 30 else 0.75)
    ...     return Maps(np.stack([1 - interior, interior]), interior)
    >>> image = np.full((400, 400, 3), 0.01, dtype=np.float32)
    >>> image[40:140, 40:140] = image[40:140, 240:340] = 0.99
    >>> image[240:340, 40:140] = image[240:340, 240:340] = 0.99
    >>> size = estimate_diameter(look, image)
    >>> round(size.diameter), round(size.zoom, 2)
    (113, 0.29)
    """
    size, surest = _looked(look, image, scales)
    if surest is None or not _surer_of_negative(look, *surest):
        return size
    reverse, _ = _looked(look, negative(image), scales)
    return reverse._replace(negative=True) if reverse.certainty > size.certainty + SURER else size


def negative(image: np.ndarray) -> np.ndarray:
    """Return the negative of a normalised image: bright is dark.

    Examples
    --------
    >>> negative(np.array([[0.01, 0.99]], dtype=np.float32)).round(2)
    array([[0.99, 0.01]], dtype=float32)
    """
    return np.float32(LOW + HIGH) - image


def _looked(
    look: Look, image: np.ndarray, scales: Sequence[float]
) -> tuple[Size, tuple[np.ndarray, Maps] | None]:
    """Return the size, and the part of the image that the surest look saw, with its maps."""
    looks: list[Seen] = []
    where = np.array([0.5, 0.5])  # of the image: where a window is taken
    best, surest = None, -math.inf
    for scale in sorted(scales):
        part, whole = _part(image, scale, where)
        if min(part.shape[:2]) < SMALLEST and scale < 1:
            continue
        maps = look(part)
        where = _crowd(maps, where, part.shape, image.shape, scale)
        looks.append(_seen(maps, scale, keep=scale == 1 and whole))
        if looks[-1].certainty > surest or best is None:
            best, surest = (part, maps), looks[-1].certainty
        if scale >= 1 and looks[-1].diameter * scale > RANGE[0] and looks[-1].certainty > 0:
            break  # cells are large enough already: they need not be enlarged
    if not looks:  # a few pixels
        return Size(math.nan, 1.0), None
    seen = max(looks, key=lambda seen: seen.certainty)
    return Size(seen.diameter, _zoom(seen, looks), tuple(looks)), best


def _surer_of_negative(look: Look, part: np.ndarray, maps: Maps) -> bool:
    """Tell whether the network is surer of the negative, in the most crowded window of a part."""
    middle, sides = _crowded(maps, WINDOWS[0]), [min(WINDOWS[0], n) for n in part.shape[:2]]
    starts = [
        int(np.clip(at - side // 2, 0, n - side))
        for at, side, n in zip(middle, sides, part.shape[:2], strict=True)
    ]
    window = tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    distance = None if maps.distance is None else maps.distance[window]
    usual = _seen(Maps(maps.probabilities[(slice(None), *window)], distance), 1.0, keep=False)
    reverse = _seen(look(negative(part[window])), 1.0, keep=False)
    return reverse.certainty > usual.certainty + SURER and reverse.cells >= AS_MANY * usual.cells


def _zoom(best: Seen, looks: Sequence[Seen]) -> float:
    """Return the scale that size and certainty agree on: half-way between what each of them asks for."""
    if math.isnan(best.diameter) or RANGE[0] <= best.diameter <= RANGE[1]:
        return 1.0
    as_it_is = max((seen.certainty for seen in looks if seen.scale == 1), default=-math.inf)
    if TOLERATED[0] <= best.diameter <= TOLERATED[1] and as_it_is > best.certainty - MARGIN:
        return 1.0
    return float(np.clip(math.sqrt(TARGET / best.diameter * best.scale), *ZOOMS))


def _part(image: np.ndarray, scale: float, where: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the image at `scale`, or a window around `where` if that is large; and whether it is all."""
    share = SHARES.get(scale, 0.4) * math.sqrt(math.prod(image.shape[:2]))
    small = max(image.shape[:2]) * scale <= WINDOWS[1] and scale <= 1  # maps at scale 1 may be used again
    side = math.ceil((WINDOWS[1] if small else float(np.clip(share, *WINDOWS))) / scale)
    starts = [
        int(np.clip(round(at * n) - side // 2, 0, max(0, n - side)))
        for at, n in zip(where, image.shape[:2], strict=True)
    ]
    window = image[starts[0] : starts[0] + side, starts[1] : starts[1] + side]
    if scale != 1:
        shape = [max(1, round(n * scale)) for n in window.shape[1::-1]]
        window = cv2.resize(window, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return window, max(image.shape[:2]) <= side


def _crowd(
    maps: Maps, where: np.ndarray, part: tuple[int, ...], image: tuple[int, ...], scale: float
) -> np.ndarray:
    """Return where, as a share of the image's sides, the next finer window holds most cells."""
    share = np.array(part[:2]) / scale / np.array(image[:2])  # of the image that the look saw
    start = np.clip(where - share / 2, 0, np.maximum(1 - share, 0))
    return start + share * (np.array(_crowded(maps, min(*part[:2]) // 2)) + 0.5) / part[:2]


def _crowded(maps: Maps, side: int) -> tuple[int, int]:
    """Return the middle, (row, column), of the window of this side that holds most foreground."""
    box = [min(side, n) for n in maps.probabilities.shape[1:]]
    crowd = cv2.boxFilter(1 - maps.probabilities[0], -1, box[::-1], borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(crowd.argmax(), crowd.shape)
    return int(row), int(column)


def _seen(maps: Maps, scale: float, keep: bool) -> Seen:
    """Measure the cells in the maps of a look, and how sure the network is of them."""
    labels = segment(maps, keep_steps=False).labels
    areas = np.bincount(labels.ravel())[1:].astype(float)
    areas = areas[areas >= FEWEST_PIXELS]
    if not areas.size:
        return Seen(scale, math.nan, 0, -math.inf, maps if keep else None)
    median, weighted = np.median(areas), (areas**2).sum() / areas.sum()
    diameter = math.sqrt(4 / math.pi * math.sqrt(median * weighted)) / scale
    return Seen(scale, diameter, int(areas.size), _certainty(maps, labels), maps if keep else None)


def _certainty(maps: Maps, labels: np.ndarray | None = None) -> float:
    """Tell how sure the network is of the cells that it sees, -inf if of none."""
    labels = segment(maps, keep_steps=False).labels if labels is None else labels
    cells = labels > 0
    if not cells.any():
        return -math.inf
    certainty = float(maps.probabilities[1:3].sum(axis=0)[cells].mean())
    foreground = 1 - maps.probabilities[0]
    certainty -= float(((foreground > 0.1) & (foreground < 0.9)).mean())
    if maps.distance is not None:
        certainty -= float(np.abs(np.clip(maps.distance, 0, 1) - distance_field(labels))[cells].mean())
    return certainty
