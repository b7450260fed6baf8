"""Checks of notebook 07: a budget, windows that cover, names of cells, seconds at start and per megapixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from maunet_lite.course.exercises.judge import exercise
from maunet_lite.postprocessing import Runs


@exercise(
    "07.1",
    "what fits into the budget?",
    hints=(
        "What is left for pixels? The budget, without what the process takes before it sees a pixel.",
        "A square of side s has s² pixels: s² · per_pixel must not exceed what is left.",
        "return int(((budget - base) / per_pixel) ** 0.5), and 0 if nothing is left",
    ),
    right={
        "square root": lambda budget, base, per_pixel: math.isqrt(max(budget - base, 0) // per_pixel),
        "floats": lambda budget, base, per_pixel: int((max(budget - base, 0) / per_pixel) ** 0.5),
    },
    wrong={
        "without the root": lambda budget, base, per_pixel: (budget - base) // per_pixel,
        "base forgotten": lambda budget, base, per_pixel: int((budget / per_pixel) ** 0.5),
        "rounded up": lambda budget, base, per_pixel: math.ceil((max(budget - base, 0) / per_pixel) ** 0.5),
        "fails without room": lambda budget, base, per_pixel: int(math.sqrt((budget - base) / per_pixel)),
    },
)
def check_budget(answer: Callable[[int, int, int], int]) -> None:
    """Judge the side of the largest square image."""
    for budget, base, per_pixel, expected in ((1000, 200, 50, 4), (1000, 250, 50, 3), (4000, 0, 10, 20)):
        got = answer(budget, base, per_pixel)
        assert got == expected, (
            f"{budget} bytes, of which {base} are taken, at {per_pixel} per pixel: {expected} × {expected} "
            f"pixels take {expected**2 * per_pixel} and fit; yours is {got}."
        )
    try:
        got = answer(100, 200, 50)
    except ValueError as error:
        raise AssertionError("Where nothing is left, the largest side is 0, not an error.") from error
    assert got == 0, f"100 bytes when 200 are taken already: nothing fits, so 0; yours is {got}."


def _starts(length: int, window: int, overlap: int) -> list[int]:
    if length <= window:
        return [0]
    n = math.ceil((length - overlap) / (window - overlap))
    return [round(start) for start in np.linspace(0, length - window, n)]


def _stepping(length: int, window: int, overlap: int) -> list[int]:
    starts = list(range(0, max(length - window, 0), window - overlap))
    return [*starts, max(length - window, 0)]


@exercise(
    "07.2",
    "windows that cover an axis",
    hints=(
        "If one window is enough, it starts at 0. Else the last one must end exactly where the image does.",
        "Step by window - overlap from 0, as long as the window stays within the image.",
        "return [*range(0, max(length - window, 0), window - overlap), max(length - window, 0)]",
    ),
    right={"evenly spread": _starts, "steps, the last one moved back": _stepping},
    wrong={
        "no overlap": lambda length, window, overlap: _stepping(length, window, 0),
        "the end is missed": lambda length, window, overlap: list(
            range(0, max(length - window, 0) + 1, window - overlap)
        ),
        "beyond the end": lambda length, window, overlap: list(
            range(0, max(length - overlap, 1), window - overlap)
        ),
        "too many": lambda length, window, overlap: list(range(max(length - window, 0) + 1)),
    },
)
def check_starts(answer: Callable[[int, int, int], list[int]]) -> None:
    """Judge where windows start."""
    for length, window, overlap in ((1000, 512, 128), (512, 512, 128), (300, 512, 128), (897, 512, 128)):
        case = f"length {length}, window {window}, overlap {overlap}"
        starts = [int(start) for start in answer(length, window, overlap)]
        assert starts, f"{case}: there is no window."
        assert starts == sorted(starts), f"{case}: go from left to right; yours is {starts}."
        assert starts[0] == 0, f"{case}: the first window starts at 0; yours at {starts[0]}."
        end = starts[-1] + window
        assert end >= length, f"{case}: your last window ends at {end}, before the image does."
        assert end <= max(length, window), f"{case}: your last window ends at {end}, beyond the image."
        shared = [a + window - b for a, b in zip(starts, starts[1:], strict=False)]
        assert all(s >= overlap for s in shared), f"{case}: neighbours share {shared}, too little."
        fewest = len(_starts(length, window, overlap))
        assert len(starts) == fewest, f"{case}: {fewest} windows are enough; yours are {len(starts)}."


def _names(labels: np.ndarray, top: int, left: int, width: int) -> np.ndarray:
    found = []
    for k in range(1, labels.max() + 1):
        rows, columns = np.nonzero(labels == k)
        found.append((rows[0] + top) * width + columns[0] + left)
    return np.array(found)


def _names_by_runs(labels: np.ndarray, top: int, left: int, width: int) -> np.ndarray:
    first = Runs.of(labels).first_pixels(int(labels.max()))[1:]
    row, column = np.divmod(first, labels.shape[1])
    return (row + top) * width + column + left


def _corner(labels: np.ndarray, top: int, left: int, width: int) -> np.ndarray:
    boxes = [np.nonzero(labels == k) for k in range(1, labels.max() + 1)]
    return np.array([(rows.min() + top) * width + columns.min() + left for rows, columns in boxes])


@exercise(
    "07.3",
    "a name for every cell",
    hints=(
        "np.nonzero(labels == k) gives rows and columns of cell k in reading order: the first one is wanted.",
        "Add `top` to the row and `left` to the column: that is where the pixel lies on the slide.",
        "rows, columns = np.nonzero(labels == k); name = (rows[0] + top) * width + columns[0] + left",
    ),
    right={"a loop": _names, "without a loop": _names_by_runs},
    wrong={
        "position in the block": lambda labels, top, left, width: _names(labels, 0, 0, labels.shape[1]),
        "width of the block": lambda labels, top, left, width: _names(labels, top, left, labels.shape[1]),
        "corner of the box": _corner,
        "the labels themselves": lambda labels, top, left, width: np.arange(1, labels.max() + 1),
    },
)
def check_names(answer: Callable[[np.ndarray, int, int, int], np.ndarray]) -> None:
    """Judge names of the cells of two blocks of a slide of 3 × 8 pixels."""
    left = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1], [2, 0, 0, 0, 0]])
    right = np.array([[0, 2, 0, 1, 1], [2, 2, 0, 0, 0], [0, 0, 0, 0, 0]])
    for block, column, expected in ((left, 0, [4, 16]), (right, 3, [6, 4])):
        got = np.asarray(answer(block, 0, column, 8)).tolist()
        assert got == expected, (
            f"The slide is 8 wide, and the block that begins in its column {column} is\n{block}\n"
            f"Its cells begin at {expected}; yours are {got}."
        )
    got = np.asarray(answer(left, 10, 0, 8)).tolist()
    assert got == [84, 96], f"The same block 10 rows further down: names are [84, 96]; yours are {got}."


def _line(megapixels: np.ndarray, seconds: np.ndarray) -> tuple[float, float]:
    slope, start = np.polyfit(megapixels, seconds, 1)
    return float(start), float(slope)


@exercise(
    "07.4",
    "seconds at the start, and per megapixel",
    hints=(
        "A straight line: seconds = start + slope · megapixels. np.polyfit(x, y, 1) fits one.",
        "np.polyfit gives the highest power first: the slope, then the start.",
        "slope, start = np.polyfit(megapixels, seconds, 1); return start, slope",
    ),
    right={
        "polyfit": _line,
        "normal equations": lambda x, y: tuple(
            np.linalg.lstsq(np.stack([np.ones_like(x), x], axis=1), y, rcond=None)[0]
        ),
    },
    wrong={
        "wrong way round": lambda x, y: _line(x, y)[::-1],
        "seconds by megapixels": lambda x, y: (0.0, float((y / x).mean())),
        "through the origin": lambda x, y: (0.0, float((x * y).sum() / (x * x).sum())),
        "axes swapped": lambda x, y: _line(y, x),
    },
)
def check_line(answer: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> None:
    """Judge start and slope of a line."""
    x = np.array([0.5, 1.0, 9.0, 80.0])
    got = answer(x, 7 + 0.5 * x)
    assert np.shape(got) == (2,), "Return two numbers: seconds at the start, seconds per megapixel."
    assert np.allclose(got, (7, 0.5), rtol=1e-6), (
        f"7 seconds and half a second per megapixel: (7, 0.5); yours is ({got[0]:.3g}, {got[1]:.3g})."
    )
