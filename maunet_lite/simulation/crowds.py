"""Scenes in which cells leave no room between them: colonies of rods, sheets that share their walls.

As in :mod:`maunet_lite.simulation.scene`, labels are exact and every cell is one 4-connected piece.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

from maunet_lite.simulation.fields import smooth_noise
from maunet_lite.simulation.scene import ATTEMPTS_PER_CELL, MIN_VISIBLE, Scene, _is_free, _rotation, _stamp
from maunet_lite.simulation.shapes import _unit_area


def rod_outline(rng: np.random.Generator, length: float = 3.0, waist: float = 0.0) -> np.ndarray:
    """Draw a rod with round ends, slightly bent, as bacteria have.

    Parameters
    ----------
    rng : numpy.random.Generator
    length : float, at least 1
        Length over width.
    waist : float, 0 to about 0.5
        How far the middle is drawn in, as in a cell about to divide.

    Returns
    -------
    (72, 2) float64
        Points (x, y) about the origin, long axis along x, area that of a disk of diameter 1.

    Examples
    --------
    >>> outline = rod_outline(np.random.default_rng(0), length=4)
    >>> width, height = np.ptp(outline, axis=0)
    >>> bool(width > 3 * height)
    True
    """
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    x = x + np.sign(x) * (length - 1)  # two half disks, and straight lines between them
    y = y * (1 - waist * np.exp(-((x / 0.7) ** 2))) + rng.normal(0, 0.04) * x**2 / length
    return _unit_area(np.stack([x, y], 1))


def pack_rods(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    n_cells: int,
    diameter: float,
    length: float = 3.0,
    colonies: int = 2,
    order: float = 0.8,
) -> Scene:
    """Grow colonies of rods: each new one lies beside an earlier one, or follows it in a chain.

    Parameters
    ----------
    shape : (height, width)
        Of the picture.
    rng : numpy.random.Generator
    n_cells : int
        Rods wanted; fewer are placed when no room is found for more.
    diameter : float
        Of a disk of a typical rod's area, in pixels.
    length : float
        Length over width of a typical rod; those of a colony differ by a factor of two as they grow.
    colonies : int
        Rods that are put anywhere before others are put beside them.
    order : float, 0 to 1
        1: neighbours are parallel.

    Returns
    -------
    Scene

    Examples
    --------
    >>> scene = pack_rods((80, 90), np.random.default_rng(0), n_cells=20, diameter=14)
    >>> scene.labels.shape == (80 + 2 * scene.margin, 90 + 2 * scene.margin)
    True
    """
    margin = max(8, round(1.5 * diameter))
    labels = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), np.int32)
    areas, placed = np.zeros(n_cells + 1, np.int64), []  # of each: centre, angle, length, width
    chains, tight = rng.uniform(0.1, 0.6), rng.uniform(0.98, 1.15)
    for _ in range(ATTEMPTS_PER_CELL * n_cells):
        if len(placed) == n_cells:
            break
        ratio = length * 2 ** rng.uniform(-0.5, 0.5)
        width = diameter * np.sqrt(np.pi / 4 / (length - 0.215)) * np.exp(0.05 * rng.normal())
        if len(placed) < colonies:
            centre = rng.uniform(margin, np.array(labels.shape[::-1]) - margin)
            angle = rng.uniform(0, np.pi)
        else:
            middle, angle, other, thick = placed[rng.integers(len(placed))]
            along, across = rng.uniform(-0.4, 0.4) * other, rng.choice([-1, 1]) * (thick + width) / 2 * tight
            if rng.random() < chains:
                along, across = (
                    rng.choice([-1, 1]) * (other + ratio * width) / 2 * tight,
                    rng.normal(0, 0.1) * thick,
                )
            centre = middle + np.array([along, across]) @ _rotation(angle)
            angle = angle + (1 - order) * rng.normal()
        if not _is_free(labels, centre):
            continue
        waist = rng.uniform(0.1, 0.5) if ratio > 1.2 * length else 0.0
        size = 2 * np.sqrt((ratio - 0.215) / np.pi) * width  # diameter of the disk of this rod's area
        outline = centre + size * rod_outline(rng, ratio, waist) @ _rotation(angle)
        areas[len(placed) + 1] = _stamp(labels, outline, len(placed) + 1, areas, margin)
        if areas[len(placed) + 1]:
            placed.append((centre, angle, ratio * width, width))
    return Scene(labels, margin, float(diameter))


def tile_cells(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    diameter: float,
    regularity: float = 0.6,
    stretch: float = 1.0,
    gap: float = 0.0,
    covered: float = 1.0,
) -> Scene:
    """Fill the picture with cells that share walls: every pixel belongs to the nearest of random points.

    Parameters
    ----------
    shape : (height, width)
        Of the picture.
    rng : numpy.random.Generator
    diameter : float
        Of a disk of a typical cell's area, in pixels.
    regularity : float, 0 to 1
        0 points anywhere, 1 points on a grid.
    stretch : float, at least 1
        Long over short axis; all cells are stretched the same way.
    gap : float
        Pixels of background along each wall; 0 lets cells touch.
    covered : float, 0 to 1
        Share of the picture, roughly, that the sheet covers.

    Returns
    -------
    Scene

    Examples
    --------
    >>> scene = tile_cells((60, 80), np.random.default_rng(0), diameter=20)
    >>> bool((scene.crop(scene.labels) > 0).mean() > 0.95)
    True
    """
    margin, direction = max(8, round(diameter)), rng.uniform(0, np.pi)
    canvas = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    y, x = np.mgrid[: canvas[0], : canvas[1]].astype(np.float32)
    bend = 0.12 * diameter
    x = x + bend * smooth_noise(canvas, diameter / 1.5, rng)  # walls are not straight
    y = y + bend * smooth_noise(canvas, diameter / 1.5, rng)
    frame = _rotation(direction) * [[np.sqrt(stretch)], [1 / np.sqrt(stretch)]]
    pixels = np.stack([x.ravel(), y.ravel()], 1) @ np.linalg.inv(frame)
    step = diameter * np.sqrt(np.pi / 4)
    low, high = pixels.min(0) - step, pixels.max(0) + step
    grid = np.stack(
        np.meshgrid(*(np.arange(a, b, step) for a, b in zip(low, high, strict=True))), -1
    ).reshape(-1, 2)
    points = grid + (1 - regularity) * step * rng.uniform(-1, 1, grid.shape)
    labels = (cKDTree(points).query(pixels)[1] + 1).reshape(canvas).astype(np.int32)
    if covered < 1:
        field = smooth_noise(canvas, 4 * diameter, rng)
        score = np.bincount(labels.ravel(), field.ravel()) / np.maximum(np.bincount(labels.ravel()), 1)
        labels *= (score < np.quantile(field, covered))[labels]
    if gap:
        labels *= Scene(labels, margin, diameter).distance > gap / 2
    return Scene(whole_pieces(labels, margin), margin, float(diameter), direction)


def whole_pieces(labels: np.ndarray, margin: int) -> np.ndarray:
    """Keep the largest 4-connected piece of each label inside the margin, and number what is visible 1 … N.

    Parameters
    ----------
    labels : (H, W) int32
    margin : int
        Pixels around the picture.

    Returns
    -------
    (H, W) int32
        Cells with fewer than :data:`~maunet_lite.simulation.scene.MIN_VISIBLE` pixels in the picture are 0.
    """
    inside = labels[margin : labels.shape[0] - margin, margin : labels.shape[1] - margin]
    apart = inside.copy()
    sideways, upright = apart[:, 1:] != apart[:, :-1], apart[1:] != apart[:-1]
    walls = np.zeros(
        (2 * apart.shape[0] - 1, 2 * apart.shape[1] - 1), np.uint8
    )  # pixels, and what is between
    walls[::2, ::2] = apart > 0
    walls[::2, 1::2] = ~sideways & (apart[:, 1:] > 0)
    walls[1::2, ::2] = ~upright & (apart[1:] > 0)
    n, pieces = cv2.connectedComponents(walls, connectivity=4, ltype=cv2.CV_32S)
    pieces = pieces[::2, ::2]
    size, owner = np.bincount(pieces.ravel(), minlength=n), np.zeros(n, np.int32)
    owner[pieces.ravel()] = apart.ravel()
    owner[0] = 0
    order = np.lexsort((size, owner))
    largest = order[np.append(owner[order][1:] != owner[order][:-1], True)]
    largest = largest[(owner[largest] > 0) & (size[largest] >= MIN_VISIBLE)]
    new = np.zeros(n, np.int32)
    new[largest] = 1 + np.arange(largest.size)
    numbers = np.zeros(int(labels.max()) + 1, np.int32)
    numbers[owner[largest]] = new[largest]
    out = numbers[labels]
    out[margin : labels.shape[0] - margin, margin : labels.shape[1] - margin] = new[pieces]
    return out
