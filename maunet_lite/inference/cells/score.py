"""How sure is the network of each cell? A number in [0, 1]: the probability that the cell is right.

If the cells found were the truth, training would show the network certain targets (`make_targets`). The more
its maps say the same, the surer it is of them. What speaks for a cell is averaged over its pixels, so it can
be summed block by block, and a cell of a slide has the score that it has in an image.

Of shipped networks three numbers, stored with them, turn that into a probability. `python -m
benchmarks.calibration` finds them, and draws how far they can be relied on.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from maunet_lite.inference.ensembles import Model, as_models
from maunet_lite.postprocessing import Maps, Runs
from maunet_lite.preprocessing import make_targets


def evidence(maps: Maps, labels: np.ndarray, part: tuple[slice, slice] = np.s_[:, :]) -> np.ndarray:
    """Return how far maps agree with the targets that follow from cells.

    Parameters
    ----------
    maps : Maps
    labels : numpy.ndarray
        (H, W) label map.
    part : (slice, slice)
        Rows and columns whose pixels count; by default all.

    Returns
    -------
    numpy.ndarray
        (N, 3) float64 for the cells of that part, in the order of their ids: pixels; sum of the probability
        of the class, interior or boundary, that each pixel has in the targets; and sum of the difference
        between distance field and target, 0 for networks without one.

    Examples
    --------
    A network without boundary is sure of three pixels of a cell, and sees background in the fourth:

    >>> labels = np.array([[0, 7, 7, 7, 7]])
    >>> interior = np.array([[0, 1, 1, 1, 0.2]])
    >>> evidence(Maps(np.stack([1 - interior, interior]), None), labels).tolist()
    [[4.0, 3.2, 0.0]]
    """
    targets = make_targets(labels, part=True)
    n, boundary = len(maps.probabilities), maps.probabilities[2:3]  # with a proxy it may be there and empty
    classes = np.minimum(targets.classes, 2 if n == 3 or boundary.any() else 1).astype(np.intp)
    said = np.take_along_axis(maps.probabilities, classes[None], axis=0)[0]
    differs = 0 * said if maps.distance is None else np.abs(maps.distance.clip(0, 1) - targets.distance)
    return sums_in_cells(labels[part], said[part], differs[part])


def sums_in_cells(labels: np.ndarray, *values: np.ndarray) -> np.ndarray:
    """Return pixels, and sums of each of `values`, (H, W), of cells in the order of ids: (N, 1 + F) float64.

    Examples
    --------
    >>> sums_in_cells(np.array([[5, 5, 9]]), np.array([[1.0, 2.0, 4.0]])).tolist()
    [[2.0, 3.0], [1.0, 4.0]]
    """
    runs = Runs.of(labels)
    ids, cell = np.unique(runs.value, return_inverse=True)
    parts = [runs.length, *(np.add.reduceat(v.ravel(), runs.start, dtype=np.float64) for v in values)]
    return np.stack([np.bincount(cell, part, ids.size) for part in parts], axis=1)[ids > 0]


def mean_in_cells(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of `values`, (H, W), over each cell in the order of ids, (N,)."""
    area, total = sums_in_cells(labels, values).T
    return total / area


def score_cells(models: Model | Sequence[Model], sums: np.ndarray) -> np.ndarray:
    """Return the probability that each cell matches a true one at IoU 0.5.

    Parameters
    ----------
    models : MAUNet, name or path, or a sequence of them
        The first one's stored calibration is used, ``settings["score"]``: ``[constant, factor of the mean
        probability, factor of the mean difference]`` of a logistic function. Without one the score is the
        mean probability itself, which orders cells and promises nothing.
    sums : numpy.ndarray
        (N, 3) from `evidence`.

    Returns
    -------
    numpy.ndarray
        (N,) float64 in [0, 1].

    Examples
    --------
    >>> score_cells([], np.array([[4, 3.2, 0.4], [10, 9.0, 0.1]]))
    array([0.8, 0.9])
    """
    means = sums[:, 1:] / sums[:, :1]
    networks = as_models(models) if models else []
    constant, *factors = networks[0].settings.get("score", [0]) if networks else [0]
    return expit(constant + means @ factors) if factors else means[:, 0]
