"""Post-processing at all densities: from single cells to none of the background left."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from benchmarks.postprocessing import network_like
from maunet_lite.metrics import match_cells
from maunet_lite.postprocessing import Maps, segment
from maunet_lite.preprocessing import make_targets
from maunet_lite.simulation.crowds import pack_rods, tile_cells, whole_pieces
from maunet_lite.simulation.scene import place_cells


def discs(diameter: int, apart: float = 1.0, side: int = 240) -> np.ndarray:
    """Discs in the densest order, `apart` diameters from centre to centre."""
    labels = np.zeros((side, side), np.int32)
    step = apart * diameter
    for j, y in enumerate(np.arange(diameter / 2, side, step * np.sqrt(3) / 2)):
        for x in np.arange(diameter / 2 + (j % 2) * step / 2, side, step):
            disc = np.zeros_like(labels, np.uint8)
            cv2.circle(disc, (round(16 * x), round(16 * y)), round(8 * diameter), 1, -1, cv2.LINE_8, 4)
            labels[(disc > 0) & (labels == 0)] = labels.max() + 1
    return whole_pieces(labels, 0)


def rods(diameter: float, share: float) -> np.ndarray:
    n = int(share * 240**2 / (np.pi / 4 * diameter**2))
    scene = pack_rods((240, 240), np.random.default_rng(1), n_cells=n, diameter=diameter, length=4)
    return whole_pieces(scene.crop(scene.labels).copy(), 0)


def crescent(rng: np.random.Generator) -> np.ndarray:
    turn = np.linspace(-1.9, 1.9, 40)[:, None]
    arc = np.hstack([np.cos(turn), np.sin(turn)])
    outline = np.concatenate([arc, (0.6 * arc + [-0.05, 0])[::-1]])
    return 0.75 * (outline - outline.mean(0))  # about the area of a disk of diameter 1


def crescents(diameter: float, share: float) -> np.ndarray:
    n = int(share * 240**2 / (np.pi / 4 * diameter**2))
    rng = np.random.default_rng(2)
    scene = place_cells((240, 240), crescent, rng, n_cells=n, diameter=diameter, clustering=0.6)
    return whole_pieces(scene.crop(scene.labels).copy(), 0)


def sheet(diameter: float) -> np.ndarray:
    scene = tile_cells((240, 240), np.random.default_rng(3), diameter=diameter, regularity=0.8)
    return whole_pieces(scene.crop(scene.labels).copy(), 0)


def perfect(labels: np.ndarray) -> Maps:
    classes, distance = make_targets(labels)
    return Maps(np.stack([classes == k for k in range(3)]).astype(np.float32), distance)


SCENES: list[tuple[Callable[..., np.ndarray], tuple[float, ...]]] = [
    *((discs, (d, apart)) for d in (6, 10, 24, 60) for apart in (1.0, 1.5)),
    *((rods, (d, share)) for d in (12, 24) for share in (0.2, 0.9)),
    *((crescents, (d, share)) for d in (24, 45) for share in (0.15, 0.5)),
    *((sheet, (d,)) for d in (24, 40, 60)),
]


@pytest.mark.parametrize(("scene", "numbers"), SCENES)
def test_perfect_maps_give_back_nearly_all_cells(scene, numbers):
    labels = scene(*numbers)
    match = match_cells(labels, segment(perfect(labels)).labels)
    assert match.recall >= 0.99
    assert match.precision >= 0.97


@pytest.mark.parametrize("diameter", [6, 7, 8, 10])
def test_small_cells_that_touch_are_not_merged_where_the_network_blurs(diameter):
    labels = discs(diameter)
    maps = network_like(labels, noise=0)
    found = match_cells(labels, segment(maps).labels).recall
    assert found >= max(0.97, match_cells(labels, segment(maps, "paper").labels).recall - 0.001)
