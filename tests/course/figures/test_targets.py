"""The explorer of notebook 01 and the explorers' common part: pure functions, then controls."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from maunet_lite.course.figures.shapes import from_digits, show_numbers, six_shapes
from maunet_lite.course.figures.targets import (
    class_map_with,
    draw_choice,
    markers,
    measure_cells,
    targets_from,
)
from maunet_lite.course.widgets import Choice, Explorer, Slider, explorer
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

# --- pure functions ---------------------------------------------------------------------------------------


def test_measures_by_eye():
    row = measure_cells(np.array([[0, 5, 5, 5, 9, 9, 0]]))  # touching cells, ids with gaps
    assert row.size.tolist() == [[0, 3, 3, 3, 2, 2, 0]]
    assert row.depth.tolist() == [[0, 1, 2, 1, 1, 1, 0]]
    assert row.deepest.tolist() == [[0, 2, 2, 2, 1, 1, 0]]
    assert row.to_centre.tolist() == [[0, 1, 0, 1, 0, 1, 0]]  # of two central pixels the first


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
    got = targets_from(measure_cells(labels), 20, 1.7, center)
    np.testing.assert_array_equal(got.classes, expected.classes)
    np.testing.assert_allclose(got.distance, expected.distance, atol=1e-6)
    assert got.classes.dtype == np.uint8
    assert got.distance.dtype == np.float32


def test_divisor_sets_the_layers_of_boundary():
    # sqrt(S) = 30: 30 / 20 = 1.5 is one layer, 30 / 10 = 3 three, 30 / 4 = 7.5 seven; a side loses two each
    for divisor, layers in ((60, 1), (20, 1), (10, 3), (4, 7)):
        classes = targets_from(measure_cells(block(30)), divisor).classes
        assert (classes == 1).sum() == (30 - 2 * layers) ** 2, divisor


def test_constant_thickness_leaves_a_small_cell_its_deepest_pixels():
    assert (class_map_with(block(30), lambda size: 4) == 1).sum() == 22**2
    assert (class_map_with(block(7), lambda size: 4) == 1).sum() == 1  # four layers are all: the middle stays
    assert (class_map_with(block(8), lambda size: 4) == 1).sum() == 4


def test_beta_moves_the_marker_of_a_disk():
    rows, columns = np.mgrid[-40:41, -45:46]
    disk = np.hypot(rows, columns) <= 36
    cells = measure_cells(disk.astype(int))
    for beta in (0.5, 1, 2):
        # d > 0.8 where beta · gamma / sqrt(S) < 1/4: a disk of area pi · S / 16 / beta²
        pieces, count = markers(targets_from(cells, beta=beta).distance)
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
    cells = measure_cells(SMALL)
    with pytest.raises(ValueError, match="center is 'middle'"):
        targets_from(cells, center="middle")
    with pytest.raises(ValueError, match="beta 0"):
        targets_from(cells, beta=0)
    with pytest.raises(LabelError, match="boolean"):
        measure_cells(SMALL > 0)


def test_figure_shows_cells_boundary_share_and_markers():
    draw = draw_choice({"one": (SIMULATED.image, SIMULATED.labels), "two": (SMALL * 9, SMALL)})
    titles = [ax.get_title() for ax in draw("two").axes]
    # cells 1 and 2 have 12 + 10 boundary pixels of 16 + 12; 4 and 7 are one pixel of interior each
    assert titles[0] == "4 cells"
    assert titles[1] == f"boundary: {22 / 30:.0%} of cell pixels"
    field = draw("two").axes[3].lines[0].get_ydata()
    assert field.tolist() == make_targets(SMALL).distance[1].tolist()  # the first row with two cells
    steep = draw("one", beta=4.0).axes[3].lines[0].get_ydata()
    assert steep.sum() < draw("one", beta=1.0).axes[3].lines[0].get_ydata().sum()


def test_figure_without_cells():
    draw = draw_choice({"empty": (np.zeros((8, 9)), np.zeros((8, 9), int))})
    assert draw("empty").axes[1].get_title() == "boundary: 0% of cell pixels"


def test_numbers_stand_in_their_pixels():
    from matplotlib.figure import Figure

    ax = show_numbers(Figure().add_subplot(), np.array([[0, 0.65, 1]]), "field", "{:.2f}", vmin=0, vmax=1)
    assert [(text.get_position(), text.get_text()) for text in ax.texts] == [
        ((1, 0), ".65"),
        ((2, 0), "1.00"),
    ]
    assert [text.get_color() for text in ax.texts] == ["white", "black"]  # on green, on yellow


# --- controls ---------------------------------------------------------------------------------------------


def draw_line(slope: float = 1.0, color: str = "red"):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.add_subplot().plot([0, slope], color=color)
    return figure


@pytest.fixture
def live() -> Explorer:
    controls = {"slope": Slider(1.0, 0.0, 2.0, 0.5, "slope"), "color": Choice("red", ("red", "blue"))}
    return Explorer(draw_line, "a line", 50, controls)


def test_controls_start_where_they_should(live):
    assert live.values == {"slope": 1.0, "color": "red"}
    assert [c.description for c in live.controls.values()] == ["slope", "color"]
    assert bytes(live.picture.value).startswith(b"\x89PNG")
    assert "drawn in" in live.note.value
    assert len(live.box().children) == 4


@pytest.mark.parametrize(("name", "value"), [("slope", 2.0), ("color", "blue")])
def test_moving_a_control_changes_the_picture(live, name, value):
    before = live.picture.value
    start = live.controls[name].value
    live.controls[name].value = value
    assert live.picture.value != before
    live.controls[name].value = start
    assert live.picture.value == before


def test_one_drag_is_one_figure():
    drawn = []

    def draw(slope):
        drawn.append(slope)
        return draw_line(slope)

    live = Explorer(draw, "a line", 50, {"slope": Slider(0, 0, 9, 1)})

    async def drag():
        for slope in range(1, 10):
            live.controls["slope"].value = slope
        await asyncio.sleep(0.1)

    asyncio.run(drag())
    assert drawn == [0, 9]


def test_a_failing_figure_is_told_and_the_old_one_stays(live):
    before = live.picture.value
    live.controls["color"].options = ("red", "no colour")
    live.controls["color"].value = "no colour"
    assert live.picture.value == before
    assert "ValueError" in live.note.value
    live.controls["color"].value = "red"
    assert "drawn in" in live.note.value


def test_static_figure_comes_first(capsys):
    live = explorer(draw_line, alt="A rising line.", slope=Slider(1, 0, 2, 1), color=Choice("red", ["red"]))
    assert capsys.readouterr().out == "[figure: A rising line.]\n"
    assert type(live.controls["slope"]).__name__ == "IntSlider"


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (Slider(3, 0, 2, 1), "slope starts at 3; expected a value from 0 to 2"),
        (Choice("c", ("a", "b")), "slope starts at 'c', which is none of"),
    ],
)
def test_a_start_outside_is_refused(control, message):
    with pytest.raises(ValueError, match=message):
        explorer(draw_line, alt="A line.", slope=control)
