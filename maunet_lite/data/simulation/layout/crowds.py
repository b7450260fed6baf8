"""Scenes in which cells leave no room between them: colonies of rods, sheets of cells that share their walls.

As in `layout.scene`, labels are exact and every cell is one 4-connected piece.
"""

import numpy as np
import pandas as pd
from numpy.random import Generator
from scipy.spatial import cKDTree
from skimage.measure import label as label_pieces

from maunet_lite.data.simulation.fields import smooth_noise
from maunet_lite.data.simulation.layout.scene import ATTEMPTS, MIN_VISIBLE, Scene, is_free, rotation, stamp
from maunet_lite.data.simulation.layout.shapes import rod_outline

Shape = tuple[int, int]


def pack_rods(
    shape: Shape, rng: Generator, *, n_cells: int, diameter: float, length: float, colonies: int, order: float
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
    length : float, at least 1.5
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
    >>> how = {"n_cells": 20, "diameter": 14, "length": 3, "colonies": 2, "order": 0.8}
    >>> scene = pack_rods((80, 90), np.random.default_rng(0), **how)
    >>> scene.crop(scene.labels).shape, scene.n_cells > 10
    ((80, 90), True)
    """
    margin = max(8, round(1.5 * diameter))
    labels = np.zeros(np.add(shape, 2 * margin), np.int32)
    scene = Scene(labels, margin, float(diameter))
    areas, placed = [0], []  # of each rod: centre, angle, length, width
    chains, tight = rng.uniform(0.1, 0.6), rng.uniform(0.98, 1.15)
    for _ in range(ATTEMPTS * n_cells):
        if len(placed) == n_cells:
            break
        ratio = length * 2 ** rng.uniform(-0.5, 0.5)
        width = diameter * np.sqrt(np.pi / 4 / (length - 0.215)) * np.exp(0.05 * rng.normal())
        if len(placed) < colonies:
            centre = rng.uniform(margin, np.array(labels.shape[::-1]) - margin)
            angle = rng.uniform(0, np.pi)
        else:
            middle, angle, its_length, its_width = placed[rng.integers(len(placed))]
            along = rng.uniform(-0.4, 0.4) * its_length
            across = rng.choice([-1, 1]) * (its_width + width) / 2 * tight
            if rng.random() < chains:
                along = rng.choice([-1, 1]) * (its_length + ratio * width) / 2 * tight
                across = rng.normal(0, 0.1) * its_width
            centre = middle + np.array([along, across]) @ rotation(angle)
            angle = angle + (1 - order) * rng.normal()
        if not is_free(labels, centre):
            continue
        waist = rng.uniform(0.1, 0.5) if ratio > 1.2 * length else 0.0
        size = 2 * np.sqrt((ratio - 0.215) / np.pi) * width  # diameter of the disk of this rod's area
        if area := stamp(scene, centre + size * rod_outline(rng, ratio, waist) @ rotation(angle), areas):
            areas.append(area)
            placed.append((centre, angle, ratio * width, width))
    return scene


def tile_cells(
    shape: Shape, rng: Generator, *, diameter: float, regularity: float = 0.6, stretch: float = 1.0,
    gap: float = 0.0, covered: float = 1.0,
) -> Scene:  # fmt: skip
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
    canvas = tuple(np.add(shape, 2 * margin))
    y, x = np.mgrid[: canvas[0], : canvas[1]].astype(np.float32)
    x = x + 0.12 * diameter * smooth_noise(canvas, diameter / 1.5, rng)  # walls are not straight
    y = y + 0.12 * diameter * smooth_noise(canvas, diameter / 1.5, rng)
    frame = rotation(direction) * [[np.sqrt(stretch)], [1 / np.sqrt(stretch)]]
    pixels = np.stack([x.ravel(), y.ravel()], 1) @ np.linalg.inv(frame)
    step = diameter * np.sqrt(np.pi / 4)
    sides = [np.arange(a, b, step) for a, b in zip(pixels.min(0) - step, pixels.max(0) + step, strict=True)]
    points = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
    points = points + (1 - regularity) * step * rng.uniform(-1, 1, points.shape)
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
        Ids from 0 (background); their order stays.
    margin : int
        Pixels around the picture, at least 1.

    Returns
    -------
    (H, W) int32
        Cells with fewer than :data:`MIN_VISIBLE` pixels in the picture are 0.

    Examples
    --------
    >>> labels = np.zeros((10, 14), np.int32)
    >>> labels[1:9, 1:4], labels[1:9, 5:7], labels[4, 9] = 5, 7, 5
    >>> np.unique(whole_pieces(labels, margin=1)[4]).tolist(), whole_pieces(labels, margin=1)[4, 9]
    ([0, 1, 2], np.int32(0))
    """
    picture = slice(margin, -margin), slice(margin, -margin)
    pieces = label_pieces(labels[picture], connectivity=1)
    seen = pd.DataFrame({"cell": labels[picture].ravel(), "piece": pieces.ravel()}).query("cell > 0")
    seen = seen.value_counts().loc[lambda size: size >= MIN_VISIBLE].reset_index()  # the largest first
    seen = seen.drop_duplicates("cell").sort_values("cell")
    around, visible = np.zeros(labels.max() + 1, np.int32), np.zeros(pieces.max() + 1, np.int32)
    around[seen["cell"]] = visible[seen["piece"]] = np.arange(1, len(seen) + 1)
    kept = around[labels]
    kept[picture] = visible[pieces]
    return kept
