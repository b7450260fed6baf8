"""What notebook 07 looks at: a simulated slide, how it is segmented block by block, what a call costs."""

import contextlib
import ctypes
import gc
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import imageio.v3 as iio
import ipywidgets
import numpy as np
from skimage.segmentation import clear_border

from maunet_lite.data import Simulated, simulate
from maunet_lite.figures import paint_cells, to_display
from maunet_lite.inference import current_memory
from maunet_lite.scale import Step

PLACES = (0, 3, 4, 6, 1, 7, 5, 2, 8)  # of islands, in a square of 3 × 3: from the left to the right
NUCLEI = {"variant": "nuclei", "cell_diameter": 28, "clustering": 0.7}
LONGEST = 480  # pixels of the longer side of the picture that grows


def make_slide(side: int, rng: np.random.Generator, islands: int = 4, density: float = 420) -> Simulated:
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

    Returns
    -------
    Simulated
        image (H, W) uint8, labels (H, W) int32: the truth.

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
        part = tuple(slice(edges[k], edges[k + 1]) for k in divmod(place, 3))
        n_cells = max(3, round(density * image[part].size / 1e6))
        island = simulate("fluorescence", image[part].shape, rng=rng, n_cells=n_cells, **NUCLEI)
        whole = clear_border(island.labels)  # an island's edge cuts no nucleus
        seen = cv2.GaussianBlur(cv2.dilate((whole > 0).astype(np.float32), np.ones((9, 9))), (0, 0), 3)
        image[part] += rng.uniform(0.4, 1) * seen * (island.image.astype(np.float32) - ground)
        labels[part] = np.where(whole > 0, whole + labels.max(), 0)
    return Simulated(np.rint(image.clip(0, 255)).astype(np.uint8), labels)


class Cost(NamedTuple):
    """What a call has cost: seconds, and bytes beyond what was taken before; `result` is its own."""

    seconds: float
    memory: int
    result: Any


def cost(function: Callable[..., Any], *arguments: Any, **options: Any) -> Cost:
    """Call a function and tell its seconds and the memory that it took at its peak.

    The memory of the whole process is looked at every few milliseconds: a peak that is shorter is missed, and
    what was freed before but not yet given back hides a part of it (Linux gives it back when asked to).

    Examples
    --------
    >>> cost(sum, [1, 2]).result
    3
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # where it is not glibc
        ctypes.CDLL(None).malloc_trim(0)  # ask the C library to return freed memory to the system
    seen, over = [current_memory()], threading.Event()

    def look() -> None:
        while not over.wait(0.004):
            seen.append(current_memory())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    start = time.perf_counter()
    try:
        result = function(*arguments, **options)
    finally:
        seconds = time.perf_counter() - start
        over.set()
        watcher.join()
    return Cost(seconds, max(*seen, current_memory()) - seen[0], result)


class SlideView:
    """A picture of a slide that is given as ``watch`` to `segment_slide` and follows its blocks.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, 3), the slide.

    Attributes
    ----------
    canvas : numpy.ndarray
        (h, w, 3) uint8: dim where nothing has been done, coloured where blocks are finished.
    frames : list of (int, numpy.ndarray)
        Finished blocks, and the canvas at that moment; after each block.
    picture : ipywidgets.Image
        The canvas, live.
    note : ipywidgets.HTML
        How far it is.
    box : ipywidgets.VBox
        Both, for a notebook to display.

    Examples
    --------
    >>> view = SlideView(np.full((300, 200), 200, dtype=np.uint8))
    >>> view.canvas.shape
    (300, 200, 3)
    """

    def __init__(self, image: np.ndarray) -> None:
        self.thin = max(1, round(max(image.shape[:2]) / LONGEST))  # the canvas has every n-th pixel
        self.bright = to_display(image[:: self.thin, :: self.thin])
        self.canvas = np.round(255 * self.bright * 0.35).astype(np.uint8)
        self.frames: list[tuple[int, np.ndarray]] = [(0, self.canvas.copy())]
        self.picture = ipywidgets.Image(format="png", layout={"width": "480px"})
        self.picture.alt = "The slide, dim at first; finished blocks in the colours of their cells."
        self.note = ipywidgets.HTML("not begun")
        self.box = ipywidgets.VBox([self.picture, self.note])
        self._send()

    def watch(self, step: Step) -> None:
        """Draw a finished block; for ``segment_slide(…, watch=view.watch)``."""
        n = self.thin
        rows, columns = (slice(-(-side.start // n), -(-side.stop // n)) for side in step.block.core)
        seen = self.bright[rows, columns].copy()
        if step.labels is not None:
            top, left = (side.start for side in step.block.core)
            labels = step.labels[rows.start * n - top :: n, columns.start * n - left :: n]
            paint_cells(seen, labels, fill=0.35)
        seen[:1] = seen[:, :1] = 90 / 255  # a line between blocks
        self.canvas[rows, columns] = np.round(255 * seen)
        self.frames.append((step.done, self.canvas.copy()))
        self.note.value = f"{step.done} of {step.total} blocks"
        self._send()

    def _send(self) -> None:
        """Bring the canvas to the widget."""
        self.picture.value = iio.imwrite("<bytes>", self.canvas, extension=".png", compress_level=1)
