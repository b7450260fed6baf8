"""Four simulated microscopes: how light turns cells into a picture.

Each function takes a `layout.scene.Scene` and a generator and returns radiance on the
scene's canvas, about 0 to 1, before the camera adds its noise. What the cells hold comes from
`light.specimens`; here stands only the optics of each contrast method, in a few lines.
Every number drawn from the generator is a setting that differs between real pictures.
"""

import numpy as np
from numpy.random import Generator
from scipy import fft

from maunet_lite.data.simulation.fields import blur, illumination, specks
from maunet_lite.data.simulation.layout.scene import Scene
from maunet_lite.data.simulation.light import specimens

# Optical density in red, green and blue: haematoxylin, DAB and magenta eosin after Ruifrok, Johnston (2001).
# Eosin is pinker in many laboratories; violet stands for thiazine dyes such as Giemsa's and cresyl violet.
STAINS = {
    "haematoxylin": (0.65, 0.70, 0.29), "violet": (0.48, 0.85, 0.18), "eosin": (0.07, 0.99, 0.11),
    "pink eosin": (0.22, 0.80, 0.50), "dab": (0.27, 0.57, 0.78),
}  # fmt: skip


def fluorescence(scene: Scene, rng: Generator, variant: str = "nuclei") -> np.ndarray:
    """Image fluorescent cells on a dark ground.

    A fluorophore shines in proportion to its amount, so the signal is brightness × amount. Two things reach
    the camera from elsewhere: haze from cells out of focus, and an uneven background. The objective blurs
    all of it by its point-spread function.

    Parameters
    ----------
    scene : Scene
    rng : numpy.random.Generator
    variant : {"nuclei", "cells"}
        A dye of DNA, or of the whole cell body.

    Returns
    -------
    (H, W) float32
        Radiance on the scene's canvas; the cells of one picture differ by about a decade.
    """
    brightness = np.exp(rng.uniform(0.15, 0.6) * rng.normal(size=scene.n_cells))
    brightness *= np.where(rng.random(scene.n_cells) < 0.06, rng.uniform(1.5, 3.5), 1)  # dividing or dying
    amount = specimens.dna(scene, rng) if variant == "nuclei" else specimens.cytoplasm(scene, rng)
    return glow(scene.per_cell(np.clip(brightness, 0.25, 4)) * amount, scene, rng)


def glow(signal: np.ndarray, scene: Scene, rng: Generator) -> np.ndarray:
    """Let an amount of excited dye (H, W) reach the camera: debris, haze, background, blur."""
    shape, diameter = scene.labels.shape, scene.diameter
    signal = signal + rng.uniform(0.5, 2) * specks(shape, rng, n=3, radius=(0.8, diameter / 10))
    # more cells of the same kind, above and below the focus
    haze = rng.uniform(0, 0.25) * blur(signal[::-1, ::-1], diameter / 3)
    haze += rng.uniform(0, 0.25) * blur(signal, diameter)
    background = rng.uniform(0.01, 0.12) * illumination(shape, rng, 0.5)
    in_focus = blur(signal, rng.uniform(0.8, 1 + diameter / 35)) * illumination(shape, rng, 0.2)
    radiance = in_focus + haze + background
    reference = np.quantile(radiance[scene.labels > 0], 0.9) if scene.n_cells else 1.0
    return (radiance * 0.12 ** rng.random() / reference).astype(np.float32)


