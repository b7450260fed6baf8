"""One simulated picture: cells laid out, imaged by a microscope, taken by a camera that counts photons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maunet_lite.data.simulation.recipes import MICROSCOPES, MODALITIES, RECIPES, VARIANTS
from maunet_lite.data.simulation.scene import place_cells

SMALLEST_SIDE = 32  # pixels
FULL_SCALE = {"uint8": 255, "uint16": 4095}  # the brightest value: of a screen, and of a 12-bit camera


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
    modality: str,
    shape: tuple[int, int] = (512, 512),
    *,
    rng: np.random.Generator,
    n_cells: int | None = None,
    cell_diameter: float | None = None,
    clustering: float | None = None,
    light_leak: bool = False,
    variant: str | None = None,
    dtype: str = "uint8",
) -> Simulated:
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
    shape = _check(modality, shape, rng, n_cells, cell_diameter, clustering, variant, dtype)
    variant = variant or str(rng.choice(VARIANTS[modality]))
    recipe = RECIPES[modality][variant]
    diameter = cell_diameter or min(_log_uniform(rng, recipe.diameter), min(shape) / 5)
    if n_cells is None:
        covered = rng.uniform(*recipe.coverage) * shape[0] * shape[1]
        n_cells = max(1, round(covered / (np.pi / 4 * diameter**2)))
    scene = place_cells(
        shape,
        recipe.population(rng),
        rng,
        n_cells=n_cells,
        diameter=diameter,
        size_spread=rng.uniform(0.05, 0.25),
        clustering=rng.uniform(0, 0.8) if clustering is None else clustering,
        alignment=rng.uniform(*recipe.alignment),
    )
    radiance = scene.crop(MICROSCOPES[modality](scene, rng, variant))
    leak = _stray_light(shape, rng)
    if light_leak:
        radiance = _veil(radiance, leak)
    image = _camera(radiance, _log_uniform(rng, recipe.photons), rng, dtype)
    return Simulated(image, np.ascontiguousarray(scene.crop(scene.labels)))


def _check(
    modality: str,
    shape: tuple[int, int],
    rng: np.random.Generator,
    n_cells: int | None,
    cell_diameter: float | None,
    clustering: float | None,
    variant: str | None,
    dtype: str,
) -> tuple[int, int]:
    """Refuse arguments that make no picture; return the shape as two integers."""
    _check_choice("modality", modality, MODALITIES)
    if variant is not None:
        _check_choice(f"variant of {modality}", variant, VARIANTS[modality])
    _check_choice("dtype", dtype, tuple(FULL_SCALE))
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}; expected a generator. Pass rng=np.random.default_rng(seed)")
    if len(shape) != 2 or any(int(side) != side or side < SMALLEST_SIDE for side in shape):
        raise ValueError(
            f"shape is {shape}; expected (height, width) in whole pixels, each at least {SMALLEST_SIDE}"
        )
    if n_cells is not None and (int(n_cells) != n_cells or n_cells < 0):
        raise ValueError(f"n_cells is {n_cells}; expected a whole number, 0 or more")
    if cell_diameter is not None and not 4 <= cell_diameter <= min(shape):
        raise ValueError(
            f"cell_diameter is {cell_diameter}; expected pixels between 4 and {min(shape)}, the shorter side"
        )
    if clustering is not None and not 0 <= clustering <= 1:
        raise ValueError(f"clustering is {clustering}; expected a share between 0 and 1")
    return int(shape[0]), int(shape[1])


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"unknown {name} {value!r}; expected one of {', '.join(choices)}")


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """Draw a number whose logarithm is uniform: each doubling is equally likely."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def _stray_light(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a broad bright spot with its centre near the border, 0 to at most 0.9; (H, W)."""
    around, out = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.1)
    centre = 0.5 + 0.5 * out * np.array([np.sin(around), np.cos(around)])
    y, x = np.ogrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    height, width = rng.uniform(0.25, 0.45, 2)
    spot = np.exp(-(((y - centre[0]) / height) ** 2 + ((x - centre[1]) / width) ** 2) / 2)
    return rng.uniform(0.6, 0.9) * spot


def _veil(radiance: np.ndarray, leak: np.ndarray) -> np.ndarray:
    """Mix white stray light into a picture: where it is bright, contrast is lost."""
    leak = leak.reshape(leak.shape + (1,) * (radiance.ndim - 2))
    return np.minimum(radiance, 1) * (1 - leak) + leak


def _camera(radiance: np.ndarray, photons: float, rng: np.random.Generator, dtype: str) -> np.ndarray:
    """Count photons (Poisson noise), read them out (Gaussian noise), and round to whole grey values."""
    counts = rng.poisson(np.clip(radiance, 0, 4) * photons) / photons
    signal = counts + rng.uniform(0.001, 0.01) * rng.standard_normal(radiance.shape, dtype=np.float32)
    return np.rint(np.clip(signal, 0, 1) * FULL_SCALE[dtype]).astype(dtype)
