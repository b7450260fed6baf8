"""Label maps to training targets (paper, section 2.1).

:func:`make_targets` turns a label map into the two things that MAUNet learns, a class map and a distance
field. It handles every cell in a small window: the cost grows with pixels plus cells, not with their product.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import cv2
import numpy as np
from scipy import ndimage
from skimage.segmentation import relabel_sequential

from maunet_lite.data import validate_labels
from maunet_lite.postprocessing import POSITIVE, Options
from maunet_lite.preprocessing.intensity import ScalingMethod

BACKGROUND, INTERIOR, BOUNDARY = 0, 1, 2
Thickness = str | Callable[[int], float]  # of boundaries, see `class_map`


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


@dataclass(frozen=True)
class TargetConfig(Options):
    """Which variants of the paper's intensities and targets to learn: see `normalize` and `make_targets`."""

    intensity: ScalingMethod = "robust"
    boundary: Literal["paper", "authors"] = "paper"
    center: Literal["paper", "authors"] = "paper"
    beta: Annotated[float, POSITIVE] = 1.0


def make_targets(
    labels: np.ndarray, *, boundary: str = "paper", center: str = "paper", beta: float = 1.0,
    part: bool = False,
) -> Targets:  # fmt: skip
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
    part : bool
        `labels` is a window of a label map, or a map that is known to number cells. It may hold nothing but
        parts of one cell, which otherwise would be taken for a mask of foreground.

    Returns
    -------
    Targets
        ``classes`` (H, W) uint8 and ``distance`` (H, W) float32, all zero for an empty map.

    Raises
    ------
    LabelError
        If `labels` is no label map, see `data.validate_labels`.
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
    return _draw(labels, boundary, center, beta, part=part)


def class_map(labels: np.ndarray, thickness: Thickness = "paper", *, part: bool = False) -> np.ndarray:
    """Background, interior and boundary of every cell (paper, section 2.1).

    A cell of S pixels gets a boundary of thickness t = sqrt(S) / 20: thick around large cells, thin around
    small ones. Nothing depends on the order of the ids.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map: 0 background, any positive ids.
    thickness : {"paper", "authors"} or callable
        ``"paper"``: the cell's pixels at a Euclidean distance of at most t from the nearest pixel outside it
        (background or a neighbour), but at least its outermost layer, which keeps the interiors of touching
        cells apart. It never leaves the cell.
        ``"authors"`` (the published code): the outermost layer dilated by a disk of radius
        ceil(sqrt(S) / 40), which spills into the background. Unlike there, it never covers another cell, so
        that the order of the ids does not matter.
        A function takes S and returns t, the rest is as for ``"paper"``.
    part : bool
        See :func:`make_targets`.

    Returns
    -------
    numpy.ndarray
        (H, W) uint8: 0 background, 1 interior, 2 boundary. A cell too small for a boundary keeps the pixels
        deepest inside it as interior: one of a single pixel is all interior. The image's edge is no boundary,
        because a cell cut by it goes on beyond.

    Raises
    ------
    LabelError
        If `labels` is no label map, see `data.validate_labels`.
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
    return _draw(labels, boundary=thickness, parts=("classes",), part=part).classes


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
        If `labels` is no label map, see `data.validate_labels`.
    ValueError
        If `center` is unknown or `beta` is not positive.

    Examples
    --------
    A row of nine pixels: S = 9, so alpha * gamma is 1 / 3 one step from the centre.

    >>> distance_field(np.full((1, 9), 5)).round(2)
    array([[0.43, 0.5 , 0.6 , 0.75, 1.  , 0.75, 0.6 , 0.5 , 0.43]], dtype=float32)
    """
    return _draw(labels, center=center, beta=beta, parts=("distance",)).distance