def brightfield(scene: Scene, rng: Generator, variant: str = "stained") -> np.ndarray:
    """Image cells in plain transmitted light.

    Stained tissue follows the law of Beer and Lambert, light = lamp × 10^(−Σ amount × stain), per colour.
    Unstained cells hardly absorb; they show because the focus lies a little above or below them, where the
    wave that they bent has interfered with itself (Fresnel diffraction): dark and bright rims.

    Parameters
    ----------
    scene : Scene
        For stained tissue, labels mean nuclei.
    rng : numpy.random.Generator
    variant : {"stained", "unstained"}

    Returns
    -------
    (H, W, 3) or (H, W) float32
        Radiance on the scene's canvas; in colour if stained.
    """
    if variant == "unstained":
        return defocused(specimens.floating_cells(scene, rng, thickness=rng.uniform(0.8, 2.5)), scene, rng)
    shape, diameter = scene.labels.shape, scene.diameter
    nuclear, counter, strength = [
        ("haematoxylin", "eosin", rng.uniform(0.1, 0.35)),
        ("haematoxylin", "pink eosin", rng.uniform(0.1, 0.45)),
        ("haematoxylin", "dab", rng.uniform(0.1, 0.6)),
        ("violet", "violet", rng.uniform(0.0, 0.3)),
    ][rng.choice(4, p=[0.2, 0.35, 0.2, 0.25])]
    tissue = specimens.immunostain(scene, rng) if counter == "dab" else specimens.stroma(scene, rng)
    nuclei = rng.uniform(0.5, 1.0) * specimens.chromatin(scene, rng)
    smear = blur((scene.labels > 0)[::-1, ::-1].astype(np.float32), diameter / 4) * (scene.labels == 0)
    nuclei += rng.uniform(0, 0.2) * smear * np.minimum(tissue, 1)  # nuclei out of focus
    nuclei += 0.5 * specks(shape, rng, n=2, radius=(1, diameter / 8))
    dyes = np.array([STAINS[nuclear], STAINS[counter]]) + rng.normal(0, 0.03, (2, 3))
    if nuclear == "haematoxylin":
        dyes[0] += rng.uniform(0, 0.5) * np.array(STAINS["eosin"])  # nuclei take up some eosin too: purple
    dyes = np.maximum(dyes, 0.02) / np.linalg.norm(dyes, axis=1, keepdims=True)
    sharpness = rng.uniform(0.6, 0.8 + diameter / 40)
    amounts = np.stack([blur(nuclei, sharpness), blur(strength * tissue, sharpness)], -1)  # (H, W, 2)
    lamp = rng.uniform(0.82, 0.96) * rng.normal(1, 0.02, 3)
    light = lamp * 10 ** -(amounts @ dyes) * illumination(shape, rng, 0.06)[..., None]  # (H, W, 3)
    return light.astype(np.float32)


def defocused(phase: np.ndarray, scene: Scene, rng: Generator) -> np.ndarray:
    """Image a phase (H, W), in radians, a little above or below the focus: dark and bright rims."""
    shape, diameter = scene.labels.shape, scene.diameter
    phase = phase + 0.5 * specks(shape, rng, n=6, radius=(0.8, diameter / 12))
    absorbed = rng.uniform(0.02, 0.2) * blur(specimens.dome(scene), 1)
    wave = np.exp(1j * blur(phase, 0.8).astype(np.float32) - absorbed / 2)
    # wavelength × distance in pixels²
    defocus = rng.choice([-1, 1]) * rng.uniform(6, np.clip((0.13 * diameter) ** 2, 10, 40))
    light = blur(np.abs(_propagate(wave, defocus)) ** 2, rng.uniform(0.7, 1.3))
    return (rng.uniform(0.4, 0.75) * light * illumination(shape, rng, 0.15)).astype(np.float32)


def _propagate(wave: np.ndarray, defocus: float) -> np.ndarray:
    """Let a complex wave (H, W) travel on: a spatial frequency f turns its phase by π · defocus · f²."""
    y, x = np.meshgrid(*(np.fft.fftfreq(size) for size in wave.shape), indexing="ij", sparse=True)
    turn = np.exp(-1j * np.pi * defocus * (y**2 + x**2)).astype(np.complex64)
    return fft.ifft2(fft.fft2(wave.astype(np.complex64)) * turn)


