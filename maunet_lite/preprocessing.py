"""Images to network input, label maps to training targets (paper, section 2.1).

Two functions do the work that training and inference share: :func:`normalize` maps any image to three
channels in [0.01, 0.99], and :func:`make_targets` turns a label map into the two things that MAUNet learns, a
class map and a distance field. Every cell is handled in its own small window, so the cost grows with the number of
pixels plus the number of cells, not with their product.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from maunet_lite.images import validate_image, validate_labels

BACKGROUND, INTERIOR, BOUNDARY = 0, 1, 2
LOW, HIGH = 0.01, 0.99

_BLOCK = 1 << 20  # pixels converted at a time, so that a huge float image needs no second copy in float64


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


# --- intensity ------------------------------------------------------------------------------------------------


def normalize(image: np.ndarray, method: str = "authors") -> np.ndarray:
    """Scale any image to three channels in [0.01, 0.99].

    Paper section 2.1: a grey image is copied three times, then intensities are scaled to [0.01, 0.99].

    Parameters
    ----------
    image : numpy.ndarray
        (H, W) or (H, W, C) with C from 1 to 4, of any integer or floating type. One channel is copied three times;
        two become the first two of three, the third stays black; of four, the last (alpha) is dropped.
        NaN counts as black, that is as 0.
    method : {"authors", "paper"}
        ``"authors"`` (the published code): each channel by itself, from the 1st to the 99th percentile of its
        non-zero pixels, clipped. Hot pixels and an empty surround then do not squeeze the cells into a few grey
        levels. Where both percentiles are equal, the channel's minimum and maximum take their place.
        ``"paper"`` (the text): from the minimum to the maximum of all channels together, which keeps colours.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) float32 in [0.01, 0.99]. A constant channel (or image, for ``"paper"``) becomes 0.01.

    Raises
    ------
    ImageError
        If the array is boolean, complex, empty, infinite anywhere, channel-first or of another shape.
    ValueError
        If `method` is unknown.

    Examples
    --------
    >>> normalize(np.array([[0, 50, 100]], dtype=np.uint8), method="paper")[..., 0]
    array([[0.01, 0.5 , 0.99]], dtype=float32)
    """
    if method not in ("authors", "paper"):
        raise ValueError(f'method is {method!r}; use "authors" (percentiles 1 to 99) or "paper" (minimum to maximum)')
    image = validate_image(image)
    channels = image[..., None] if image.ndim == 2 else image[..., :3]
    if image.dtype.kind == "f" and np.isnan(channels).any():
        channels = np.nan_to_num(channels, nan=0.0)
    together = (float(channels.min()), float(channels.max()))
    out = np.full((*channels.shape[:2], 3), LOW, dtype=np.float32)
    for c in range(channels.shape[2]):
        low, high = _percentile_range(channels[..., c]) if method == "authors" else together
        if high > low:
            _rescale(channels[..., c], low, high, out[..., c])
    if channels.shape[2] == 1:
        out[..., 1] = out[..., 2] = out[..., 0]
    return out


def _percentile_range(channel: np.ndarray) -> tuple[float, float]:
    """Percentiles 1 and 99 of the non-zero pixels, or minimum and maximum where these are equal."""
    if channel.dtype in (np.uint8, np.uint16):
        low, high = _histogram_percentiles(channel)
    else:
        nonzero = channel[channel != 0]
        low, high = np.percentile(nonzero, (1, 99)) if nonzero.size else (0.0, 0.0)
    if high > low:
        return float(low), float(high)
    return float(channel.min()), float(channel.max())


def _histogram_percentiles(channel: np.ndarray) -> tuple[float, float]:
    """What ``np.percentile(channel[channel > 0], (1, 99))`` gives, read from a histogram: ten times faster."""
    below = np.cumsum(np.bincount(channel.ravel())[1:])  # below[v - 1]: non-zero pixels with a value up to v
    if not below.size:
        return 0.0, 0.0
    values = []
    for q in (0.01, 0.99):
        rank = q * (below[-1] - 1)
        lower, upper = np.searchsorted(below, (math.floor(rank), math.ceil(rank)), side="right") + 1
        values.append(lower + (upper - lower) * (rank - math.floor(rank)))
    return float(values[0]), float(values[1])


def _rescale(channel: np.ndarray, low: float, high: float, out: np.ndarray) -> None:
    """Write `channel`, mapped linearly from [low, high] to [0.01, 0.99] and clipped, into `out`."""

    def scaled(values: np.ndarray) -> np.ndarray:
        # halves, because high - low may overflow; divided before it is multiplied, so that tiny ranges survive
        part = (np.clip(values.astype(np.float64), low, high) / 2 - low / 2) / (high / 2 - low / 2)
        return np.clip(LOW + (HIGH - LOW) * part, LOW, HIGH)

    if channel.dtype in (np.uint8, np.uint16):
        table = scaled(np.arange(int(channel.max()) + 1)).astype(np.float32)
        out[...] = table[channel]
        return
    rows = max(1, _BLOCK // channel.shape[1])
    for top in range(0, channel.shape[0], rows):
        out[top : top + rows] = scaled(channel[top : top + rows])


# --- targets --------------------------------------------------------------------------------------------------


def make_targets(
    labels: np.ndarray, *, boundary: str = "paper", center: str = "paper", beta: float = 1.0
) -> Targets:
    """Class map and distance field of a label map (paper, section 2.1).

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map, 0 background, any positive ids.
    boundary : {"paper", "authors"}
        The `thickness` rule of :func:`class_map`.
    center : {"paper", "authors"}
        The `center` rule of :func:`distance_field`.
    beta : float
        How steeply the distance field falls, see :func:`distance_field`.

    Returns
    -------
    Targets
        ``classes`` (H, W) uint8 and ``distance`` (H, W) float32. Both are all zero for an empty map.

    Raises
    ------
    LabelError
        If `labels` is no label map, see :func:`maunet_lite.images.validate_labels`.
    ValueError
        If `boundary` or `center` is unknown or `beta` is not a positive number.

    Examples
    --------
    >>> targets = make_targets(np.full((5, 7), 3))
    >>> targets.classes.max(), targets.distance.max()
    (np.uint8(1), np.float32(1.0))
    """
    _check_choices(boundary, center, beta)
    cells = list(_cells(validate_labels(labels)))
    shape = np.shape(labels)
    return Targets(_class_map(cells, shape, boundary), _distance_field(cells, shape, center, beta))


def class_map(labels: np.ndarray, thickness: str = "paper") -> np.ndarray:
    """Background, interior and boundary of every cell, the boundary as thick as the cell asks for.

    Paper section 2.1: a cell of S pixels gets a boundary of thickness t = sqrt(S) / 20, so that large cells get
    thick and small cells thin ones. Nothing depends on the order of the ids.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map, 0 background, any positive ids.
    thickness : {"paper", "authors"}
        ``"paper"``: the boundary are the cell's pixels whose Euclidean distance to the nearest pixel outside the
        cell (background or a neighbour) is at most t, and at least the outermost layer, so that the interiors of
        touching cells never touch. It never leaves the cell.
        ``"authors"`` (the published code): the outermost layer dilated by a disk of radius ceil(sqrt(S) / 40). It
        is about as thick in all, but half of it lies outside, in the background. Unlike in the published code it
        never covers another cell, so that the result is the same for every order of the ids.

    Returns
    -------
    numpy.ndarray
        (H, W) uint8: 0 background, 1 interior, 2 boundary. A cell too small for a boundary keeps the pixels that
        lie deepest in it as interior: a cell of one pixel is all interior. The image's edge is no boundary: a cell
        cut by it goes on outside, where nobody can see its end.

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
    """Cell-wise distance field d = 1 / (1 + alpha * beta * gamma), 1 at the centre of a cell, 0 in the background.

    Paper section 2.1, with alpha = 1 / sqrt(S) for a cell of S pixels, so that large and small cells get the same
    range of values.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map, 0 background, any positive ids.
    center : {"paper", "authors"}
        ``"paper"``: gamma is the Euclidean distance, in pixels, to the cell's centre: the pixel of the cell that
        is nearest to its centroid (the uppermost, then leftmost of several), inside even a ring or a crescent.
        ``"authors"`` (the published code): gamma is the cell's largest distance to the outside minus the pixel's,
        so that the field follows the shape of the cell. The image's edge does not count as outside; a cell that
        fills the whole image has no outside, and 1 everywhere.
    beta : float
        How steeply the field falls; the paper takes 1. Must be positive.

    Returns
    -------
    numpy.ndarray
        (H, W) float32 in [0, 1]; background exactly 0, cells above 0, the maximum of every cell exactly 1.

    Raises
    ------
    LabelError
        If `labels` is no label map, see :func:`maunet_lite.images.validate_labels`.
    ValueError
        If `center` is unknown or `beta` is not a positive number.

    Examples
    --------
    A row of nine pixels: S = 9, so one step from the centre is alpha * gamma = 1 / 3.

    >>> distance_field(np.full((1, 9), 5)).round(2)
    array([[0.43, 0.5 , 0.6 , 0.75, 1.  , 0.75, 0.6 , 0.5 , 0.43]],
          dtype=float32)
    """
    _check_choices(center=center, beta=beta)
    labels = validate_labels(labels)
    return _distance_field(_cells(labels), labels.shape, center, beta)


