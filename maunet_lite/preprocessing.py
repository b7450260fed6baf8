"""Images to network input, label maps to training targets (paper, section 2.1).

Training and inference share :func:`normalize`, which maps any image to three channels in [0.01, 0.99].
:func:`make_targets` turns a label map into the two things that MAUNet learns, a class map and a distance
field. It handles every cell in a small window: the cost grows with pixels plus cells, not with their product.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from maunet_lite.checks import validate_labels
from maunet_lite.intensity import normalize

__all__ = ["Targets", "class_map", "distance_field", "make_targets", "normalize"]

BACKGROUND, INTERIOR, BOUNDARY = 0, 1, 2


class Targets(NamedTuple):
    """What the network learns from one label map.

    Attributes
    ----------
    classes : numpy.ndarray
        (H, W) uint8: 0 background, 1 interior, 2 boundary.
    distance : numpy.ndarray
        (H, W) float32 in [0, 1]: 1 at the centre of a cell, falling towards its edge, 0 in the background.
    """

    classes: np.ndarray
    distance: np.ndarray


def make_targets(
    labels: np.ndarray, *, boundary: str = "paper", center: str = "paper", beta: float = 1.0
) -> Targets:
    """Class map and distance field of a label map (paper, section 2.1).

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map: 0 background, any positive ids.
    boundary : {"paper", "authors"}
        The `thickness` of :func:`class_map`.
    center : {"paper", "authors"}
        The `center` of :func:`distance_field`.
    beta : float
        The `beta` of :func:`distance_field`.

    Returns
    -------
    Targets
        ``classes`` (H, W) uint8 and ``distance`` (H, W) float32, all zero for an empty map.

    Raises
    ------
    LabelError
        If `labels` is no label map, see :func:`maunet_lite.images.validate_labels`.
    ValueError
        If `boundary` or `center` is unknown or `beta` is not positive.

    Examples
    --------
    >>> targets = make_targets(np.array([[0, 0, 0, 0], [0, 8, 8, 8]]))
    >>> targets.classes
    array([[0, 0, 0, 0],
           [0, 1, 1, 1]], dtype=uint8)
    >>> targets.distance.round(2)
    array([[0.  , 0.  , 0.  , 0.  ],
           [0.  , 0.63, 1.  , 0.63]], dtype=float32)
    """
    _check_choices(boundary, center, beta)
    labels = validate_labels(labels)
    cells = list(_cells(labels))
    classes = _class_map(cells, labels.shape, boundary)
    return Targets(classes, _distance_field(cells, labels.shape, center, beta))


def class_map(labels: np.ndarray, thickness: str = "paper") -> np.ndarray:
    """Background, interior and boundary of every cell (paper, section 2.1).

    A cell of S pixels gets a boundary of thickness t = sqrt(S) / 20: thick around large cells, thin around
    small ones. Nothing depends on the order of the ids.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map: 0 background, any positive ids.
    thickness : {"paper", "authors"}
        ``"paper"``: the cell's pixels at a Euclidean distance of at most t from the nearest pixel outside it
        (background or a neighbour), but at least its outermost layer, which keeps the interiors of touching
        cells apart. It never leaves the cell.
        ``"authors"`` (the published code): the outermost layer dilated by a disk of radius
        ceil(sqrt(S) / 40), which spills into the background. Unlike there, it never covers another cell, so
        that the order of the ids does not matter.

    Returns
    -------
    numpy.ndarray
        (H, W) uint8: 0 background, 1 interior, 2 boundary. A cell too small for a boundary keeps the pixels
        deepest inside it as interior: one of a single pixel is all interior. The image's edge is no boundary,
        because a cell cut by it goes on beyond.

    Raises
    ------
    LabelError
        If `labels` is no label map, see :func:`maunet_lite.images.validate_labels`.
    ValueError
        If `thickness` is unknown.

    Examples
    --------
    >>> labels = np.zeros((5, 6), dtype=int)
    >>> labels[1:4, 1:5] = 7
    >>> class_map(labels)
    array([[0, 0, 0, 0, 0, 0],
           [0, 2, 2, 2, 2, 0],
           [0, 2, 1, 1, 2, 0],
           [0, 2, 2, 2, 2, 0],
           [0, 0, 0, 0, 0, 0]], dtype=uint8)
    """
    _check_choices(boundary=thickness)
    labels = validate_labels(labels)
    return _class_map(_cells(labels), labels.shape, thickness)


def distance_field(labels: np.ndarray, center: str = "paper", beta: float = 1.0) -> np.ndarray:
    """Cell-wise distance field d = 1 / (1 + alpha * beta * gamma) (paper, section 2.1).

    alpha = 1 / sqrt(S) for a cell of S pixels gives large and small cells the same range of values.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map: 0 background, any positive ids.
    center : {"paper", "authors"}
        ``"paper"``: gamma is the Euclidean distance, in pixels, to the cell's centre, the pixel of the cell
        nearest to its centroid (the uppermost, then leftmost of several): inside, even in a ring or crescent.
        ``"authors"`` (the published code): gamma is the cell's largest distance to the outside minus the
        pixel's, so that the field follows the cell's shape. The image's edge is not outside; a cell that
        fills the image has no outside, and 1 everywhere.
    beta : float
        How steeply the field falls; positive, 1 in the paper.

    Returns
    -------
    numpy.ndarray
        (H, W) float32: 0 in the background, in (0, 1] inside cells, 1 at every cell's centre.

    Raises
    ------
    LabelError
        If `labels` is no label map, see :func:`maunet_lite.images.validate_labels`.
    ValueError
        If `center` is unknown or `beta` is not positive.

    Examples
    --------
    A row of nine pixels: S = 9, so alpha * gamma is 1 / 3 one step from the centre.

    >>> distance_field(np.full((1, 9), 5)).round(2)
    array([[0.43, 0.5 , 0.6 , 0.75, 1.  , 0.75, 0.6 , 0.5 , 0.43]], dtype=float32)
    """
    _check_choices(center=center, beta=beta)
    labels = validate_labels(labels)
    return _distance_field(_cells(labels), labels.shape, center, beta)


def _check_choices(boundary: str = "paper", center: str = "paper", beta: float = 1.0) -> None:
    for name, value in (("boundary thickness", boundary), ("center", center)):
        if value not in ("paper", "authors"):
            raise ValueError(f'{name} is {value!r}; use "paper" or "authors"')
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta is {beta!r}; use a positive number (the paper takes 1)")


class _Cell(NamedTuple):
    """A cell in its window: the cell and, on every side that the image has, some of its surroundings."""

    window: tuple[slice, slice]
    mask: np.ndarray  # (h, w) bool: the cell's own pixels
    free: np.ndarray  # (h, w) bool: background
    size: int  # S, in pixels


def _cells(labels: np.ndarray) -> Iterator[_Cell]:
    compact = _compact(labels)
    sizes = np.bincount(compact.ravel())
    for number, box in enumerate(ndimage.find_objects(compact), start=1):
        margin = _spill_radius(sizes[number])  # at least 1, which a distance inside the cell needs
        window = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
        crop = compact[window]
        yield _Cell(window, crop == number, crop == 0, int(sizes[number]))


def _compact(labels: np.ndarray) -> np.ndarray:
    """Renumber labels 1, 2, 3 … in the order of their ids, so that gaps and huge ids cost nothing."""
    largest = int(labels.max())
    if largest > 4 * labels.size + 2**16:  # too large for a look-up table
        return np.searchsorted(np.union1d([0], labels), labels).astype(np.int32)
    present = np.bincount(labels.ravel(), minlength=1) > 0
    present[0] = False
    return np.cumsum(present, dtype=np.int32)[labels]


def _spill_radius(size: int) -> int:
    """Radius of the disk by which the published code dilates the outermost layer of a cell."""
    return math.ceil(math.sqrt(size) / 40)


def _edt(inside: np.ndarray) -> np.ndarray:
    """Euclidean distance to the nearest pixel that is not `inside`, infinite if there is none."""
    if inside.all():
        return np.full(inside.shape, np.inf, dtype=np.float32)
    return cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _class_map(cells: Iterable[_Cell], shape: tuple[int, int], thickness: str) -> np.ndarray:
    classes = np.zeros(shape, dtype=np.uint8)
    for cell in cells:
        view, depth = classes[cell.window], _edt(cell.mask)
        if thickness == "authors":
            boundary = _edt(depth != 1) <= _spill_radius(cell.size)  # 1: the outermost layer
            view[boundary & cell.free] = BOUNDARY
        else:
            boundary = depth <= max(math.sqrt(cell.size) / 20, 1)
        interior = cell.mask & ~boundary
        if not interior.any():
            interior = cell.mask & (depth == depth.max())
        view[cell.mask] = BOUNDARY
        view[interior] = INTERIOR
    return classes


def _distance_field(cells: Iterable[_Cell], shape: tuple[int, int], center: str, beta: float) -> np.ndarray:
    field = np.zeros(shape, dtype=np.float32)
    for cell in cells:
        gamma = _from_ridge(cell.mask) if center == "authors" else _from_center(cell.mask)
        d = 1 / (1 + beta / math.sqrt(cell.size) * gamma)
        field[cell.window][cell.mask] = d[cell.mask]
    return field


def _from_center(mask: np.ndarray) -> np.ndarray:
    """Distance of every pixel to the one of the cell that is nearest to its centroid."""
    rows, cols = np.nonzero(mask)  # in reading order: argmin takes the uppermost, then leftmost of several
    nearest = np.argmin((rows - rows.mean()) ** 2 + (cols - cols.mean()) ** 2)
    down = np.arange(mask.shape[0], dtype=np.float32)[:, None] - rows[nearest]
    right = np.arange(mask.shape[1], dtype=np.float32) - cols[nearest]
    return np.sqrt(down**2 + right**2)


def _from_ridge(mask: np.ndarray) -> np.ndarray:
    """How much nearer to the outside every pixel lies than the deepest pixel of its cell."""
    depth = _edt(mask)
    return depth.max() - depth if np.isfinite(depth[0, 0]) else np.zeros_like(depth)