def phase_contrast(scene: Scene, rng: Generator, variant: str = "spread") -> np.ndarray:
    """Image transparent cells by Zernike's phase contrast (positive: denser is darker).

    The wave behind the cells is u = exp(i·phase). The ring in the objective dims the light that went straight
    through and turns its phase by a quarter wave. As the ring has a width, it catches the slowly varying
    part of the cells' light too: taking the blurred wave for the straight light gives the halo and the
    shade-off of the real instrument, and the brightness of thick round cells.

    Parameters
    ----------
    scene : Scene
    rng : numpy.random.Generator
    variant : {"spread", "spindle", "round"}
        Round cells float and are thick; the others lie flat on glass.

    Returns
    -------
    (H, W) float32
        Radiance on the scene's canvas.
    """
    if variant == "round":
        return zernike(specimens.floating_cells(scene, rng, thickness=rng.uniform(0.3, 1.6)), scene, rng)
    return zernike(specimens.spread_cells(scene, rng, tallest=3.5), scene, rng)


def zernike(phase: np.ndarray, scene: Scene, rng: Generator) -> np.ndarray:
    """Image a phase (H, W), in radians, as `phase_contrast` does."""
    shape, diameter = scene.labels.shape, scene.diameter
    dark, radius = rng.uniform(0.2, 0.7), (0.6, diameter / 20)
    phase = phase + dark * specks(shape, rng, n=phase.size / 5000, radius=radius)
    dust = specks(shape, rng, n=3, radius=(diameter / 2, 1.5 * diameter))
    phase += 0.05 * (blur(dust, 2) - blur(dust, 4))  # dust far out of focus shows as rings
    phase = blur(phase, rng.uniform(0.6, 1.1))
    halo, ring, narrow = rng.uniform(1.2, 3) + 0.03 * diameter, rng.uniform(0.4, 0.7), rng.uniform(0.85, 1)
    real, imaginary = np.cos(phase), np.sin(phase)
    straight = [narrow * blur(part, halo) + (1 - narrow) * blur(part, diameter) for part in (real, imaginary)]
    # scattered light + ring × straight light × (−i)
    light = (real - straight[0] + ring * straight[1]) ** 2
    light += (imaginary - straight[1] - ring * straight[0]) ** 2
    return (rng.uniform(0.3, 0.45) * light / ring**2 * illumination(shape, rng, 0.15)).astype(np.float32)


def dic(scene: Scene, rng: Generator, variant: str = "round") -> np.ndarray:
    """Image transparent cells by differential interference contrast.

    Two copies of the wave, sheared by less than the resolution, interfere: the picture shows the slope of
    the optical path along the shear as if light fell from one side, and it is grey where the path is flat.

    Parameters
    ----------
    scene : Scene
    rng : numpy.random.Generator
    variant : {"round", "discs", "spread"}
        Domes, flat discs with a steep edge (red blood cells), or cells spread on glass.

    Returns
    -------
    (H, W) float32
        Radiance on the scene's canvas.
    """
    if variant == "discs":
        edge = np.minimum(scene.distance / (0.12 * scene.diameter), 1)
        path = rng.uniform(0.35, 1.0) * edge**2 * (3 - 2 * edge)
    elif variant == "round":
        path = specimens.floating_cells(scene, rng, thickness=rng.uniform(0.6, 2))
    else:
        path = 1.5 * specimens.spread_cells(scene, rng, tallest=1)
    return nomarski(path * scene.per_cell(rng.uniform(0.7, 1.3, scene.n_cells)), scene, rng)


def nomarski(path: np.ndarray, scene: Scene, rng: Generator) -> np.ndarray:
    """Image an optical path (H, W), in radians, as `dic` does."""
    shape, diameter = scene.labels.shape, scene.diameter
    path = path + 0.6 * specks(shape, rng, n=6, radius=(0.8, diameter / 15))
    slope = np.gradient(blur(path, rng.uniform(0.8, 1.4)))
    angle, shear, bias = rng.uniform(0, 2 * np.pi), rng.uniform(1.6, 3.2), rng.uniform(0.9, 1.6)
    difference = shear * (np.sin(angle) * slope[0] + np.cos(angle) * slope[1])
    unfocused = blur(specks(shape, rng, n=4, radius=(diameter / 6, diameter / 2)), diameter / 4)
    light = np.sin((difference + bias) / 2) ** 2 * (1 - rng.uniform(-0.1, 0.2) * unfocused)
    background = rng.uniform(0.3, 0.6) / np.sin(bias / 2) ** 2
    return (background * light * illumination(shape, rng, 0.25)).astype(np.float32)
