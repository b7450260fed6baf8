"""Checks of notebook 05: two masks, specks, a flood in the head, small cells without a loop."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from maunet_lite.course.exercises.judge import Case, compare, exercise
from maunet_lite.course.figures.targets import from_digits


@exercise("05.1", parts=("foreground", "interior"))
def two_masks():
    """Two masks.

    1. probabilities[0] is the background's probability of each pixel, probabilities[1] the interior's.
    2. The foreground asks only one channel: is the background's probability below 0.3?
    3. return probabilities[0] < 0.3, probabilities[1] > 0.7
    """
    background, interior = [0.9, 0.1, 0.1, 0.35, 0.2], [0.1, 0.8, 0.3, 0.60, 0.2]
    boundary, proxy = [0.0, 0.1, 0.6, 0.05, 0.2], [0.0, 0.0, 0.0, 0.00, 0.4]
    probabilities = np.array([[background], [interior], [boundary], [proxy]])  # (4, 1, 5)
    case = "P(background) = 0.9, 0.1, 0.1, 0.35, 0.2, and in the last pixel P(proxy) = 0.4"
    yield Case(case, (probabilities,), ([[0, 1, 1, 0, 1]], [[0, 1, 0, 0, 0]]))
    yield Case("one sure pixel, no proxy", (np.array([[[0.0]], [[1.0]], [[0.0]]]),), ([[1]], [[1]]))


@exercise("05.2")
def sure_pieces():
    """Specks or small cells.

    1. pieces = label(probability > low) numbers the pieces. Which numbers occur where probability > high?
    2. pieces[probability > high] holds these numbers, one per sure pixel; np.isin asks for each pixel.
    3. np.isin(pieces, np.unique(pieces[probability > high])), all inside probability > low
    """
    probability = np.array([0.1, 0.8, 0.92, 0.95])[from_digits("311.1... ....1.1. .......2")]
    expected = from_digits("111..... ......1. .......1")
    yield Case("three pieces above 0.7, two of them somewhere above 0.9", (probability, 0.7, 0.9), expected)
    yield Case("pieces nowhere above 0.9", (np.array([[0.8, 0.2, 0.75]]), 0.7, 0.9), [[0, 0, 0]])
    yield Case("thresholds of 0.2 and 0.5", (np.array([[0.3, 0.6, 0.1, 0.3]]), 0.2, 0.5), [[1, 1, 0, 0]])


@exercise("05.3")
def owners():
    """Flood it in your head.

    1. Find the highest place between the two springs: that is where the waters meet.
    2. Position 3 is 7 high. Spring 1 cannot get over it before spring 2 has filled its own basin.
    3. Positions 0 to 2 belong to 1, positions 4 to 9 to 2; position 3 may go to either.
    """

    def flooded(answer: object) -> None:
        ridge = 1 if np.shape(answer) == (10,) and int(answer[3]) == 1 else 2
        basins = [1, 1, 1, ridge] + 6 * [2]
        compare(answer, Case("ten positions, of which 3 may go to 1 or 2", None, basins))

    yield flooded


def lines_run(function: Callable[..., object], *arguments: object) -> int:
    """Count the lines of Python that a call runs, those of the functions it calls included.

    A loop adds at least one for each round. What runs inside NumPy's compiled code counts nothing. Unlike
    seconds, the number is the same on any machine.
    """
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return lines


def _small_cells(count: int) -> np.ndarray:
    """Return a map with a cell of four pixels in each row, every tenth without two of them."""
    labels = np.repeat(np.arange(1, count + 1)[:, None], 5, axis=1)
    labels[:, 4] = 0
    labels[::10, 2:] = 0
    return labels


@exercise("05.4", keeps_input=True)
def remove_small():
    """Remove small cells without a loop.

    1. np.bincount(labels.ravel()) holds the area of every id, 0 included.
    2. An array indexed by a label map is a look-up table: areas[labels] gives each pixel its cell's area.
    3. np.where(areas[labels] < min_area, 0, labels)
    """

    def without_loop(answer: Callable[[np.ndarray, int], object]) -> None:
        added = lines_run(answer, _small_cells(810), 3) - lines_run(answer, _small_cells(10), 3)
        assert added < 400, (
            f"The result is right. But with 810 cells in place of 10 Python runs {added} more lines: "
            "there is a loop over cells, or over pixels."
        )

    labels = np.array([[2, 2, 0, 7], [2, 2, 0, 7], [9, 0, 0, 7]])
    yield Case("cells 2 (4 pixels), 7 (3), 9 (1) and min_area=3", (labels, 3), labels * (labels < 9))
    yield Case("a map without background and min_area=2", (np.array([[4, 4, 1]]), 2), [[4, 4, 0]])
    yield Case("an empty map", (np.zeros((2, 3), int), 2), np.zeros((2, 3)))
    many = _small_cells(810)
    yield Case("a map of 810 cells and min_area=3", (many, 3), many * (many[:, 2:3] > 0))
    yield without_loop
