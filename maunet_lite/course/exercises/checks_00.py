"""Checks of notebook 00: reading a label map, and F1 from three numbers."""

import numpy as np

from maunet_lite.course.exercises.judge import Case, exercise


@exercise("00.1")
def mean_intensities():
    """Mean intensity per cell.

    1. image[labels == k] holds the pixels of cell k.
    2. Cells are numbered from 1 to labels.max(); the background, 0, does not count.
    3. np.array([image[labels == k].mean() for k in range(1, labels.max() + 1)])
    """
    image, labels = np.uint8([[10, 20, 0], [30, 50, 70]]), np.array([[1, 1, 0], [0, 2, 2]])
    yield Case("pixels 10 and 20 in cell 1, 50 and 70 in cell 2", (image, labels), [15, 60])
    image, labels = np.uint8([[250, 240, 5], [20, 90, 7]]), np.array([[1, 1, 0], [1, 1, 2]])
    why = "A uint8 cannot hold the sum, and the mean is not the median."
    yield Case("pixels 250, 240, 20 and 90 in cell 1, 7 in cell 2", (image, labels), [150, 7], why)


@exercise("00.2")
def f1():
    """F1 from three numbers.

    1. Found cells are tp, invented ones fp, missed ones fn.
    2. 8 of 10 found: tp = 8, fn = 2. 4 invented: fp = 4.
    3. 2 · 8 / (2 · 8 + 4 + 2)
    """
    yield Case("tp = 8, fp = 4, fn = 2", None, 16 / 22, tolerance=0.005)
