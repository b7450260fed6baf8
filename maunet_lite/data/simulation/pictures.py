"""One simulated picture: cells laid out, imaged by a microscope, taken by a camera that counts photons.

`RECIPES` says what each kind of picture shows: its cells' shapes, sizes and density, and its light.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from maunet_lite.data.simulation.layout.scene import Outline, place_cells
from maunet_lite.data.simulation.layout.shapes import round_outline, spindle_outline, spread_outline
from maunet_lite.data.simulation.light import microscopes

FULL_SCALE = {"uint8": 255, "uint16": 4095}  # the brightest value: of a screen, and of a 12-bit camera


# --- what pictures show ----------------------------------------------------------------------------------


class Recipe(NamedTuple):
    """One kind of picture; each pair is a range from which every picture draws its own value.

    Attributes
    ----------
    population : callable
        Takes the generator, returns a function that draws the outline of one cell of this picture.
    diameter : (low, high)
        Pixels.
    coverage : (low, high)
        Share of the picture that cells cover, roughly.
    alignment : (low, high)
        0 cells lie in every direction, 1 in one.
    photons : (low, high)
        Photons per pixel at full brightness; few make a noisy picture.
    """

    population: Callable[[Generator], Outline]
    diameter: tuple[float, float]
    coverage: tuple[float, float]
    alignment: tuple[float, float] = (0.0, 0.0)
    photons: tuple[float, float] = (2_000, 20_000)


def round_cells(elongation: float, roughness: float, bend: float, rng: Generator) -> Outline:
    """Make a population of round to bent cells, within the given limits."""
    longest, roughest, most_bent = rng.uniform([1, 0.01, 0], [elongation, roughness, bend])
    return lambda rng: round_outline(
        rng, rng.uniform(1, longest), rng.uniform(0.3, 1) * roughest, rng.uniform(-most_bent, most_bent)
    )


def spread_cells(rng: Generator) -> Outline:
    """Make a population of cells spread on glass, with some spindles and some that round up to divide."""
    most_concave = rng.uniform(0.3, 0.9)

    def outline(rng: Generator) -> np.ndarray:
        if (kind := rng.random()) < 0.1:
            return round_outline(rng, 1.1, 0.03)
        if kind < 0.3:
            return spindle_outline(rng, rng.uniform(2, 4))
        return spread_outline(rng, int(rng.integers(3, 7)), rng.uniform(0.2, most_concave))

    return outline


def _spindles(rng: Generator) -> Outline:
    """Make a population of elongated cells, with a few that round up."""
    longest = rng.uniform(3, 8)
    return lambda rng: (
        round_outline(rng, 1.1) if rng.random() < 0.07 else spindle_outline(rng, rng.uniform(2, longest))
    )


_DIM = (60, 3_000)  # photons per pixel


def _rounds(*limits: float) -> Callable[[Generator], Outline]:
    """Return a population of round cells within limits, see `round_cells`."""
    return partial(round_cells, *limits)


_ROUND = _rounds(1.5, 0.06, 0.2)
RECIPES: dict[tuple[str, str], Recipe] = {
    ("brightfield", "stained"): Recipe(_rounds(3.5, 0.12, 0.4), (14, 40), (0.08, 0.45), (0, 0.9)),
    ("brightfield", "unstained"): Recipe(_rounds(1.6, 0.06, 0.2), (18, 60), (0.05, 0.4)),
    ("fluorescence", "nuclei"): Recipe(_rounds(2.2, 0.08, 0.3), (10, 60), (0.05, 0.4), photons=_DIM),
    ("fluorescence", "cells"): Recipe(spread_cells, (35, 80), (0.15, 0.5), photons=_DIM),
    ("phase-contrast", "spread"): Recipe(spread_cells, (18, 55), (0.08, 0.4)),
    ("phase-contrast", "spindle"): Recipe(_spindles, (16, 45), (0.08, 0.35), alignment=(0, 0.7)),
    ("phase-contrast", "round"): Recipe(_ROUND, (16, 50), (0.05, 0.45)),
    ("dic", "round"): Recipe(_ROUND, (18, 50), (0.03, 0.4)),
    ("dic", "discs"): Recipe(_rounds(1.5, 0.03, 0.1), (40, 80), (0.15, 0.45)),
    ("dic", "spread"): Recipe(spread_cells, (35, 80), (0.1, 0.4)),
}
MODALITIES = tuple(dict.fromkeys(modality for modality, _ in RECIPES))
VARIANTS = {name: tuple(variant for modality, variant in RECIPES if modality == name) for name in MODALITIES}


# --- a picture -------------------------------------------------------------------------------------------


class Simulated(NamedTuple):
    """A simulated picture and what it shows.

    Attributes
    ----------
    image : (H, W) or (H, W, 3) uint8, or uint16 if asked for
        In colour for stained brightfield only.
    labels : (H, W) int32
        0 background, 1..N cells without gaps; every cell is one 4-connected piece.
    """

    image: np.ndarray
    labels: np.ndarray


def simulate(
    modality: str, shape: tuple[int, int] = (512, 512), *, rng: Generator, n_cells: int | None = None,
    cell_diameter: float | None = None, clustering: float | None = None, light_leak: bool = False,
    variant: str | None = None, dtype: str = "uint8",
) -> Simulated:  # fmt: skip
    """Simulate one microscopy picture and its exact labels.

    Whatever is left open (kind of cells, magnification, density, stain, contrast, noise) is drawn anew for
    every picture. The same arguments and the same state of ``rng`` give the same picture.

    Parameters
    ----------
    modality : {"brightfield", "fluorescence", "phase-contrast", "dic"}
    shape : (height, width)
        At least 32 × 32 pixels.
    rng : numpy.random.Generator
        The only source of randomness.
    n_cells : int, optional
        Cells in the picture, those cut by its border included. Exactly as many are there unless they find no
        room; then there are as many as fit.
    cell_diameter : float, optional
        Typical diameter in pixels, from 4 to the shorter side of the picture; cells vary around it. By
        default it is drawn for the kind of cell and kept below a fifth of the shorter side.
    clustering : float, optional
        Share of cells that are put beside an earlier one: 0 none (yet some touch by chance), 1 all.
    light_leak : bool
        Let stray light in at the border, as in the paper's figure 7. It changes nothing else: cells and
        labels are those of the same call without it.
    variant : str, optional
        One of ``VARIANTS[modality]``, such as "stained" or "unstained" for brightfield.
    dtype : {"uint8", "uint16"}
        "uint16" gives the values of a 12-bit camera, 0 to 4095.

    Returns
    -------
    Simulated
        ``image``, (H, W) or (H, W, 3), and ``labels``, (H, W) int32.

    Raises
    ------
    ValueError
        If an argument is none of the above.
    TypeError
        If ``rng`` is no generator.

    Examples
    --------
    >>> image, labels = simulate("fluorescence", (128, 160), rng=np.random.default_rng(3), n_cells=9)
    >>> int(labels.max()), image.ndim
    (9, 2)
    >>> bool(image[labels > 0].mean() > image[labels == 0].mean())
    True
    """
    check_choice("modality", modality, MODALITIES)
    check_choice(f"variant of {modality}", variant or VARIANTS[modality][0], VARIANTS[modality])
    check_choice("dtype", dtype, tuple(FULL_SCALE))
    check_numbers(shape, n_cells, cell_diameter, clustering)
    if not isinstance(rng, Generator):
        raise TypeError(f"rng is {rng!r}; expected a generator. Pass rng=np.random.default_rng(seed)")
    height, width = map(int, shape)
    variant = variant or str(rng.choice(VARIANTS[modality]))
    recipe = RECIPES[modality, variant]
    diameter = cell_diameter or min(log_uniform(rng, recipe.diameter), min(height, width) / 5)
    if n_cells is None:
        n_cells = max(1, round(rng.uniform(*recipe.coverage) * height * width / (np.pi / 4 * diameter**2)))
    scene = place_cells(  # what is drawn for it is drawn in this order
        (height, width), recipe.population(rng), rng, n_cells=n_cells, diameter=diameter,
        size_spread=rng.uniform(0.05, 0.25),
        clustering=rng.uniform(0, 0.8) if clustering is None else clustering,
        alignment=rng.uniform(*recipe.alignment),
    )  # fmt: skip
    radiance = scene.crop(getattr(microscopes, modality.replace("-", "_"))(scene, rng, variant))
    leak = _stray_light((height, width), rng)
    if light_leak:  # white light: where it is bright, contrast is lost
        leak = leak if radiance.ndim == 2 else leak[..., None]
        radiance = np.minimum(radiance, 1) * (1 - leak) + leak
    image = camera(radiance, log_uniform(rng, recipe.photons), rng, dtype)
    return Simulated(image, np.ascontiguousarray(scene.crop(scene.labels)))


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise ValueError(f"unknown {name} {value!r}; expected one of {', '.join(choices)}")


def check_numbers(
    shape: Any, n_cells: int | None = None, diameter: float | None = None, clustering: float | None = None
) -> None:
    """Refuse numbers that make no picture."""
    if len(shape) != 2 or any(int(length) != length or length < 32 for length in shape):
        raise ValueError(f"shape is {shape}; expected (height, width) in whole pixels, each at least 32")
    if n_cells is not None and (int(n_cells) != n_cells or n_cells < 0):
        raise ValueError(f"n_cells is {n_cells}; expected a whole number, 0 or more")
    if diameter is not None and not 4 <= diameter <= min(shape):
        raise ValueError(f"cell_diameter is {diameter}; expected 4 to {min(shape)} pixels, the shorter side")
    if clustering is not None and not 0 <= clustering <= 1:
        raise ValueError(f"clustering is {clustering}; expected a share between 0 and 1")


def log_uniform(rng: Generator, limits: tuple[float, float]) -> float:
    """Draw a number whose logarithm is uniform: each doubling is equally likely."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def _stray_light(shape: tuple[int, int], rng: Generator) -> np.ndarray:
    """Draw a broad bright spot with its centre near the border, 0 to at most 0.9; (H, W)."""
    around, out = rng.uniform([0, 0.7], [2 * np.pi, 1.1])
    row, column = 0.5 + 0.5 * out * np.array([np.sin(around), np.cos(around)])
    y, x = np.ogrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    height, width = rng.uniform(0.25, 0.45, 2)
    spot = np.exp(-(((y - row) / height) ** 2 + ((x - column) / width) ** 2) / 2)
    return rng.uniform(0.6, 0.9) * spot


def camera(radiance: np.ndarray, photons: float, rng: Generator, dtype: str = "uint8") -> np.ndarray:
    """Count photons (Poisson noise), read them out (Gaussian noise), and round to whole grey values."""
    counts = rng.poisson(np.clip(radiance, 0, 4) * photons) / photons
    signal = counts + rng.uniform(0.001, 0.01) * rng.standard_normal(radiance.shape, dtype=np.float32)
    return np.rint(np.clip(signal, 0, 1) * FULL_SCALE[dtype]).astype(dtype)