def _check_choices(boundary: str = "paper", center: str = "paper", beta: float = 1.0) -> None:
    for name, value in (("boundary thickness", boundary), ("center", center)):
        if value not in ("paper", "authors"):
            raise ValueError(f'{name} is {value!r}; use "paper" or "authors"')
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta is {beta!r}; it must be a positive number (the paper takes 1)")


class _Cell(NamedTuple):
    """One cell in its window, which holds the cell and, on every side that the image has, some of its surroundings."""

    window: tuple[slice, slice]
    mask: np.ndarray  # (h, w) bool: the cell's own pixels
    free: np.ndarray  # (h, w) bool: background
    size: int  # S, in pixels


def _cells(labels: np.ndarray) -> Iterator[_Cell]:
    """Every cell with its surroundings; all windows together hold about as many pixels as the image."""
    compact = _compact(labels)
    sizes = np.bincount(compact.ravel())
    for number, box in enumerate(ndimage.find_objects(compact), start=1):
        margin = _spill_radius(sizes[number])  # at least 1, all that a distance inside the cell asks for
        rows, cols = (slice(max(0, side.start - margin), side.stop + margin) for side in box)
        crop = compact[rows, cols]
        yield _Cell((rows, cols), crop == number, crop == 0, int(sizes[number]))


