"""What is fixed before the first block of a slide is segmented, and written into the journal of the job.

The mean width and area of the cells and the largest values of the distance field, which the post-processing
takes from an image as a whole, would differ from block to block, and seams would show. They are measured
once, on regions spread over the slide; and so is the size at which the network sees it. From them follows
how far blocks overlap, and from the memory how large they are. A run that goes on where another was stopped
finds all of it in the journal.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice, starmap
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import find_objects

from maunet_lite import postprocessing as post
from maunet_lite.data import show_bytes
from maunet_lite.inference import current_memory
from maunet_lite.postprocessing import Maps, PostprocessConfig, Yardstick, segment
from maunet_lite.scale.slides.maps import Region, SlideNetwork

BLOCKS = (256, 4096)  # pixels; larger blocks save little, and less is lost when a run is stopped
KEPT = 1 / 8  # of the memory is for results of windows that the next blocks need, too
_IN_USE = 0.85  # of the memory is planned for; the rest is for what cannot be foreseen
_NETWORK = 2**29  # bytes: windows on their way through a network, unless that has its own memory, and reading
_POST = 44  # bytes per pixel that the post-processing takes beside the maps


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
    yardstick = Yardstick(0.0, 0.0, 0.0, 0.0)
    if config.refine:
        interiors = [post.label_components(post.threshold_maps(m, config).interior)[0] for m in maps]
        limit = config.widest * max(map(post.width_by_depth, interiors), default=0) or math.inf
        width = min(math.sqrt(_mean_area(interiors, whole)), limit)
        seen = zip(maps, interiors, strict=True)
        distances = [post.interior_distance(i) if m.distance is None else m.distance for m, i in seen]
        highest = max((float(d.max()) for d in distances), default=0.0)
        blurred = max((float(post.blur_distance(d, width, config).max()) for d in distances), default=0.0)
        yardstick = Yardstick(width, highest, blurred, 0.0)
    labels = [segment(m, config, keep_steps=False, yardstick=yardstick).labels for m in maps]
    yardstick = yardstick._replace(mean_area=_mean_area(labels, whole))
    sides = [max(s.stop - s.start for s in box) for one in labels for box in find_objects(one) if box]
    return Sample(yardstick, float(np.percentile(sides, 99)) if sides else 0.0)


def _mean_area(maps: Sequence[np.ndarray], whole: bool = False) -> float:
    """Mean area of labels 1 … N; those at an edge count half, unless the map is whole."""
    pixels, pieces = 0, 0.0
    for labels in maps:
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        pixels += int(np.count_nonzero(labels))
        pieces += int(labels.max()) - (0 if whole else np.count_nonzero(edge) / 2)
    return pixels / max(pieces, 1)


def choose_overlap(extent: float) -> int:
    """Return how many pixels, 32 to 256, a block must know for sure beyond its core, from the size of cells.

    Examples
    --------
    >>> choose_overlap(40), choose_overlap(5), choose_overlap(1000)
    (64, 32, 256)
    """
    return int(np.clip(16 * math.ceil(1.5 * extent / 16), 32, 256))


def choose_halo(overlap: int, width: float, config: PostprocessConfig) -> int:
    """Return how far a block sees, so that cells up to `overlap` across are right beyond its core.

    A cell that crosses the seam reaches `overlap` pixels beyond it, and the cells it touches as far again:
    they decide where it ends. What their markers need to know lies half a Gaussian window further.
    """
    return 2 * overlap + int(config.blur * width) // 2 + 1


def choose_block(memory: int, network: SlideNetwork, halo: int, base: int | None = None) -> int:
    """Return the largest side of a block with which a job stays within its memory.

    Parameters
    ----------
    memory : int
        Bytes for the process.
    network : SlideNetwork
        Of the job. The windows of one on a GPU take none of this memory.
    halo : int
        Pixels that a block sees beyond its core.
    base : int, optional
        Bytes that the process takes already; measured by default.

    Raises
    ------
    ValueError
        If there is too little memory even for a small block.

    Examples
    --------
    >>> from maunet_lite.data import open_slide
    >>> from maunet_lite.preprocessing import Scaling
    >>> slide = open_slide(np.zeros((9, 9), dtype=np.uint8))
    >>> network = SlideNetwork(slide, "lite", Scaling((0,), (1,)), device="cpu")
    >>> choose_block(2**31, network, halo=150, base=2**29)
    1536
    """
    slide, n_maps = network.slide, network.heads.n_maps
    passing = _NETWORK // 4 if network.device.type == "cuda" else _NETWORK
    taken = (current_memory() if base is None else base) + slide.resident + passing
    room = memory * (_IN_USE - KEPT) - taken
    # two blocks are in flight: one in the network, one in the post-processing
    per_pixel = 2 * 4 * n_maps + _POST
    windows = 1.5 * 4 * n_maps * 1024  # a line of windows of 1024 pixels, per pixel of the block's side
    # largest side s with per_pixel·s² + windows·s ≤ room
    side = (math.sqrt(windows**2 + 4 * per_pixel * max(room, 0)) - windows) / (2 * per_pixel)
    block = min(int(side) - 2 * halo, BLOCKS[1])
    if block < BLOCKS[0]:
        side = BLOCKS[0] + 2 * halo
        needed = (per_pixel * side**2 + windows * side + taken) / (_IN_USE - KEPT)
        given, least = show_bytes(memory), show_bytes(1.05 * needed)
        raise ValueError(f"memory is {given}, too little for this image and network: give at least {least}")
    return block // 512 * 512 if block >= 512 else block  # whole tiles of the result


def take_sample(network: SlideNetwork, config: PostprocessConfig) -> Sample:
    """Measure a slide: all of it up to 4 megapixels, else 8 windows, evenly spread over what is not empty."""
    height, width = network.slide.shape
    whole = height * width <= 4_000_000
    regions = [(slice(0, height), slice(0, width))] if whole else _spread(network)
    seen = filter(None, starmap(network.maps, regions))  # None: nothing is there
    return measure_sample(list(islice(seen, 8)), config, whole)


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
    before = [0, *(target.stop for target in targets[:-1])]
    after = [*(target.start for target in targets[1:]), targets[-1].stop]
    own = [slice(max(t.start, a), min(t.stop, b)) for t, a, b in zip(targets, before, after, strict=True)]
    return [o if o.stop - o.start >= 64 else target for o, target in zip(own, targets, strict=True)]
