"""Corrections of a label map: each a function of the map and a stroke of the mouse, with undo.

A stroke is a sequence of places (row, column) in pixels, (N, 2), as drawn. Every edit returns a new map in
which each cell that it touched is one (8-connected) piece. What is cut off becomes a cell of its own, so that
nothing vanishes unseen.
"""

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes, label
from skimage.draw import line
from skimage.segmentation import watershed

from maunet_lite.data import validate_labels


def paint(labels: np.ndarray, points: np.ndarray, radius: float = 0) -> np.ndarray:
    """Enlarge the cell that a stroke meets first by what the brush covers, also at the cost of others.

    Examples
    --------
    >>> paint(np.array([[0, 3, 0, 0, 7]]), [(0, 1), (0, 3)])
    array([[0, 3, 3, 3, 7]])
    """
    covered = brush(labels.shape, points, radius)
    cells = cells_in(labels, path(labels.shape, points)) or cells_in(labels, covered) or [0]
    return settled(labels, np.where(covered, cells[0], labels))


def erase(labels: np.ndarray, points: np.ndarray, radius: float = 0) -> np.ndarray:
    """Make background of what the brush covers; a cell that it cuts becomes several.

    Examples
    --------
    >>> erase(np.array([[3, 3, 3, 3, 3]]), [(0, 1)])
    array([[4, 0, 3, 3, 3]])
    """
    return settled(labels, np.where(brush(labels.shape, points, radius), 0, labels))


def new_cell(labels: np.ndarray, points: np.ndarray, radius: float = 0) -> np.ndarray:
    """Add a cell where a stroke goes round it; the ends are joined, and other cells keep their pixels.

    Examples
    --------
    >>> new_cell(np.array([[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0]]), [(0, 0), (0, 3), (2, 3), (2, 0)])
    array([[3, 3, 3, 3],
           [3, 3, 3, 2],
           [3, 3, 3, 3]])
    """
    covered = brush(labels.shape, [*points, *points[:1]], radius)
    box = box_of(covered)
    free = binary_fill_holes(covered[box]) & (labels[box] == 0)
    pieces, sizes = pieces_of(free)
    after = labels.copy()
    after[box][free & (pieces == sizes.argmax())] = unused_id(labels)
    return after


def split(labels: np.ndarray, points: np.ndarray, radius: float = 0) -> np.ndarray:
    """Part the cells that a line crosses from side to side; the line costs no pixel, whatever the brush.

    Examples
    --------
    >>> split(np.array([[5, 5, 5, 5, 5], [5, 5, 5, 5, 5]]), [(0, 2), (1, 2)])
    array([[5, 5, 6, 6, 6],
           [5, 5, 6, 6, 6]])
    """
    rows, columns = path(labels.shape, points)
    cut = np.zeros(labels.shape, bool)
    cut[rows, columns] = cut[rows[1:], columns[:-1]] = True  # corners, too, or pieces would touch across them
    after = labels.copy()
    for cell in cells_in(labels, (rows, columns)):
        whole = labels == cell
        box = box_of(whole)
        markers, sizes = pieces_of((whole & ~cut)[box])
        markers[(sizes < 0.02 * whole.sum())[markers]] = 0  # a crumb of the rim is no cell
        kept = sizes.argmax()
        # each pixel of the line goes to the piece that reaches it first
        parts = watershed(np.zeros(markers.shape, np.uint8), markers, mask=whole[box], connectivity=2)
        for piece in set(np.unique(parts)) - {0, kept}:
            after[box][parts == piece] = unused_id(after)
    return after


def merge(labels: np.ndarray, points: np.ndarray, radius: float = 0) -> np.ndarray:
    """Join the cells under a stroke to the first of them; where they lie apart, the stroke becomes a bridge.

    Examples
    --------
    >>> merge(np.array([[0, 8, 0, 0, 4, 0]]), [(0, 1), (0, 5)])
    array([[0, 8, 8, 8, 8, 0]])
    """
    rows, columns = path(labels.shape, points)
    cells = cells_in(labels, (rows, columns))
    after = np.where(np.isin(labels, cells), cells[0] if cells else 0, labels)
    if len(cells) > 1:
        first, *_, last = np.flatnonzero(labels[rows, columns])  # not what goes out beyond the last cell
        after[rows[first:last], columns[first:last]] = cells[0]
    return settled(labels, after)


