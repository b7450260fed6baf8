"""What each kind of picture shows: its cells' shapes, sizes and density, and its light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maunet_lite.data.simulation import microscopes
from maunet_lite.data.simulation.scene import Outline, Scene
from maunet_lite.data.simulation.shapes import round_outline, spindle_outline, spread_outline


@dataclass(frozen=True)
class Recipe:
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

    population: Callable[[np.random.Generator], Outline]
    diameter: tuple[float, float]
    coverage: tuple[float, float]
    alignment: tuple[float, float] = (0.0, 0.0)
    photons: tuple[float, float] = (2_000, 20_000)


def _round(elongation: float, roughness: float, bend: float) -> Callable[[np.random.Generator], Outline]:
    """Make populations of round to bent cells, within the given limits."""

    def population(rng: np.random.Generator) -> Outline:
        longest, roughest, most_bent = rng.uniform([1, 0.01, 0], [elongation, roughness, bend])
        return lambda rng: round_outline(
            rng, rng.uniform(1, longest), rng.uniform(0.3, 1) * roughest, rng.uniform(-most_bent, most_bent)
        )

    return population


def _spread(rng: np.random.Generator) -> Outline:
    """Make a population of cells spread on glass, with some spindles and some that round up to divide."""
    most_concave = rng.uniform(0.3, 0.9)

    def outline(rng: np.random.Generator) -> np.ndarray:
        kind = rng.random()
        if kind < 0.1:
            return round_outline(rng, 1.1, 0.03)
        if kind < 0.3:
            return spindle_outline(rng, rng.uniform(2, 4))
        return spread_outline(rng, int(rng.integers(3, 7)), rng.uniform(0.2, most_concave))

    return outline


def _spindles(rng: np.random.Generator) -> Outline:
    """Make a population of elongated cells, with a few that round up."""
    longest = rng.uniform(3, 8)

    def outline(rng: np.random.Generator) -> np.ndarray:
        if rng.random() < 0.07:
            return round_outline(rng, 1.1)
        return spindle_outline(rng, rng.uniform(2, longest))

    return outline


RECIPES: dict[str, dict[str, Recipe]] = {
    "brightfield": {
        "stained": Recipe(_round(3.5, 0.12, 0.4), (14, 40), (0.08, 0.45), alignment=(0.0, 0.9)),
        "unstained": Recipe(_round(1.6, 0.06, 0.2), (18, 60), (0.05, 0.4)),
    },
    "fluorescence": {
        "nuclei": Recipe(_round(2.2, 0.08, 0.3), (10, 60), (0.05, 0.4), photons=(60, 3_000)),
        "cells": Recipe(_spread, (35, 80), (0.15, 0.5), photons=(60, 3_000)),
    },
    "phase-contrast": {
        "spread": Recipe(_spread, (18, 55), (0.08, 0.4)),
        "spindle": Recipe(_spindles, (16, 45), (0.08, 0.35), alignment=(0.0, 0.7)),
        "round": Recipe(_round(1.5, 0.06, 0.2), (16, 50), (0.05, 0.45)),
    },
    "dic": {
        "round": Recipe(_round(1.5, 0.06, 0.2), (18, 50), (0.03, 0.4)),
        "discs": Recipe(_round(1.5, 0.03, 0.1), (40, 80), (0.15, 0.45)),
        "spread": Recipe(_spread, (35, 80), (0.1, 0.4)),
    },
}
MODALITIES = tuple(RECIPES)
VARIANTS = {modality: tuple(recipes) for modality, recipes in RECIPES.items()}
MICROSCOPES: dict[str, Callable[[Scene, np.random.Generator, str], np.ndarray]] = {
    "brightfield": microscopes.brightfield,
    "fluorescence": microscopes.fluorescence,
    "phase-contrast": microscopes.phase_contrast,
    "dic": microscopes.dic,
}
