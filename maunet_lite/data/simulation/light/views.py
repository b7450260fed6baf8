"""How light shows the kinds of cells that `simulation.extra` lays out: one short function for each view.

Each takes a `layout.scene.Scene` and a generator and returns radiance on the scene's canvas, (H, W) or
(H, W, 3) float32, about 0 to 1. Optics come from `light.microscopes`; new here is what the cells are made of.
"""

import cv2
import numpy as np
from numpy.random import Generator

from maunet_lite.data.simulation.fields import blur, illumination, smooth_noise, specks
from maunet_lite.data.simulation.layout.scene import Scene
from maunet_lite.data.simulation.light import specimens
from maunet_lite.data.simulation.light.microscopes import STAINS, defocused, glow, nomarski, zernike

# Optical densities of further dyes: periodic acid with Schiff's reagent, methyl green, fast red, trypan blue.
DYES = STAINS | {
    "schiff": (0.18, 0.84, 0.51), "green": (0.98, 0.14, 0.13), "red": (0.21, 0.85, 0.48),
    "blue": (0.78, 0.55, 0.29), "black": (0.58, 0.58, 0.58),
}  # fmt: skip


def _spread_of(sigma: float, scene: Scene, rng: Generator, low: float = 0.2, high: float = 4) -> np.ndarray:
    """Paint each cell's brightness: log-normal around 1, cut off at `low` and `high`."""
    return scene.per_cell(np.clip(np.exp(sigma * rng.normal(size=scene.n_cells)), low, high))


def _wall(scene: Scene, thickness: float) -> np.ndarray:
    """1 at the outline of every cell, falling inwards within `thickness` diameters; 0 in the background."""
    reach = max(thickness * scene.diameter, 0.8)
    return np.exp(-((np.maximum(scene.distance - 0.5, 0) / reach) ** 2)) * (scene.labels > 0)


# --- bacteria ---------------------------------------------------------------------------------------------


def _rods(scene: Scene, rng: Generator) -> np.ndarray:
    """Thickness of rods, 0 to about 1.3: round in section, a little grainy, some thicker than others."""
    body = np.minimum(specimens.dome(scene) * rng.uniform(1, 1.6), 1.1)
    grain = 1 + rng.uniform(0, 0.15) * smooth_noise(body.shape, max(scene.diameter / 6, 1.5), rng)
    return body * grain * _spread_of(rng.uniform(0.03, 0.2), scene, rng, 0, np.inf)


def rods_in_phase_contrast(scene: Scene, rng: Generator) -> np.ndarray:
    """Dark rods with a bright halo around each colony."""
    return zernike(rng.uniform(0.3, 1.3) * _rods(scene, rng), scene, rng)


def rods_out_of_focus(scene: Scene, rng: Generator) -> np.ndarray:
    """Unstained rods in plain light, a little out of focus."""
    return defocused(rng.uniform(0.5, 1.6) * _rods(scene, rng), scene, rng)


def shining_rods(scene: Scene, rng: Generator) -> np.ndarray:
    """Rods full of a fluorescent protein, or rods whose membrane is stained."""
    body = _rods(scene, rng)
    if rng.random() < 0.35:
        body = _wall(scene, rng.uniform(0.08, 0.2)) + rng.uniform(0.05, 0.4) * body
    return glow(_spread_of(rng.uniform(0.1, 0.6), scene, rng) * body, scene, rng)


# --- flat cells -------------------------------------------------------------------------------------------


def _flat(scene: Scene, rng: Generator) -> np.ndarray:
    """Phase of flat adherent cells in radians: a thin sheet, ruffles, a low nucleus, granules around it."""
    diameter, inside = scene.diameter, specimens.nuclei(scene, rng)
    edge = 1 - np.exp(-scene.distance / rng.uniform(0.5, 3))
    sheet = scene.per_cell(rng.uniform(0.03, 0.35, scene.n_cells)) * edge
    ruffles = rng.uniform(0, 0.15) * smooth_noise(sheet.shape, diameter / 10, rng) * (scene.labels > 0)
    rim = rng.uniform(0, 0.25) * _wall(scene, 0.05)
    rise = rng.uniform(0.05, 0.5) * blur(inside, diameter / 12) * (scene.labels > 0)
    return sheet + ruffles + rim + rise + rng.uniform(0.2, 1.2) * specimens.organelles(scene, rng, inside)


def flat_in_phase_contrast(scene: Scene, rng: Generator) -> np.ndarray:
    """Flat adherent cells in phase contrast: hardly more than their granules and nuclei are seen."""
    return zernike(_flat(scene, rng), scene, rng)


