"""Label maps as polygons that follow the edges of the pixels, and back, without losing a pixel.

A point is (x, y), x to the right and y down, as ImageJ and QuPath count: the pixel in row r and column c
covers the square from (c, r) to (c + 1, r + 1). Points are therefore whole numbers, and a polygon holds the
pixel *centres* of its cell and no other, wherever it is opened.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from skimage import draw, measure

from maunet_lite.data import LabelError, validate_labels

# The four sides of a pixel as edges, in the order of right turns: the upper one runs right, the right one
# down, the lower one left, the left one up, so that the pixel lies at the right hand of each. A row holds the
# (row, column) of the pixel across the side, and of the edge's first corner.
_SIDES = (((-1, 0), (0, 0)), ((0, 1), (0, 1)), ((1, 0), (1, 1)), ((0, -1), (1, 0)))


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

    All edges are found at once, and a table says which one follows which; then it is walked along.

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
    [[[1, 2], [2, 2], [2, 1], [1, 1]]]
    """
    labels = validate_labels(labels, masks=True)
    pieces = measure.label(labels, background=0, connectivity=1).astype(np.int32)
    direction, corner, pixel = _edges(pieces)
    piece, cell = pieces.ravel()[pixel], labels.ravel()[pixel]
    width = labels.shape[1] + 1  # of the map's corners
    follower = _followers(direction, corner, piece, np.array([1, width, -1, -width]))
    turns = np.zeros(corner.size, dtype=bool)
    turns[follower] = direction[follower] != direction  # at the first corner of an edge the ring turns
    points = np.stack([corner % width, corner // width], axis=1).astype(np.int32)  # (E, 2)
    found: dict[int, dict[int, list[np.ndarray]]] = {}
    for edges in _rings(follower):
        rings = found.setdefault(int(cell[edges[0]]), {}).setdefault(int(piece[edges[0]]), [])
        rings.append(points[edges[turns[edges]]])
    # the first edge of a ring is its uppermost that runs right: a piece's shell comes before its holes
    return {i: [Polygon(shell, tuple(holes)) for shell, *holes in found[i].values()] for i in sorted(found)}


def _edges(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find all edges of pieces: direction, first corner and pixel of each, (E,), in this order."""
    height, width = pieces.shape
    wide = np.pad(pieces, 1)
    found = []
    for direction, ((down, right), (below, beside)) in enumerate(_SIDES):
        neighbour = wide[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        rows, columns = np.nonzero((pieces > 0) & (pieces != neighbour))
        corner = (rows + below) * (width + 1) + columns + beside
        found.append((np.full(rows.size, direction), corner, rows * width + columns))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _followers(direction: np.ndarray, corner: np.ndarray, piece: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return which edge of the same piece comes after each edge, (E,); `steps` lead to the next corner.

    An edge turns left if its piece goes on there, also where the piece meets itself at a corner only: the
    ring then keeps to one side of that corner, and never meets itself.
    """
    follower = np.zeros_like(corner)
    count = corner.max(initial=0) + 1
    place = direction * count + corner  # sorted
    for turn in (1, 0, -1):  # right, straight on, left: the last that is there counts
        wanted = (direction + turn) % 4 * count + corner + steps[direction]
        next_edge = np.searchsorted(place, wanted).clip(max=max(place.size - 1, 0))
        there = (place[next_edge] == wanted) & (piece[next_edge] == piece)
        follower[there] = next_edge[there]
    return follower


def _rings(follower: np.ndarray) -> Iterator[np.ndarray]:
    """Walk along the edges: give the edges of each ring in order, from the first one on."""
    after, seen = follower.tolist(), bytearray(follower.size)
    for first in range(follower.size):
        ring, edge = [], first
        while not seen[edge]:
            seen[edge] = True
            ring.append(edge)
            edge = after[edge]
        if ring:
            yield np.array(ring)


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
