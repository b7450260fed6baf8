"""Cells laid out on a canvas, with exact labels: everything a microscope may know about them.

A cell is one closed outline, filled into the map of labels. A later cell takes only pixels that are still
free, so cells touch along exact borders and never overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

Outline = Callable[[np.random.Generator], np.ndarray]

MIN_VISIBLE = 8  # pixels of a cell that must lie inside the picture
MAX_OVERLAP = 0.15  # share of the smaller cell that two proposed cells may have in common
ATTEMPTS_PER_CELL = 15


@dataclass(frozen=True)
class Scene:
    """Labels of all cells on a canvas that is larger than the picture by ``margin`` on every side.

    The margin lets cells be cut by the picture's border and lets blur and halos come in from outside.

    Attributes
    ----------
    labels : (H + 2·margin, W + 2·margin) int32
        0 background, 1..N cells; within the picture each is one 4-connected piece.
    margin : int
        Pixels around the picture.
    diameter : float
        Typical diameter of a cell in pixels, as of a disk of equal area.
    direction : float
        Preferred direction of the cells' long axes, radians from x towards y.
    """

    labels: np.ndarray
    margin: int
    diameter: float
    direction: float = 0.0

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Cut the picture out of an array on the canvas."""
        height, width = self.labels.shape
        return image[self.margin : height - self.margin, self.margin : width - self.margin]

    @property
    def n_cells(self) -> int:
        """Number of cells, the largest label."""
        return int(self.labels.max())

    @cached_property
    def distance(self) -> np.ndarray:
        """Distance of each pixel to the outline of its own cell in pixels, 0 in the background, float32."""
        return distance_to_outline(self.labels)

    @cached_property
    def radii(self) -> np.ndarray:
        """Radius of the largest disk inside each cell in pixels, (N,) float32."""
        deepest = np.zeros(self.n_cells + 1, np.float32)
        np.maximum.at(deepest, self.labels, self.distance)
        return deepest[1:]

    @cached_property
    def depth(self) -> np.ndarray:
        """Distance relative to the deepest pixel of the cell: 0 outside, 1 at the deepest, float32."""
        return self.distance / self.per_cell(self.radii, background=1)

    @cached_property
    def centres(self) -> np.ndarray:
        """Deepest pixel of each cell as (x, y), (N, 2) int."""
        points = np.zeros((self.n_cells + 1, 2), int)
        rows, columns = np.nonzero(self.depth == 1)
        points[self.labels[rows, columns]] = np.stack([columns, rows], 1)
        return points[1:]

    def per_cell(self, values: np.ndarray, background: float = 0.0) -> np.ndarray:
        """Paint one value per cell: ``values[i]`` on label ``i + 1``; float32 on the canvas."""
        return np.concatenate([[background], values]).astype(np.float32)[self.labels]


