"""Checks of notebook 07: a budget, windows that cover, names of cells, seconds at start and per megapixel."""

import math
from collections.abc import Callable, Iterable

import numpy as np

from maunet_lite.course.exercises.judge import Case, exercise


@exercise("07.1")
def largest_side():
    """Largest image within a budget.

    1. What is left for pixels? The budget, without what the process takes before it sees a pixel.
    2. A square of side s has s² pixels: s² · per_pixel must not exceed what is left.
    3. return int(((budget - base) / per_pixel) ** 0.5), and 0 if nothing is left
    """
    yield Case("1000 bytes, 200 of them taken, at 50 per pixel", (1000, 200, 50), 4)
    yield Case("1000 bytes, 250 of them taken, at 50 per pixel", (1000, 250, 50), 3, "4 × 4 take 800.")
    yield Case("4000 bytes, none of them taken, at 10 per pixel", (4000, 0, 10), 20)
    yield Case("100 bytes when 200 are taken already", (100, 200, 50), 0, "Nothing fits.")


@exercise("07.2")
def window_starts():
    """Windows that cover an axis.

    1. If one window is enough, it starts at 0. Else the last one must end exactly where the image does.
    2. Step by window - overlap from 0, as long as the window stays within the image.
    3. return [*range(0, max(length - window, 0), window - overlap), max(length - window, 0)]
    """
    axes = ((1000, 512, 128), (512, 512, 128), (300, 512, 128), (897, 512, 128), (30, 8, 0))

    def covered(answer: Callable[[int, int, int], Iterable[int]]) -> None:
        """Accept windows that are spread evenly, or of which the last one is moved back."""
        for length, window, overlap in axes:
            case = f"length {length}, window {window}, overlap {overlap}"
            starts = [int(start) for start in answer(length, window, overlap)]
            assert starts, f"{case}: there is no window."
            assert starts == sorted(starts), f"{case}: go from left to right; yours is {starts}."
            assert starts[0] == 0, f"{case}: the first window starts at 0; yours at {starts[0]}."
            end, image = starts[-1] + window, max(length, window)
            assert end >= image, f"{case}: your last window ends at {end}, before the image does."
            assert end <= image, f"{case}: your last window ends at {end}, beyond the image."
            shared = [window - step for step in np.diff(starts).tolist()]
            assert min(shared, default=overlap) >= overlap, f"{case}: neighbours share {shared}, too little."
            fewest = max(1, math.ceil((length - overlap) / (window - overlap)))
            assert len(starts) == fewest, f"{case}: {fewest} windows are enough; yours are {len(starts)}."

    yield covered


@exercise("07.3")
def names():
    """Name for every cell.

    1. np.nonzero(labels == k) gives rows and columns of cell k in reading order: the first one is wanted.
    2. Add `top` to the row and `left` to the column: that is where the pixel lies on the slide.
    3. rows, columns = np.nonzero(labels == k); name = (rows[0] + top) * width + columns[0] + left
    """
    one = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1], [2, 0, 0, 0, 0]])
    other = np.array([[0, 2, 0, 1, 1], [2, 2, 0, 0, 0], [0, 0, 0, 0, 0]])
    for block, top, left, expected in ((one, 0, 0, [4, 16]), (other, 0, 3, [6, 4]), (one, 10, 0, [84, 96])):
        case = f"the block\n{block}\nthat begins in row {top} and column {left} of a slide 8 wide"
        yield Case(case, (block, top, left, 8), expected)


@exercise("07.4", parts=("seconds at the start", "seconds per megapixel"))
def start_and_slope():
    """Seconds at the start, and per megapixel.

    1. A straight line: seconds = start + slope · megapixels. np.polyfit(x, y, 1) fits one.
    2. np.polyfit gives the highest power first: the slope, then the start.
    3. slope, start = np.polyfit(megapixels, seconds, 1); return start, slope
    """
    x = np.array([0.5, 1, 9, 80])
    yield Case("7 seconds and half a second per megapixel", (x, 7 + 0.5 * x), (7, 0.5))
    x, y = np.array([0.0, 1, 2, 5]), np.array([1.0, 3, 4, 8])  # means 2 and 4, sums 14 and 19
    case, why = "1, 3, 4, 8 seconds for 0, 1, 2, 5 megapixels", "All points count, as in least squares."
    yield Case(case, (x, y), (9 / 7, 19 / 14), why)