def flat_in_dic(scene: Scene, rng: Generator) -> np.ndarray:
    """Flat adherent cells in differential interference contrast."""
    return nomarski(rng.uniform(1.2, 3) * _flat(scene, rng), scene, rng)


# --- walls and rims ---------------------------------------------------------------------------------------


def shining_walls(scene: Scene, rng: Generator) -> np.ndarray:
    """Image a dye of membranes: dark cells in bright walls, some with a nucleus."""
    wall = _wall(scene, rng.uniform(0.02, 0.1))
    wall = wall * (1 + 0.3 * smooth_noise(scene.labels.shape, scene.diameter, rng))
    inside = rng.uniform(0.02, 0.3) * specimens.cytoplasm(scene, rng)
    if rng.random() < 0.3:
        inside = inside + rng.uniform(0.2, 1) * specimens.nuclei(scene, rng)
    brightness = _spread_of(rng.uniform(0, 0.3), scene, rng, 0, np.inf)
    return glow(np.maximum(wall, 0) * brightness + inside, scene, rng)


def walls(scene: Scene, rng: Generator) -> np.ndarray:
    """Image a sheet of dark cells between bright walls, or of bright cells between dark ones."""
    shape, diameter = scene.labels.shape, scene.diameter
    wall = _wall(scene, rng.uniform(0.03, 0.1)) + (scene.labels == 0) * rng.uniform(0.5, 1)
    body = scene.per_cell(rng.uniform(0.6, 1, scene.n_cells))
    body = body * (1 + 0.1 * smooth_noise(shape, diameter / 5, rng))
    granules = rng.uniform(0, 0.5) * specimens.organelles(scene, rng, specimens.nuclei(scene, rng))
    contrast = rng.uniform(0.2, 0.6)
    light = 0.75 - contrast * body * (scene.labels > 0) * (1 - wall) - 0.3 * granules + 0.15 * wall
    if rng.random() < 0.35:
        light = 1 - light
    light = blur(light.astype(np.float32), rng.uniform(0.7, 1 + diameter / 40))
    return np.maximum(light * illumination(shape, rng, 0.25), 0.01)


def rims(scene: Scene, rng: Generator) -> np.ndarray:
    """Round cells in plain light: a dark rim in a bright halo or the other way round, a grainy body."""
    shape, diameter = scene.labels.shape, scene.diameter
    rim = _wall(scene, rng.uniform(0.03, 0.12))
    ground = (scene.labels == 0).astype(np.uint8)
    outwards = cv2.distanceTransform(ground, cv2.DIST_L2, cv2.DIST_MASK_5)
    halo = np.exp(-((outwards / max(rng.uniform(0.04, 0.15) * diameter, 1)) ** 2)) * ground
    body = scene.per_cell(rng.uniform(-0.15, 0.15, scene.n_cells))
    body = body + 0.06 * smooth_noise(shape, diameter / 8, rng)
    inside = specimens.organelles(scene, rng, specimens.nuclei(scene, rng))
    light = 0.5 + rng.choice([-1, 1]) * (rng.uniform(0.1, 0.4) * rim - rng.uniform(0, 0.35) * halo)
    light = light + body * (scene.labels > 0) + rng.uniform(-0.3, 0.3) * inside
    light = light - 0.3 * specks(shape, rng, n=6, radius=(0.8, diameter / 12))
    light = blur(light.astype(np.float32), rng.uniform(0.7, 1.6))
    return np.maximum(light * illumination(shape, rng, 0.25), 0.01)


# --- stained ----------------------------------------------------------------------------------------------


def _dyes(names: list[str], rng: Generator) -> np.ndarray:
    """Densities (N, 3) of dyes as one laboratory has them, of length 1."""
    dyes = np.maximum(np.array([DYES[name] for name in names]) + rng.normal(0, 0.06, (len(names), 3)), 0.02)
    return dyes / np.linalg.norm(dyes, axis=1, keepdims=True)


def _seen_through(amounts: np.ndarray, dyes: np.ndarray, rng: Generator) -> np.ndarray:
    """Radiance (H, W, 3) behind amounts (H, W, N) of dyes (N, 3): the law of Beer and Lambert."""
    lamp = rng.uniform(0.8, 0.97) * rng.normal(1, 0.03, 3)
    light = lamp * 10 ** -(amounts @ dyes) * illumination(amounts.shape[:2], rng, 0.1)[..., None]
    return light.astype(np.float32)


