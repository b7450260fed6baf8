"""Checks of notebook 05: two masks, specks, a flood in the head, small cells without a loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
from scipy import ndimage

from maunet_lite.course.exercises.judge import compare, exercise


def _masks(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return probabilities[0] < 0.3, probabilities[1] > 0.7


@exercise(
    "05.1",
    "two masks",
    hints=(
        "probabilities[0] is the background's probability of each pixel, probabilities[1] the interior's.",
        "The foreground asks only one channel: is the background's probability below 0.3?",
        "return probabilities[0] < 0.3, probabilities[1] > 0.7",
    ),
    right={"two comparisons": _masks},
    wrong={
        "interior plus boundary": lambda p: (p[1] + p[2] > 0.7, p[1] > 0.7),
        "most probable class": lambda p: (p.argmax(0) > 0, p.argmax(0) == 1),
        "wrong way round": lambda p: _masks(p)[::-1],
        "background above the threshold": lambda p: (p[0] > 0.3, p[1] > 0.7),
        "one mask": lambda p: p[1] > 0.7,
    },
)
def check_masks(answer: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
    """Judge foreground and interior of five pixels, the last one with a large share for the proxy."""
    probabilities = np.array(
        [
            [[0.9, 0.1, 0.1, 0.35, 0.2]],  # background
            [[0.1, 0.8, 0.3, 0.60, 0.2]],  # interior
            [[0.0, 0.1, 0.6, 0.05, 0.2]],  # boundary
            [[0.0, 0.0, 0.0, 0.00, 0.4]],  # proxy
        ]
    )
    got = answer(probabilities)
    assert isinstance(got, (tuple, list)), "Return two masks: foreground, interior."
    assert len(got) == 2, f"Return two masks, foreground and interior; yours has {len(got)} parts."
    names = ("foreground", "interior")
    for name, mask, expected in zip(names, got, ([[0, 1, 1, 0, 1]], [[0, 1, 0, 0, 0]]), strict=True):
        compare(mask, expected, f"the {name} of P(background) = 0.9, 0.1, 0.1, 0.35, 0.2")


def _label(mask: np.ndarray) -> np.ndarray:
    return ndimage.label(mask, np.ones((3, 3)))[0]


def _sure(probability: np.ndarray, low: float, high: float) -> np.ndarray:
    pieces = _label(probability > low)
    sure = np.unique(pieces[probability > high])
    return np.isin(pieces, sure[sure > 0])


def _by_loop(probability: np.ndarray, low: float, high: float) -> np.ndarray:
    pieces = _label(probability > low)
    kept = [k for k in range(1, pieces.max() + 1) if probability[pieces == k].max() > high]
    return np.isin(pieces, kept)


def _sides_only(probability: np.ndarray, low: float, high: float) -> np.ndarray:
    pieces = ndimage.label(probability > low)[0]
    return np.isin(pieces, np.unique(pieces[probability > high]))


def _neighbours_only(probability: np.ndarray, low: float, high: float) -> np.ndarray:
    return (probability > low) & ndimage.binary_dilation(probability > high, np.ones((3, 3)))


@exercise(
    "05.2",
    "specks or small cells?",
    hints=(
        "pieces = label(probability > low) numbers the pieces. Which numbers occur where probability > high?",
        "pieces[probability > high] holds these numbers, one per sure pixel; np.isin asks for each pixel.",
        "np.isin(pieces, np.unique(pieces[probability > high])), all inside probability > low",
    ),
    right={"look-up": _sure, "loop over pieces": _by_loop},
    wrong={
        "only the sure pixels": lambda p, low, high: p > high,
        "only the low threshold": lambda p, low, high: p > low,
        "sides, not corners": _sides_only,
        "sure pixels and their neighbours": _neighbours_only,
        "mean instead of one pixel": lambda p, low, high: _sure(
            ndimage.uniform_filter(p, 3, mode="constant"), low, high
        ),
    },
)
def check_sure_pieces(answer: Callable[[np.ndarray, float, float], np.ndarray]) -> None:
    """Judge three pieces: long with one sure end, never sure, and two pixels that touch at a corner."""
    probability = np.array(
        [
            [0.95, 0.8, 0.8, 0.1, 0.8, 0.1, 0.1, 0.1],
            [0.10, 0.1, 0.1, 0.1, 0.8, 0.1, 0.8, 0.1],
            [0.10, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.92],
        ]
    )
    expected = [[1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 1]]
    compare(
        answer(probability, 0.7, 0.9), expected, "three pieces above 0.7, two of them somewhere above 0.9"
    )
    unsure = np.array([[0.8, 0.2, 0.75]])
    compare(answer(unsure, 0.7, 0.9), [[0, 0, 0]], "pieces that are nowhere above 0.9")


@exercise(
    "05.3",
    "flood it in your head",
    hints=(
        "Find the highest place between the two springs: that is where the waters meet.",
        "Position 3 is 7 high. Spring 1 cannot get over it before spring 2 has filled its own basin.",
        "Positions 0 to 2 belong to 1, positions 4 to 9 to 2; position 3 may go to either.",
    ),
    right={"ridge to 1": [1, 1, 1, 1] + 6 * [2], "ridge to 2": np.array([1, 1, 1] + 7 * [2])},
    wrong={
        "nearest spring": [1, 1, 1, 1, 1, 2, 2, 2, 2, 2],
        "ridge left dry": [1, 1, 1, 0, 2, 2, 2, 2, 2, 2],
        "springs only": [0, 1, 0, 0, 0, 0, 0, 0, 2, 0],
        "too short": [1, 1, 1, 2, 2, 2],
    },
)
def check_flood(answer: object) -> None:
    """Judge the owners of ten pixels; the ridge may go to either."""
    owners = np.asarray(answer)
    assert owners.shape == (10,), (
        f"Ten owners are expected, a list such as [1, 1, 2, …]; yours: {owners.shape}."
    )
    assert set(owners.tolist()) <= {1, 2}, "Every position is flooded in the end: only 1 and 2 occur."
    compare(np.delete(owners, 3), [1, 1, 1] + 6 * [2], "all positions but the ridge at 3")


def _remove_small(labels: np.ndarray, min_area: int) -> np.ndarray:
    return np.where(np.bincount(labels.ravel())[labels] < min_area, 0, labels)


def _in_place(labels: np.ndarray, min_area: int) -> np.ndarray:
    labels[np.bincount(labels.ravel())[labels] < min_area] = 0
    return labels


def _renumbered(labels: np.ndarray, min_area: int) -> np.ndarray:
    return np.unique(_remove_small(labels, min_area), return_inverse=True)[1].reshape(labels.shape)


def _by_masks(labels: np.ndarray, min_area: int) -> np.ndarray:
    kept = labels.copy()
    for k in np.unique(labels):
        if (labels == k).sum() < min_area:
            kept[labels == k] = 0
    return kept


def _by_list(labels: np.ndarray, min_area: int) -> np.ndarray:
    small = [k for k, area in enumerate(np.bincount(labels.ravel())) if area < min_area]
    return np.where(np.isin(labels, small), 0, labels)


def _by_while(labels: np.ndarray, min_area: int) -> np.ndarray:
    kept, k = labels.copy(), 1
    while k <= labels.max():
        kept[labels == k] *= (labels == k).sum() >= min_area
        k += 1
    return kept


def _by_objects(labels: np.ndarray, min_area: int) -> np.ndarray:
    small = {
        k for k, part in enumerate(ndimage.find_objects(labels), 1) if (labels[part] == k).sum() < min_area
    }
    return np.where(np.isin(labels, list(small)), 0, labels)


def _by_unique(labels: np.ndarray, min_area: int) -> np.ndarray:
    _, where, areas = np.unique(labels, return_inverse=True, return_counts=True)
    return np.where(areas[where].reshape(labels.shape) < min_area, 0, labels)


def _python_steps(function: Callable[..., object], *arguments: object) -> int:
    """Count the lines of Python that a call runs, those of the functions it calls included.

    A loop adds at least one for each round. What runs inside NumPy's compiled code counts nothing. Unlike
    seconds, the number is the same on any machine.
    """
    steps = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal steps
        steps += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return steps


def _many_cells(count: int) -> np.ndarray:
    """Return a map with a cell of four pixels in each row, every tenth without two of them."""
    labels = np.zeros((count, 5), dtype=int)
    labels[:, :4] = np.arange(1, count + 1)[:, None]
    labels[::10, 2:] = 0
    return labels


@exercise(
    "05.4",
    "remove small cells without a loop",
    hints=(
        "np.bincount(labels.ravel()) holds the area of every id, 0 included.",
        "An array indexed by a label map is a look-up table: areas[labels] gives each pixel its cell's area.",
        "np.where(areas[labels] < min_area, 0, labels)",
    ),
    right={
        "look-up table": _remove_small,
        "keep and multiply": lambda labels, n: labels * (np.bincount(labels.ravel()) >= n)[labels],
        "unique and its inverse": _by_unique,
    },
    wrong={
        "too many removed": lambda labels, n: _remove_small(labels, n + 1),
        "input changed": _in_place,
        "renumbered": _renumbered,
        "large ones removed": lambda labels, n: labels - _remove_small(labels, n),
        "mask returned": lambda labels, n: _remove_small(labels, n) > 0,
        "loop over masks": _by_masks,
        "loop over areas": _by_list,
        "loop with while": _by_while,
        "loop over bounding boxes": _by_objects,
    },
)
def check_remove_small(answer: Callable[[np.ndarray, int], np.ndarray]) -> None:
    """Judge small label maps, with gaps in the ids, without background, empty; then look for a loop."""
    labels = np.array([[2, 2, 0, 7], [2, 2, 0, 7], [9, 0, 0, 7]])
    before = labels.copy()
    got = answer(labels, 3)
    assert np.array_equal(labels, before), "The input was changed: work on a copy, or build a new array."
    compare(
        got, [[2, 2, 0, 7], [2, 2, 0, 7], [0, 0, 0, 7]], "cells 2 (4 pixels), 7 (3), 9 (1) and min_area=3"
    )
    compare(answer(np.array([[4, 4, 1]]), 2), [[4, 4, 0]], "a map without background and min_area=2")
    compare(answer(np.zeros((2, 3), dtype=int), 2), np.zeros((2, 3)), "an empty map")
    few, many = _many_cells(10), _many_cells(810)
    compare(answer(many, 3), _remove_small(many, 3), "a map of 810 cells and min_area=3")
    added = _python_steps(answer, many, 3) - _python_steps(answer, few, 3)
    assert added < 400, (
        f"The result is right. But with 810 cells in place of 10 Python runs {added} more lines: there is a "
        "loop over cells, or over pixels."
    )
