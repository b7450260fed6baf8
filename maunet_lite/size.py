"""How large are the cells? An estimate before the image is segmented, so that the network sees them at its size.

The network knows cells of some sizes best (:data:`TYPICAL`). Here it looks at the image, or at a window of it, at
several scales an octave apart. At the right one it is sure of itself: pixels belong clearly to cells or to the
background, and the distance field is that of the cells which the post-processing finds in it. Where they are too
large or too small, it is not. The surest look measures the cells (:func:`estimate_diameter`).

The scales cost little: a coarse look has few pixels, and a fine one is taken at the window where the coarse ones
saw most cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from maunet_lite.postprocessing import Maps, segment
from maunet_lite.preprocessing import distance_field

TYPICAL = 26.0  # pixels: diameter of cells that the shipped networks segment best, measured on `val`
RANGE = (
    16.0,
    42.0,
)  # pixels: cells of about these sizes are segmented as well, so the image is left as it is
SCALES = (0.25, 0.5, 1.0, 2.0)  # of the looks
WINDOW = 320  # side, in pixels of the network, of the largest window that a look takes
ZOOMS = (1 / 16, 3.0)  # no image is enlarged or reduced further
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
    """

    diameter: float
    zoom: float
    looks: tuple[Seen, ...] = ()

    @property
    def maps(self) -> Maps | None:
        """Maps of the whole image at `zoom`, if one of the looks made them."""
        return next((seen.maps for seen in self.looks if seen.maps is not None and self.zoom == 1), None)

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
        return f"cells measure about {self.diameter:.3g} pixels: the network sees the image {seen}"


def zoom_for(diameter: float) -> float:
    """Return the scale at which cells of `diameter` pixels have the size that the networks know best.

    Examples
    --------
    >>> zoom_for(104), zoom_for(30), zoom_for(13)
    (0.25, 1.0, 2.0)
    """
    if not diameter > 0 or math.isinf(diameter):
        raise ValueError(f"diameter is {diameter}; expected that of the cells in pixels, a positive number")
    if RANGE[0] <= diameter <= RANGE[1]:
        return 1.0
    return float(np.clip(TYPICAL / diameter, *ZOOMS))


def estimate_diameter(look: Look, image: np.ndarray, scales: Sequence[float] = SCALES) -> Size:
    """Estimate the diameter of the cells of an image, and the scale at which to segment it.

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
        The median diameter (as of disks of equal area, weighted towards large cells, lest specks decide), the
        zoom, and what was seen at each scale.

    Examples
    --------
    A network that finds what is bright, and that is sure if the squares it sees measure 10 to 30 pixels:

    >>> def look(image):
    ...     bright = image[..., 0] > 0.5
    ...     side = np.sqrt(bright.sum() / 4)
    ...     interior = bright * np.float32(0.99 if 10 < side < 30 else 0.75)
    ...     return Maps(np.stack([1 - interior, interior]), interior)
    >>> image = np.full((400, 400, 3), 0.01, dtype=np.float32)
    >>> image[40:140, 40:140] = image[40:140, 240:340] = image[240:340, 40:140] = image[240:340, 240:340] = 0.99
    >>> size = estimate_diameter(look, image)
    >>> round(size.diameter), round(size.zoom, 2)
    (113, 0.23)
    """
    looks: list[Seen] = []
    where = np.array([0.5, 0.5])  # of the image: where a window is taken
    for scale in sorted(scales):
        part, whole = _part(image, scale, where)
        if min(part.shape[:2]) < SMALLEST and scale < 1:
            continue
        maps = look(part)
        if not whole or max(image.shape[:2]) * max(scales) > WINDOW:
            where = _crowd(maps, where, part.shape, image.shape, scale)
        looks.append(_seen(maps, scale, keep=scale == 1 and whole))
        if scale >= 1 and looks[-1].diameter * scale > RANGE[0] and looks[-1].certainty > 0:
            break  # cells are large enough already: they need not be enlarged
    best = max(looks, key=lambda seen: seen.certainty)
    if math.isnan(best.diameter):
        return Size(math.nan, 1.0, tuple(looks))
    return Size(best.diameter, zoom_for(best.diameter), tuple(looks))


def _part(image: np.ndarray, scale: float, where: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the image at `scale`, or a window of it around `where` if that is large; and whether it is all."""
    side = math.ceil(WINDOW / scale)
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
    half = max(3, min(WINDOW, *part[:2]) // 4 * 2 + 1)
    crowd = cv2.boxFilter(1 - maps.probabilities[0], -1, (half, half), borderType=cv2.BORDER_CONSTANT)
    return start + share * (np.array(np.unravel_index(crowd.argmax(), crowd.shape)) + 0.5) / crowd.shape


def _seen(maps: Maps, scale: float, keep: bool) -> Seen:
    """Measure the cells in the maps of a look, and how sure the network is of them."""
    labels = segment(maps, keep_steps=False).labels
    areas = np.bincount(labels.ravel())[1:].astype(float)
    areas = areas[areas >= FEWEST_PIXELS]
    if not areas.size:
        return Seen(scale, math.nan, 0, -math.inf, maps if keep else None)
    cells = labels > 0
    median, weighted = np.median(areas), (areas**2).sum() / areas.sum()
    diameter = math.sqrt(4 / math.pi * math.sqrt(median * weighted)) / scale
    certainty = float(maps.probabilities[1:3].sum(axis=0)[cells].mean())
    foreground = 1 - maps.probabilities[0]
    certainty -= float(((foreground > 0.1) & (foreground < 0.9)).mean())
    if maps.distance is not None:
        certainty -= float(np.abs(np.clip(maps.distance, 0, 1) - distance_field(labels))[cells].mean())
    return Seen(scale, diameter, int(areas.size), certainty, maps if keep else None)
