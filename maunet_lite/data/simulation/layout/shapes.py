"""Random outlines of single cells: round to bent, spread on glass, spindles, rods."""

import numpy as np
from numpy.random import Generator


def round_outline(
    rng: Generator, elongation: float = 1.2, roughness: float = 0.06, bend: float = 0.0
) -> np.ndarray:
    """Draw a smooth closed outline: a disk whose radius wavers, stretched, then bent.

    The radius is a short random Fourier series of the angle, so the outline is star-convex; the bend (a shear
    by the square of the long axis) makes beans and bananas of it and keeps the area.

    Parameters
    ----------
    rng : numpy.random.Generator
    elongation : float, at least 1
        Long axis over short axis.
    roughness : float, 0 to about 0.2
        Standard deviation of the slowest waves of the radius.
    bend : float, 0 to about 0.6
        0 is straight.

    Returns
    -------
    (72, 2) float64
        Points (x, y) about the origin, long axis along x, area that of a disk of diameter 1.

    Examples
    --------
    >>> outline = round_outline(np.random.default_rng(0), elongation=2)
    >>> width, height = outline.max(0) - outline.min(0)
    >>> bool(width > 1.4 * height)
    True
    """
    theta = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = np.arange(2, 9)[:, None]
    amplitude = roughness * rng.normal(size=waves.shape) / (waves - 1)
    phase = rng.uniform(0, 2 * np.pi, waves.shape)
    radius = np.maximum(1 + (amplitude * np.cos(waves * theta + phase)).sum(0), 0.3)
    x = radius * np.cos(theta) * np.sqrt(elongation)
    y = radius * np.sin(theta) / np.sqrt(elongation) + bend * x**2
    return unit_area(np.stack([x, y], 1))


def spread_outline(rng: Generator, processes: int = 4, concavity: float = 0.5) -> np.ndarray:
    """Draw the outline of a cell spread on glass: between points of adhesion the membrane sags or fans out.

    Parameters
    ----------
    rng : numpy.random.Generator
    processes : int, at least 3
        Number of points of adhesion.
    concavity : float, 0 to about 0.9
        How far, at most, the membrane sags to the centre between two points: 0 makes a polygon, 0.9 arms.

    Returns
    -------
    (20 · processes, 2) float64
        Points (x, y) about the origin, area that of a disk of diameter 1.

    Examples
    --------
    >>> spread_outline(np.random.default_rng(0), processes=3).shape
    (60, 2)
    """
    angle = 2 * np.pi * (np.arange(processes) + rng.uniform(-0.35, 0.35, processes)) / processes
    tips = rng.uniform(0.5, 1.8, (processes, 1)) * np.stack([1.5 * np.cos(angle), np.sin(angle)], 1)
    following = np.roll(tips, -1, 0)
    middle = (1 - rng.uniform(-0.5, 1, (processes, 1)) * concavity) * (tips + following) / 2
    t = np.linspace(0, 1, 20, endpoint=False)[None, :, None]
    arcs = (1 - t) ** 2 * tips[:, None] + 2 * t * (1 - t) * middle[:, None] + t**2 * following[:, None]
    outline = arcs.reshape(-1, 2)
    rounded = outline[(np.arange(-4, 5)[:, None] + np.arange(len(outline))) % len(outline)].mean(0)
    waves = np.arange(3, 12)[:, None]
    ruffles = np.cos(waves * np.linspace(0, 2 * np.pi, len(outline)) + rng.uniform(0, 6.3, waves.shape))
    return unit_area(rounded * (1 + 0.2 * (rng.normal(size=waves.shape) / waves * ruffles).sum(0))[:, None])


def spindle_outline(rng: Generator, length: float = 4.0) -> np.ndarray:
    """Draw a spindle: a bulging body between two tapering, curved ends.

    Parameters
    ----------
    rng : numpy.random.Generator
    length : float, about 2 to 8
        Length over mean width.

    Returns
    -------
    (80, 2) float64
        Points (x, y) about the origin, long axis along x, area that of a disk of diameter 1.
    """
    along = np.linspace(-1, 1, 40)
    body = np.exp(-(((along - rng.uniform(-0.35, 0.35)) / rng.uniform(0.2, 0.45)) ** 2))
    half_width = (0.35 + body) * (1.02 - along**2) / length
    spine = rng.normal(0, 0.2) * along**2 + rng.normal(0, 0.15) * np.sin(np.pi * along)
    upper, lower = (np.stack([along, spine + side * half_width], 1) for side in (1, -1))
    return unit_area(np.concatenate([upper, lower[::-1]]))


def rod_outline(rng: Generator, length: float = 3.0, waist: float = 0.0) -> np.ndarray:
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
    >>> width, height = np.ptp(rod_outline(np.random.default_rng(0), length=4), axis=0)
    >>> bool(width > 3 * height)
    True
    """
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    x = x + np.sign(x) * (length - 1)  # two half disks, and straight lines between them
    y = y * (1 - waist * np.exp(-((x / 0.7) ** 2))) + rng.normal(0, 0.04) * x**2 / length
    return unit_area(np.stack([x, y], 1))


def unit_area(outline: np.ndarray) -> np.ndarray:
    """Centre an outline and scale it to the area of a disk of diameter 1 (shoelace formula)."""
    x, y = outline.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return (outline - outline.mean(0)) * np.sqrt(np.pi / 4 / area)