def distance_to_outline(labels: np.ndarray) -> np.ndarray:
    """Measure how deep each pixel lies inside its own cell.

    Unlike in the distance transform of the foreground, a border between touching cells counts as outline;
    the border of the array does not.

    Parameters
    ----------
    labels : (H, W) int
        0 background, 1..N cells.

    Returns
    -------
    (H, W) float32
        1 for pixels at the outline, growing inwards by the Euclidean distance in pixels; 0 in the background.

    Examples
    --------
    >>> distance_to_outline(np.array([[0, 1, 1, 1, 2, 2]], np.int32)).tolist()
    [[0.0, 1.0, 2.0, 1.0, 1.0, 2.0]]
    """
    outline = np.zeros(labels.shape, bool)
    sideways, upright = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    outline[:, 1:] |= sideways
    outline[:, :-1] |= sideways
    outline[1:] |= upright
    outline[:-1] |= upright
    inner = ((labels > 0) & ~outline).astype(np.uint8)
    padded = cv2.copyMakeBorder(inner, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.where(labels > 0, distance + 1, 0).astype(np.float32)


def place_cells(
    shape: tuple[int, int],
    draw_outline: Outline,
    rng: np.random.Generator,
    *,
    n_cells: int,
    diameter: float,
    size_spread: float = 0.15,
    clustering: float = 0.5,
    alignment: float = 0.0,
) -> Scene:
    """Lay cells down one after another, each alone or touching an earlier one.

    Parameters
    ----------
    shape : (height, width)
        Of the picture.
    draw_outline : callable
        Takes the generator, returns an outline (points, 2) of unit size, as those of ``shapes`` are.
    rng : numpy.random.Generator
    n_cells : int
        Cells wanted in the picture. Fewer are placed when no room is found for more.
    diameter : float
        Typical diameter in pixels.
    size_spread : float
        Standard deviation of the logarithm of the diameter.
    clustering : float, 0 to 1
        Share of cells that are put beside an earlier cell: 0 single cells, 1 a single cluster.
    alignment : float, 0 to 1
        0 gives every direction, 1 the same direction to all cells.

    Returns
    -------
    Scene
        Cells that the picture shows, at least :data:`MIN_VISIBLE` pixels of each.
    """
    margin = max(8, round(diameter))
    labels = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), np.int32)
    direction = rng.uniform(0, np.pi)
    areas = np.zeros(n_cells + 1, np.int64)  # of label 0, 1, 2 …
    centres, sizes = np.zeros((n_cells, 2)), np.zeros(n_cells)
    placed = 0
    for _ in range(ATTEMPTS_PER_CELL * n_cells):
        if placed == n_cells:
            break
        size = diameter * np.exp(size_spread * np.clip(rng.normal(), -2.5, 2.5))
        if placed and rng.random() < clustering:
            neighbour = rng.integers(placed)
            centre = _beside(centres[neighbour], (size + sizes[neighbour]) / 2, rng)
        else:
            centre = rng.uniform(0.6 * margin, np.array(labels.shape[::-1]) - 0.6 * margin)
        if not _is_free(labels, centre):
            continue
        turn = direction + (1 - alignment) * rng.uniform(-np.pi, np.pi)
        outline = centre + size * draw_outline(rng) @ _rotation(turn)
        areas[placed + 1] = _stamp(labels, outline, placed + 1, areas, margin)
        if areas[placed + 1]:
            centres[placed], sizes[placed] = centre, size
            placed += 1
    return Scene(labels, margin, float(diameter), direction)


def _beside(centre: np.ndarray, reach: float, rng: np.random.Generator) -> np.ndarray:
    """Choose a point in any direction, about as far as two cells that just touch."""
    angle = rng.uniform(0, 2 * np.pi)
    return centre + rng.uniform(0.8, 1.05) * reach * np.array([np.cos(angle), np.sin(angle)])


def _is_free(labels: np.ndarray, point: np.ndarray) -> bool:
    """Tell whether a point (x, y) lies on the canvas and in no cell."""
    column, row = np.floor(point).astype(int)
    return 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1] and labels[row, column] == 0


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _stamp(labels: np.ndarray, outline: np.ndarray, label: int, areas: np.ndarray, margin: int) -> int:
    """Write one cell into the free pixels under its outline; return its area, 0 if it does not fit there."""
    box, mask = _fill(outline, labels.shape)
    below = labels[box]
    overlap = np.bincount(below[mask], minlength=label)
    area = overlap.sum()
    if np.any(overlap[1:] > MAX_OVERLAP * np.minimum(areas[1:label], area)):
        return 0
    cell = mask & (below == 0)
    inside = _inside(box, labels.shape, margin)
    visible = _largest_piece(cell[inside])
    if visible.sum() < MIN_VISIBLE or cell.sum() < 0.6 * area:
        return 0
    cell[inside] = visible
    below[cell] = label
    return int(cell.sum())


def _fill(outline: np.ndarray, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Rasterize an outline to 1/16 pixel in its bounding box, cut to the canvas."""
    first = np.maximum(np.floor(outline.min(0)).astype(int), 0)
    last = np.minimum(np.ceil(outline.max(0)).astype(int) + 1, shape[::-1])
    width, height = np.maximum(last - first, 1)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round((outline - first) * 16).astype(np.int32)], 1, shift=4)
    return (slice(first[1], first[1] + height), slice(first[0], first[0] + width)), mask.astype(bool)


def _inside(box: tuple[slice, slice], shape: tuple[int, ...], margin: int) -> tuple[slice, ...]:
    """Part of a box, in its own coordinates, that lies in the picture."""
    return tuple(
        slice(max(margin - part.start, 0), max(min(part.stop, size - margin) - part.start, 0))
        for part, size in zip(box, shape, strict=True)
    )


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    """Keep the largest 4-connected piece of a boolean mask."""
    if not mask.any():
        return mask
    n_pieces, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return mask if n_pieces == 2 else pieces == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])
