"""Cells laid out on a canvas, with exact labels: everything a microscope may know about them.

A cell is one closed outline, filled into the map of labels. A later cell takes only pixels that are still
free, so cells touch along exact borders and never overlap.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.random import Generator
from scipy import ndimage
from skimage.measure import label as label_pieces
from skimage.segmentation import find_boundaries

Outline = Callable[[Generator], np.ndarray]

MIN_VISIBLE = 8  # pixels of a cell that must lie inside the picture
ATTEMPTS = 15  # to find room for a cell


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
        return image[self.margin : -self.margin, self.margin : -self.margin]

    @cached_property
    def shown(self) -> np.ndarray:
        """Which pixels of the canvas the picture shows, bool."""
        return np.pad(np.ones_like(self.crop(self.labels), bool), self.margin)

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
        return ndimage.maximum(self.distance, self.labels, np.arange(1, self.n_cells + 1))

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
    inner = (labels > 0) & ~find_boundaries(labels, mode="inner")
    padded = np.pad(inner, 1, mode="edge").astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.where(labels > 0, distance + 1, 0).astype(np.float32)


def place_cells(
    shape: tuple[int, int], draw_outline: Outline, rng: Generator, *, n_cells: int, diameter: float,
    size_spread: float = 0.15, clustering: float = 0.5, alignment: float = 0.0,
) -> Scene:  # fmt: skip
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
    labels = np.zeros(np.add(shape, 2 * margin), np.int32)
    scene = Scene(labels, margin, float(diameter), rng.uniform(0, np.pi))
    areas, placed = [0], []  # of the cells so far; area 0 for the background, and centre and size of each
    for _ in range(ATTEMPTS * n_cells):
        if len(placed) == n_cells:
            break
        size = diameter * np.exp(size_spread * np.clip(rng.normal(), -2.5, 2.5))
        if placed and rng.random() < clustering:  # beside another: in any direction, so that they just touch
            (middle, its_size), angle = placed[rng.integers(len(placed))], rng.uniform(0, 2 * np.pi)
            reach = rng.uniform(0.8, 1.05) * ((size + its_size) / 2)
            centre = middle + reach * np.array([np.cos(angle), np.sin(angle)])
        else:
            centre = rng.uniform(0.6 * margin, np.array(labels.shape[::-1]) - 0.6 * margin)
        if not is_free(labels, centre):
            continue
        turn = rotation(scene.direction + (1 - alignment) * rng.uniform(-np.pi, np.pi))
        if area := stamp(scene, centre + size * draw_outline(rng) @ turn, areas):
            areas.append(area)
            placed.append((centre, size))
    return scene


def is_free(labels: np.ndarray, point: np.ndarray) -> bool:
    """Tell whether a point (x, y) lies on the canvas and in no cell."""
    column, row = np.floor(point).astype(int)
    return 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1] and labels[row, column] == 0


def rotation(angle: float) -> np.ndarray:
    """Return the matrix (2, 2) that turns points (N, 2), multiplied from the left, from x towards y."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def stamp(scene: Scene, outline: np.ndarray, areas: list[int]) -> int:
    """Write the next cell into the free pixels under its outline; return its area, 0 if it does not fit.

    `outline` is drawn to 1/16 pixel in its bounding box, cut to the canvas.
    """
    left, top = first = np.maximum(np.floor(outline.min(0)).astype(int), 0)
    last = np.minimum(np.ceil(outline.max(0)).astype(int) + 1, scene.labels.shape[::-1])
    width, height = np.maximum(last - first, 1)
    box = slice(top, top + height), slice(left, left + width)
    points = np.round((outline - first) * 16).astype(np.int32)
    mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [points], 1, shift=4) > 0

    below, shown = scene.labels[box], scene.shown[box]
    overlap = np.bincount(below[mask], minlength=len(areas))
    area = overlap.sum()
    if np.any(overlap[1:] > 0.15 * np.minimum(areas[1:], area)):  # of the smaller of the two
        return 0
    cell = mask & (below == 0)
    pieces = label_pieces(cell & shown, connectivity=1)
    visible = pieces == np.argmax(np.bincount(pieces.ravel(), minlength=2)[1:]) + 1  # the largest piece
    if visible.sum() < MIN_VISIBLE or cell.sum() < 0.6 * area:
        return 0
    cell = visible | (cell & ~shown)
    below[cell] = len(areas)
    return int(cell.sum())
