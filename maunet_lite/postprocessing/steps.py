"""The four steps of the post-processing (paper, section 2.3, figure 4), each a pure function.

Step 1 is :func:`threshold_maps`, step 2 :func:`blur_distance` and :func:`mark_skeletons`, step 3
:func:`mark_peaks`, step 4 :func:`grow_cells`; `segment` runs all.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from maunet_lite.postprocessing.config import PostprocessConfig
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.postprocessing.run_lengths import Runs, label_components, number_in_reading_order
from maunet_lite.postprocessing.watershed import flood


class Masks(NamedTuple):
    """Result of step 1, both (H, W) bool: the paper's M_fo and M_in."""

    foreground: np.ndarray
    interior: np.ndarray


class Skeletons(NamedTuple):
    """Result of step 2, both (H, W) int32: markers, and the cells that were flooded from them."""

    skeleton_markers: np.ndarray
    P1: np.ndarray


class Peaks(NamedTuple):
    """Result of step 3, both (H, W) int32: markers, and the cells that were flooded from them."""

    peak_markers: np.ndarray
    P2: np.ndarray


class Cells(NamedTuple):
    """Result of step 4, all (H, W) int32: markers, cells flooded from them, cells that are large enough."""

    union_markers: np.ndarray
    P3: np.ndarray
    final: np.ndarray


# --- the four steps -----------------------------------------------------------------------------------------


def threshold_maps(maps: Maps, config: PostprocessConfig) -> Masks:
    """Step 1: find the pixels that belong to cells, and those that surely lie inside one.

    Parameters
    ----------
    maps : Maps
        Probabilities and distance field, of which only the probabilities are used.
    config : PostprocessConfig
        Uses `foreground`, `interior`, `sure_interior` and `min_interior`.

    Returns
    -------
    Masks
        ``foreground``: the background's probability is low. ``interior``: the interior's probability is high,
        too, and even higher somewhere in the same piece.
    """
    foreground = maps.probabilities[0] < config.foreground
    interior = foreground & (maps.probabilities[1] > config.interior)
    pieces, n = label_components(interior)
    runs = Runs.of(pieces)
    kept = runs.areas(n) >= config.min_interior
    kept &= runs.largest(maps.probabilities[1], n) > config.sure_interior
    kept[0] = False
    return Masks(foreground, runs.painted(kept, interior.shape))


def mark_skeletons(
    blurred: np.ndarray, pieces: np.ndarray, relief: np.ndarray | None, config: PostprocessConfig,
    highest: float | None = None,
) -> Skeletons:  # fmt: skip
    """Step 2: where the distance field is high there is a cell; flood the interior from there.

    Parameters
    ----------
    blurred : numpy.ndarray
        (H, W) float32, the result of :func:`blur_distance`.
    pieces : numpy.ndarray
        (H, W) int32, the connected components of the interior, ``label_components(interior)[0]``.
    relief : numpy.ndarray or None
        (H, W) uint8, the result of :func:`make_relief`.
    config : PostprocessConfig
        Uses `skeleton` and `skeleton_relative`.
    highest : float, optional
        The largest blurred distance, if `blurred` is only a part of an image.

    Returns
    -------
    Skeletons
        Pieces of the interior without a skeleton are 0 in ``P1``.
    """
    highest = blurred.max() if highest is None else np.float32(highest)
    threshold = config.skeleton * (highest if config.skeleton_relative else 1)
    markers, _ = label_components((blurred > threshold) & (pieces > 0))
    return Skeletons(markers, flood(markers, pieces, relief))


def mark_peaks(
    blurred: np.ndarray, pieces: np.ndarray, p1: np.ndarray, relief: np.ndarray | None, width: float,
    config: PostprocessConfig, highest: float | None = None,
) -> Peaks:  # fmt: skip
    """Step 3: find (small) cells without a skeleton by the peaks of the distance field; flood from these.

    Parameters
    ----------
    blurred, pieces, relief : numpy.ndarray
        As in :func:`mark_skeletons`.
    p1 : numpy.ndarray
        (H, W) int32, the cells of step 2.
    width : float
        The result of :func:`mean_cell_width`.
    config : PostprocessConfig
        Uses `peak_distance`, `peak_height` and `keep_unmarked`.
    highest : float, optional
        As in :func:`mark_skeletons`.

    Returns
    -------
    Peaks
        Both 0 where ``P1`` is not; the labels of ``P2`` follow those of ``P1``. A plateau is one peak. Of
        equal peaks that are too near to each other the last one in reading order stays.
    """
    uncovered = np.where(p1 == 0, pieces, 0)
    candidates = np.where(uncovered > 0, blurred, 0)
    reach = max(1, int(config.peak_distance * width))
    peaks = candidates == _largest_around(candidates, reach)
    highest = blurred.max() if highest is None else np.float32(highest)
    peaks &= candidates > config.peak_height * max(highest, 0)
    del candidates
    markers = number_in_reading_order(label_components(peaks)[0])
    rank = markers.astype(np.float32)  # only peaks of equal height are within each other's reach
    markers = np.where(rank == _largest_around(rank, reach), markers, 0)
    del peaks, rank
    p2 = flood(markers, uncovered, relief, adopt=config.keep_unmarked)
    np.add(p2, p1.max(), out=p2, where=p2 > 0)
    return Peaks(markers, p2)


