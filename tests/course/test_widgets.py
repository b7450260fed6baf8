"""Explorers: one figure to look at, the same one with controls, and a drag that draws once."""

from __future__ import annotations

import asyncio

import ipywidgets
import pytest

from maunet_lite.course.widgets import Choice, Explorer, Slider, explorer


def draw_line(slope: float = 1.0, color: str = "red"):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.add_subplot().plot([0, slope], color=color)
    return figure


@pytest.fixture
def live() -> Explorer:
    controls = {"slope": Slider(1.0, 0.0, 2.0, 0.5, "steepness"), "color": Choice("red", ("red", "blue"))}
    return Explorer(draw_line, "a line", 50, controls)


def test_controls_start_where_they_should(live):
    assert live.values == {"slope": 1.0, "color": "red"}
    assert [c.description for c in live.controls.values()] == ["steepness", "color"]  # a label, else the name
    assert bytes(live.picture.value).startswith(b"\x89PNG")
    assert "drawn in" in live.note.value
    controls, *rest = live.box().children
    assert list(controls.children) == [*live.controls.values()]
    assert rest == [live.picture, live.code, live.note]
    assert live.code.layout.display == "none"


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


def test_any_widget_with_a_value_is_a_control():
    live = explorer(draw_line, alt="A line.", slope=ipywidgets.FloatText(1.0), color=ipywidgets.Text("red"))
    before = live.picture.value
    live.controls["slope"].value = 2.0
    assert live.picture.value != before
    assert live.controls["slope"].description == "slope"


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Slider, (3, 0, 2, 1, "slope"), "slope starts at 3; expected a value from 0 to 2"),
        (Choice, ("c", ("a", "b")), "a choice starts at 'c', which is none of"),
    ],
)
def test_a_start_outside_is_refused(kind, values, message):
    with pytest.raises(ValueError, match=message):
        kind(*values)