def _draw(
    labels: np.ndarray, boundary: Thickness = "paper", center: str = "paper",
    beta: float = 1.0, parts: Sequence[str] = Targets._fields, part: bool = False,
) -> Targets:  # fmt: skip
    """Draw the named parts of all cells; the others stay zero."""
    # Refuses what is unknown.
    TargetConfig(boundary="paper" if callable(boundary) else boundary, center=center, beta=beta)
    labels = validate_labels(labels, masks=part)
    targets = Targets(np.zeros(labels.shape, dtype=np.uint8), np.zeros(labels.shape, dtype=np.float32))
    for cell in _cells(labels):
        if "classes" in parts:
            _draw_classes(cell, boundary, targets.classes)
        if "distance" in parts:
            _draw_distance(cell, center, beta, targets.distance)
    return targets


class _Cell(NamedTuple):
    """A cell in its window: the cell and, on every side that the image has, some of its surroundings."""

    window: tuple[slice, slice]
    crop: np.ndarray  # (h, w) labels
    mask: np.ndarray  # (h, w) bool: the cell's own pixels
    size: int  # S, in pixels


def _cells(labels: np.ndarray) -> Iterator[_Cell]:
    if labels.max() > labels.size // 16 + 2**12:  # `find_objects` makes a list as long as the largest id
        labels = relabel_sequential(labels)[0]
    boxes = [(box, i) for i, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None]
    for box, i in sorted(boxes, key=lambda item: item[0][0].start):  # from top to bottom: kind to the cache
        sides = [side.stop - side.start for side in box]
        margin = _spill_radius(math.prod(sides))  # at least 1, which a distance inside the cell needs
        window = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)
        crop = labels[window]
        mask = crop == i
        yield _Cell(window, crop, mask, np.count_nonzero(mask))


def _spill_radius(size: int) -> int:
    """Radius of the disk by which the published code dilates the outermost layer of a cell."""
    return math.ceil(math.sqrt(size) / 40)


def _edt(inside: np.ndarray) -> np.ndarray:
    """Euclidean distance to the nearest pixel that is not `inside`, infinite if there is none."""
    if inside.all():
        return np.full(inside.shape, np.inf, dtype=np.float32)
    return cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _draw_classes(cell: _Cell, thickness: Thickness, classes: np.ndarray) -> None:
    """Draw one cell into the class map."""
    view, depth = classes[cell.window], _edt(cell.mask)
    if thickness == "authors":
        boundary = _edt(depth != 1) <= _spill_radius(cell.size)  # 1: the outermost layer
        view[boundary & (cell.crop == 0)] = BOUNDARY
    else:
        wanted = thickness(cell.size) if callable(thickness) else math.sqrt(cell.size) / 20
        boundary = depth <= max(wanted, 1)
    interior = cell.mask & ~boundary
    if not interior.any():
        interior = cell.mask & (depth == depth.max())
    np.copyto(view, BOUNDARY, where=cell.mask)
    np.copyto(view, INTERIOR, where=interior)


def _draw_distance(cell: _Cell, center: str, beta: float, field: np.ndarray) -> None:
    """Draw one cell into the distance field."""
    gamma = _from_ridge(cell.mask) if center == "authors" else _from_center(cell.mask)
    d = 1 / (1 + beta / math.sqrt(cell.size) * gamma)
    np.copyto(field[cell.window], d, where=cell.mask)


def _from_center(mask: np.ndarray) -> np.ndarray:
    """Distance of every pixel to the one of the cell that is nearest to its centroid."""
    rows, cols = np.nonzero(mask)  # in reading order: argmin takes the uppermost, then leftmost of several
    nearest = np.argmin((rows - rows.sum() / rows.size) ** 2 + (cols - cols.sum() / cols.size) ** 2)
    down = np.arange(mask.shape[0], dtype=np.float32)[:, None] - rows[nearest]
    right = np.arange(mask.shape[1], dtype=np.float32) - cols[nearest]
    return np.sqrt(down**2 + right**2)


def _from_ridge(mask: np.ndarray) -> np.ndarray:
    """How much nearer to the outside every pixel lies than the deepest pixel of its cell."""
    depth = _edt(mask)
    return depth.max() - depth if np.isfinite(depth[0, 0]) else np.zeros_like(depth)
