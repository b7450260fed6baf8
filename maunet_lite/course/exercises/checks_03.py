"""Checks of notebook 03: mean features, margins and scatter."""

import numpy as np

from maunet_lite.course.exercises.judge import Case, exercise


@exercise("03.1")
def mean_in_mask():
    """Mean feature inside a mask.

    1. A feature vector stands at each pixel: features[:, y, x]. Which pixels count, and by what do you
       divide?
    2. A boolean mask can index the last two axes at once: features[:, mask] has shape (channels, pixels).
    3. features[:, mask].mean(axis=1)
    """
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True  # features 5 and 6 of the first channel, 17 and 18 of the second
    case = "2 channels of 3 × 4 pixels and a mask of two pixels"
    yield Case(case, (np.arange(24.0).reshape(2, 3, 4), mask), [5.5, 17.5])
    features = np.array([[[0.0, 3, 8], [0, 1, 8]], [[-1, 2, 8], [0, 0, 8]]])
    case = "2 channels, of whose values in the mask some are 0"
    yield Case(case, (features, np.array([[1, 1, 0], [1, 1, 0]]) > 0), [1, 0.25])


@exercise("03.2")
def margin():
    """Signed distance from the boundary.

    1. The logits are weights @ feature + bias. On the boundary, those of background (0) and interior (1) are
       equal.
    2. Their difference is (weights[1] - weights[0]) @ feature + (bias[1] - bias[0]). Twice the weights and
       biases give twice the difference, but the boundary stays where it is: what must you divide by?
    3. Divide by np.linalg.norm(weights[1] - weights[0]).
    """
    line = np.array([[0.0, 0], [3, 4]]), np.array([5.0, 0])  # it passes the origin at a distance of 5 / 5
    yield Case("the line 3x + 4y = 5 and the point (0, 0)", (np.zeros(2), *line), -1)
    yield Case("the line 3x + 4y = 5 and the point (3, 4)", (np.array([3.0, 4]), *line), 4)
    head = np.array([[1.0, 1, 1], [3, 2, -1], [9, 9, 9], [7, 0, 7]]), np.array([-1.0, 2, 5, 8])
    # the difference is (2, 1, -2), of length 3, and 3
    yield Case("a head of four classes and the point (1, 2, 5)", (np.array([1.0, 2, 5]), *head), -1)


@exercise("03.3")
def scatter_ratio():
    """Between-class over within-class scatter.

    1. Scatter is a sum of squared distances. Within: each row from the mean of its class. Between: each row's
       class mean from the mean of all rows, so a class counts as often as it has rows.
    2. Start with  for name in np.unique(classes): rows = vectors[classes == name]  and add up two sums.
    3. within += ((rows - rows.mean(0)) ** 2).sum()  and
       between += len(rows) * ((rows.mean(0) - vectors.mean(0)) ** 2).sum()
    """
    vectors, classes = np.array([[0.0], [2], [6], [8], [7], [7]]), ["background"] * 2 + ["interior"] * 4
    # class means 1 and 7, overall mean 5: between 2 · 4² + 4 · 2² = 48, within 1 + 1 + 1 + 1 = 4
    yield Case("0, 2 (background) and 6, 8, 7, 7 (interior)", (vectors, np.array(classes)), 12)
    vectors, classes = np.array([[0.0, 0], [2, 0], [4, 4], [4, 6], [6, 5]]), np.array(list("aabbc"))
    # class means (1, 0), (4, 5), (6, 5), overall (3.2, 3): between 27.68 + 9.28 + 11.84 = 48.8, within 2 + 2
    yield Case("(0, 0), (2, 0) of a, (4, 4), (4, 6) of b, (6, 5) of c", (vectors, classes), 12.2)
