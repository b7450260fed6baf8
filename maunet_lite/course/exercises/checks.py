"""Cases that no table holds: ``cases_NN_K`` yields what is computed, after those of ``checks_NN.yaml``.

Either a `Case` whose inputs or expected values are made here, or a function that takes the learner's answer
and raises ``AssertionError`` for what no single case shows.
"""

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import distance_transform_edt
from skimage.morphology import disk

from maunet_lite.course.exercises.cases import Case, compare
from maunet_lite.preprocessing import class_map
from maunet_lite.training import classification_consistency

Cases = Iterator[Case | Callable[[Any], None]]


def cases_01_3() -> Cases:
    """Distance field of the authors."""

    def field(cell: np.ndarray, beta: float) -> np.ndarray:
        depth = distance_transform_edt(cell)
        return cell / (1 + beta * (depth.max() - depth) / np.sqrt(cell.sum()))

    drop = np.pad(disk(6), ((1, 9), (2, 1))) > 0
    drop[4:16, 6:9] = True
    yield Case("a drop with beta = 0.5", (drop, 0.5), field, "Depth is the Euclidean distance.")


def cases_01_4() -> Cases:
    """Class map without these defects."""
    yield Case("a disc 61 pixels wide", (np.pad(disk(30), 5),), class_map, "Its thickness is 2.7 pixels.")


def cases_02_1() -> Cases:
    """Upsampling block."""

    def up(x: torch.Tensor) -> torch.Tensor:  # stands for the transposed convolution
        return torch.nn.functional.interpolate(x, scale_factor=2)  # (B, C, h, w) → (B, C, 2 h, 2 w)

    def block(x: torch.Tensor) -> torch.Tensor:  # for the residual block: the order of channels matters to it
        return x.cumsum(dim=1).tanh()

    x, skip = torch.arange(120.0).reshape(1, 6, 4, 5).sin(), torch.arange(320.0).reshape(1, 4, 8, 10).cos()
    expected, why = block(torch.cat([up(x), skip], dim=1)), "If the shape is right: which comes first?"
    yield Case("6 channels of 4 × 5 and a skip of 4 of 8 × 10 pixels", (x, skip, up, block), expected, why)


def cases_02_3() -> Cases:
    """Conclusion of the sanity check: a letter, however it is written."""

    def letter(answer: object) -> None:
        # one letter, with or without a word before it, and no second one
        found = re.match(r"\W*(?:answer|statement)?\W*([abc])\b(?!\W+[abc]\W*$)", str(answer).lower())
        assert found, f"Set answer to 'a', 'b' or 'c', not {answer!r}."
        assert found[1] == "b", f"Not {found[1]}: it did learn the one image."

    yield letter


def cases_04_2() -> Cases:
    """Mutual cross entropy."""
    pair = torch.randn(2, 2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    yield Case("random logits of two images", tuple(pair), classification_consistency)


def cases_05_3() -> Cases:
    """Flood it in your head."""

    def flooded(answer: object) -> None:
        basins = [1, 1, 1, 1 if np.shape(answer) == (10,) and int(answer[3]) == 1 else 2] + 6 * [2]
        compare(answer, Case("ten positions, of which 3 may go to 1 or 2", None, basins))

    yield flooded


def lines_run(function: Callable[..., object], *arguments: object) -> int:
    """Count the lines of Python that a call runs, those of the functions it calls included.

    A loop adds at least one for each round. What runs inside NumPy's compiled code counts nothing. Unlike
    seconds, the number is the same on any machine.
    """
    seen: list[str] = []

    def count(frame: FrameType, event: str, argument: object) -> Any:
        seen.append(event)
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return len(seen)


def _small_cells(count: int) -> np.ndarray:
    """Return a map with a cell of four pixels in each row, every tenth without two of them."""
    labels = np.repeat(np.arange(1, count + 1)[:, None], 5, axis=1)
    labels[:, 4] = 0
    labels[::10, 2:] = 0
    return labels


def cases_05_4() -> Cases:
    """Remove small cells without a loop."""

    def without_loop(answer: Callable[[np.ndarray, int], object]) -> None:
        added = lines_run(answer, _small_cells(810), 3) - lines_run(answer, _small_cells(10), 3)
        assert added < 400, (
            f"The result is right. But with 810 cells in place of 10 Python runs {added} more lines: "
            "there is a loop over cells, or over pixels."
        )

    many = _small_cells(810)
    yield Case("a map of 810 cells and min_area=3", (many, 3), many * (many[:, 2:3] > 0))
    yield without_loop


def cases_07_2() -> Cases:
    """Windows that cover an axis."""
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


def cases_08_1() -> Cases:
    """Split by well."""
    wells = pd.Series(["A1", "A1", "A2", "A3", "A3", "A2"], index=[3, 1, 4, 0, 5, 9])
    expected = ["train", "train", "val", "train", "train", "val"]
    yield Case("the wells of the first case as a column of a table", (wells, ["A2"]), expected)
