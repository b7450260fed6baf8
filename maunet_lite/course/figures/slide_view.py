"""A slide that is segmented block by block, watched: a figure of any moment, and a picture that grows."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from maunet_lite.figures import blend, outlines, random_colors, to_display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from maunet_lite.scale import Block, Step

LONGEST = 480  # pixels of the picture's longer side
_PAUSE = 0.1  # seconds between two pictures


class SlideView:
    """A picture of a slide that is given as ``watch`` to `segment_slide` and follows its blocks.

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, 3), the slide. (One that does not fit into memory: a level of its pyramid, and
        `scale`.)
    scale : float
        Pixels of the slide per pixel of `image`.

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

    Examples
    --------
    >>> view = SlideView(np.full((300, 200), 200, dtype=np.uint8))
    >>> view.canvas.shape
    (300, 200, 3)
    """

    def __init__(self, image: np.ndarray, scale: float = 1.0) -> None:
        import ipywidgets

        self.thin = max(1, round(max(image.shape[:2]) / LONGEST))
        self.step = self.thin * scale  # pixels of the slide per pixel of the canvas
        self.bright = to_display(image[:: self.thin, :: self.thin])
        self.canvas = np.round(255 * self.bright * 0.35).astype(np.uint8)
        self.frames: list[tuple[int, np.ndarray]] = [(0, self.canvas.copy())]
        self.picture = ipywidgets.Image(value=self._png(), format="png", layout={"width": "480px"})
        self.picture.alt = "The slide, dim at first; finished blocks in the colours of their cells."
        self.note = ipywidgets.HTML("not begun")
        self._drawn = time.perf_counter()

    def watch(self, step: Step) -> None:
        """Draw a finished block; for ``segment_slide(…, watch=view.watch)``."""
        rows, columns = self._place(step.block)
        seen = self.bright[rows, columns].copy()
        if step.labels is not None:
            at = [
                np.minimum((np.arange(part.start, part.stop) * self.step - core.start).clip(0), side - 1)
                for part, core, side in zip((rows, columns), step.block.core, step.labels.shape, strict=True)
            ]
            labels = step.labels[np.ix_(at[0].astype(int), at[1].astype(int))]
            colors = random_colors(labels) / np.float32(255)
            blend(seen, labels > 0, colors, 0.35)
            blend(seen, outlines(labels), colors, 1.0)
        self.canvas[rows, columns] = np.round(255 * seen)
        self.canvas[rows.start, columns] = self.canvas[rows, columns.start] = 90
        self.frames.append((step.done, self.canvas.copy()))
        self.note.value = f"{step.done} of {step.total} blocks"
        if time.perf_counter() - self._drawn > _PAUSE or step.done == step.total:
            self.picture.value = self._png()
            self._drawn = time.perf_counter()

    def draw(self, ax: Axes, frame: int = -1, title: str | None = None) -> None:
        """Draw one of the `frames` on axes, by default the last."""
        done, canvas = self.frames[frame]
        ax.imshow(canvas)
        ax.set_axis_off()
        ax.set_title(f"{done} blocks" if title is None else title, fontsize=9)

    def display(self) -> None:
        """Show the live picture in a notebook; elsewhere there is nobody to look."""
        from IPython.display import display
        from ipywidgets import VBox

        try:
            get_ipython()  # type: ignore[name-defined]
        except NameError:
            return
        display(VBox([self.picture, self.note]))

    def _place(self, block: Block) -> tuple[slice, slice]:
        """Rows and columns of the canvas that a block covers."""
        places: list[Any] = []
        for part, length in zip(block.core, self.canvas.shape, strict=False):
            start = int(np.ceil(part.start / self.step))
            stop = min(int(np.ceil(part.stop / self.step)), length)
            places.append(slice(min(start, length - 1), max(stop, min(start, length - 1) + 1)))
        return places[0], places[1]

    def _png(self) -> bytes:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self.canvas).save(buffer, format="png", compress_level=1)
        return buffer.getvalue()
