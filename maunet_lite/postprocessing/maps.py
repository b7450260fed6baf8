"""What the network says about every pixel: the maps that inference makes and post-processing reads."""

from typing import NamedTuple

import cv2
import numpy as np

from maunet_lite.postprocessing.run_lengths import Runs

_TOLERANCE = 0.01  # what rounding and resizing may add to a probability


class Maps(NamedTuple):
    """What the network says about every pixel.

    Attributes
    ----------
    probabilities : numpy.ndarray
        (C, H, W) float32 in [0, 1]: background, interior and, if the network has them, boundary (C ≥ 3) and
        anti-ambiguity proxy (C = 4). All C sum to 1; the proxy is never the class of a pixel.
    distance : numpy.ndarray or None
        (H, W) float32, the distance field: about 1 at the centre of a cell, 0 in the background. None for a
        network without the distance decoder.
    """

    probabilities: np.ndarray
    distance: np.ndarray | None


def check_maps(maps: Maps) -> Maps:
    """Return maps that can be relied on, or say what is wrong with them.

    Parameters
    ----------
    maps : Maps
        Arrays of any number type and memory order.

    Returns
    -------
    Maps
        float32. A pixel that is NaN or infinite in any of the maps is certain background in all of them.
        Arrays that are right already are not copied.

    Raises
    ------
    ValueError
        If the probabilities are not (C, H, W) with C from 2 to 4, or not within [0, 1] (logits, for example),
        if the distance field is not (H, W), or if there is no pixel.

    Examples
    --------
    >>> maps = check_maps(Maps(np.array([[[0.1, np.nan]], [[0.9, 0.2]]]), np.array([[1.0, 1.0]])))
    >>> maps.probabilities.tolist(), maps.distance.tolist()
    ([[[0.10..., 1.0]], [[0.89..., 0.0]]], [[1.0, 0.0]])
    """
    probabilities = np.ascontiguousarray(maps[0], dtype=np.float32)
    if probabilities.ndim != 3 or not 2 <= len(probabilities) <= 4 or probabilities.size == 0:
        raise ValueError(
            f"probabilities have shape {probabilities.shape}; expected (C, H, W) with at least one pixel and "
            "2 to 4 classes (background, interior, boundary, proxy): is the axis of classes the first?"
        )
    distance = None if maps[1] is None else np.ascontiguousarray(maps[1], dtype=np.float32)
    if distance is not None and distance.shape != probabilities.shape[1:]:
        raise ValueError(
            f"the distance field has shape {distance.shape}, the probabilities have {probabilities.shape}; "
            f"expected {probabilities.shape[1:]} for the distance field: were both made from the same image?"
        )
    # OpenCV's test reads each map once; the slow way is for maps that need mending
    fine = all(cv2.checkRange(p, minVal=-_TOLERANCE, maxVal=1 + _TOLERANCE)[0] for p in probabilities)
    if fine and (distance is None or cv2.checkRange(distance)[0]):
        return Maps(probabilities, distance)
    finite = np.isfinite(probabilities).all(axis=0)  # (C, H, W) → (H, W)
    if distance is not None:
        finite &= np.isfinite(distance)
        distance = np.where(finite, distance, np.float32(0))
    probabilities = np.where(finite, probabilities, np.float32(0))
    probabilities[0][~finite] = 1
    low, high = float(probabilities.min()), float(probabilities.max())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        cure = "logits must go through a softmax over all channels, the proxy included"
        raise ValueError(f"probabilities run from {low:.3g} to {high:.3g}; expected 0 to 1: {cure}")
    return Maps(probabilities, distance)


def interior_distance(pieces: np.ndarray) -> np.ndarray:
    """Make a distance field from the interior alone, for networks without the distance decoder.

    Every piece of the interior is taken for one cell and gets the distance field of the published code: 1 /
    (1 + (m - e) / sqrt(S)), where e is a pixel's distance to the outside, m the largest e of its piece and S
    the area of the piece. Two cells that hang together by a narrow bridge have two separate heights in it.

    Parameters
    ----------
    pieces : numpy.ndarray
        (H, W) int32, the connected components 1 … N of the interior. Beyond the image's edge is outside.

    Returns
    -------
    numpy.ndarray
        (H, W) float32 in [0, 1], 0 outside the interior.

    Examples
    --------
    Two squares of nine pixels and a bridge: S = 20, and 1 / (1 + 1 / sqrt(20)) = 0.82 on the rims.

    >>> field = interior_distance(np.array([[1, 1, 1, 0, 0, 1, 1, 1],
    ...                                     [1, 1, 1, 1, 1, 1, 1, 1],
    ...                                     [1, 1, 1, 0, 0, 1, 1, 1]]))
    >>> field[1].round(2)
    array([0.82, 1.  , 0.88, 0.82, 0.82, 0.88, 1.  , 0.82], dtype=float32)
    """
    framed = np.pad(pieces > 0, 1).astype(np.uint8)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    runs, n = Runs.of(pieces), int(pieces.max())
    width = np.sqrt(np.maximum(runs.areas(n), 1)).astype(np.float32)
    gamma = runs.painted(runs.largest(depth, n), pieces.shape) - depth
    field = 1 / (1 + gamma / runs.painted(width, pieces.shape))
    return field * (pieces > 0)
