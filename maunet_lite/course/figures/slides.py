"""What notebook 07 looks at: a simulated slide with islands of cells, and how much memory a call takes."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from maunet_lite.data import simulate
from maunet_lite.inference import current_memory


class Scene(NamedTuple):
    """A simulated slide.

    Attributes
    ----------
    image : numpy.ndarray
        (H, W) uint8.
    labels : numpy.ndarray
        (H, W) int32, the truth.
    """

    image: np.ndarray
    labels: np.ndarray


class Cost(NamedTuple):
    """What a call has cost: seconds, and bytes beyond what was taken before; `result` is its own."""

    seconds: float
    memory: int
    result: Any


PLACES = (0, 3, 4, 6, 1, 7, 5, 2, 8)  # of islands, in a square of 3 × 3: from the left to the right
NUCLEI = {"variant": "nuclei", "cell_diameter": 28, "clustering": 0.7}


def make_slide(side: int, rng: np.random.Generator, islands: int = 4, density: float = 420) -> Scene:
    """Return a square slide: islands of nuclei, some brighter than others, on a dark ground, empty elsewhere.

    Parameters
    ----------
    side : int
        Pixels.
    rng : numpy.random.Generator
    islands : int
        As many of nine places as this hold nuclei; the right is the last to be filled.
    density : float
        Nuclei per megapixel of an island.

    Examples
    --------
    >>> scene = make_slide(300, np.random.default_rng(0), islands=2)
    >>> scene.image.shape, scene.labels.dtype.name, bool(scene.labels.any())
    ((300, 300), 'int32', True)
    """
    ground = 5.0
    image = rng.normal(ground, 1.5, (side, side)).clip(0, 255)
    labels = np.zeros((side, side), dtype=np.int32)
    edges = np.linspace(0, side, 4).astype(int)
    for place in PLACES[:islands]:
        rows, columns = (slice(edges[k], edges[k + 1]) for k in divmod(place, 3))
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        n_cells = max(3, round(density * shape[0] * shape[1] / 1e6))
        island = simulate("fluorescence", shape, rng=rng, n_cells=n_cells, **NUCLEI)
        inner = _without_cut_cells(island.labels)
        seen = cv2.GaussianBlur(cv2.dilate((inner > 0).astype(np.float32), np.ones((9, 9))), (0, 0), 3)
        image[rows, columns] += rng.uniform(0.4, 1) * seen * (island.image.astype(np.float32) - ground)
        labels[rows, columns] = np.where(inner > 0, inner + labels.max(), 0)
    return Scene(np.rint(image.clip(0, 255)).astype(np.uint8), labels)


def _without_cut_cells(labels: np.ndarray) -> np.ndarray:
    """Remove cells that touch the edge."""
    cut = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.where(np.isin(labels, cut), 0, labels)


def cost(function: Callable[..., Any], *arguments: Any, **options: Any) -> Cost:
    """Call a function and tell its seconds and the memory that it took at its peak.

    The memory of the whole process is looked at every few milliseconds: a peak that is shorter is missed, and
    what was freed before but not yet given back hides a part of it (Linux gives it back when asked to).

    Examples
    --------
    >>> cost(sum, [1, 2]).result
    3
    """
    _give_back()
    before, peak, over = current_memory(), [0], threading.Event()

    def look() -> None:
        while not over.wait(0.004):
            peak[0] = max(peak[0], current_memory())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    start = time.perf_counter()
    try:
        result = function(*arguments, **options)
    finally:
        seconds = time.perf_counter() - start
        over.set()
        watcher.join()
    return Cost(seconds, max(0, max(peak[0], current_memory()) - before), result)


def _give_back() -> None:
    """Ask the C library to return freed memory to the system, so that it is seen when it is taken again."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        pass
