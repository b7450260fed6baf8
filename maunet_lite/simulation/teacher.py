"""Kinds of pictures that labelled collections lack: the simulator as a teacher.

Bacteria side by side, flat cells in a closed sheet, blood smears, dark cells in bright walls, rims and halos,
tissue in several stains, dim cells beside bright ones. :data:`KINDS` names them, :func:`teach` makes one
picture, and :func:`teacher_dataset` a folder to train on beside real images. The kinds of
:mod:`maunet_lite.simulation.recipes`, which the course shows, stay as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maunet_lite.images import atomic_path, write_image, write_labels
from maunet_lite.simulation import lessons, recipes
from maunet_lite.simulation.crowds import pack_rods, tile_cells
from maunet_lite.simulation.folder import COLUMNS, LICENCE
from maunet_lite.simulation.pictures import Simulated, _camera, _log_uniform
from maunet_lite.simulation.scene import Scene, place_cells

Layout = Callable[[tuple[int, int], np.random.Generator], Scene]
Light = Callable[[Scene, np.random.Generator], np.ndarray]


class Kind(NamedTuple):
    """One kind of picture: the modality it counts as, where its cells lie, and how light shows them."""

    modality: str
    layout: Layout
    light: Light
    photons: tuple[float, float] = (1_000, 20_000)


def _rods(shape: tuple[int, int], rng: np.random.Generator) -> Scene:
    diameter = _log_uniform(rng, (9, 30))
    room = shape[0] * shape[1] / (np.pi / 4 * diameter**2)
    length, order = rng.uniform(1.5, 6), rng.uniform(0.6, 0.97)
    n_cells, colonies = max(3, round(rng.uniform(0.05, 0.9) * room)), int(rng.integers(1, 9))
    return pack_rods(
        shape, rng, n_cells=n_cells, diameter=diameter, length=length, colonies=colonies, order=order
    )


def _sheet(low: float, high: float, stretch: float = 1.8, gaps: float = 0.0, least: float = 0.5) -> Layout:
    """Make a layout of closed sheets with cells of `low` to `high` pixels."""

    def layout(shape: tuple[int, int], rng: np.random.Generator) -> Scene:
        return tile_cells(
            shape, rng, diameter=_log_uniform(rng, (low, high)), regularity=rng.uniform(0.1, 0.7),
            stretch=rng.uniform(1, stretch), gap=rng.uniform(0, gaps), covered=rng.uniform(least, 1.1),
        )  # fmt: skip

    return layout


def _strewn(
    population: Callable[[np.random.Generator], Callable],
    low: float,
    high: float,
    coverage: tuple[float, float] = (0.1, 0.6),
) -> Layout:
    """Make a layout of cells strewn alone and in groups."""

    def layout(shape: tuple[int, int], rng: np.random.Generator) -> Scene:
        diameter = _log_uniform(rng, (low, high))
        n_cells = max(1, round(rng.uniform(*coverage) * shape[0] * shape[1] / (np.pi / 4 * diameter**2)))
        return place_cells(
            shape, population(rng), rng, n_cells=n_cells, diameter=diameter,
            size_spread=rng.uniform(0.05, 0.35), clustering=rng.uniform(0, 0.9),
            alignment=rng.uniform(0, 0.5),
        )  # fmt: skip

    return layout


_discs = recipes._round(1.25, 0.04, 0.1)
_ovals = recipes._round(2.0, 0.08, 0.3)

KINDS: dict[str, Kind] = {
    "rods-phase": Kind("phase-contrast", _rods, lessons.rods_in_phase_contrast),
    "rods-defocused": Kind("brightfield", _rods, lessons.rods_out_of_focus),
    "rods-shining": Kind("fluorescence", _rods, lessons.shining_rods, (60, 5_000)),
    "flat-phase": Kind("phase-contrast", _strewn(recipes._spread, 25, 110), lessons.flat_in_phase_contrast),
    "sheet-phase": Kind("phase-contrast", _sheet(25, 100, gaps=4), lessons.flat_in_phase_contrast),
    "flat-dic": Kind("dic", _strewn(recipes._spread, 25, 110), lessons.flat_in_dic),
    "sheet-dic": Kind("dic", _sheet(25, 90, gaps=4), lessons.flat_in_dic),
    "blood": Kind("brightfield", _strewn(_discs, 20, 100), lessons.blood_smear),
    "rims": Kind("brightfield", _strewn(_discs, 14, 70), lessons.rims),
    "walls-shining": Kind("fluorescence", _sheet(14, 80, least=0.7), lessons.shining_walls, (60, 5_000)),
    "walls-light": Kind("phase-contrast", _sheet(14, 80, gaps=5, least=0.6), lessons.walls),
    "bodies-shining": Kind("fluorescence", _sheet(25, 100, gaps=5), lessons.shining_bodies, (60, 5_000)),
    "dim-and-bright": Kind("fluorescence", _strewn(_ovals, 10, 60), lessons.dim_and_bright, (60, 3_000)),
    "tissue-dark": Kind("fluorescence", _strewn(_ovals, 10, 40, (0.3, 0.7)), lessons.tissue, (60, 3_000)),
    "stains": Kind("brightfield", _strewn(recipes._round(2.5, 0.1, 0.4), 12, 50, (0.1, 0.6)), lessons.stains),
}  # fmt: skip


def teach(kind: str, shape: tuple[int, int] = (384, 384), *, rng: np.random.Generator) -> Simulated:
    """Simulate a picture of one of the :data:`KINDS`.

    Parameters
    ----------
    kind : str
    shape : (height, width)
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    Simulated
        ``image``, (H, W) or (H, W, 3) uint8, and ``labels``, (H, W) int32, 1 … N without gaps.

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> image, labels = teach("rods-phase", (96, 128), rng=np.random.default_rng(0))
    >>> image.shape, labels.dtype
    ((96, 128), dtype('int32'))
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; expected one of {', '.join(KINDS)}")
    _, layout, light, photons = KINDS[kind]
    scene = layout(shape, rng)
    image = _camera(scene.crop(light(scene, rng)), _log_uniform(rng, photons), rng, "uint8")
    labels = scene.crop(scene.labels)
    numbers = np.unique(np.append(labels, 0), return_inverse=True)[1][:-1]
    return Simulated(image, numbers.reshape(labels.shape).astype(np.int32))


