"""Kinds of pictures that labelled collections lack, to train on beside real ones.

Bacteria side by side, flat cells in a closed sheet, blood smears, dark cells in bright walls, rims and halos,
tissue in several stains, dim cells beside bright ones. `EXTRA_KINDS` names them, `simulate_extra` makes one
picture, `folder.simulate_extra_dataset` a folder. The course shows other kinds, those of `pictures`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from maunet_lite.data.simulation import pictures
from maunet_lite.data.simulation.layout.crowds import Shape, pack_rods, tile_cells
from maunet_lite.data.simulation.layout.scene import Outline, Scene, place_cells
from maunet_lite.data.simulation.light import views
from maunet_lite.data.simulation.pictures import Simulated, log_uniform, round_cells, spread_cells

Range = tuple[float, float]
Population = Callable[[Generator], Outline]


class Kind(NamedTuple):
    """One kind of picture.

    Attributes
    ----------
    modality : str
        What it counts as.
    layout : callable
        Takes the picture's shape and a generator, returns a `Scene`.
    light : callable
        Takes the scene and the generator, returns radiance.
    photons : (low, high)
        Photons per pixel at full brightness; few make a noisy picture.
    """

    modality: str
    layout: Callable[[Shape, Generator], Scene]
    light: Callable[[Scene, Generator], np.ndarray]
    photons: Range = (1_000, 20_000)


def _rods(shape: Shape, rng: Generator) -> Scene:
    """Lay out rods, a few to as many as find room: in colonies, or each by itself."""
    diameter = log_uniform(rng, (9, 30))
    room = shape[0] * shape[1] / (np.pi / 4 * diameter**2)
    how = {"length": rng.uniform(1.5, 7), "order": rng.uniform(0.6, 0.97)}
    alone = rng.random() < 0.4
    n_cells = max(3, round(rng.uniform(0.05, 0.35 if alone else 0.9) * room))
    colonies = n_cells if alone else int(rng.integers(1, 9))
    return pack_rods(shape, rng, n_cells=n_cells, diameter=diameter, colonies=colonies, **how)


def _sheet(diameters: Range, gaps: float, least: float, shape: Shape, rng: Generator) -> Scene:
    """Lay out a sheet that covers a share of `least` to all of the picture."""
    return tile_cells(
        shape, rng, diameter=log_uniform(rng, diameters), regularity=rng.uniform(0.1, 0.7),
        stretch=rng.uniform(1, 1.8), gap=rng.uniform(0, gaps), covered=rng.uniform(least, 1.1),
    )  # fmt: skip


def _strewn(population: Population, diameters: Range, coverage: Range, shape: Shape, rng: Generator) -> Scene:
    """Lay out cells alone and in groups."""
    diameter = log_uniform(rng, diameters)
    n_cells = max(1, round(rng.uniform(*coverage) * shape[0] * shape[1] / (np.pi / 4 * diameter**2)))
    return place_cells(
        shape, population(rng), rng, n_cells=n_cells, diameter=diameter, size_spread=rng.uniform(0.05, 0.35),
        clustering=rng.uniform(0, 0.9), alignment=rng.uniform(0, 0.5),
    )  # fmt: skip


_DISCS, _OVALS = partial(round_cells, 1.25, 0.04, 0.1), partial(round_cells, 2.0, 0.08, 0.3)
_NUCLEI, _FLAT = partial(round_cells, 2.5, 0.1, 0.4), partial(_strewn, spread_cells, (25, 110), (0.1, 0.6))
_FEW, _FEWER = (60, 5_000), (60, 3_000)

EXTRA_KINDS: dict[str, Kind] = {
    "rods-phase": Kind("phase-contrast", _rods, views.rods_in_phase_contrast),
    "rods-defocused": Kind("brightfield", _rods, views.rods_out_of_focus),
    "rods-shining": Kind("fluorescence", _rods, views.shining_rods, _FEW),
    "flat-phase": Kind("phase-contrast", _FLAT, views.flat_in_phase_contrast),
    "sheet-phase": Kind("phase-contrast", partial(_sheet, (25, 100), 4, 0.5), views.flat_in_phase_contrast),
    "flat-dic": Kind("dic", _FLAT, views.flat_in_dic),
    "sheet-dic": Kind("dic", partial(_sheet, (25, 90), 4, 0.5), views.flat_in_dic),
    "blood": Kind("brightfield", partial(_strewn, _DISCS, (20, 100), (0.1, 0.6)), views.blood_smear),
    "rims": Kind("brightfield", partial(_strewn, _DISCS, (14, 70), (0.1, 0.6)), views.rims),
    "walls-shining": Kind("fluorescence", partial(_sheet, (14, 80), 0, 0.7), views.shining_walls, _FEW),
    "walls-light": Kind("phase-contrast", partial(_sheet, (14, 80), 5, 0.6), views.walls),
    "bodies-shining": Kind("fluorescence", partial(_sheet, (25, 100), 5, 0.5), views.shining_bodies, _FEW),
    "dim-and-bright": Kind(
        "fluorescence", partial(_strewn, _OVALS, (10, 60), (0.1, 0.6)), views.dim_and_bright, _FEWER
    ),
    "tissue-dark": Kind("fluorescence", partial(_strewn, _OVALS, (10, 40), (0.3, 0.7)), views.tissue, _FEWER),
    "stains": Kind("brightfield", partial(_strewn, _NUCLEI, (12, 50), (0.1, 0.6)), views.stains),
}


def simulate_extra(kind: str, shape: Shape = (384, 384), *, rng: Generator) -> Simulated:
    """Simulate a picture of one of the `EXTRA_KINDS` and its exact labels.

    Parameters
    ----------
    kind : str
    shape : (height, width)
        At least 32 × 32 pixels.
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    Simulated
        ``image``, (H, W) or, for blood and stains, (H, W, 3) uint8, and ``labels``, (H, W) int32, 1 … N
        without gaps.

    Raises
    ------
    ValueError
        If there is no such kind, or the shape is smaller.

    Examples
    --------
    >>> image, labels = simulate_extra("rods-phase", (96, 128), rng=np.random.default_rng(0))
    >>> image.shape, labels.dtype
    ((96, 128), dtype('int32'))
    """
    pictures.check_choice("kind", kind, tuple(EXTRA_KINDS))
    pictures.check_numbers(shape)
    _, layout, light, photons = EXTRA_KINDS[kind]
    scene = layout(shape, rng)
    image = pictures.camera(scene.crop(light(scene, rng)), log_uniform(rng, photons), rng)
    return Simulated(image, np.ascontiguousarray(scene.crop(scene.labels)))
