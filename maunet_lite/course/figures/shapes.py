"""Small label maps whose answers can be known beforehand, for notebook 01, and a picture of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def from_digits(rows: str) -> np.ndarray:
    """Turn rows of digits, separated by white space, into a label map; a dot is 0.

    Examples
    --------
    >>> from_digits("..1 221")
    array([[0, 0, 1],
           [2, 2, 1]])
    """
    return np.array([[int(digit) for digit in row.replace(".", "0")] for row in rows.split()])


def discs(shape: tuple[int, int], *places: tuple[float, float, float]) -> np.ndarray:
    """Draw discs 1, 2, 3 …; a later one takes only pixels that are still free.

    Parameters
    ----------
    shape : (height, width)
    *places : (row, column, diameter)
        In pixels.

    Returns
    -------
    numpy.ndarray
        (H, W) int label map.

    Examples
    --------
    >>> discs((3, 6), (1, 1, 2), (1, 4, 3))
    array([[0, 1, 0, 2, 2, 2],
           [1, 1, 1, 2, 2, 2],
           [0, 1, 0, 2, 2, 2]])
    """
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, dtype=int)
    for k, (row, column, diameter) in enumerate(places, start=1):
        labels[(np.hypot(rows - row, columns - column) <= diameter / 2) & (labels == 0)] = k
    return labels


def six_shapes(side: int = 120) -> dict[str, np.ndarray]:
    """Return label maps of a round, a long, a crescent, a U and a waisted cell, and of two long neighbours.

    Examples
    --------
    >>> [int(labels.max()) for labels in six_shapes().values()]
    [1, 1, 1, 1, 1, 2]
    """
    rows, columns = (np.indices((side, side)) - (side - 1) / 2) / side  # from -0.5 to 0.5

    def ellipse(row: float, column: float, height: float, width: float) -> np.ndarray:
        return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1

    upper, lower = ellipse(-0.09, 0, 0.095, 0.44), ellipse(0.085, 0, 0.095, 0.44)
    masks = {
        "round": ellipse(0, 0, 0.3, 0.3),
        "long": ellipse(0, 0, 0.125, 0.46),
        "crescent": ellipse(0, 0, 0.38, 0.38) & ~ellipse(0, 0.18, 0.28, 0.28),
        "U": ellipse(0, 0, 0.44, 0.34) & ~((np.abs(columns) <= 0.045) & (rows <= 0.26)),
        "waisted": ellipse(0, -0.2, 0.205, 0.205) | ellipse(0, 0.2, 0.205, 0.205),
    }
    return {name: mask.astype(int) for name, mask in masks.items()} | {
        "two long ones": np.where(upper, 1, np.where(lower, 2, 0))
    }


def show_numbers(
    ax: Axes, values: np.ndarray, title: str = "", write: str = "{:.0f}", **options: Any
) -> Axes:
    """Show a small array with its numbers in the pixels; zeros stay empty.

    Parameters
    ----------
    ax : matplotlib Axes
    values : numpy.ndarray
        (H, W), some twenty rows at most.
    title : str
    write : str
        How a number is written.
    **options
        Passed to ``ax.imshow``.
    """
    drawn = ax.imshow(values, **options)
    for (row, column), value in np.ndenumerate(values):
        if value:
            light = np.mean(drawn.cmap(drawn.norm(value))[:3]) > 0.55
            color = "black" if light else "white"
            text = write.format(value).removeprefix("0")  # .65 instead of 0.65: pixels are small
            ax.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()
    return ax
