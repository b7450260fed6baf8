"""Label maps as polygons that follow the edges of the pixels, and back, without losing a pixel.

A point is (x, y), x to the right and y down, as ImageJ and QuPath count: the pixel in row r and column c
covers the square from (c, r) to (c + 1, r + 1). Points are therefore whole numbers, and a polygon holds the
pixel *centres* of its cell and no other, wherever it is opened.

Nothing here loops over pixels. The edges between a cell and what is not the cell are found for the whole
map at once; which edge follows which is a table, and a chain of n edges is put in order by log₂ n jumps
in this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import sparse

from maunet_lite.data import LabelError, validate_labels
from maunet_lite.postprocessing import Runs

# directions of an edge, in the order of right turns: right, down, left, up; the cell is at its right hand
_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)], dtype=np.int32)  # (x, y)
# where an edge begins, as seen from the upper left corner of the pixel that it belongs to
_STARTS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=np.int32)  # (x, y)


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
    [[[1, 2], [2, 2], [2, 1], [1, 1]]]
    """
    labels = validate_labels(labels, masks=True)
    pieces = _pieces(labels)
    pixel, direction, follower = _edges(pieces)
    if not pixel.size:
        return {}
    width = labels.shape[1]
    points = np.stack([pixel % width, pixel // width], axis=1).astype(np.int32) + _STARTS[direction]  # (E, 2)
    leader, order = _chains(follower)
    points, leader, direction = points[order], leader[order], direction[order]
    owner = pieces.ravel()[pixel[order]]
    starts = np.flatnonzero(np.diff(leader, prepend=-1))  # where each ring begins
    corner = direction != np.roll(direction, 1)
    corner[starts] = True  # edges that go right come first, from the left: the edge before goes another way
    ring = np.repeat(np.arange(starts.size), np.diff(starts, append=leader.size))[corner]
    rings = np.split(points[corner], np.flatnonzero(np.diff(ring)) + 1)
    return _assemble(rings, owner[starts], labels.ravel()[pixel[order][starts]])


def _pieces(labels: np.ndarray) -> np.ndarray:
    """Return a map of all 4-connected pieces, (H, W) int32: runs of equal pixels that touch are joined."""
    runs, width = Runs.of(labels), labels.shape[1]
    # the runs below a run: from the one that holds the pixel below its first to that below its last
    first = np.searchsorted(runs.start, runs.start + width, side="right") - 1
    last = np.searchsorted(runs.start, runs.start + runs.length - 1 + width, side="right") - 1
    last_row = runs.start >= labels.size - width
    count = np.where(last_row, 0, last - first + 1)
    above = np.repeat(np.arange(count.size), count)
    below = np.arange(count.sum()) + np.repeat(first - (count.cumsum() - count), count)
    same = runs.value[above] == runs.value[below]
    above, below = above[same], below[same]
    graph = sparse.coo_array(
        (np.ones(above.size, dtype=bool), (above, below)), shape=(count.size, count.size)
    )
    piece = sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int32) + 1
    return np.repeat(np.where(runs.value > 0, piece, 0), runs.length).reshape(labels.shape)


def _edges(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All edges of pieces: flat position of the pixel, direction, and which edge comes next; (E,) each."""
    height, width = pieces.shape
    wide = np.zeros((height + 2, width + 2), dtype=pieces.dtype)
    wide[1:-1, 1:-1] = pieces
    flat, row = wide.ravel(), width + 2
    # what lies at the left hand of an edge, and ahead of it
    beside, ahead = np.array([-row, 1, row, -1]), np.array([1, row, -1, -row])
    found = []
    for dy, dx in ((-1, 0), (0, 1), (1, 0), (0, -1)):
        neighbour = wide[1 + dy : height + 1 + dy, 1 + dx : width + 1 + dx]
        place = np.flatnonzero((pieces > 0) & (pieces != neighbour))
        found.append((place // width + 1) * row + place % width + 1)
    pixel = np.concatenate(found)  # sorted within each direction
    direction = np.repeat(np.arange(4), [part.size for part in found])
    mine = flat[pixel]
    straight = pixel + ahead[direction]
    across = straight + beside[direction]
    # A piece that goes on at the left turns the edge left, also where it meets itself at a corner only: the
    # edge then keeps to one side of that corner, and no ring meets itself.
    left, on = flat[across] == mine, flat[straight] == mine
    after = np.where(left, across, np.where(on, straight, pixel))
    turn = np.where(left, -1, np.where(on, 0, 1))
    turned, follower = (direction + turn) % 4, np.empty_like(pixel)
    first = 0
    for d, part in enumerate(found):
        heading = turned == d
        follower[heading] = first + np.searchsorted(part, after[heading])
        first += part.size
    rows, columns = pixel // row - 1, pixel % row - 1
    return rows * width + columns, direction, follower


def _chains(follower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put edges in order: the smallest edge of each edge's ring, and all edges ring by ring."""
    leader, jump = np.arange(follower.size), follower.astype(np.int64)
    while True:  # after k rounds each edge knows the smallest of the next 2^k
        smaller = np.minimum(leader, leader[jump])
        if np.array_equal(smaller, leader):
            break
        leader, jump = smaller, jump[jump]
    last = follower == leader  # the edge before the ring's first
    jump = np.where(last, np.arange(follower.size), follower)
    remaining = (~last).astype(np.int64)  # steps to the last edge
    active = np.flatnonzero(~last)
    while active.size:
        target = jump[active]
        remaining[active] += remaining[target]
        jump[active] = jump[target]
        active = active[remaining[jump[active]] > 0]
    return leader, np.lexsort((-remaining, leader))


def _assemble(rings: list[np.ndarray], owner: np.ndarray, cell: np.ndarray) -> dict[int, list[Polygon]]:
    """Sort rings into shells and holes, pieces into cells."""
    shells: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = {}
    cells: dict[int, list[int]] = {}
    for ring, piece, name in zip(rings, owner.tolist(), cell.tolist(), strict=True):
        if _doubled_area(ring) > 0:
            shells[piece] = ring
            cells.setdefault(name, []).append(piece)
        else:
            holes.setdefault(piece, []).append(ring)
    return {
        name: [Polygon(shells[piece], tuple(holes.get(piece, ()))) for piece in cells[name]]
        for name in sorted(cells)
    }


def _doubled_area(ring: np.ndarray) -> int:
    """Twice the signed area of a ring, positive for a shell of `trace`."""
    x, y = ring[:, 0].astype(np.int64), ring[:, 1].astype(np.int64)
    return int(x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1])


def area(polygons: list[Polygon]) -> float:
    """Area of a cell in pixels: shells without their holes.

    Examples
    --------
    >>> area(trace(np.array([[7, 7], [7, 0]]))[7])
    3.0
    """
    return sum(
        abs(_doubled_area(one.shell)) - sum(abs(_doubled_area(hole)) for hole in one.holes)
        for one in polygons
    ) / 2  # fmt: skip


def fill(polygons: Mapping[int, list[Polygon]], shape: tuple[int, int]) -> np.ndarray:
    """Turn polygons along pixel edges back into a label map: the inverse of `trace`.

    Parameters
    ----------
    polygons : mapping of int to list of Polygon
        Rings may run either way round, their first corner may be repeated at the end, and coordinates may be
        floats if they are whole numbers.
    shape : (int, int)
        (H, W) of the map.

    Returns
    -------
    numpy.ndarray
        (H, W) int32.

    Raises
    ------
    LabelError
        If an edge is oblique, a corner lies between pixels' edges or outside the map, or polygons overlap.

    Examples
    --------
    >>> labels = np.array([[0, 2, 2], [5, 5, 2]], dtype=np.int32)
    >>> fill(trace(labels), (2, 3))
    array([[0, 2, 2],
           [5, 5, 2]], dtype=int32)
    """
    names, signs, rings = [], [], []
    for name, parts in polygons.items():
        for part in parts:
            rings += [part.shell, *part.holes]
            signs += [1, *(-1 for _ in part.holes)]
            names += [name] * (1 + len(part.holes))
    # of the id, and of the number of cells that cover a pixel: what changes from a pixel's left to itself
    change = np.zeros((2, shape[0], shape[1] + 1), dtype=np.int64)
    if rings:
        _enter(change, [_checked_ring(*pair, shape) for pair in zip(names, rings, strict=True)], names, signs)
    filled = change.cumsum(axis=2)[:, :, :-1]
    wrong = (filled[1] < 0) | (filled[1] > 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise LabelError(
            f"polygons overlap at row {row}, column {column}: a pixel belongs to one cell at most"
        )
    return filled[0].astype(np.int32)


def _checked_ring(name: int, ring: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a ring as whole numbers, closed, and running as a shell of `trace` does."""
    given = np.asarray(ring)
    whole = np.rint(given).astype(np.int64)
    closed = np.concatenate([whole, whole[:1]])
    if not np.array_equal(whole, given) or (closed[1:] != closed[:-1]).all(axis=1).any():
        raise LabelError(
            f"a polygon of cell {name} does not follow the edges of pixels; draw it with skimage.draw.polygon"
        )
    if whole.min() < 0 or (whole.max(axis=0) > shape[::-1]).any():
        raise LabelError(f"a polygon of cell {name} leaves the map of {shape[0]} × {shape[1]} pixels")
    return closed if _doubled_area(whole) > 0 else closed[::-1]


def _enter(change: np.ndarray, rings: list[np.ndarray], names: list[int], signs: list[int]) -> None:
    """Enter the rings' upright edges: where one goes up, the id begins; where one goes down, it ends."""
    x, begin, end = (
        np.concatenate([part(ring) for ring in rings])
        for part in (lambda ring: ring[:-1, 0], lambda ring: ring[:-1, 1], lambda ring: ring[1:, 1])
    )
    edges = [len(ring) - 1 for ring in rings]
    sign = np.repeat(signs, edges) * np.sign(begin - end)  # level edges have none
    length = np.abs(end - begin)
    within = np.arange(length.sum()) - np.repeat(length.cumsum() - length, length)
    rows, columns = np.repeat(np.minimum(begin, end), length) + within, np.repeat(x, length)
    name, sign = np.repeat(np.repeat(names, edges), length), np.repeat(sign, length)
    np.add.at(change[0], (rows, columns), sign * name)
    np.add.at(change[1], (rows, columns), sign)
