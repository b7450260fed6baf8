"""Where pictures are drawn: axes of fitting shape, legends, diagrams without ornament."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

WIDTH = 8.5  # inches of a full-width figure
MAX_SIDE = 1600  # pixels; larger arrays are thinned out before drawing


def picture(pixels: np.ndarray, ax: Axes | None, title: str = "", **options: Any) -> Axes:
    """Show pixels without ticks, on new axes if there are none; `options` are those of ``imshow``."""
    (ax,) = picture_grid(1, 1, pixels.shape, ax)
    ax.imshow(pixels, **options)
    ax.set_axis_off()
    if title:
        ax.set_title(title, fontsize=9, pad=4)
    return ax


def line_width(ax: Axes, shape: tuple[int, ...]) -> int:
    """Return how many pixels of a picture of `shape` make a line that is seen on these axes."""
    return max(1, round(1.2 * max(shape[0] / ax.bbox.height, shape[1] / ax.bbox.width)))


def picture_grid(
    count: int, columns: int, shape: tuple[int, ...], axes: Any, room: float = 1.0
) -> list[Axes]:
    """Return one place per picture of `shape`: the given axes, or new ones.

    `room` is the width of a place relative to its picture: above 1 with a colour bar.
    """
    columns = min(columns, count)
    edge = min(WIDTH / columns, 4.5)
    height = edge / room * float(np.clip(shape[0] / shape[1], 0.25, 2)) + 0.27  # the title's
    return take_axes(axes, count, columns, edge, height)


def take_axes(axes: Any, count: int, columns: int, width: float, height: float) -> list[Axes]:
    """Return `count` of the given axes, or a new table of axes of `width` × `height` inches each.

    Raises
    ------
    ValueError
        If too few axes were given.
    """
    if axes is None:
        from matplotlib import pyplot as plt

        rows = -(-count // columns)
        size = (width * columns, height * rows)
        axes = plt.subplots(rows, columns, figsize=size, layout="compressed", squeeze=False)[1]
        for unused in axes.ravel()[count:]:
            unused.set_axis_off()
    places = list(np.ravel(axes))
    if len(places) < count:
        raise ValueError(f"got {len(places)} axes, expected {count}: one per picture")
    return places[:count]


def legend(ax: Axes, colors: Mapping[str, str], columns: int = 4) -> None:
    """Write what the colours mean below the picture."""
    handles = [Patch(facecolor=color, edgecolor="#888888", linewidth=0.5) for color in colors.values()]
    ax.legend(
        handles, list(colors), ncols=columns, loc="upper center", bbox_to_anchor=(0.5, 0.0), frameon=False,
        fontsize=8, handlelength=1.0, handleheight=1.0, handletextpad=0.4, columnspacing=1.0, borderpad=0.3,
    )  # fmt: skip


def tidy(ax: Axes, grid: str = "both") -> None:
    """Take away what carries no information from a diagram, and draw thin lines along the `grid` axis."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8)


def thin(array: np.ndarray) -> np.ndarray:
    """Take every n-th pixel of a large array: a screen has no more."""
    array = np.asarray(array)
    step = -(-max(array.shape[:2]) // MAX_SIDE)
    return array[::step, ::step]
