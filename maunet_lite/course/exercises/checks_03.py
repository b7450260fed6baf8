"""Checks of the exercises of notebook 03: mean features, margins and scatter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maunet_lite.course.exercises.judge import compare, exercise

Function = Callable[..., np.ndarray]


def _mean_in_mask(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return features[:, mask].mean(axis=1)


@exercise(
    "03.1",
    "mean feature inside a mask",
    hints=(
        "A feature vector stands at each pixel: features[:, y, x]. Which pixels count, "
        "and by what do you divide?",
        "A boolean mask can index the last two axes at once: features[:, mask] has shape (channels, pixels).",
        "features[:, mask].mean(axis=1)",
    ),
    right={
        "index": _mean_in_mask,
        "sum": lambda features, mask: (features * mask).sum(axis=(1, 2)) / mask.sum(),
    },
    wrong={
        "whole image": lambda features, mask: features.mean(axis=(1, 2)),
        "divided by all pixels": lambda features, mask: (features * mask).mean(axis=(1, 2)),
        "sum": lambda features, mask: features[:, mask].sum(axis=1),
        "over channels": lambda features, mask: features[:, mask].mean(axis=0),
    },
)
def check_mean_in_mask(answer: Function) -> None:
    """Judge the mean of (D, H, W) features over the pixels of an (H, W) mask."""
    features = np.arange(24.0).reshape(2, 3, 4)
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True  # features 5 and 6 of the first channel, 17 and 18 of the second
    compare(answer(features, mask), [5.5, 17.5], "2 channels of 3 × 4 pixels and a mask of two pixels")
    rng = np.random.default_rng(0)
    features, mask = rng.normal(size=(5, 6, 7)), rng.random((6, 7)) < 0.4
    compare(answer(features, mask), _mean_in_mask(features, mask), "5 random channels and a random mask")


def _margin(feature: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> float:
    return ((weights[1] - weights[0]) @ feature + bias[1] - bias[0]) / np.linalg.norm(weights[1] - weights[0])


@exercise(
    "03.2",
    "signed distance from the boundary",
    hints=(
        "The logits are weights @ feature + bias. On the boundary, those of background (0) and interior (1) "
        "are equal.",
        "Their difference is (weights[1] - weights[0]) @ feature + (bias[1] - bias[0]). Twice the "
        "weights and biases give twice the difference, but the boundary stays where it is: "
        "what must you divide by?",
        "Divide by np.linalg.norm(weights[1] - weights[0]).",
    ),
    right={"margin": _margin},
    wrong={
        "no bias": lambda f, w, b: (w[1] - w[0]) @ f / np.linalg.norm(w[1] - w[0]),
        "logit difference": lambda f, w, b: (w[1] - w[0]) @ f + b[1] - b[0],
        "other sign": lambda f, w, b: -_margin(f, w, b),
        "unsigned": lambda f, w, b: abs(_margin(f, w, b)),
        "distance to proxies": lambda f, w, b: np.linalg.norm(f - w[0]) - np.linalg.norm(f - w[1]),
    },
)
def check_margin(answer: Callable[..., float]) -> None:
    """Judge the distance of a (D,) feature from the plane of equal logits, positive towards the interior."""
    weights, bias = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([5.0, 0.0])
    # 3x + 4y - 5 = 0 passes the origin at a distance of 5 / 5
    compare(answer(np.array([0.0, 0.0]), weights, bias), -1.0, "the line 3x + 4y = 5 and the point (0, 0)")
    compare(answer(np.array([3.0, 4.0]), weights, bias), 4.0, "the line 3x + 4y = 5 and the point (3, 4)")
    rng = np.random.default_rng(0)
    feature, weights, bias = rng.normal(size=8), rng.normal(size=(4, 8)), rng.normal(size=4)
    compare(answer(feature, weights, bias), _margin(feature, weights, bias), "a random head of four classes")


def _scatter_ratio(vectors: np.ndarray, classes: np.ndarray) -> float:
    within = sum(((rows - rows.mean(0)) ** 2).sum() for rows in _by_class(vectors, classes))
    between = sum(len(r) * ((r.mean(0) - vectors.mean(0)) ** 2).sum() for r in _by_class(vectors, classes))
    return between / within


def _by_class(vectors: np.ndarray, classes: np.ndarray) -> list[np.ndarray]:
    return [vectors[classes == name] for name in np.unique(classes)]


def _total_ratio(vectors: np.ndarray, classes: np.ndarray) -> float:
    ratio = _scatter_ratio(vectors, classes)
    return ratio / (1 + ratio)


def _unweighted(vectors: np.ndarray, classes: np.ndarray) -> float:
    within = sum(((rows - rows.mean(0)) ** 2).sum() for rows in _by_class(vectors, classes))
    return sum(((r.mean(0) - vectors.mean(0)) ** 2).sum() for r in _by_class(vectors, classes)) / within


@exercise(
    "03.3",
    "between-class over within-class scatter",
    hints=(
        "Scatter is a sum of squared distances. Within: each row from the mean of its class. Between: each "
        "row's class mean from the mean of all rows, so a class counts as often as it has rows.",
        "Start with  for name in np.unique(classes): rows = vectors[classes == name]  and add up two sums.",
        "within += ((rows - rows.mean(0)) ** 2).sum()  and  "
        "between += len(rows) * ((rows.mean(0) - vectors.mean(0)) ** 2).sum()",
    ),
    right={
        "two sums": _scatter_ratio,
        "from the total": lambda v, c: ((v - v.mean(0)) ** 2).sum() / _within(v, c) - 1,
    },
    wrong={
        "over the total": _total_ratio,
        "classes not weighted": _unweighted,
        "upside down": lambda v, c: 1 / _scatter_ratio(v, c),
        "roots": lambda v, c: np.sqrt(_scatter_ratio(v, c)),
    },
)
def check_scatter_ratio(answer: Callable[..., float]) -> None:
    """Judge the ratio of scatters of (N, D) vectors of N classes."""
    vectors = np.array([[0.0], [2.0], [6.0], [8.0], [7.0], [7.0]])
    classes = np.array(["background"] * 2 + ["interior"] * 4)
    # class means 1 and 7, overall mean 5: between 2 · 4² + 4 · 2² = 48, within 1 + 1 + 1 + 1 = 4
    compare(answer(vectors, classes), 12.0, "0, 2 (background) and 6, 8, 7, 7 (interior)")
    rng = np.random.default_rng(0)
    vectors, classes = rng.normal(size=(12, 3)), np.repeat(["background", "interior"], [5, 7])
    compare(answer(vectors, classes), _scatter_ratio(vectors, classes), "twelve random rows of three columns")


def _within(vectors: np.ndarray, classes: np.ndarray) -> float:
    return sum(((rows - rows.mean(0)) ** 2).sum() for rows in _by_class(vectors, classes))
