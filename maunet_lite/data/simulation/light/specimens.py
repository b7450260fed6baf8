"""What simulated cells are made of: amounts of dye, and thickness, before any light falls on them.

Every function takes a `layout.scene.Scene` and a generator and returns a float array
on the scene's canvas (H, W). Lengths follow the cells' diameter, so cells look the same at every
magnification. Amounts are 0 outside cells, except those of the tissue between nuclei.
"""

import cv2
import numpy as np
from numpy.random import Generator

from maunet_lite.data.simulation.fields import blur, draw_ellipse, fibres, rise, smooth_noise, streaks
from maunet_lite.data.simulation.layout.scene import Scene

# --- shape in depth --------------------------------------------------------------------------------------


def dome(scene: Scene) -> np.ndarray:
    """Height of cells that are round in section too: 0 at the outline, about 1 at the deepest point."""
    return blur((1 - (1 - scene.depth) ** 2) ** 0.7, 1) * (scene.labels > 0)


def nuclei(scene: Scene, rng: Generator) -> np.ndarray:
    """Draw one oval nucleus inside each cell, at its deepest point, 0 to 1."""
    canvas = np.zeros(scene.labels.shape, np.float32)
    for centre, radius in zip(scene.centres, np.minimum(scene.radii, 0.35 * scene.diameter), strict=True):
        draw_ellipse(canvas, centre, radius * rng.uniform([0.6, 0.5], [0.9, 0.75]), rng.uniform(0, 180), 1)
    return blur(canvas, 1) * (scene.labels > 0)


def organelles(scene: Scene, rng: Generator, nuclei: np.ndarray) -> np.ndarray:
    """Optical path of what cells hold: a nucleus with nucleoli, and granules around it; about 0 to 1."""
    shape, diameter = scene.labels.shape, scene.diameter
    near_nucleus = np.minimum(2 * blur(nuclei, diameter / 7), 1) * (1 - 0.8 * nuclei)
    granules = np.maximum(smooth_noise(shape, max(diameter / 14, 1.5), rng) - rng.uniform(0.3, 1), 0)
    nucleoli = np.maximum(smooth_noise(shape, diameter / 8, rng) - 1.3, 0) * nuclei
    path = 0.2 * nuclei + 0.5 * nucleoli + rng.uniform(0.3, 0.8) * granules * near_nucleus
    return path * (scene.labels > 0)


def spread_cells(scene: Scene, rng: Generator, tallest: float) -> np.ndarray:
    """Phase of cells spread on glass: a thin sheet, a bulge at the nucleus, granules.

    Some of the round ones are about to divide and rise up to ``tallest``. Radians.
    """
    diameter, n_cells = scene.diameter, scene.n_cells
    sheet = 1 - np.exp(-scene.distance / rng.uniform(0.5, 1.5))
    sheet = sheet * (1 + rng.uniform(0.05, 0.2) * smooth_noise(sheet.shape, rng.uniform(2.5, 4), rng))
    roundness = np.pi * scene.radii**2 / np.bincount(scene.labels.ravel(), minlength=n_cells + 1)[1:]
    dividing = (roundness > 0.75) & (rng.random(n_cells) < 0.6)
    height = np.where(dividing, rng.uniform(0.4, 1, n_cells) * tallest, 0)
    phase = scene.per_cell(rng.uniform(0.15, 0.45, n_cells)) * sheet + scene.per_cell(height) * dome(scene)
    inside = nuclei(scene, rng)
    bulge = blur(inside, diameter / 10) * (scene.labels > 0)
    return phase + rng.uniform(0.1, 0.4) * bulge + rng.uniform(0.4, 1.5) * organelles(scene, rng, inside)


def floating_cells(scene: Scene, rng: Generator, thickness: float) -> np.ndarray:
    """Phase of cells afloat: domes of about one thickness, with granules. Radians."""
    heights = thickness * rng.uniform(0.7, 1.3, scene.n_cells)
    inside = organelles(scene, rng, nuclei(scene, rng))
    return scene.per_cell(heights) * dome(scene) + rng.uniform(0.3, 1.2) * inside


# --- fluorescent dye -------------------------------------------------------------------------------------


def dna(scene: Scene, rng: Generator) -> np.ndarray:
    """Amount of DNA: a lens-shaped nucleus with clumps, dark nucleoli and, in some species, bright spots."""
    shape, diameter = scene.labels.shape, scene.diameter
    texture = 1 + rng.uniform(0.05, 0.2) * smooth_noise(shape, diameter / 5, rng)
    texture += rng.uniform(0, 0.12) * smooth_noise(shape, diameter / 12, rng)
    texture -= rng.uniform(0, 0.5) * np.maximum(smooth_noise(shape, diameter / 6, rng) - 1, 0)
    spots = rng.choice([0, rng.uniform(0.1, 0.7)])
    texture += spots * np.maximum(smooth_noise(shape, diameter / 7, rng) - 0.8, 0)
    lens = np.minimum(rng.uniform(0.2, 0.6) + dome(scene), 1.3)
    return lens * np.maximum(texture, 0.1) * (scene.labels > 0)


