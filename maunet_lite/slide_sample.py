"""What the post-processing takes from a slide as a whole, measured on a sample and fixed for all blocks.

The mean width and area of the cells and the largest values of the distance field would differ from block to
block, and seams would show. They are measured once, on regions spread over the slide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import find_objects

from maunet_lite.maps import Maps
from maunet_lite.postprocessing import PostprocessConfig, Yardstick, mean_cell_width, segment
from maunet_lite.postprocessing_steps import blur_distance, sure_enough, threshold_maps
from maunet_lite.run_lengths import label_components
from maunet_lite.slide_maps import Region, SlideNetwork

OVERLAPS = (32, 256)  # pixels, the least and the most that is chosen without being asked
SAMPLE_WINDOWS = 8
SAMPLE_WHOLE = 4_000_000  # pixels: up to this size the sample is the whole image


class Sample(NamedTuple):
    """What was measured on a sample of the slide: the yardstick, and the size of large cells in pixels."""

    yardstick: Yardstick
    extent: float


def measure_sample(maps: Sequence[Maps], config: PostprocessConfig, whole: bool) -> Sample:
    """Measure what the post-processing takes from a whole image.

    Parameters
    ----------
    maps : sequence of Maps
        Of some regions of the slide, or of all of it.
    config : PostprocessConfig
    whole : bool
        The only region is the whole slide: the result is what the post-processing would take itself. Else,
        pieces at the edge of a region count half, because on the other side they would be counted again.

    Returns
    -------
    Sample
        ``extent`` is the longer side of the box around a cell, which 99 of 100 cells do not exceed.
    """
    if not config.refine:
        return Sample(Yardstick(0.0, 0.0, 0.0, 0.0), _extent([segment(m, config).labels for m in maps]))
    sure = _sure(maps, config)
    interiors = [label_components(threshold_maps(m, config, sure).interior)[0] for m in maps]
    if whole and maps:
        width = mean_cell_width(interiors[0])
    else:
        width = math.sqrt(_mean_area(interiors))
    distances = [m.distance for m in maps if m.distance is not None]
    highest = max((float(d.max()) for d in distances), default=1.0)
    blurred = max((float(blur_distance(d, width, config).max()) for d in distances), default=1.0)
    draft = Yardstick(width, highest, blurred, 0.0, sure)
    labels = [segment(m, config, keep_steps=False, yardstick=draft).labels for m in maps]
    if whole and maps:
        mean = float(np.count_nonzero(labels[0]) / max(int(labels[0].max()), 1))
    else:
        mean = _mean_area(labels)
    return Sample(draft._replace(mean_area=mean), _extent(labels))


def _sure(maps: Sequence[Maps], config: PostprocessConfig) -> float:
    """How sure pieces of the interior must be, by the sizes of all of them."""
    every = replace(config, sure_interior=0.0, min_interior=0)
    interiors = [label_components(threshold_maps(m, every).interior)[0] for m in maps]
    areas = [np.bincount(pieces.ravel())[1:] for pieces in interiors]
    return sure_enough(np.concatenate([*areas, np.zeros(0, dtype=np.int64)]), config)


def _mean_area(maps: Sequence[np.ndarray]) -> float:
    """Mean area of labels 1 … N; those at an edge count half."""
    pixels, pieces = 0, 0.0
    for labels in maps:
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        pixels += int(np.count_nonzero(labels))
        pieces += int(labels.max()) - np.count_nonzero(edge) / 2
    return pixels / max(pieces, 1)


def _extent(maps: Sequence[np.ndarray]) -> float:
    sides = [
        max(part.stop - part.start for part in box)
        for labels in maps
        for box in find_objects(labels)
        if box is not None
    ]
    return float(np.percentile(sides, 99)) if sides else 0.0


def choose_overlap(extent: float) -> int:
    """Return how many pixels beyond its core a block must know for sure, from the size of large cells.

    Examples
    --------
    >>> choose_overlap(40), choose_overlap(5), choose_overlap(1000)
    (64, 32, 256)
    """
    return int(np.clip(16 * math.ceil(1.5 * extent / 16), *OVERLAPS))


def choose_halo(overlap: int, width: float, config: PostprocessConfig) -> int:
    """Return how far a block sees, so that cells up to `overlap` across are right beyond its core.

    A cell that crosses the seam reaches `overlap` pixels beyond it, and the cells it touches as far again:
    they decide where it ends. What their markers need to know lies half a Gaussian window further.
    """
    return 2 * overlap + int(config.blur * width) // 2 + 1


def take_sample(
    network: SlideNetwork, config: PostprocessConfig, tick: Callable[[], None] = lambda: None
) -> Sample:
    """Measure a slide: all of it up to 4 megapixels, else 8 windows, evenly spread over what is not empty.

    Parameters
    ----------
    network : SlideNetwork
    config : PostprocessConfig
    tick : callable
        Called after each window of the sample.
    """
    height, width = network.slide.shape
    whole = height * width <= SAMPLE_WHOLE
    found: list[Maps] = []
    for region in [(slice(0, height), slice(0, width))] if whole else _spread(network):
        maps = network.maps(*region)
        if maps is not None:
            found.append(maps)
            tick()
        if len(found) == SAMPLE_WINDOWS:
            break
    return measure_sample(found, config, whole and bool(found))


def _spread(network: SlideNetwork) -> Iterator[Region]:
    """Give the regions that belong to one window alone, in an order that soon covers the whole slide."""
    rows, columns = (_alone(windows) for windows in network.grids[0][1:])
    total = len(rows) * len(columns)
    step = next(s for s in range(max(1, round(total * 0.618)), total + 2) if math.gcd(s, total) == 1)
    for k in range(total):
        i, j = divmod((total // 2 + k * step) % total, len(columns))
        yield rows[i], columns[j]


def _alone(windows: Sequence[Any]) -> list[slice]:
    """Return, for the windows of an axis, the part where only one of them has a say (or all of it)."""
    targets = [window.target for window in windows]
    found = []
    for k, target in enumerate(targets):
        start = max(target.start, targets[k - 1].stop if k else 0)
        stop = min(target.stop, targets[k + 1].start if k + 1 < len(targets) else target.stop)
        found.append(slice(start, stop) if stop - start >= 64 else target)
    return found
