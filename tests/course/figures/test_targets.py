"""What notebook 01 looks at: shapes, targets with every knob, and the figure that its explorer draws."""

from __future__ import annotations

import numpy as np
import pytest

from maunet_lite.course.figures.targets import (
    draw_targets,
    from_digits,
    markers,
    show_numbers,
    six_shapes,
    targets_with,
)
from maunet_lite.data import simulate
from maunet_lite.data.checks import LabelError
from maunet_lite.preprocessing.targets import distance_field, make_targets


def block(side: int, margin: int = 3) -> np.ndarray:
    return np.pad(np.ones((side, side), dtype=int), ((margin, margin), (margin, margin + 1)))


SMALL = from_digits("""
    ........4
    .1111222.
    .1111222.
    .1111222.
    .1111222.
    ........7
    """)
SIMULATED = simulate("phase-contrast", (96, 128), rng=np.random.default_rng(1), cell_diameter=16)


@pytest.mark.parametrize("center", ["paper", "authors"])
@pytest.mark.parametrize(
    "labels",
    [
        SMALL,
        SMALL * 12_345,
        np.full((3, 5), 2),
        np.zeros((4, 6), int),
        np.array([[1]]),
        SIMULATED.labels,
    ],
    ids=["small", "large ids", "no background", "no cells", "one pixel", "simulated"],
)
def test_paper_values_give_the_packages_targets(labels, center):
    expected = make_targets(labels, center=center, beta=1.7)
    got = targets_with(labels, 20, 1.7, center)
    np.testing.assert_array_equal(got.classes, expected.classes)
    np.testing.assert_allclose(got.distance, expected.distance, atol=1e-6)
    assert got.classes.dtype == np.uint8
    assert got.distance.dtype == np.float32


def test_divisor_sets_the_layers_of_boundary():
    # sqrt(S) = 30: 30 / 20 = 1.5 is one layer, 30 / 10 = 3 three, 30 / 4 = 7.5 seven; a side loses two each
    for divisor, layers in ((60, 1), (20, 1), (10, 3), (4, 7)):
        classes = targets_with(block(30), divisor).classes
        assert (classes == 1).sum() == (30 - 2 * layers) ** 2, divisor


def test_beta_moves_the_marker_of_a_disk():
    rows, columns = np.mgrid[-40:41, -45:46]
    disk = np.hypot(rows, columns) <= 36
    for beta in (0.5, 1, 2):
        # d > 0.8 where beta · gamma / sqrt(S) < 1/4: a disk of area pi · S / 16 / beta²
        pieces, count = markers(targets_with(disk.astype(int), beta=beta).distance)
        assert count == 1
        assert (pieces > 0).sum() == pytest.approx(np.pi * disk.sum() / 16 / beta**2, rel=0.05)


def test_the_six_shapes_have_the_markers_that_the_notebook_tells():
    counts = {
        name: [markers(distance_field(labels, center))[1] for center in ("paper", "authors")]
        for name, labels in six_shapes().items()
    }
    one_each = dict.fromkeys(("round", "long", "crescent"), [1, 1])
    assert counts == one_each | {"U": [2, 1], "waisted": [1, 2], "two long ones": [2, 1]}


@pytest.mark.parametrize("center", ["paper", "authors"])
def test_both_fields_merge_neighbours_that_are_about_five_times_as_long_as_wide(center):
    """In theory from 16 / pi = 5.09 on; pixels move it a little."""
    rows, columns = np.indices((240, 240)) - 119.5

    def count(ratio: float) -> int:
        a, b = 112, 112 / ratio
        sides = [((rows - row) / b) ** 2 + (columns / a) ** 2 <= 1 for row in (-b, b)]
        return markers(distance_field(np.select(sides, (1, 2), 0), center))[1]

    assert [count(ratio) for ratio in (4, 4.6, 5.5, 8)] == [2, 2, 1, 1]


def test_wrong_values_are_refused():
    for wrong, message in (
        ({"center": "middle"}, "center='middle' must be one of"),
        ({"beta": 0}, "beta=0 must be a number above 0"),
        ({"divisor": 0}, "divisor is 0; use a positive number"),
    ):
        with pytest.raises(ValueError, match=message):
            targets_with(SMALL, **wrong)
    with pytest.raises(LabelError, match="boolean"):
        targets_with(SMALL > 0)


def test_figure_shows_cells_boundary_share_and_markers():
    axes = draw_targets(SMALL * 9, SMALL).axes
    titles = [ax.get_title() for ax in axes]
    # cells 1 and 2 have 12 + 10 boundary pixels of 16 + 12; 4 and 7 are one pixel of interior each
    assert titles[0] == "4 cells"
    assert titles[1] == f"boundary: {22 / 30:.0%} of cell pixels"
    field = axes[3].lines[0].get_ydata()
    assert field.tolist() == make_targets(SMALL).distance[1].tolist()  # the first row with two cells
    steep, flat = (draw_targets(*SIMULATED, beta=beta).axes[3].lines[0].get_ydata() for beta in (4.0, 1.0))
    assert steep.sum() < flat.sum()


def test_figure_without_cells():
    figure = draw_targets(np.zeros((8, 9)), np.zeros((8, 9), int))
    assert figure.axes[1].get_title() == "boundary: 0% of cell pixels"


def test_numbers_stand_in_their_pixels():
    from matplotlib.figure import Figure

    ax = show_numbers(Figure().add_subplot(), np.array([[0, 0.65, 1]]), "field", "{:.2f}", vmin=0, vmax=1)
    assert [text.get_text() for text in ax.texts] == ["", ".65", "1.00"]
    assert [text.get_position() for text in ax.texts] == [(0.5, 0.5), (1.5, 0.5), (2.5, 0.5)]