def blood_smear(scene: Scene, rng: Generator) -> np.ndarray:
    """Red blood cells, pale in the middle, and a few white ones with a violet nucleus; in colour."""
    shape, diameter, n_cells = scene.labels.shape, scene.diameter, scene.n_cells
    white = rng.random(n_cells) < rng.uniform(0, 0.25)
    pallor = scene.per_cell(rng.uniform(0, 0.9) * rng.uniform(0.6, 1.1, n_cells))
    red = 1 - pallor * np.clip((scene.depth - 0.3) / 0.5, 0, 1) ** 1.5
    red = red * scene.per_cell(np.where(white, 0.15, 1) * rng.uniform(0.7, 1.2, n_cells))
    red = red * (1 + 0.04 * smooth_noise(shape, diameter / 6, rng)) * (scene.labels > 0)
    lobes = np.clip(1.2 + smooth_noise(shape, diameter / 2.5, rng) - 1.5 * (1 - scene.depth), 0, 1)
    violet = scene.per_cell(white) * (0.25 + lobes * (1 + 0.2 * smooth_noise(shape, diameter / 10, rng)))
    violet = violet + 0.8 * specks(shape, rng, n=4, radius=(1, diameter / 10))  # platelets
    amounts = rng.uniform(0.15, 0.5) * red, rng.uniform(0.4, 1) * np.maximum(violet, 0)
    parts = [blur(part.astype(np.float32), rng.uniform(0.7, 1 + diameter / 50)) for part in amounts]
    choices = ["eosin", "pink eosin", "dab", "black"], ["violet", "haematoxylin"]
    dyes = _dyes([str(rng.choice(names)) for names in choices], rng)
    return _seen_through(np.stack(parts, -1) + rng.uniform(0, 0.06), dyes, rng)


def stains(scene: Scene, rng: Generator) -> np.ndarray:
    """Nuclei in tissue: any of several nuclear dyes with any counterstain, pale to dark, sharp to blurred."""
    nuclear = rng.choice(["haematoxylin", "haematoxylin", "violet", "green", "blue", "red", "dab", "black"])
    counter = str(rng.choice([name for name in DYES if name != nuclear]))
    tissue = specimens.immunostain(scene, rng) if rng.random() < 0.35 else specimens.stroma(scene, rng)
    nuclei = rng.uniform(0.3, 1) * specimens.chromatin(scene, rng) * (scene.labels > 0)
    smear = blur((scene.labels > 0)[::-1, ::-1].astype(np.float32), scene.diameter / 4) * (scene.labels == 0)
    nuclei = nuclei + rng.uniform(0, 0.35) * smear * np.minimum(tissue, 1)
    dyes, sharpness = _dyes([nuclear, counter], rng), rng.uniform(0.6, 1 + scene.diameter / 20)
    parts = [blur(part.astype(np.float32), sharpness) for part in (nuclei, rng.uniform(0.05, 0.7) * tissue)]
    return _seen_through(np.stack(parts, -1), dyes, rng)


# --- fluorescence -----------------------------------------------------------------------------------------


def dim_and_bright(scene: Scene, rng: Generator) -> np.ndarray:
    """Nuclei whose brightness differs by up to two decades."""
    brightness = _spread_of(rng.uniform(0.6, 1.3), scene, rng, 0.08, 8)
    return glow(brightness * specimens.dna(scene, rng), scene, rng)


def tissue(scene: Scene, rng: Generator) -> np.ndarray:
    """Nuclei of a thick section: a few in focus, more above and below it as a haze of their shapes."""
    amount = specimens.dna(scene, rng)
    signal = _spread_of(rng.uniform(0.2, 0.7), scene, rng) * amount
    elsewhere = blur(np.ascontiguousarray(signal[::-1]), scene.diameter / rng.uniform(3, 8))
    signal = blur(signal.astype(np.float32), rng.uniform(0.7, scene.diameter / 12 + 0.7))
    return glow(signal + rng.uniform(0.1, 0.6) * elsewhere, scene, rng)


def shining_bodies(scene: Scene, rng: Generator) -> np.ndarray:
    """Whole cells of a sheet with a dye of the cytoplasm, each of another brightness."""
    brightness = _spread_of(rng.uniform(0.1, 0.7), scene, rng)
    edge = 1 - rng.uniform(0, 0.8) * _wall(scene, rng.uniform(0.03, 0.12))
    return glow(brightness * specimens.cytoplasm(scene, rng) * edge, scene, rng)
