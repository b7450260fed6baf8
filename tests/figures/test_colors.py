"""Colours: told apart by everybody, one per cell, and any image brought to the screen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from maunet_lite.figures.colors import (
    CELL_COLORS,
    CLASS_COLORS,
    ERROR_COLORS,
    outlines,
    random_colors,
    rgb,
    to_display,
)

# Viénot/Machado-type matrices for linear RGB: how the image looks without one kind of cones.
COLOUR_VISION = {
    "full": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


def seen(color: str, kind: str) -> np.ndarray:
    value = rgb(color).astype(float)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(COLOUR_VISION[kind]) @ linear, 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("kind", COLOUR_VISION)
@pytest.mark.parametrize("palette", [tuple(ERROR_COLORS.values()), CLASS_COLORS[:3]])
def test_colours_are_told_apart_with_any_colour_vision(kind, palette):
    distances = [np.linalg.norm(seen(a, kind) - seen(b, kind)) for a, b in itertools.combinations(palette, 2)]
    assert min(distances) > 20  # about 2 is just visible side by side


def test_neighbours_get_different_colours():
    rng = np.random.default_rng(0)
    blocks = rng.permutation(400).reshape(20, 20) + 1
    labels = blocks.repeat(5, 0).repeat(5, 1)
    painted = random_colors(labels).astype(int)
    for step in ((slice(5, None), slice(None, -5)), (slice(None, -5), slice(5, None))):
        assert np.all((painted[step[0]] != painted[step[1]]).any(axis=-1))
        assert np.all((painted[:, step[0]] != painted[:, step[1]]).any(axis=-1))


def test_random_colours_are_one_per_cell_on_black_and_repeat(cells):
    labels = cells[1]
    painted = random_colors(labels, seed=3)
    assert painted.dtype == np.uint8
    assert painted.shape == (40, 64, 3)
    assert not painted[labels == 0].any()
    for cell in (1, 3, 9, 70_000):
        assert len(np.unique(painted[labels == cell], axis=0)) == 1
    np.testing.assert_array_equal(painted, random_colors(labels, seed=3))
    assert (painted != random_colors(labels, seed=4)).any()
    assert all(max(rgb(color)) > 0.8 for color in CELL_COLORS)  # light enough for black


def test_random_colours_of_odd_maps():
    assert not random_colors(np.zeros((3, 5), dtype=int)).any()
    assert random_colors(np.full((2, 3), 7)).any(axis=2).all()  # no background
    assert random_colors(np.array([[1]])).shape == (1, 1, 3)


def test_outlines_lie_inside_the_cells():
    labels = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 2], [0, 1, 1, 1, 2], [0, 1, 1, 1, 2], [0, 0, 0, 0, 0]])
    expected = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(outlines(labels), expected.astype(bool))
    np.testing.assert_array_equal(outlines(labels, thickness=9), labels > 0)
    assert not outlines(np.full((4, 3), 5)).any()  # the edge of the image is no outline


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[0, 255]], dtype=np.uint8), [[0, 0, 0], [1, 1, 1]]),
        (np.array([[100, 300]], dtype=np.uint16), [[0, 0, 0], [1, 1, 1]]),
        (np.array([[-2.0, np.nan, 2.0]]), [[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1]]),
        (np.array([[[51, 0, 255], [0, 102, 0]]], dtype=np.uint8), [[0.2, 0, 1], [0, 0.4, 0]]),
        (np.array([[[51, 0, 255, 9], [0, 102, 0, 9]]], dtype=np.uint8), [[0.2, 0, 1], [0, 0.4, 0]]),
        (np.array([[[0, 4], [4, 0]]], dtype=np.uint16), [[0, 1, 0], [1, 0, 0]]),
        (np.array([[True, False]]), [[1, 1, 1], [0, 0, 0]]),
        (np.full((1, 2), 7.0), [[0, 0, 0], [0, 0, 0]]),
    ],
    ids=["grey", "16 bit", "NaN", "colour", "alpha", "two channels", "bool", "constant"],
)
def test_any_image_can_be_displayed(image, expected):
    shown = to_display(image)
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown[0], expected, atol=0.02)  # percentiles cut a little off
