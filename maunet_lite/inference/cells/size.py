"""How large are the cells? Asked before an image is segmented.

A network knows cells of some sizes best. It looks at windows of the image at several scales, an octave apart.
At the right one it is sure of itself: pixels belong clearly to cells or to the background, and the distance
field is that of the cells which the post-processing finds. Where cells are too large or too small it is not.
The surest look measures the cells (:func:`estimate_size`); the less sure it is, the less the image changes.
Texture looks like cells at every scale, always of the same size in the network's pixels: a look is believed
if the one beside it finds cells of about the same size in the image's.

The looks cost little: a coarse one has few pixels, and a fine one is taken where the coarse ones saw most
cells. A slide is asked in the same way as an image in memory, so both give the same size.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from maunet_lite.postprocessing import Maps, PostprocessConfig, Runs, segment
from maunet_lite.preprocessing import distance_field

# Numbers measured with the shipped weights on the validation split: `python -m benchmarks.size` prints what
# they bring. BELIEVED and ALIKE were chosen on sources that were not trained on (`benchmarks.unseen`).
# All are pixels of the network's input, unless they are shares or scales.
TYPICAL = 26.0  # diameter of cells that it segments best
KNOWN = (22.0, 44.0)  # of cells that it segments about as well: the image stays as it is
DOUBTED = 52.0  # up to here an estimate leaves it so, too, unless the look is CERTAIN
CERTAIN = 0.8  # certainty from which an estimate is taken at its word; below, large ones are mostly too large
BELIEVED = (-0.2, 0.4)  # certainty from which a look counts, and counts in full; between, it counts in part
MARGIN = 0.03  # by which looks that found known sizes are ahead
ALIKE = 0.85  # octaves: sizes that two looks, an octave apart, find of the same cells differ by less
ZOOMS = (1 / 16, 3.0)  # no image is seen smaller or larger than this
SCALES = {0.25: 0.5, 0.5: 0.45, 1.0: 0.35, 2.0: 0.22}  # of the looks: share of the side that each sees
WINDOWS = (160, 320)  # least and largest side of a look
SMALLEST = 96  # no image is reduced to less
FINE = 24.0  # the least size at which no finer look than a coarse one is taken, …
SURE = 0.65  # … if the network is as sure of them
LARGE = 30.0  # the size from which no finer look is taken if it is not
STRICT = PostprocessConfig(foreground=0.3, interior=0.7)  # the paper: what is surely a cell counts
FEWEST_PIXELS = 12  # of a cell that counts
UNSURE = 0.4  # probabilities of the background within this of a half are neither yes nor no

Region = Callable[[slice, slice], Tensor]  # rows, columns → (C, h, w), normalised
Look = Callable[[Tensor, float], Maps]  # (C, h, w), scale → maps of the size at which the network saw it


class Seen(NamedTuple):
    """What a look at one scale found.

    Attributes
    ----------
    scale : float
        Of the look, relative to the image.
    diameter : float
        Of the cells found, in pixels of the image; NaN if there are none.
    certainty : float
        From about -1 to 1; -inf without cells.
    maps : Maps or None
        Of the whole image at scale 1, if that is what it saw: they need not be computed again.
    """

    scale: float
    diameter: float
    certainty: float
    maps: Maps | None = None


class Size(NamedTuple):
    """How large the cells of an image are, and at which scales the network is to see it.

    Attributes
    ----------
    diameter : float
        Pixels of the image; NaN if unknown.
    scales : tuple of float
        One, if it was chosen by size.
    looks : tuple of Seen
        From coarse to fine.
    """

    diameter: float = math.nan
    scales: tuple[float, ...] = (1.0,)
    looks: tuple[Seen, ...] = ()

    @property
    def maps(self) -> Maps | None:
        """Maps of the whole image, if one of the looks made those that are asked for."""
        return next((seen.maps for seen in self.looks if seen.maps), None) if self.scales == (1.0,) else None

    def sentence(self) -> str:
        """Say in one line what was found and chosen.

        Examples
        --------
        >>> Size(104.2, (0.25,)).sentence()
        'cells of about 104 pixels: seen at 0.25 of the size of the image'
        """
        cells = "cells" if math.isnan(self.diameter) else f"cells of about {self.diameter:.3g} pixels"
        return f"{cells}: seen at {', '.join(f'{s:.2g}' for s in self.scales)} of the size of the image"


def scale_for(diameter: float, largest: float = KNOWN[1]) -> float:
    """Return the scale at which cells of `diameter` pixels have a size that the network knows.

    Up to `largest` pixels they have it as they are.

    Examples
    --------
    >>> [round(scale_for(d), 2) for d in (104, 30, 13)]
    [0.25, 1.0, 2.0]
    """
    if not 0 < diameter < math.inf:
        raise ValueError(f"diameter is {diameter}; expected that of the cells in pixels, a positive number")
    return 1.0 if KNOWN[0] <= diameter <= largest else float(np.clip(TYPICAL / diameter, *ZOOMS))


def estimate_size(look: Look, region: Region, shape: tuple[int, int]) -> Size:
    """Estimate the diameter of the cells of an image, and the scale at which the network is to see it.

    Parameters
    ----------
    look : callable
        Takes a part of the image, (C, h, w), and a scale, and returns the network's maps of it,
        ``(round(h * scale), round(w * scale))``.
    region : callable
        Gives rows and columns of the image, normalised as a whole.
    shape : (int, int)
        (H, W) of the image.

    Returns
    -------
    Size
        The diameter as of disks of equal area: the median, weighted towards large cells, lest specks decide.

    Examples
    --------
    A network that finds what is bright, and that is sure if the squares it sees measure 10 to 30 pixels:

    >>> def look(part, scale):
    ...     bright = F.interpolate(part[None], scale_factor=scale)[0, 0].numpy() > 0.5
    ...     interior = bright * np.float32(0.99 if 10 < np.sqrt(bright.sum() / 4) < 30 else 0.75)
    ...     return Maps(np.stack([1 - interior, interior]), interior)
    >>> image = Tensor(np.kron(np.eye(4) > 0, np.ones((100, 100))))[None]
    >>> size = estimate_size(look, lambda rows, columns: image[:, rows, columns], (400, 400))
    >>> round(size.diameter), round(size.scales[0], 2)
    (113, 0.23)
    """
    looks: list[Seen] = []
    where: np.ndarray | None = None  # (row, column) around which a window is taken
    for scale in sorted(SCALES):
        side = _side(shape, scale)
        if min(*shape, side) * scale < SMALLEST and scale < 1:
            continue
        where = _busiest(region, shape, side) if where is None else where
        rows, columns = (_around(at, side, n) for at, n in zip(where, shape, strict=True))
        part = region(rows, columns)
        maps = look(part, scale)
        where = np.array([rows.start, columns.start]) + _crowded(maps.probabilities[0]) * part.shape[1:]
        seen = _measured(maps, scale, maps if scale == 1 and max(shape) <= side else None)
        looks.append(seen)
        plain = seen.certainty > SURE and FINE <= seen.diameter <= DOUBTED
        enough = KNOWN[0] if seen.certainty > SURE else LARGE
        if plain or (scale >= 1 and seen.certainty > 0 and seen.diameter * scale > enough):
            break  # cells are large enough already
    apart = np.abs(np.diff(np.log2([seen.diameter for seen in looks])))
    alone = np.fmin(np.append(apart, np.nan), np.append(np.nan, apart)) > ALIKE  # no look beside agrees
    rank = [seen.certainty + MARGIN * (KNOWN[0] <= seen.diameter <= DOUBTED) for seen in looks]
    best = looks[int(np.argmax(rank - alone.astype(float)))]
    if best.certainty <= BELIEVED[0]:
        return Size(looks=tuple(looks))
    belief = min(1.0, (best.certainty - BELIEVED[0]) / (BELIEVED[1] - BELIEVED[0]))
    scale = scale_for(best.diameter, KNOWN[1] if best.certainty > CERTAIN else DOUBTED)
    return Size(best.diameter, (scale**belief,), tuple(looks))


def _side(shape: tuple[int, int], scale: float) -> int:
    """Return the side of the window that a look sees, in pixels of the image."""
    if max(shape) * scale <= WINDOWS[1] and scale <= 1:
        return max(shape)
    share = float(np.clip(SCALES[scale] * math.sqrt(math.prod(shape)), *WINDOWS))
    return math.ceil(share / scale)


def _around(middle: float, side: int, length: int) -> slice:
    """Return `side` pixels of an axis around a place, or all of a shorter one."""
    start = int(np.clip(round(middle) - side // 2, 0, max(0, length - side)))
    return slice(start, min(start + side, length))


def _busiest(region: Region, shape: tuple[int, int], side: int) -> np.ndarray:
    """Return the middle of the window with most contrast, of up to 3 × 3 spread over the image."""
    axes = [np.linspace(side / 2, n - side / 2, min(3, -(-n // side))) for n in shape]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    if len(places) == 1:
        return places[0]

    def contrast(place: np.ndarray) -> float:
        part = region(*(_around(at, side, n) for at, n in zip(place, shape, strict=True)))
        # Of means: cells differ, noise cancels out.
        return float(F.avg_pool2d(part, min(4, *part.shape[-2:])).std())

    return max(places, key=contrast)


def _crowded(background: np.ndarray) -> np.ndarray:
    """Return where, as a share of height and width, a window half as large holds most foreground."""
    box = [max(1, min(background.shape) // 2)] * 2
    crowd = cv2.boxFilter(1 - background, -1, box, borderType=cv2.BORDER_CONSTANT)
    return (np.array(np.unravel_index(crowd.argmax(), crowd.shape)) + 0.5) / crowd.shape


def _measured(maps: Maps, scale: float, kept: Maps | None) -> Seen:
    """Measure the cells in the maps of a look, and how sure the network is of them."""
    labels = segment(maps, STRICT, keep_steps=False).labels
    areas = Runs.of(labels).areas(int(labels.max()))[1:].astype(float)
    areas = areas[areas >= FEWEST_PIXELS]
    if not areas.size:
        return Seen(scale, math.nan, -math.inf, kept)
    area = math.sqrt(np.median(areas) * (areas**2).sum() / areas.sum())
    return Seen(scale, math.sqrt(4 / math.pi * area) / scale, _certainty(maps, labels), kept)


def _certainty(maps: Maps, labels: np.ndarray) -> float:
    """Tell how sure the network is of the cells that it sees."""
    certainty = maps.probabilities[1:3].sum(axis=0)[labels > 0].mean()
    certainty -= (np.abs(maps.probabilities[0] - 0.5) < UNSURE).mean()
    if maps.distance is not None:
        certainty -= np.abs(maps.distance.clip(0, 1) - distance_field(labels))[labels > 0].mean()
    return float(certainty)
