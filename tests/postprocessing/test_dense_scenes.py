"""Cells at all densities, from single ones to sheets without background: perfect maps give them back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from maunet_lite.evaluation.metrics import match_cells
from maunet_lite.postprocessing.config import PostprocessConfig
from maunet_lite.postprocessing.maps import Maps
from maunet_lite.postprocessing.run_lengths import label_components
from maunet_lite.postprocessing.segment import segment
from maunet_lite.postprocessing.steps import mean_cell_width, threshold_maps
from maunet_lite.preprocessing.targets import make_targets
from maunet_lite.scale.slides.survey import measure_sample

SIDE = 160
TURN = np.linspace(0, 2 * np.pi, 32)
ARC, CAP = (
    np.stack([np.cos(t), np.sin(t)], axis=1)
    for t in (np.linspace(-1.9, 1.9, 24), np.linspace(-np.pi / 2, np.pi / 2, 12))
)
CRESCENT = np.concatenate([ARC, (0.6 * ARC - [0.05, 0])[::-1]])
OUTLINES = {  # about as large as a disc of radius 1
    "disc": np.stack([np.cos(TURN), np.sin(TURN)], axis=1),
    "rod": np.concatenate([0.5 * CAP + [1.0, 0], -0.5 * CAP - [1.0, 0]]),
    "crescent": 1.4 * (CRESCENT - CRESCENT.mean(axis=0)),
}


def strewn(shape: str, diameter: float, share: float, seed: int) -> np.ndarray:
    """Cells that turn and vary in size, as many as cover `share`, or find a place; they may touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.int32)
    for _ in range(600):
        angle, size = rng.uniform(0, 2 * np.pi), diameter / 2 * rng.uniform(0.85, 1.15)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        outline = size * OUTLINES[shape] @ turn + rng.uniform(1.1 * size, SIDE - 1.1 * size, 2)
        cell = np.zeros_like(labels, np.uint8)
        cv2.fillPoly(cell, [np.round(16 * outline).astype(np.int32)], 1, cv2.LINE_8, 4)
        if not labels[cell > 0].any():
            labels[cell > 0] = labels.max() + 1
        if np.count_nonzero(labels) > share * SIDE**2:
            break
    return labels


def sheet(diameter: float, seed: int) -> np.ndarray:
    """Polygons that leave no background."""
    points = np.random.default_rng(seed).uniform(0, SIDE, (round(SIDE**2 / diameter**2), 2))
    pixels = np.stack(np.indices((SIDE, SIDE)), axis=-1).reshape(-1, 2)
    for _ in range(3):  # to the middle of its pixels
        cell = cKDTree(points).query(pixels)[1]
        n = np.maximum(np.bincount(cell, minlength=len(points)), 1)
        sums = [np.bincount(cell, weights=axis, minlength=len(points)) for axis in pixels.T]
        points = np.stack(sums, axis=1) / n[:, None]
    return cell.reshape(SIDE, SIDE).astype(np.int32) + 1


def share_found(labels: np.ndarray, name: str = "default") -> float:
    classes, distance = make_targets(labels)
    maps = Maps(np.stack([classes == k for k in range(3)]).astype(np.float32), distance)
    found = match_cells(labels, segment(maps, name).labels, border=0)
    assert found.precision >= 0.97
    return found.recall


@settings(max_examples=12, deadline=None)
@given(
    shape=st.sampled_from(sorted(OUTLINES)),
    diameter=st.floats(14, 40),
    share=st.floats(0.02, 0.9),
    seed=st.integers(0, 999),
)
def test_strewn_cells_are_found(shape, diameter, share, seed):
    assert share_found(strewn(shape, diameter, share, seed)) >= 0.99


@pytest.mark.parametrize("diameter", [10, 24, 40])
def test_cells_of_a_sheet_are_found(diameter):
    assert share_found(sheet(diameter, seed=1)) >= 0.99


def torn(diameter: float = 20) -> tuple[np.ndarray, Maps]:
    """A sheet and its maps with holes in the boundaries, through which all interiors are one piece."""
    labels = sheet(diameter, seed=3)
    classes, distance = make_targets(labels)
    field = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(labels.shape), (0, 0), 1.5)
    classes[(field > field.std()) & (classes == 2)] = 1
    assert label_components(classes == 1)[1] < labels.max() / 10
    return labels, Maps(np.stack([classes == k for k in range(3)]).astype(np.float32), distance)


def test_cells_that_are_joined_do_not_count_as_a_huge_one():
    labels, maps = torn()
    limited, blind = (segment(maps, PostprocessConfig(widest=w)).labels for w in (1.5, 0))
    assert match_cells(labels, limited, border=0).recall > 0.35
    assert match_cells(labels, blind, border=0).recall < 0.05, "nearly all are lost without the limit"


def test_the_width_of_a_slide_has_the_same_limit():
    maps, config = torn()[1], PostprocessConfig()
    yardstick = measure_sample([maps], config, whole=True).yardstick
    pieces = label_components(threshold_maps(maps, config).interior)[0]
    assert yardstick.width == mean_cell_width(pieces, config.widest) < 40 < mean_cell_width(pieces)
    np.testing.assert_array_equal(
        segment(maps, yardstick=yardstick).labels, segment(maps).labels, "a slide in one block"
    )
    # a window without cells says nothing of theirs
    empty = Maps(np.stack([np.ones((64, 64)), np.zeros((64, 64)), np.zeros((64, 64))]).astype("f4"), None)
    assert measure_sample([empty, maps], config, whole=False).yardstick.width <= 1.01 * yardstick.width


def test_crowded_rods_are_many():
    """The scenes are as dense as they say; without markers of single cells they would be lost."""
    labels = strewn("rod", 14, 0.9, 0)
    assert np.count_nonzero(labels) > 0.35 * SIDE**2
    pieces = cv2.connectedComponents((labels > 0).astype(np.uint8))[0] - 1
    assert labels.max() > 1.5 * pieces