def _compact(labels: np.ndarray) -> np.ndarray:
    """Labels renumbered 1, 2, 3 … in the order of their ids, so that gaps and huge ids cost nothing."""
    largest = int(labels.max())
    if largest > 4 * labels.size + 65_536:  # too large for a look-up table: sort the few ids there are
        return np.searchsorted(np.union1d([0], labels), labels).astype(np.int32)
    present = np.bincount(labels.ravel(), minlength=1) > 0
    present[0] = False
    table = np.cumsum(present, dtype=np.int32)
    return labels if table[-1] == largest else table[labels]


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance of every cell pixel to the nearest pixel of the window outside the cell, infinite if there is none."""
    if mask.all():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    return cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _spill_radius(size: int) -> int:
    """Radius of the disk by which the published code dilates the outermost layer of a cell."""
    return math.ceil(math.sqrt(size) / 40)


def _class_map(cells: Iterable[_Cell], shape: tuple[int, int], thickness: str) -> np.ndarray:
    classes = np.zeros(shape, dtype=np.uint8)
    for cell in cells:
        depth = _depth(cell.mask)
        if thickness == "authors":
            boundary = _dilated_outline(cell, depth)
            classes[cell.window][boundary & cell.free] = BOUNDARY
        else:
            boundary = depth <= max(math.sqrt(cell.size) / 20, 1)
        interior = cell.mask & ~boundary
        if not interior.any():
            interior = cell.mask & (depth == depth.max())
        view = classes[cell.window]
        view[cell.mask] = BOUNDARY
        view[interior] = INTERIOR
    return classes


def _dilated_outline(cell: _Cell, depth: np.ndarray) -> np.ndarray:
    """The outermost layer of a cell, dilated by the published code's disk, on the whole window."""
    outline = depth == 1
    if not outline.any():  # the cell fills the image
        return outline
    away = cv2.distanceTransform((~outline).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return away <= _spill_radius(cell.size)


def _distance_field(cells: Iterable[_Cell], shape: tuple[int, int], center: str, beta: float) -> np.ndarray:
    field = np.zeros(shape, dtype=np.float32)
    for cell in cells:
        gamma = _from_ridge(cell.mask) if center == "authors" else _from_center(cell.mask)
        d = 1 / (1 + beta / math.sqrt(cell.size) * gamma)
        field[cell.window][cell.mask] = d[cell.mask]
    return field


def _from_center(mask: np.ndarray) -> np.ndarray:
    """Distance of every window pixel to the pixel of the cell that is nearest to its centroid."""
    rows, cols = np.nonzero(mask)  # in reading order, so that argmin takes the uppermost, then leftmost of several
    nearest = np.argmin((rows - rows.mean()) ** 2 + (cols - cols.mean()) ** 2)
    down = np.arange(mask.shape[0], dtype=np.float32)[:, None] - rows[nearest]
    right = np.arange(mask.shape[1], dtype=np.float32) - cols[nearest]
    return np.sqrt(down**2 + right**2)


def _from_ridge(mask: np.ndarray) -> np.ndarray:
    """How much nearer to the outside every pixel lies than the deepest pixel of its cell."""
    depth = _depth(mask)
    deepest = depth.max()
    return deepest - depth if np.isfinite(deepest) else np.zeros_like(depth)