def delete(labels: np.ndarray, points: np.ndarray, radius: float = 0) -> np.ndarray:
    """Remove the cells under a stroke or click.

    Examples
    --------
    >>> delete(np.array([[1, 1, 0, 9]]), [(0, 0)])
    array([[0, 0, 0, 9]])
    """
    return np.where(np.isin(labels, labels[path(labels.shape, points)]), 0, labels)


EDITS = {"paint": paint, "erase": erase, "new": new_cell, "split": split, "merge": merge, "delete": delete}


class Draft:
    """A label map that is being corrected, and the way back.

    Attributes
    ----------
    labels : numpy.ndarray
        (H, W) int32, as it stands; each edit puts a new array here.
    done, undone : list
        What was in the box that an edit changed: before each edit, and after each that was taken back.

    Examples
    --------
    >>> draft = Draft(np.array([[0, 3, 0, 0]]))
    >>> draft.apply("paint", [(0, 1), (0, 2)])
    >>> draft.undo()
    >>> draft.labels, len(draft.undone)
    (array([[0, 3, 0, 0]], dtype=int32), 1)
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.done, self.undone = validate_labels(labels, masks=True), [], []

    def apply(self, edit: str, points: np.ndarray, radius: float = 0) -> None:
        """Do one of `EDITS`.

        Raises
        ------
        ValueError
            If it changes nothing; the message says what the edit is for.
        """
        after = EDITS[edit](self.labels, points, radius)
        changed = after != self.labels
        if not changed.any():
            raise ValueError(f"{edit} changed nothing. What it does: {EDITS[edit].__doc__.splitlines()[0]}")
        box = box_of(changed)
        self.done.append((box, self.labels[box].copy()))
        self.labels, self.undone = after, []

    def undo(self, again: bool = False) -> None:
        """Take the last edit back or, `again`, do once more what was taken back last, if there is any."""
        past, future = (self.undone, self.done) if again else (self.done, self.undone)
        if past:
            box, before = past.pop()
            future.append((box, self.labels[box].copy()))
            self.labels[box] = before


# --- what the edits are made of ---------------------------------------------------------------------------


def path(shape: tuple[int, ...], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pixels along a stroke, in order; what lies outside is moved inside."""
    corners = np.clip(np.floor(points), 0, np.array(shape) - 1).astype(int)
    lines = [line(*one, *other) for one, other in zip(corners, [*corners[1:], corners[-1]], strict=True)]
    return tuple(map(np.concatenate, zip(*lines, strict=True)))


def brush(shape: tuple[int, ...], points: np.ndarray, radius: float) -> np.ndarray:
    """Mark the pixels, (H, W) bool, whose centres lie within `radius` pixels of a stroke."""
    away = np.ones(shape, np.uint8)
    away[path(shape, points)] = 0
    return cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius


def cells_in(labels: np.ndarray, where: np.ndarray | tuple[np.ndarray, ...]) -> list[int]:
    """Return the cells of some pixels, in their order; where a mask or an index says."""
    ids = labels[where]
    return list(dict.fromkeys(ids[ids > 0].tolist()))


def unused_id(labels: np.ndarray) -> int:
    """Return an id that no cell has: one more than the largest, or the smallest where that is the last."""
    if (largest := int(labels.max())) < np.iinfo(np.int32).max:
        return largest + 1
    ids = np.unique(labels)
    return int(np.setdiff1d(np.arange(1, len(ids) + 1), ids)[0])


def pieces_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 8-connected pieces of a mask, numbered from 1, and the size of each; 0 has none."""
    pieces = label(mask, np.ones((3, 3)))[0]
    return pieces, np.bincount(pieces[mask], minlength=1)


def box_of(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the smallest box that holds all marked pixels."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def settled(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Make one piece of each cell that an edit has touched: the largest stays, others become cells."""
    changed = before != after
    for cell in set(np.unique([before[changed], after[changed]]).tolist()) - {0}:
        mask = after == cell
        box = box_of(mask)
        pieces, sizes = pieces_of(mask[box])
        for piece in set(range(1, len(sizes))) - {int(sizes.argmax())}:
            after[box][pieces == piece] = unused_id(after)
    return after