def cytoplasm(scene: Scene, rng: Generator) -> np.ndarray:
    """Amount of a cytoplasmic dye: thickest around the nucleus, on filaments and in vesicles."""
    shape, diameter = scene.labels.shape, scene.diameter
    inside = nuclei(scene, rng)
    thickness = 0.25 + 0.5 * scene.depth + rng.uniform(0.2, 1.5) * blur(inside, diameter / 5)
    course = scene.per_cell(rng.integers(3, size=scene.n_cells))  # one of three ways, for a cell's filaments
    filaments = fibres(shape, diameter / 5, rng)
    for way in range(3):
        filaments += (course == way) * streaks(shape, max(diameter / 15, 1.5), way + rng.random(), rng)
    vesicles = smooth_noise(shape, diameter / 10, rng)
    texture = 1 + rng.uniform(0, 0.25) * filaments + rng.uniform(0.05, 0.15) * vesicles
    nuclear = rng.choice([-0.5, -0.2, 0.8])  # the dye is kept out of nuclei, or gathers there
    return thickness * np.maximum(texture, 0.2) * (1 + nuclear * inside) * (scene.labels > 0)


# --- absorbing dye ---------------------------------------------------------------------------------------


def chromatin(scene: Scene, rng: Generator) -> np.ndarray:
    """Amount of nuclear dye: pale nuclei with a dark membrane and nucleoli, and dense dark ones."""
    shape, diameter, n_cells = scene.labels.shape, scene.diameter, scene.n_cells
    density = scene.per_cell(np.clip(rng.lognormal(0, 0.25, n_cells), 0.5, 1.5))
    paleness = scene.per_cell(rng.uniform(0, 0.7, n_cells) ** rng.uniform(0.5, 2))
    membrane = np.exp(-((scene.distance / max(0.07 * diameter, 1)) ** 2))
    clumps = 0.2 * smooth_noise(shape, diameter / 6, rng) + 0.15 * smooth_noise(shape, diameter / 12, rng)
    nucleoli = np.maximum(smooth_noise(shape, diameter / 5, rng) - 1.2, 0)
    return density * np.maximum(1 - paleness * (1 - membrane - nucleoli) + clumps * (0.4 + paleness), 0.05)


def stroma(scene: Scene, rng: Generator) -> np.ndarray:
    """Amount of counterstain: cytoplasm with borders near the nuclei, wavy collagen, gaps without tissue."""
    shape, diameter = scene.labels.shape, scene.diameter
    around_cells = blur((scene.labels > 0).astype(np.float32), diameter * 0.8)
    extent = rise(smooth_noise(shape, diameter * 5, rng) + 6 * around_cells + rng.uniform(-1.5, 2.5), 0, 0.25)
    collagen = 0.3 * streaks(shape, diameter / 4, scene.direction, rng) + 0.4 * fibres(shape, diameter, rng)
    clumps = 0.15 * smooth_noise(shape, diameter / 2, rng) + 0.1 * smooth_noise(shape, diameter / 10, rng)
    borders = rng.uniform(0, 0.8) * membranes(scene) * np.minimum(3 * around_cells, 1)
    return np.maximum(0.7 + rng.uniform(0.15, 1) * (collagen + clumps + borders), 0.05) * extent


def immunostain(scene: Scene, rng: Generator) -> np.ndarray:
    """Amount of a dye bound to the cell membranes of some regions, with a trace of it everywhere."""
    shape, diameter = scene.labels.shape, scene.diameter
    positive = rise(smooth_noise(shape, diameter * 6, rng) + rng.uniform(-0.5, 1.5), 0, 0.15)
    grain = 1 + 0.25 * smooth_noise(shape, diameter / 4, rng) + 0.15 * smooth_noise(shape, diameter / 12, rng)
    trace = 0.08 * (1 + 0.5 * streaks(shape, diameter / 4, scene.direction, rng))
    amount = np.maximum(trace + positive * grain * (0.5 + 1.2 * membranes(scene)), 0)
    return amount * (1 - 0.6 * (scene.labels > 0))


def membranes(scene: Scene) -> np.ndarray:
    """Draw cell borders midway between neighbouring nuclei, 0 to 1."""
    ground = (scene.labels == 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(ground, cv2.DIST_L2, cv2.DIST_MASK_5)
    border = np.zeros(ground.shape, np.float32)
    border[:, 1:] += nearest[:, 1:] != nearest[:, :-1]
    border[1:] += nearest[1:] != nearest[:-1]
    return np.minimum(blur(border, max(scene.diameter / 20, 1)) * scene.diameter / 8, 1) * ground