def grow_cells(
    p1: np.ndarray, p2: np.ndarray, foreground: np.ndarray, relief: np.ndarray | None,
    config: PostprocessConfig, mean_area: float | None = None,
) -> Cells:  # fmt: skip
    """Step 4: grow all cells from the interior into the foreground, remove the smallest ones, renumber.

    Parameters
    ----------
    p1, p2 : numpy.ndarray
        (H, W) int32, the cells of steps 2 and 3.
    foreground : numpy.ndarray
        (H, W) bool, from step 1.
    relief : numpy.ndarray or None
        (H, W) uint8, the result of :func:`make_relief`.
    config : PostprocessConfig
        Uses `min_size`.
    mean_area : float, optional
        The mean area of the cells in ``P3``, if these are only a part of an image.

    Returns
    -------
    Cells
        Foreground without any interior is 0 in ``P3``. Cells below `min_size` times the mean area of the
        cells in ``P3`` are 0 in ``final``.
    """
    union = p1 + p2
    p3 = flood(union, foreground, relief)
    return Cells(union, p3, number_in_reading_order(p3, config.min_size, mean_area))


# --- what the steps need ----------------------------------------------------------------------------------


def mean_cell_width(pieces: np.ndarray, widest: float = 0.0) -> float:
    """Square root of the mean area of the pieces of the interior, in pixels: the scale of steps 2 and 3.

    Parameters
    ----------
    pieces : numpy.ndarray
        (H, W) int32, the connected components 1 … N of the interior.
    widest : float
        The result is at most this many times the `width_by_depth`; 0 is no limit.

    Returns
    -------
    float
        0 if there is no interior.

    Examples
    --------
    >>> mean_cell_width(np.array([[1, 1, 0, 2, 2, 2], [1, 1, 0, 0, 0, 2]]))
    2.0
    """
    width = math.sqrt(np.count_nonzero(pieces) / max(pieces.max(), 1))
    return min(width, widest * width_by_depth(pieces)) if widest else width


def width_by_depth(pieces: np.ndarray) -> float:
    """Square root of the area of discs whose pixels lie as far from their edge, in the mean, as the interior.

    Where cells are joined to one piece, its area tells nothing of theirs, but its depth still does. A mask
    without an edge is immensely deep.

    Examples
    --------
    >>> square = np.zeros((40, 40), dtype=np.int32)
    >>> square[10:30, 10:30] = 1
    >>> round(width_by_depth(square))
    20
    """
    mask = (pieces > 0).view(np.uint8)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_3).sum(where=mask > 0, dtype=np.float64)
    return 3 * math.sqrt(math.pi) * float(depth) / max(1, np.count_nonzero(mask))


def blur_distance(distance: np.ndarray, width: float, config: PostprocessConfig) -> np.ndarray:
    """Smooth the distance field with a Gaussian as large as a cell (the first half of step 2).

    Parameters
    ----------
    distance : numpy.ndarray
        (H, W) float32.
    width : float
        The result of :func:`mean_cell_width`.
    config : PostprocessConfig
        Uses `blur`.

    Returns
    -------
    numpy.ndarray
        (H, W) float32. The field is taken as 0 beyond the image's edge, as in any background.
    """
    side = 2 * (int(config.blur * width) // 2) + 1
    return cv2.GaussianBlur(distance, (side, side), 0, borderType=cv2.BORDER_CONSTANT)


def make_relief(
    distance: np.ndarray, config: PostprocessConfig, highest: float | None = None
) -> np.ndarray | None:
    """Make the relief that the watersheds flood: the distance field upside down, cells as basins.

    Parameters
    ----------
    distance : numpy.ndarray
        (H, W) float32, not blurred, so that narrow valleys between cells stay open.
    config : PostprocessConfig
        Uses `relief`.
    highest : float, optional
        The largest value of the field, if `distance` is only a part of an image.

    Returns
    -------
    numpy.ndarray or None
        (H, W) uint8: 0 at the largest value of the field, 254 where it is 0 or below. None is a flat relief.

    Examples
    --------
    >>> make_relief(np.array([[0, 0.2, 0.4]], dtype=np.float32), PostprocessConfig(relief="distance"))
    array([[254, 127,   0]], dtype=uint8)
    """
    top = float(distance.max()) if highest is None else highest
    if config.relief == "flat" or top <= 0:
        return None
    # rounding could make it 255
    return np.minimum(cv2.convertScaleAbs(np.clip(distance, 0, top), alpha=-254 / top, beta=254), 254)


def _largest_around(values: np.ndarray, reach: int) -> np.ndarray:
    """Largest value in the square of pixels up to `reach` rows and columns away."""
    return cv2.dilate(values, np.ones((2 * reach + 1, 2 * reach + 1), dtype=np.uint8))
