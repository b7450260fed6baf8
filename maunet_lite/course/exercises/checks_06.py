"""Checks of notebook 06: IoU matrix, border rule, three averages, bootstrap, and how many seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from maunet_lite.course.exercises.judge import compare, exercise

# --- 06.1 ---------------------------------------------------------------------------------------------


def _ids(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels[labels > 0])


def _pairs(truth: np.ndarray, prediction: np.ndarray, score: Callable[[Any, Any], float]) -> np.ndarray:
    """Score every true cell with every predicted one."""
    table = [[score(truth == t, prediction == p) for p in _ids(prediction)] for t in _ids(truth)]
    return np.array(table, dtype=float).reshape(len(_ids(truth)), len(_ids(prediction)))


def _iou_matrix(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return _pairs(truth, prediction, lambda t, p: (t & p).sum() / (t | p).sum())


def _by_counting(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    _, rows = np.unique(truth, return_inverse=True)
    _, columns = np.unique(prediction, return_inverse=True)
    shared = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(shared, (rows.ravel(), columns.ravel()), 1)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0, keepdims=True) - shared
    return (shared / union)[1:, 1:]


def _up_to_max(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    matrix = np.zeros((truth.max(), prediction.max()))
    for t in range(1, truth.max() + 1):
        for p in range(1, prediction.max() + 1):
            union = ((truth == t) | (prediction == p)).sum()
            matrix[t - 1, p - 1] = ((truth == t) & (prediction == p)).sum() / max(union, 1)
    return matrix


@exercise(
    "06.1",
    "the IoU matrix",
    hints=(
        "Two loops, over the ids of the truth and over those of the prediction: np.unique lists them, 0 is "
        "none of them.",
        "For two masks a and b: (a & b).sum() pixels belong to both, (a | b).sum() to at least one.",
        "[[((truth == t) & (prediction == p)).sum() / ((truth == t) | (prediction == p)).sum() for p in …] "
        "for t in …]",
    ),
    right={"loops": _iou_matrix, "counting": _by_counting},
    wrong={
        "background as a cell": lambda truth, prediction: _iou_matrix(truth + 1, prediction + 1),
        "Dice instead of IoU": lambda truth, prediction: _pairs(
            truth, prediction, lambda t, p: 2 * (t & p).sum() / (t.sum() + p.sum())
        ),
        "share of the true cell": lambda truth, prediction: _pairs(
            truth, prediction, lambda t, p: (t & p).sum() / t.sum()
        ),
        "transposed": lambda truth, prediction: _iou_matrix(truth, prediction).T,
        "ids without gaps taken for granted": _up_to_max,
    },
)
def _check_matrix(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    truth = np.array([[1, 1, 1, 1, 0, 2, 2, 0]])
    prediction = np.array([[1, 1, 1, 0, 0, 0, 2, 3]])
    # cell 1: 3 shared of 4; cell 2: 1 shared of 2
    compare(answer(truth, prediction), [[0.75, 0, 0], [0, 0.5, 0]], "cells of 4 and 2 pixels")
    gaps = np.array([[7, 7, 0, 0, 0, 40, 40, 0]])
    # cell 7: 2 shared of 3; cell 40: 1 shared of 2
    compare(answer(gaps, prediction), [[2 / 3, 0, 0], [0, 0.5, 0]], "ids with gaps, 7 and 40")


# --- 06.2 ---------------------------------------------------------------------------------------------


def _drop_border(labels: np.ndarray, width: int) -> np.ndarray:
    inner = np.zeros(labels.shape, dtype=bool)
    inner[width : labels.shape[0] - width, width : labels.shape[1] - width] = True
    return np.where(np.isin(labels, labels[~inner]), 0, labels)


def _erase_frame(labels: np.ndarray, width: int) -> np.ndarray:
    result = np.zeros_like(labels)
    inner = np.s_[width : labels.shape[0] - width, width : labels.shape[1] - width]
    result[inner] = labels[inner]
    return result


def _rows_only(labels: np.ndarray, width: int) -> np.ndarray:
    touching = np.unique([labels[:width], labels[-width:]])
    return np.where(np.isin(labels, touching), 0, labels)


def _crop(labels: np.ndarray, width: int) -> np.ndarray:
    return _drop_border(labels, width)[width:-width, width:-width]


@exercise(
    "06.2",
    "the border rule",
    hints=(
        "Which ids occur in the frame? All their pixels go, also those far inside.",
        "labels[:width], labels[-width:], labels[:, :width] and labels[:, -width:] are the four sides of the "
        "frame; np.isin(labels, ids) is the mask of all pixels of these ids.",
        "np.where(np.isin(labels, np.concatenate([side.ravel() for side in sides])), 0, labels)",
    ),
    right={"frame as a mask": _drop_border},
    wrong={
        "frame erased": _erase_frame,
        "outermost pixels only": lambda labels, width: _drop_border(labels, 1),
        "top and bottom only": _rows_only,
        "one pixel too wide": lambda labels, width: _drop_border(labels, width + 1),
        "image cropped": _crop,
    },
)
def _check_border(answer: Callable[[np.ndarray, int], np.ndarray]) -> None:
    labels = np.zeros((8, 10), dtype=int)
    labels[1, 3:5] = 1  # in the second row
    labels[3:5, 0:4] = 2  # at the left edge, reaching far inside
    labels[2:4, 6:8] = 3  # inside: rows 2 and 3, columns 6 and 7
    labels[5, 4] = 4  # inside, one pixel
    before = labels.copy()
    got = answer(labels, 2)
    assert np.array_equal(labels, before), "Your function changed its input: work on a copy, or use np.where."
    expected = np.where(labels > 2, labels, 0)
    compare(got, expected, "8 × 10 pixels and a frame of 2; cells 3 and 4 keep clear of it")


# --- 06.3 ---------------------------------------------------------------------------------------------


def _f1(counts: np.ndarray) -> np.ndarray:
    tp, fp, fn = np.asarray(counts, dtype=float).T
    total = 2 * tp + fp + fn
    return np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)


def _three(counts: np.ndarray) -> tuple[float, float, float]:
    scores = _f1(counts)
    pooled = _f1(np.sum(counts, axis=0, keepdims=True))[0]
    return scores.mean(), float(np.median(scores)), pooled


def _empty_is(value: float) -> Callable[[np.ndarray], tuple[float, float, float]]:
    def averages(counts: np.ndarray) -> tuple[float, float, float]:
        scores = np.where(counts.sum(axis=1) == 0, value, _f1(counts))
        scores = scores[~np.isnan(scores)]
        return scores.mean(), float(np.median(scores)), _three(counts)[2]

    return averages


@exercise(
    "06.3",
    "three averages",
    hints=(
        "F1 = 2 tp / (2 tp + fp + fn), row by row. A row of three zeros has F1 1: nothing was to be found, "
        "nothing was invented.",
        "Pooled means: add the counts of all images first (counts.sum(axis=0)), then take one F1.",
        "tp, fp, fn = counts.T; total = 2 * tp + fp + fn; "
        "scores = np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)",
    ),
    right={"vectorised": _three},
    wrong={
        "empty image scores 0": _empty_is(0.0),
        "empty image left out": _empty_is(float("nan")),
        "pooled is the mean": lambda counts: (_three(counts)[0], _three(counts)[1], _f1(counts).mean()),
        "AP instead of F1": lambda counts: tuple(x / (2 - x) for x in _three(counts)),
        "wrong order": lambda counts: _three(counts)[::-1],
    },
)
def _check_averages(answer: Callable[[np.ndarray], tuple[float, float, float]]) -> None:
    counts = np.array([[90, 10, 10], [1, 1, 1], [0, 0, 4], [0, 0, 0]])
    got = answer(counts)
    assert isinstance(got, (tuple, list, np.ndarray)), "Return three numbers: mean, median, pooled."
    assert len(got) == 3, f"Return three numbers: mean, median, pooled; yours has {len(got)}."
    # images: .9, .5, 0 and 1; cells: 91 found, 11 invented, 15 missed
    expected = (0.6, 0.7, 182 / 208)
    for name, value, right in zip(("mean", "median", "pooled"), got, expected, strict=True):
        compare(value, right, f"the {name} of four images with F1 .9, .5, 0, and one without any cell")


# --- 06.4 ---------------------------------------------------------------------------------------------


def _bootstrap(scores: np.ndarray, rng: np.random.Generator, repeats: int = 2000) -> tuple[float, float]:
    means = rng.choice(scores, (repeats, len(scores))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _without_replacement(
    scores: np.ndarray, rng: np.random.Generator, repeats: int = 2000
) -> tuple[float, float]:
    means = [rng.permutation(scores).mean() for _ in range(repeats)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _of_scores(scores: np.ndarray, rng: np.random.Generator, repeats: int = 2000) -> tuple[float, float]:
    low, high = np.percentile(rng.choice(scores, (repeats, len(scores))), [2.5, 97.5])
    return float(low), float(high)


def _ninety(scores: np.ndarray, rng: np.random.Generator, repeats: int = 2000) -> tuple[float, float]:
    means = rng.choice(scores, (repeats, len(scores))).mean(axis=1)
    low, high = np.percentile(means, [5, 95])
    return float(low), float(high)


def _one_by_one(scores: np.ndarray, rng: np.random.Generator, repeats: int = 2000) -> list[float]:
    means = sorted(np.mean(rng.choice(scores, len(scores))) for _ in range(repeats))
    return [float(means[int(0.025 * repeats)]), float(means[int(0.975 * repeats)])]


def _normal(scores: np.ndarray, rng: np.random.Generator, repeats: int = 2000) -> tuple[float, float]:
    error = np.std(scores) / math.sqrt(len(scores))
    return float(np.mean(scores) - 1.96 * error), float(np.mean(scores) + 1.96 * error)


def _clipped(scores: np.ndarray, rng: np.random.Generator, repeats: int = 2000) -> tuple[float, float]:
    low, high = _normal(scores, rng)
    return max(low, 0.0), min(high, 1.0)


@exercise(
    "06.4",
    "bootstrap",
    hints=(
        "One resample: as many images as there are, drawn at random from them, some twice, some never: "
        "rng.choice(scores, len(scores)).",
        "Take the mean of each resample; the interval holds the middle 95 % of these means.",
        "means = rng.choice(scores, (repeats, len(scores))).mean(axis=1); np.percentile(means, [2.5, 97.5])",
    ),
    right={"resampled means": _bootstrap, "one by one": _one_by_one},
    wrong={
        "without replacement": _without_replacement,
        "spread of the scores": _of_scores,
        "standard deviation instead of error": lambda scores, rng, repeats=2000: (
            float(np.mean(scores) - 1.96 * np.std(scores)),
            float(np.mean(scores) + 1.96 * np.std(scores)),
        ),
        "the middle 90 %": _ninety,
        "bell curve": _normal,
        "bell curve, cut off at 0": _clipped,
        "one number": lambda scores, rng, repeats=2000: float(np.mean(scores)),
    },
)
def _check_bootstrap(answer: Callable[..., tuple[float, float]]) -> None:
    def ends(scores: np.ndarray) -> tuple[float, float]:
        got = answer(scores, np.random.default_rng(0), 20_000)
        assert isinstance(got, (tuple, list, np.ndarray)), "Return two numbers: the lower and the upper end."
        assert len(got) == 2, f"Return two numbers, the lower and the upper end; yours has {len(got)}."
        return float(got[0]), float(got[1])

    # of 100 images with mean .5 the middle 95 % of the means are .40 to .60, the middle 90 % .42 to .58
    low, high = ends(np.repeat([0.0, 1.0], 50))
    assert high - low > 0.02, (
        f"Your interval is {low:.2f} to {high:.2f}: did every draw hold the same images?"
    )
    assert abs(low - 0.4) < 0.012, (
        f"For 100 images, half of them 0 and half 1: your interval is {low:.3f} to {high:.3f}, expected "
        ".40 to .60: the middle 95 % of the means, not of the images, with 2.5 % on either side."
    )
    assert abs(high - 0.6) < 0.012, (
        f"For 100 images, half 0 and half 1: the upper end is {high:.3f}, not .60."
    )
    low, high = ends(np.repeat([0.0, 1.0], [18, 2]))  # no mean of such images is below 0
    assert low >= 0, (
        f"For 20 images, 18 of them 0 and two 1: your interval begins at {low:.3f}, but no mean of such "
        "images is below 0. Take the ends from the resampled means, not from a bell curve."
    )
    assert low < 0.012, f"For 20 images, 18 of them 0 and two 1: the lower end is {low:.3f}, expected 0."
    assert abs(high - 0.25) < 0.012, (
        f"For 20 images, 18 of them 0 and two 1: your interval ends at {high:.3f}, expected .25. "
        "Take the ends from the resampled means."
    )


# --- 06.5 ---------------------------------------------------------------------------------------------


def _seeds(gain: float, sd: float) -> int:
    return max(2, math.ceil(round(8 * (sd / gain) ** 2, 9)))


@exercise(
    "06.5",
    "how many seeds?",
    hints=(
        "A mean of n runs has the error sd / √n. The difference of two such means has √2 times as much.",
        "You want gain ≥ 2 · sd · √(2 / n). Square it and solve for n.",
        "max(2, math.ceil(8 * (sd / gain) ** 2))",
    ),
    right={"solved": _seeds},
    wrong={
        "only one method varies": lambda gain, sd: max(2, math.ceil(4 * (sd / gain) ** 2)),
        "one standard error": lambda gain, sd: max(2, math.ceil(2 * (sd / gain) ** 2)),
        "one is enough": lambda gain, sd: max(1, math.ceil(round(8 * (sd / gain) ** 2, 9))),
        "rounded down": lambda gain, sd: max(2, int(8 * (sd / gain) ** 2)),
        "root forgotten": lambda gain, sd: max(2, math.ceil(2 * math.sqrt(2) * sd / gain)),
    },
)
def _check_seeds(answer: Callable[[float, float], int]) -> None:
    compare(answer(0.02, 0.015), 5, "a gain of .02 and a spread of .015: 8 · .5625 = 4.5, rounded up")
    compare(answer(0.01, 0.02), 32, "a gain of .01 and a spread of .02")
    compare(answer(0.10, 0.01), 2, "a gain of .10 and a spread of .01: one run has no spread, so at least 2")