def teacher_dataset(folder: str | Path, n_per_kind: int = 40, side: int = 384, seed: int = 0) -> Path:
    """Write a folder of training pictures of all :data:`KINDS`, in the layout of every dataset of the kit.

    Parameters
    ----------
    folder : path
        Must be absent; it appears when it is complete.
    n_per_kind : int
    side : int
        Height and width of the pictures in pixels.
    seed : int

    Returns
    -------
    pathlib.Path
        The folder. Sources are called ``teacher-KIND``; all pictures belong to the split "train".

    Raises
    ------
    FileExistsError
        If the folder exists.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists; choose a new folder, or remove this one first")
    with atomic_path(folder) as unfinished, open(_made(unfinished) / "metadata.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for number, kind in enumerate(KINDS):
            for i in range(n_per_kind):
                image, labels = teach(kind, (side, side), rng=np.random.default_rng([seed, number, i]))
                name, channels = f"{kind}_{i:04d}", 1 if image.ndim == 2 else 3
                write_image(unfinished / "images" / f"{name}.png", image)
                write_labels(unfinished / "labels" / f"{name}_label.tiff", labels)
                row = (f"{name}.png", KINDS[kind].modality, f"teacher-{kind}", "train", side, side, channels)
                table.writerow(dict(zip(COLUMNS, (*row, labels.max(), LICENCE), strict=True)))
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
