"""Checks of notebook 00: reading a label map, and F1 from three numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maunet_lite.course.exercises.judge import exercise


def _by_bincount(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    sums = np.bincount(labels.ravel(), weights=image.ravel().astype(float))
    return sums[1:] / np.bincount(labels.ravel())[1:]


def _with_background(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([image[labels == k].mean() for k in range(labels.max() + 1)])


def _sums(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([image[labels == k].sum() for k in range(1, labels.max() + 1)])


@exercise(
    "00.1",
    "mean intensity per cell",
    hints=(
        "image[labels == k] holds the pixels of cell k.",
        "Cells are numbered from 1 to labels.max(); the background, 0, does not count.",
        "np.array([image[labels == k].mean() for k in range(1, labels.max() + 1)])",
    ),
    right={"bincount": _by_bincount},
    wrong={"background counted as a cell": _with_background, "sums instead of means": _sums},
)
def _mean_intensities(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    image = np.array([[10, 20, 0], [30, 50, 70]], dtype=np.uint8)
    labels = np.array([[1, 1, 0], [0, 2, 2]])
    got = np.asarray(answer(image, labels), dtype=float)
    assert got.shape == (2,), f"There are 2 cells, so 2 values are expected; yours has shape {got.shape}."
    assert np.allclose(got, [15, 60]), f"Pixels 10 and 20, then 50 and 70: means 15 and 60. Yours: {got}."


@exercise(
    "00.2",
    "F1 from three numbers",
    hints=(
        "Found cells are tp, invented ones fp, missed ones fn.",
        "8 of 10 found: tp = 8, fn = 2. 4 invented: fp = 4.",
        "2 · 8 / (2 · 8 + 4 + 2)",
    ),
    right={"formula": 16 / 22, "rounded": 0.727},
    wrong={"recall": 0.8, "missed cells forgotten": 16 / 20, "accuracy": 8 / 10},
)
def _f1(answer: float) -> None:
    assert abs(float(answer) - 16 / 22) < 0.005, f"tp = 8, fp = 4, fn = 2 do not give {float(answer):.3f}."
