"""Checks of notebook 01: scaling, clipped pixels, the authors' field, a class map without defects."""

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.morphology import disk

from maunet_lite.course.exercises.judge import Case, exercise
from maunet_lite.course.figures.targets import from_digits
from maunet_lite.preprocessing import class_map


@exercise("01.1")
def scale():
    """Scale from minimum to maximum.

    1. The smallest value must land on 0.01 and the largest on 0.99: the new range is 0.98 wide.
    2. What is the result of 0 / 0? Treat an image whose minimum is its maximum first.
    3. np.full(image.shape, 0.01) if high == low, else 0.01 + 0.98 * (image - low) / (high - low)
    """
    yield Case("the grey values 0, 50, 100", (np.uint8([[0, 50, 100]]),), [[0.01, 0.5, 0.99]])
    yield Case("the values -4 and 4", (np.array([[-4.0], [4.0]]),), [[0.01], [0.99]])
    yield Case("the values 0.2, 0.35 and 0.5", (np.array([[0.2, 0.35, 0.5]]),), [[0.01, 0.5, 0.99]])
    why = "There is one range for the whole array."
    yield Case("one RGB pixel (0, 50, 100)", (np.uint8([[[0, 50, 100]]]),), [[[0.01, 0.5, 0.99]]], why)
    yield Case("an image that is 7 everywhere", (np.full((2, 2), 7),), np.full((2, 2), 0.01))


@exercise("01.2")
def clipped_share():
    """Share of clipped cell pixels.

    1. Which pixels are in a cell? labels > 0. Which of those lie at 0.01 or at 0.99?
    2. scaled[labels > 0] holds the values of the cells' pixels; the mean of a boolean array is a share.
    3. np.mean((values < 0.01 + 1e-4) | (values > 0.99 - 1e-4)) with values = scaled[labels > 0]
    """
    scaled, two = np.float32([[0.01, 0.3, 0.99], [0.01, 0.6, 0.5]]), np.array([[4, 4, 4], [0, 9, 0]])
    yield Case("cell pixels of 0.01, 0.3, 0.99 and 0.6: two of four are clipped", (scaled, two), 0.5)
    inner = np.array([[0, 5, 0], [0, 5, 0]])
    yield Case("a cell that is not clipped on a background that is", (scaled, inner), 0)
    close, why = np.float32([[0.01, 0.015], [0.98, 0.985]]), "Leave room for rounding, but no more."
    yield Case("cell pixels of 0.01, 0.015, 0.98 and 0.985", (close, np.ones((2, 2), int)), 0.25, why)


@exercise("01.3")
def authors_field():
    """Distance field of the authors.

    1. depth = ndimage.distance_transform_edt(cell) is 0 outside; γ is 0 at the deepest pixel.
    2. alpha is 1 / np.sqrt(cell.sum()): the mask's sum is S. And the background must be 0, not small.
    3. gamma = depth.max() - depth;  cell / (1 + beta * gamma / np.sqrt(cell.sum()))
    """

    def field(cell: np.ndarray, beta: float) -> np.ndarray:
        depth = distance_transform_edt(cell)
        return cell / (1 + beta * (depth.max() - depth) / np.sqrt(cell.sum()))

    depth = from_digits("...... .1111. .1221. .1111. ......")
    bar = depth > 0
    expected = np.array([0, 1 / (1 + 12**-0.5), 1])[depth]  # S = 12
    yield Case("a bar of 3 × 4 pixels, of depth 1 and 2, with background around", (bar,), expected)
    yield Case("the same bar with beta = 3", (bar, 3.0), field)
    drop = np.pad(disk(6), ((1, 9), (2, 1))) > 0
    drop[4:16, 6:9] = True
    yield Case("a drop with beta = 0.5", (drop, 0.5), field, "Depth is the Euclidean distance.")


@exercise("01.4")
def mended():
    """Class map without these defects.

    1. classes_with_numpy of section 4 neither spills nor depends on the order. What does it leave of a cell
       of 2 × 2 pixels?
    2. If no depth of a cell exceeds its thickness, its interior is where depth == depth.max().
    3. interior = depth > thickness if depth.max() > thickness else depth == depth.max(), with
       depth = ndimage.distance_transform_edt(cell)[cell]
    """
    pair = from_digits("........ .111222. .111222. .111222. ........")
    expected = from_digits("........ .222222. .212212. .222222. ........")
    yield Case("two touching cells of 3 × 3 pixels", (pair,), expected)
    yield Case("the same cells, numbered the other way round", (3 * (pair > 0) - pair,), expected)
    yield Case("the same cells with the ids 1 and 500", (np.where(pair == 2, 500, pair),), expected)
    small = from_digits("...... .1..22 ....22 ......")
    why = "Every cell has an interior: here it is the whole cell."
    yield Case("cells of 1 and of 4 pixels", (small,), small > 0, why)
    cut = from_digits("111.... 111.... 111.... ....333 ....333 ....333")
    expected = from_digits("112.... 112.... 222.... ....222 ....211 ....211")
    why = "There is no boundary along the image's edge."
    yield Case("cells in two corners of the image", (cut,), expected, why)
    yield Case("a disc 61 pixels wide", (np.pad(disk(30), 5),), class_map, "Its thickness is 2.7 pixels.")
