"""Label maps as polygons that follow the edges of the pixels, and back, without losing a pixel.

A point is (x, y), x to the right and y down, as ImageJ and QuPath count: the pixel in row r and column c
covers the square from (c, r) to (c + 1, r + 1). Points are therefore whole numbers, and a polygon holds the
pixel *centres* of its cell and no other, wherever it is opened.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy.ndimage import find_objects
from skimage import draw, measure

from maunet_lite.data import LabelError, validate_labels


class Polygon(NamedTuple):
    """One piece of a cell: its outer ring, and the rings of its holes.

    Attributes
    ----------
    shell : numpy.ndarray
        (K, 2) int32 corners (x, y), clockwise on the screen, which a formula calls counter-clockwise
        because y points down. The last corner is not the first: the ring closes itself.
    holes : tuple of numpy.ndarray
        Rings of the same kind, the other way round.
    """

    shell: np.ndarray
    holes: tuple[np.ndarray, ...] = ()


def trace(labels: np.ndarray) -> dict[int, list[Polygon]]:
    """Trace each cell of a label map along the edges of its pixels.

    Parameters
    ----------
    labels : numpy.ndarray
        (H, W) label map; any ids, gaps, pieces, holes, and cells at the border.

    Returns
    -------
    dict of int to list of Polygon
        Cells in the order of their ids. A cell has one polygon for each of its 4-connected pieces: pixels
        that touch at a corner only are two polygons which share that corner. All rings are simple (they
        never meet themselves), so the polygons are valid for every program.

    Examples
    --------
    >>> cells = trace(np.array([[0, 3, 3], [0, 0, 3]]))
    >>> cells[3][0].shell.tolist()
    [[1, 0], [3, 0], [3, 2], [2, 2], [2, 1], [1, 1]]
    >>> ring = trace(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]))
    >>> [hole.tolist() for hole in ring[1][0].holes]
    [[[1, 1], [1, 2], [2, 2], [2, 1]]]
    """
    labels = validate_labels(labels, masks=True)
    pieces = measure.label(labels, background=0, connectivity=1)
    found: dict[int, list[Polygon]] = {}
    for piece, box in enumerate(find_objects(pieces), start=1):
        inside = pieces[box] == piece
        shell, *holes = _rings(inside, np.array([box[1].start, box[0].start]))
        cell = labels[box][inside][0].item()
        found.setdefault(cell, []).append(Polygon(shell, tuple(holes)))
    return {cell: found[cell] for cell in sorted(found)}


def _rings(inside: np.ndarray, origin: np.ndarray) -> Iterator[np.ndarray]:
    """Give the rings of one piece, (h, w) bool, upper left corner at `origin` (x, y): its shell, its holes.

    Marching squares lead through the middle of each edge between a pixel and its neighbour: the ring turns
    where they pass from an edge between two rows to one between two columns. Pixels that meet at a corner are
    joined there, so that a ring keeps to one side of it, and never meets itself.
    """
    for curve in measure.find_contours(np.pad(inside, 1).astype(float), 0.5, fully_connected="high"):
        this, following = curve[:-1], np.roll(curve[:-1], -1, axis=0)  # (N, 2) rows and columns
        turns = (this % 1 != following % 1).any(axis=1)
        corners = np.where(this % 1, this, following)[turns, ::-1] - 0.5  # the half of either; (K, 2) x, y
        first = np.lexsort(corners.T)[0]  # the uppermost, and of these the leftmost
        yield np.roll(corners + origin, -first, axis=0).astype(np.int32)


def fill(polygons: Mapping[int, list[Polygon]], shape: tuple[int, int]) -> np.ndarray:
    """Turn polygons back into a label map: the inverse of `trace`.

    Parameters
    ----------
    polygons : mapping of int to list of Polygon
        Rings may run either way round, their first corner may be repeated at the end, and coordinates may be
        floats. A pixel belongs to a cell if its centre lies inside.
    shape : (int, int)
        (H, W) of the map.

    Returns
    -------
    numpy.ndarray
        (H, W) int32.

    Raises
    ------
    LabelError
        If a corner lies outside the map, or polygons overlap.

    Examples
    --------
    >>> labels = np.array([[0, 2, 2], [5, 5, 2]], dtype=np.int32)
    >>> fill(trace(labels), (2, 3))
    array([[0, 2, 2],
           [5, 5, 2]], dtype=int32)
    """
    filled, covers = np.zeros((2, *shape), dtype=np.int64)  # the id, and how many cells cover a pixel
    for name, parts in polygons.items():
        for part in parts:
            for ring, sign in ((part.shell, 1), *((hole, -1) for hole in part.holes)):
                x, y = np.asarray(ring).T
                if min(x.min(), y.min()) < 0 or x.max() > shape[1] or y.max() > shape[0]:
                    raise LabelError(f"cell {name} leaves the map of {shape[0]} × {shape[1]} pixels")
                inside = draw.polygon(y - 0.5, x - 0.5, shape)  # there a pixel's centre is a whole number
                filled[inside] += sign * name
                covers[inside] += sign
    if np.any(wrong := (covers < 0) | (covers > 1)):
        row, column = np.argwhere(wrong)[0]
        raise LabelError(f"polygons overlap at row {row}, column {column}; expected one cell per pixel")
    return filled.astype(np.int32)
