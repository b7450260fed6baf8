"""Checks of notebook 01: scaling, clipped pixels, the authors' field, a class map without defects."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from maunet_lite.course.exercises.judge import compare, exercise
from maunet_lite.course.figures.targets import discs, from_digits
from maunet_lite.preprocessing import class_map

LOW, HIGH = 0.01, 0.99


# --- 01.1 -------------------------------------------------------------------------------------------------


def _scale(image: np.ndarray) -> np.ndarray:
    low, high = float(image.min()), float(image.max())
    if high == low:
        return np.full(image.shape, LOW)
    return LOW + (HIGH - LOW) * (image - low) / (high - low)


def _scale_with_clip(image: np.ndarray) -> np.ndarray:
    return np.interp(image, (image.min(), image.max()), (LOW, HIGH)) if np.ptp(image) else 0 * image + LOW


def _to_zero_one(image: np.ndarray) -> np.ndarray:
    return (image - image.min()) / max(np.ptp(image), 1)


def _without_constant(image: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return LOW + (HIGH - LOW) * (image - image.min()) / np.ptp(image)


def _at_least_one(image: np.ndarray) -> np.ndarray:
    return LOW + (HIGH - LOW) * (image - image.min()) / max(image.max() - image.min(), 1)


def _per_channel(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return _scale(image)
    return np.stack([_scale(channel) for channel in np.moveaxis(image, -1, 0)], axis=-1)


@exercise(
    "01.1",
    "scale from minimum to maximum",
    hints=(
        "The smallest value must land on 0.01 and the largest on 0.99: the new range is 0.98 wide.",
        "What is the result of 0 / 0? Treat an image whose minimum is its maximum first.",
        "np.full(image.shape, 0.01) if high == low, else 0.01 + 0.98 * (image - low) / (high - low)",
    ),
    right={"formula": _scale, "interpolation": _scale_with_clip},
    wrong={
        "from 0 to 1": _to_zero_one,
        "NaN for a constant image": _without_constant,
        "a range of one at least": _at_least_one,
        "each channel by itself": _per_channel,
        "0.99 wide": lambda image: np.minimum(LOW + HIGH * (_scale(image) - LOW) / 0.98, 1.0),
    },
)
def _judge_scale(answer: Callable[[np.ndarray], np.ndarray]) -> None:
    compare(
        answer(np.array([[0, 50, 100]], dtype=np.uint8)), [[0.01, 0.5, 0.99]], "the grey values 0, 50, 100"
    )
    compare(answer(np.array([[-4.0], [4.0]])), [[0.01], [0.99]], "the values -4 and 4")
    compare(answer(np.array([[0.2, 0.35, 0.5]])), [[0.01, 0.5, 0.99]], "the values 0.2, 0.35 and 0.5")
    colour = np.array([[[0, 50, 100]]], dtype=np.uint8)
    compare(
        answer(colour), [[[0.01, 0.5, 0.99]]], "one RGB pixel (0, 50, 100): one range for the whole array"
    )
    compare(answer(np.full((2, 2), 7)), np.full((2, 2), 0.01), "an image that is 7 everywhere")


# --- 01.2 -------------------------------------------------------------------------------------------------


def _clipped_share(scaled: np.ndarray, labels: np.ndarray) -> float:
    values = scaled[labels > 0]
    return np.mean((values < LOW + 1e-4) | (values > HIGH - 1e-4))


def _at_ends(scaled: np.ndarray) -> np.ndarray:
    return (scaled < LOW + 1e-4) | (scaled > HIGH - 1e-4)


@exercise(
    "01.2",
    "share of clipped cell pixels",
    hints=(
        "Which pixels are in a cell? labels > 0. Which of those lie at 0.01 or at 0.99?",
        "scaled[labels > 0] holds the values of the cells' pixels; the mean of a boolean array is a share.",
        "np.mean((values < 0.01 + 1e-4) | (values > 0.99 - 1e-4)) with values = scaled[labels > 0]",
    ),
    right={
        "index first": _clipped_share,
        "count": lambda scaled, labels: (_at_ends(scaled) & (labels > 0)).sum() / (labels > 0).sum(),
    },
    wrong={
        "of all pixels": lambda scaled, labels: np.mean(_at_ends(scaled)),
        "clipped ones that are cells": lambda scaled, labels: np.mean(labels[_at_ends(scaled)] > 0),
        "cells' clipped pixels, of all": lambda scaled, labels: np.mean(_at_ends(scaled) & (labels > 0)),
        "bright end only": lambda scaled, labels: np.mean(scaled[labels > 0] > HIGH - 1e-4),
        "float32 compared exactly": lambda scaled, labels: np.mean(np.isin(scaled[labels > 0], (LOW, HIGH))),
    },
)
def _judge_clipped_share(answer: Callable[[np.ndarray, np.ndarray], float]) -> None:
    scaled = np.array([[0.01, 0.3, 0.99], [0.01, 0.6, 0.5]], dtype=np.float32)
    labels = np.array([[4, 4, 4], [0, 9, 0]])
    compare(answer(scaled, labels), 0.5, "cell pixels of 0.01, 0.3, 0.99 and 0.6: two of four are clipped")
    case = "a cell that is not clipped on a background that is"
    compare(answer(scaled, np.array([[0, 5, 0], [0, 5, 0]])), 0.0, case)


# --- 01.3 -------------------------------------------------------------------------------------------------


def _authors_field(cell: np.ndarray, beta: float = 1.0) -> np.ndarray:
    depth = ndimage.distance_transform_edt(cell)
    return cell / (1 + beta * (depth.max() - depth) / np.sqrt(cell.sum()))


def _gamma(cell: np.ndarray) -> np.ndarray:
    depth = ndimage.distance_transform_edt(cell)
    return depth.max() - depth


def _from_centre(cell: np.ndarray, beta: float = 1.0) -> np.ndarray:
    rows, columns = np.indices(cell.shape)
    row, column = np.argwhere(cell).mean(axis=0)
    return cell / (1 + beta * np.hypot(rows - row, columns - column) / np.sqrt(cell.sum()))


@exercise(
    "01.3",
    "the authors' field",
    hints=(
        "depth = ndimage.distance_transform_edt(cell) is 0 outside; γ is 0 at the deepest pixel.",
        "alpha is 1 / np.sqrt(cell.sum()): the mask's sum is S. And the background must be 0, not small.",
        "gamma = depth.max() - depth;  cell / (1 + beta * gamma / np.sqrt(cell.sum()))",
    ),
    right={
        "times the mask": _authors_field,
        "where": lambda cell, beta=1.0: np.where(
            cell, 1 / (1 + beta * _gamma(cell) / np.sqrt(cell.sum())), 0.0
        ),
    },
    wrong={
        "background not zero": lambda cell, beta=1.0: 1 / (1 + beta * _gamma(cell) / np.sqrt(cell.sum())),
        "no alpha": lambda cell, beta=1.0: cell / (1 + beta * _gamma(cell)),
        "S without its root": lambda cell, beta=1.0: cell / (1 + beta * _gamma(cell) / cell.sum()),
        "beta forgotten": lambda cell, beta=1.0: _authors_field(cell),
        "depth instead of its lack": lambda cell, beta=1.0: (
            cell / (1 + beta * ndimage.distance_transform_edt(cell) / np.sqrt(cell.sum()))
        ),
        "from the centre": _from_centre,
    },
)
def _judge_authors_field(answer: Callable[..., np.ndarray]) -> None:
    cell = from_digits("...... .1111. .1111. .1111. ......") > 0
    rim = 1 / (1 + 1 / math.sqrt(12))  # depths are 2 in the middle and 1 around, S = 12
    expected = np.where(cell, rim, 0)
    expected[2, 2:4] = 1
    compare(answer(cell), expected, "a bar of 3 × 4 pixels with background around")
    compare(answer(cell, 3.0), _authors_field(cell, 3.0), "the same bar with beta = 3")
    compare(answer(cell, beta=0.5), _authors_field(cell, 0.5), "the same bar with beta = 0.5")


# --- 01.4 -------------------------------------------------------------------------------------------------


def _mended(labels: np.ndarray) -> np.ndarray:
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for k in np.unique(labels[labels > 0]):
        cell = labels == k
        depth = ndimage.distance_transform_edt(cell)[cell]
        thickness = max(np.sqrt(cell.sum()) / 20, 1)
        interior = depth > thickness if depth.max() > thickness else depth == depth.max()
        classes[cell] = np.where(interior, 1, 2)
    return classes


def _tiny_forgotten(labels: np.ndarray) -> np.ndarray:
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for k in np.unique(labels[labels > 0]):
        cell = labels == k
        depth = ndimage.distance_transform_edt(cell)[cell]
        classes[cell] = np.where(depth > max(np.sqrt(cell.sum()) / 20, 1), 1, 2)
    return classes


def _edge_is_background(labels: np.ndarray) -> np.ndarray:
    return _mended(np.pad(labels, 1))[1:-1, 1:-1]


def _in_turn(labels: np.ndarray) -> np.ndarray:
    classes = np.zeros(labels.shape, dtype=np.uint8)
    for k in range(1, labels.max() + 1):
        cell = labels == k
        layer = cell & (ndimage.distance_transform_edt(cell) == 1)
        thick = ndimage.distance_transform_edt(~layer) <= math.ceil(math.sqrt(cell.sum()) / 40)
        interior = cell & ~thick
        classes[thick] = 2
        if interior.sum() >= 16:
            classes[interior] = 1
    return classes


def _foreground_only(labels: np.ndarray) -> np.ndarray:
    depth = ndimage.distance_transform_edt(labels > 0)
    return np.where(labels == 0, 0, np.where(depth > 1, 1, 2))


def _one_layer(labels: np.ndarray) -> np.ndarray:
    classes = _mended(labels)
    for k in np.unique(labels[labels > 0]):
        depth = ndimage.distance_transform_edt(labels == k)
        classes[depth > 1] = 1
    return classes


@exercise(
    "01.4",
    "a class map without these defects",
    hints=(
        "classes_with_numpy of section 4 neither spills nor depends on the order. What does it leave of "
        "a cell of 2 × 2 pixels?",
        "If no depth of a cell exceeds its thickness, its interior is where depth == depth.max().",
        "interior = depth > thickness if depth.max() > thickness else depth == depth.max(), "
        "with depth = ndimage.distance_transform_edt(cell)[cell]",
    ),
    right={"numpy": _mended, "the package's": class_map},
    wrong={
        "drawn in turn": _in_turn,
        "tiny cells forgotten": _tiny_forgotten,
        "depth of the foreground": _foreground_only,
        "always one layer": _one_layer,
        "a boundary along the image's edge": _edge_is_background,
    },
)
def _judge_mended(answer: Callable[[np.ndarray], np.ndarray]) -> None:
    pair = from_digits("........ .111222. .111222. .111222. ........")
    expected = from_digits("........ .222222. .212212. .222222. ........")
    compare(answer(pair), expected, "two touching cells of 3 × 3 pixels")
    compare(answer(np.where(pair > 0, 3 - pair, 0)), expected, "the same cells, numbered the other way round")
    compare(answer(np.where(pair == 2, 500, pair)), expected, "the same cells with the ids 1 and 500")
    small = from_digits("...... .1..22 ....22 ......")
    compare(answer(small), (small > 0).astype(int), "cells of 1 and of 4 pixels: all interior")
    cut = from_digits("111.... 111.... 111.... ....333 ....333 ....333")
    wanted = from_digits("112.... 112.... 222.... ....222 ....211 ....211")
    compare(answer(cut), wanted, "cells in two corners of the image, no boundary along its edge")
    large = np.asarray(answer(discs((70, 70), (35, 35, 60))))
    wanted = class_map(discs((70, 70), (35, 35, 60)))
    assert np.array_equal(large, wanted), (
        f"A disc 60 pixels wide has a thickness of 2.7 pixels, so {np.sum(wanted == 1)} pixels of interior; "
        f"yours has {np.sum(large == 1)}."
    )
